"""Draw the pictures of the documentation from what may be shown: built-in textures, and materials drawn by formulas.

python tools/pictures.py                                  all but those that need trained models
python tools/pictures.py front nsa                        these alone
python tools/pictures.py --models MODELS cyclegan sdas    with the models in this folder, trained there if need be
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import materials
import numpy as np
from generator_pages import recipes_of
from PIL import Image, ImageDraw, ImageFont

from anomgen.banks.make import bank
from anomgen.dataset.panel import Panel
from anomgen.dataset.preview import preview_sheet
from anomgen.dataset.row import Row
from anomgen.errors import AnomgenError
from anomgen.generators.defects.kinds import KINDS as DEFECTS
from anomgen.making.engine import Plan, Renderer
from anomgen.making.recipe import load_recipe
from anomgen.making.threads import single_threaded
from anomgen.models.start import train
from anomgen.registry import BUNDLED
from anomgen.sources.base import build_source

IMAGES = Path(__file__).parent.parent / "docs" / "images"
COLOURS = 256
"""Colours of a picture: what shows no difference in a textured one and takes a third of the space."""

BUILT_IN = ("brick", "grass", "gravel", "immunohistochemistry")

KINDS = tuple(kind for kind in BUNDLED["generators"] if kind not in ("cyclegan", "defects", "sdas", "transplant"))
"""The generators that need no trained model and no bank, but for `defects`, whose kinds have a picture of their own."""

MATERIALS = ("steel", "fabric", "wood", "leather", "brick", "gravel", "pill", "board")
"""What the kinds of defect are shown on."""


class Show(NamedTuple):
    """One picture of the front: a material, what is done to it, and which row of the dataset is shown."""

    material: str
    recipe: str
    index: int
    changes: tuple[str, ...] = ()


BOLD = ("generator.severity=[3, 7]", "foreground=none")
FRONT = (
    Show("steel", "scratch", 2, ("generator.severity=[3, 4]", "generator.size=[0.6, 1]", "foreground=none")),
    Show("fabric", "hole", 0, BOLD),
    Show("wood", "burn", 21, BOLD),
    Show("leather", "fold", 0, ("generator.severity=[2, 5]", "foreground=none")),
    Show("pill", "nsa", 4, ("foreground=otsu",)),
    Show("board", "nsa", 2, ("foreground=none",)),
)

SHOWN = ("brick", "immunohistochemistry", "pill")
"""What the generators' pages show: two built-in textures, grey and colour, and an object on its background."""

SIDE = 192
"""Side of the images on the generators' pages."""
DIFFUSED = 128
"""Side of those of a diffusion model: half an hour of one core instead of an hour."""

BANKED = {"steel": "scratch, crack", "wood": "stain, hole", "pill": "stain, scratch"}
"""Which defects are put on which material on the page of `transplant`."""
OBJECT = {"steel": "foreground=none", "wood": "foreground=none", "pill": "foreground=otsu"}

CANDIDATES = 16
"""Rows of which a page shows the one in the middle."""


def front() -> Image.Image:
    """Return the picture at the top of the README: normal, anomalous, mask, for six materials."""
    tile, gap, margin = 200, 6, 124
    sheet = Image.new("RGB", (margin + 6 * (tile + gap) - gap, 3 * (tile + gap) - gap + 26), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(18)
    for line, name in enumerate(("normal", "anomalous", "mask")):
        draw.text((margin - 12, line * (tile + gap) + tile / 2), name, fill=(60, 60, 60), font=font, anchor="rm")
    with _folder() as folder:
        for column, show in enumerate(FRONT):
            row = _rows(show.recipe, str(folder / show.material), show.changes, range(show.index, show.index + 1))[0]
            left = margin + column * (tile + gap)
            mask = np.repeat(row.mask[..., None] * np.uint8(255), 3, axis=2)
            for line, picture in enumerate((row.normal, row.image, mask)):
                shown = Image.fromarray(picture).resize((tile, tile), Image.Resampling.BOX)
                sheet.paste(shown, (left, line * (tile + gap)))
            text = f"{show.material} · {show.recipe}"
            draw.text((left + tile / 2, 3 * (tile + gap) - gap + 4), text, fill=(60, 60, 60), font=font, anchor="mt")
    return sheet


@contextmanager
def _folder() -> Iterator[Path]:
    """Give a folder with twelve pictures of each material of the front."""
    with tempfile.TemporaryDirectory() as folder:
        for show in FRONT:
            materials.write(materials.specimens(show.material, 12, 256), Path(folder) / show.material)
        yield Path(folder)


def _rows(recipe: str, source: str, changes: Sequence[str], indices: range) -> list[Row]:
    """Return anomalous rows of a recipe."""
    loaded = load_recipe(recipe, source=source, overrides=["anomaly_ratio=1.0", *changes])
    with single_threaded():
        return list(Renderer(Plan.of(loaded)).rows(indices))


def page(kind: str) -> Image.Image:
    """Return the picture of a generator's page: a typical sample of each of its recipes on three materials."""
    with _folder() as folder:
        panels = [_typical(recipe, material, folder) for recipe in shown_recipes(kind) for material in SHOWN]
    return Image.fromarray(preview_sheet(panels))


def sdas(models: Path | None) -> Image.Image:
    """Return samples on each of three materials, the last one also as a whole, of one model; train it first."""
    models = _required(models)
    normal, model = models / "materials", models / "sdas"
    if not model.exists():
        for material in SHOWN:
            materials.write(_surfaces(material, 200), normal / material / "train" / "good")
        train("sdas", normal, model, size=DIFFUSED, preset="laptop", overrides={"sheet_every": 2000})
    panels = []
    for recipe, material in (*(("sdas", material) for material in SHOWN), ("sia", SHOWN[-1])):
        changes = (f"source.size={DIFFUSED}", f"generator.model={model}", f"generator.category={material}")
        rows = _rows(recipe, str(normal / material), (*changes, "foreground=none"), range(CANDIDATES))
        panels.append(_panel(f"{recipe} on {material}", sorted(rows, key=_boldness)[len(rows) // 2]))
    return Image.fromarray(preview_sheet(panels))


def cyclegan(models: Path | None) -> Image.Image:
    """Return the most visible of 24 samples on each of three materials, of one Cycle-GAN for stains; train it first."""
    models = _required(models)
    normal, stained, model = models / "normal", models / "stained", models / "cyclegan"
    if not model.exists():
        for material in SHOWN:
            images = _surfaces(material, 110)
            drawn = (materials.stained(np.random.default_rng(k), image) for k, image in enumerate(images[80:]))
            materials.write(images[:80], normal / material)
            materials.write(drawn, stained / material)
        changes = {"resolution": 96}
        train("cyclegan", normal, model, abnormal=stained, size=SIDE, steps=1700, overrides=changes)
    panels = []
    for material in SHOWN:
        changes = (f"source.size={SIDE}", f"generator.model={model}", "foreground=none")
        rows = _rows("cyclegan", str(normal / material), changes, range(24))
        panels.append(_panel("cyclegan", max(rows, key=_boldness)))
    return Image.fromarray(preview_sheet(panels))


def _required(models: Path | None) -> Path:
    if models is None:
        raise SystemExit("give the folder of trained models with --models; what is missing is trained there")
    return models


def _boldness(row: Row) -> float:
    """Return how much a row catches the eye."""
    return float(row.severity * row.area**0.5)


def _surfaces(material: str, count: int) -> list[np.ndarray]:
    """Return pictures of a material, (SIDE, SIDE, 3)."""
    if material not in BUILT_IN:
        return list(materials.specimens(material, count, SIDE))
    source = build_source({"kind": "builtin", "name": material, "count": count, "size": SIDE}).open()
    return [
        image if image.shape[2] == 3 else np.repeat(image, 3, axis=2) for image in (source[k] for k in range(count))
    ]


def overview() -> Image.Image:
    """Return one sample of each recipe that needs no trained model, on brick."""
    names = [name for kind in KINDS for name in shown_recipes(kind)]
    with _folder() as folder:
        return Image.fromarray(preview_sheet([_typical(name, "brick", folder) for name in names]))


def defects() -> Image.Image:
    """Return every kind of defect on eight materials, a line for each kind."""
    tile, gap, margin = 112, 4, 118
    size = margin + len(MATERIALS) * (tile + gap) - gap, len(DEFECTS) * (tile + gap) + 22
    sheet = Image.new("RGB", size, "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    with _folder() as folder:
        for column, material in enumerate(MATERIALS):
            left = margin + column * (tile + gap)
            draw.text((left + tile / 2, 4), material, fill=(60, 60, 60), font=font, anchor="mt")
            for line, kind in enumerate(DEFECTS):
                picture = _defect(kind, material, folder)
                if picture is not None:
                    shown = Image.fromarray(picture).resize((tile, tile), Image.Resampling.BOX)
                    sheet.paste(shown, (left, 22 + line * (tile + gap)))
        for line, kind in enumerate(DEFECTS):
            at = (margin - 8, 22 + line * (tile + gap) + tile / 2)
            draw.text(at, kind.replace("_", " "), fill=(60, 60, 60), font=font, anchor="rm")
    return sheet


def _defect(kind: str, material: str, folder: Path) -> np.ndarray | None:
    """Return the most visible of eight rows of a kind on a material; None where it cannot be drawn."""
    source = f"builtin:{material}" if material in BUILT_IN else str(folder / material)
    changes = [f"source.size={SIDE}", f"generator.kinds=[{kind}]", "generator.severity=[1, 16]"]
    changes.append("foreground=otsu" if material == "pill" else "foreground=none")
    try:
        rows = _rows("defects", source, changes, range(8))
    except AnomgenError:
        return None
    row = max(rows, key=_boldness)
    return np.repeat(row.image, 3, axis=2) if row.image.shape[2] == 1 else row.image


def shown_recipes(kind: str) -> list[str]:
    """Return the recipes of a generator that look different: those of one kind of anomaly, or else the first."""
    names = recipes_of(kind)
    return [name for name in names if len(load_recipe(name).generator.defect_types) == 1] or names[:1]


def _typical(recipe: str, material: str, folder: Path) -> Panel:
    """Return the row whose severity times area is in the middle of those in few pieces: neither bold nor faint."""
    built_in = material in BUILT_IN
    source = f"builtin:{material}" if built_in else str(folder / material)
    changes = [f"source.size={SIDE}", *([] if built_in else ["foreground=otsu"])]
    rows = _rows(recipe, source, changes, range(CANDIDATES))
    few = [row for row in rows if len(row.boxes) <= 8] or rows
    return _panel(recipe, sorted(few, key=lambda row: row.severity * row.area)[len(few) // 2])


def transplant() -> Image.Image:
    """Return a bank of drawn defects, which stand for real ones, put on other pictures of three materials."""
    panels = []
    with _folder() as folder:
        for material, kinds in BANKED.items():
            changes = [
                f"source.size={SIDE}",
                f"generator.kinds=[{kinds}]",
                "generator.severity=[1, 8]",
                OBJECT[material],
            ]
            for row in _rows("defects", str(folder / material), changes, range(6)):
                for part, picture in (("real", row.image), ("masks", row.mask * np.uint8(255))):
                    file = folder / "few" / material / part / row.defect_type / f"{row.index}.png"
                    file.parent.mkdir(parents=True, exist_ok=True)
                    Image.fromarray(picture[..., 0] if picture.shape[-1] == 1 else picture).save(file)
            place = folder / "few" / material
            bank(place / "real", place / "bank", masks=place / "masks")
            materials.write(materials.specimens(material, 6, 256, seed=1), place / "good")
            changes = [f"source.size={SIDE}", f"generator.bank={place / 'bank'}", "generator.with_defects=0"]
            rows = _rows("transplant", str(place / "good"), [*changes, OBJECT[material]], range(2))
            panels += [_panel(f"{row.defect_type} on {material}", row) for row in rows]
    return Image.fromarray(preview_sheet(panels))


def _panel(recipe: str, row: Row) -> Panel:
    caption = f"{recipe} · change {row.severity:.1%} · area {row.area:.1%}"
    return Panel(row.image, row.mask, row.soft_mask, row.normal, caption)


def write(picture: Image.Image, name: str) -> None:
    """Write a picture as a PNG of few colours."""
    if name == "generators/defects":  # too many textures for few colours
        picture.save(IMAGES / f"{name}.jpg", quality=80, optimize=True)
        return
    small = picture.quantize(COLOURS, method=Image.Quantize.MEDIANCUT, kmeans=4)
    small = picture.quantize(palette=small, dither=Image.Dither.FLOYDSTEINBERG)
    small.save(IMAGES / f"{name}.png", optimize=True)


def main(arguments: Sequence[str]) -> None:
    """Draw the pictures of these names, or all that need no trained model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path)
    drawn = {"front": front, "generators": overview, "defects": defects, "transplant": transplant} | {
        kind: partial(page, kind) for kind in KINDS
    }
    parser.add_argument("names", nargs="*", default=list(drawn), help=", ".join([*drawn, "cyclegan", "sdas"]))
    options = parser.parse_args(arguments)
    drawn |= {"cyclegan": partial(cyclegan, options.models), "sdas": partial(sdas, options.models)}
    if unknown := [name for name in options.names if name not in drawn]:
        parser.error(f"there is no picture {', '.join(unknown)}")
    for name in options.names:
        write(drawn[name](), name if name in ("front", "generators") else f"generators/{name}")


if __name__ == "__main__":
    main(sys.argv[1:])
