"""`tune`: writes a recipe for a product from its normal images, and from a few real defects where there are some."""

from __future__ import annotations

import shutil
import textwrap
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from anomgen.banks.folder import Bank, Defect, is_bank, open_bank
from anomgen.banks.make import bank
from anomgen.config.text import Overrides
from anomgen.errors import Progress, UsageError, silent
from anomgen.files import replacing
from anomgen.generators.defects.generator import Defects
from anomgen.generators.transplant.generator import ENOUGH
from anomgen.making.engine import Plan, Recipe, single_threaded
from anomgen.making.recipe import load_recipe, parse_recipe
from anomgen.places import home
from anomgen.sources.pool import Pool
from anomgen.tuning.measure import Measured, tuned
from anomgen.tuning.report import write_report
from anomgen.versions import versions

RECIPE = "defects"


@dataclass(frozen=True)
class Tuned:
    """What `tune` did."""

    path: Path
    """The recipe that it wrote."""
    report: Path
    recipe: Recipe
    measured: Measured | None
    """What the real defects said; None where there were none."""
    bank: str | Path | None
    """The bank of the real defects, which the recipe reads."""
    defects: tuple[str, ...]
    """The real defects that it follows: none of them may be tested on."""
    seconds: float


def tune(
    source: str | Path | Mapping[str, Any],
    *,
    defects: str | Path | None = None,
    masks: str | Path | None = None,
    out: str | Path = "tuned.yaml",
    size: int | Sequence[int] | Literal["native"] | None = None,
    overrides: Overrides = (),
    progress: Progress = silent,
) -> Tuned:
    """Write a recipe for the product of the normal images `source`, and a report of what was chosen and why.

    source, size, overrides: as of `load_recipe`; the recipe that is tuned is ``defects``. defects: real ones of this
    product: a bank, or what `anomgen bank` takes, with masks. masks: likewise. out: the recipe, a file that ends in
    .yaml; the report stands beside it and ends in .html, and defects that were no bank become one, ``NAME-bank``.

    With real defects the recipe draws transplants of them and drawn defects like them, three to one from 8 real
    defects on, half and half below.

    Raises UsageError for a file that is there already or has another ending, and what opening source and defects
    raises.
    """
    began, out = time.monotonic(), home(out)
    report = out.with_suffix(".html")
    if out.suffix.lower() not in {".yaml", ".yml"}:
        raise UsageError(f"-o {out}: a recipe is a YAML file; give a name that ends in .yaml")
    kept_at = out.with_name(f"{out.stem}-bank")
    for path in (out, report, kept_at):
        if path.exists():
            raise UsageError(f"-o {out}: {path} is there already; choose another name, or remove it")
    usual = load_recipe(RECIPE, source=source, size=size, overrides=overrides, name=out.stem)
    plan = Plan.of(usual)
    if not isinstance(plan.generator, Defects) or not isinstance(usual.generator, Defects):
        raise UsageError("generator.kind: tune chooses kinds, severity and tone of the generator defects")
    if defects is None:
        _write(out, usual, ())
        write_report(report, plan, usual, usual, (), None)
        return Tuned(out, report, usual, None, None, (), time.monotonic() - began)
    with TemporaryDirectory() as kept:
        found = _opened(defects, masks, Path(kept) / kept_at.name)
        real = tuple(found.defects())
        with single_threaded():
            measured = tuned(real, Pool(plan.source, plan.foreground), plan.generator, progress)
        out.parent.mkdir(parents=True, exist_ok=True)
        if found.path.parent == Path(kept):
            shutil.move(found.path, kept_at)
            defects = kept_at
    recipe = _followed(usual, str(defects), measured.tuned, len(real))
    _write(out, recipe, real)
    write_report(report, plan, usual, recipe, real, measured)
    items = tuple(defect.item for defect in real)
    return Tuned(out, report, recipe, measured, defects, items, time.monotonic() - began)


def _followed(usual: Recipe, bank: str, drawn: Defects, count: int) -> Recipe:
    """Return the recipe of transplants from a bank of `count` defects, and of drawn ones like them."""
    chosen = {"kinds": drawn.kinds, "severity": drawn.severity, "dark": drawn.dark}
    own = usual.generator.model_copy(update=chosen).config()
    weight = 3.0 if count >= ENOUGH else 1.0
    parts = [{"weight": weight, "kind": "transplant", "bank": bank, "with_defects": 0.0}, {"weight": 1.0, **own}]
    return parse_recipe({**usual.as_dict(), "generator": {"kind": "mix", "parts": parts}})


def _write(out: Path, recipe: Recipe, real: Sequence[Defect]) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    with replacing(out) as file:
        file.write((_header(real) + recipe.to_yaml()).encode())


def _header(real: Sequence[Defect]) -> str:
    """Return the comment that says where the recipe comes from."""
    named = ", ".join(f"{defect.item} ({defect.digest[:12]})" for defect in real) or "none"
    text = (
        f"Written by anomgen tune {versions()['anomgen']}. Real defects that it follows, not to be tested on: {named}."
    )
    return "".join(f"# {line}\n" for line in textwrap.wrap(text, 118, break_long_words=False))


def _opened(defects: str | Path, masks: str | Path | None, new: Path) -> Bank:
    """Return the real defects as a bank, made in `new` where they are none. Raises UsageError for unapproved masks."""
    place = Path(defects).expanduser()
    if masks is None and (is_bank(place) or not place.exists()):
        opened = open_bank(defects)
    else:
        opened = open_bank(bank(defects, new, masks=masks).path)
    if opened.proposed:
        raise UsageError(
            f"--defects {defects}: nobody has approved the masks of {', '.join(opened.proposed[:5])}; look at "
            f"{opened.path / 'preview.png'}, then run: anomgen bank {defects} --yes"
        )
    return opened
