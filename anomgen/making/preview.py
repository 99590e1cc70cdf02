"""A sheet of samples: of a dataset, of a recipe before a dataset is made of it, or of the foreground of images."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from itertools import islice
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from anomgen.banks.folder import Bank, is_bank
from anomgen.banks.make import bank_sheet
from anomgen.config.text import Overrides, listed, require_whole
from anomgen.dataset.grid import Group, grid_sheet, write_gallery
from anomgen.dataset.panel import Panel
from anomgen.dataset.preview import dataset_panels, foreground_sheet, preview_sheet
from anomgen.dataset.reader import Dataset
from anomgen.errors import UsageError, tell
from anomgen.files import refuse_inside, replacing
from anomgen.making.engine import Recipe, Renderer
from anomgen.making.memory import recalled_source
from anomgen.making.output import refuse_in_source
from anomgen.making.recipe import load_recipe, recipe_of
from anomgen.making.replay import dataset_recipe, pool_of
from anomgen.making.sampler import Sampler
from anomgen.making.splits import is_anomalous
from anomgen.making.threads import single_threaded
from anomgen.places import local, place, regular
from anomgen.sources.objects import opened

FORMATS = {".png": ("PNG", None), ".jpg": ("JPEG", 92), ".jpeg": ("JPEG", 92), ".webp": ("WEBP", 90)}
"""Ending → format and quality."""
PICTURES, PAGE = tuple(FORMATS), ".html"
DEFAULT = "anomgen-preview.png"
"""A file of this name is replaced, whoever wrote it, and …"""
SOFTWARE, OURS = 0x0131, "anomgen"
"""… every other one whose EXIF says in this tag that it is ours."""
MAX_ROWS = 64
"""Samples on the longest sheet."""
COLUMNS = 2
"""Samples a line, where nothing else is asked for."""
UNTOLD = ("train", "good")
"""Folders of a known layout, which do not say what the images are of."""
LINE = 4
"""Recipes a line, where all are shown, with …"""
TOLD = 2
"""… lines of text below each."""


@dataclass(frozen=True)
class Previewed:
    """What `preview` did."""

    path: Path
    resolved: dict[str, Any] = field(default_factory=dict)
    """Generator and foreground as they were used, and the source's notes; empty for a dataset, whose records have them.

    Plain JSON.
    """


def preview(
    dataset: Dataset | str | Path | None = None,
    *,
    recipe: Recipe | str | Path | None = None,
    recipes: str | Sequence[Recipe | str | Path] | None = None,
    source: str | Path | Mapping[str, Any] | None = None,
    size: int | Sequence[int] | str | None = None,
    seed: int | None = None,
    overrides: Overrides = (),
    roi: str | Path | None = None,
    exclude: str | Path | None = None,
    foreground: bool = False,
    rows: int = 8,
    cols: int | None = None,
    views: bool = False,
    out: str | Path = DEFAULT,
) -> Previewed:
    """Draw samples as the file `out`; the options are those of `anomgen preview`.

    out: a picture, .png, .jpg or .webp; or .html, a page that needs no other file. A file that is there is replaced
    where a preview wrote it; another one is refused.

    dataset: a finished one, or a bank of defects; by default what `recipe`, by default nsa, would make, changed by the
    options of `load_recipe`; for a dataset, `source` says where its normal images are now. foreground: which pixels
    count as the object, instead of the samples. rows: samples, of each recipe, 1 to 64. recipes: several, in a
    list or comma-separated, side by side. cols: samples a line, by default 2, each outlined beside a crop of its
    anomaly. views: instead a line for each sample: normal image, anomalous image, masks, difference.

    Of a recipe the first anomalous rows are drawn that `make` would write, under their numbers there.

    Raises UsageError for options that exclude each other, for a file among the normal images, and for what `make`
    and `check` refuse.
    """
    out = local(out)
    ending = out.suffix.lower()
    if ending not in PICTURES and (ending != PAGE or foreground):
        allowed = ", ".join(PICTURES) + ("" if foreground else f" or {PAGE}")
        raise UsageError(f"-o {out}: give a name that ends in {allowed}")
    _refuse_foreign(out)
    require_whole("--rows", rows, 0)
    require_whole("--cols", 1 if cols is None else cols, 0)
    if not 1 <= rows <= MAX_ROWS:
        raise UsageError(f"--rows {rows}: a sheet holds 1 to {MAX_ROWS} samples")
    if cols is not None and (foreground or not 1 <= cols <= MAX_ROWS):
        raise UsageError(f"--cols {cols}: a grid of samples has 1 to {MAX_ROWS} a line")
    if views and (cols is not None or foreground or recipes or ending == PAGE):
        raise UsageError(
            f"--views is a picture of one dataset or recipe: leave out --cols, --recipes, --foreground and {PAGE}"
        )
    if dataset is None:
        options = {"source": source, "size": size, "seed": seed, "overrides": overrides, "roi": roi, "exclude": exclude}
        several = _chosen(recipe, recipes)
        if cols is not None and len(several) > 1:
            raise UsageError(f"--cols {cols}: several recipes stand side by side, one a column; leave out --cols")
        chosen = [recipe_of(each, **options) for each in several]
        for each in chosen:
            refuse_in_source(each, out)
        if not foreground:
            return Previewed(out, _draw_recipes(chosen, out, rows, cols, views=views))
        if len(chosen) > 1:
            raise UsageError("--foreground is that of one recipe; leave out --recipes")
        return Previewed(out, _draw_foreground(chosen[0], out, rows))
    regions = roi is not None or exclude is not None
    changes = bool(overrides and not foreground) or regions
    if recipe is not None or recipes or size is not None or seed is not None or changes:
        raise UsageError("give a DATASET, or --recipe with its options, not both")
    if isinstance(source, Mapping):
        raise UsageError("a dataset's source is a folder or an id of the Hub, not a mapping")
    dataset = dataset if isinstance(dataset, Dataset) else place(dataset)
    if isinstance(dataset, Path) and is_bank(dataset):
        if cols is not None or views or ending == PAGE:
            raise UsageError(
                f"a bank is drawn as a sheet: leave out --cols and --views, and give a name that ends in {PICTURES[0]}"
            )
        _write(bank_sheet(Bank(dataset), rows), out)
        return Previewed(out)
    whole = Dataset.of(dataset)
    refuse_inside(out, str(source or "") or recalled_source(whole.provenance["source"]["fingerprint"]))
    if foreground:
        return Previewed(out, _draw_foreground(dataset_recipe(whole, source, overrides), out, rows))
    panels = dataset_panels(whole, rows, pool_of(whole, source)[0])
    name = whole.recipe.get("name", whole.path.name)
    title = f"{name} on {_source_name(whole.recipe['source'])} · {len(whole)} rows"
    _draw([Group(name, panels)], out, cols, title, views=views)
    return Previewed(out)


def picture_recipes(out: str | Path, recipes: Mapping[str, str]) -> list[str]:
    """Draw what bundled recipes make of built-in textures, one sample each, as the file `out`; see `preview`.

    recipes: name → what stands beside it. What lies on an object's outline is drawn on a round piece of the texture.
    Returns those left out, which need a trained model or a bank. Raises UsageError for another ending.
    """
    out = local(out)
    if out.suffix.lower() not in (*PICTURES, PAGE):
        raise UsageError(f"-o {out}: give a name that ends in {', '.join(PICTURES)} or {PAGE}")
    _refuse_foreign(out)
    sampler, panels, left_out = Sampler(), [], []
    for number, (name, about) in enumerate(recipes.items()):
        panel = _on_texture(sampler, name)
        if panel is None:
            left_out.append(name)
        else:
            panels.append(replace(panel, caption=f"{name} · {about}"))
        tell(number + 1, len(recipes), "drawing recipes")
    _draw([Group("recipes", panels)], out, LINE, "recipes", told=TOLD)
    return left_out


def _on_texture(sampler: Sampler, name: str) -> Panel | None:
    """Return a sample on a texture, else on a piece of one, which has an outline; None where neither can be drawn."""
    for form in ("surface", "disc"):
        recipe = load_recipe(name, overrides={"anomaly_ratio": 1.0, "source.form": form})
        with suppress(UsageError):
            return Panel.of_row(sampler.row(recipe, 0))
    return None


def _chosen(
    recipe: Recipe | str | Path | None, recipes: str | Sequence[Recipe | str | Path] | None
) -> Sequence[Recipe | str | Path]:
    if recipes is None:
        return ["nsa" if recipe is None else recipe]
    if recipe is not None:
        raise UsageError("give --recipe or --recipes, not both")
    return listed(recipes, "--recipes")


def _draw_recipes(recipes: Sequence[Recipe], out: Path, rows: int, cols: int | None, *, views: bool) -> dict[str, Any]:
    """Draw the first anomalous rows that `make` would write of each; return what was resolved, of several by name."""
    sampler, groups, resolved = Sampler(), [], {}
    for number, recipe in enumerate(recipes):
        renderer = sampler.renderer(recipe)
        groups.append(Group(recipe.name, _panels(renderer, rows, number * rows, len(recipes) * rows)))
        resolved[recipe.name] = {**renderer.plan.resolved, "notes": list(renderer.plan.notes)}
    names = ", ".join(group.name for group in groups)
    _draw(groups, out, cols, f"{names} on {_source_name(recipes[0].source.config())}", views=views)
    return resolved if len(recipes) > 1 else next(iter(resolved.values()))


def _panels(renderer: Renderer, rows: int, before: int, of: int) -> Iterator[Panel]:
    """Draw the first anomalous rows, each when it is asked for; before, of: samples that are told of beside them."""

    def panel(index: int) -> Panel:
        with single_threaded():
            return Panel.of_row(renderer.row(index))

    for done, index in enumerate(_first_anomalous(renderer.plan.recipe, rows), 1):
        yield panel(index)
        tell(before + done, of, "drawing samples")


def _source_name(source: Mapping[str, Any]) -> str:
    """Return how a source is called in a title: its folder, or that of a data set around it, or its kind."""
    parts = PurePath(str(source.get("path") or "")).parts
    told = [part for part in parts if part not in UNTOLD] or parts
    return told[-1] if told else f"{source['kind']} images"


def _first_anomalous(recipe: Recipe, rows: int) -> list[int]:
    """Return the first anomalous rows of a recipe's dataset; the first ones where none is."""
    every = range(recipe.count)
    anomalous = islice((index for index in every if is_anomalous(index, recipe.anomaly_ratio)), rows)
    return list(anomalous) or list(every[:rows])


def _draw(
    groups: Sequence[Group], out: Path, cols: int | None, title: str, *, views: bool = False, told: int = 1
) -> None:
    """Draw samples as what the file's name and the options ask for; told: lines of text below each of a grid."""
    if out.suffix.lower() == PAGE:
        write_gallery(groups, out, title, [f"Drawn by anomgen {version('anomgen')}."], cols)
    elif views:
        _write(preview_sheet(groups[0].panels, title), out)
    else:
        _write(grid_sheet(groups, cols or COLUMNS, title, told=told), out)


def _write(sheet: np.ndarray, out: Path) -> None:
    """Write a sheet as a picture whose EXIF says that it is ours."""
    from PIL import Image

    form, quality = FORMATS[out.suffix.lower()]
    exif = Image.Exif()
    exif[SOFTWARE] = OURS
    with replacing(out) as file:
        Image.fromarray(sheet).save(file, form, exif=exif, quality=quality)


def _refuse_foreign(out: Path) -> None:
    """Raise UsageError for a file that is there and that no preview wrote."""
    if out.name == DEFAULT or not (out.exists() or out.is_symlink()):
        return
    try:
        ours = _is_page(out) if out.suffix.lower() == PAGE else _is_sheet(out)
    except Exception:  # whatever a decoder makes of a foreign file
        ours = False
    if not ours:
        raise UsageError(
            f"-o {out}: is there already, and nothing says that a preview of this version or a later one wrote it; "
            "choose another name, or remove it"
        )


def _is_page(file: Path) -> bool:
    with regular(file).open("rb") as page:
        return b'<meta name="generator" content="anomgen">' in page.read(1000)


def _is_sheet(file: Path) -> bool:
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its size: no pixel is read
        with Image.open(regular(file)) as picture:
            return bool(picture.getexif().get(SOFTWARE) == OURS)


def _draw_foreground(recipe: Recipe, out: Path, rows: int) -> dict[str, Any]:
    """Draw which pixels of the normal images count as the object."""
    with single_threaded():
        source, foreground, notes, pool, _ = opened(recipe.source, recipe.foreground)
        picked = [round(k) for k in np.linspace(0, len(pool) - 1, min(rows, len(pool)))]
        samples = ((pool[k], pool.foreground(pool[k]), source.id(k)) for k in picked)
        _write(foreground_sheet(samples, f"foreground: {foreground.method}"), out)
    settings = foreground.model_dump(mode="json", exclude_defaults=True)
    return {"foreground": {"method": foreground.method, **settings}, "notes": list(notes)}
