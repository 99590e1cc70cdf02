"""The report of `tune`: what was measured, what was chosen and why, and pictures of what the recipe draws."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from anomgen.banks.folder import Defect
from anomgen.dataset.panel import Panel
from anomgen.dataset.preview import tile, write_sheet
from anomgen.files import replacing
from anomgen.generators.defects.generator import Defects
from anomgen.generators.mix import Mix
from anomgen.making.engine import Plan, Recipe, Renderer, single_threaded
from anomgen.score.report.blocks import Block, Cell, Code, Pictures, Section, Table, Text
from anomgen.score.report.write import as_html
from anomgen.tuning.likeness import PRIOR
from anomgen.tuning.measure import Measured

SHOWN = 8
"""Samples on each sheet."""


def write_report(
    path: Path, plan: Plan, usual: Recipe, recipe: Recipe, defects: Sequence[Defect], measured: Measured | None
) -> None:
    """Write the report as one HTML page. plan: of the usual recipe."""
    assert isinstance(plan.generator, Defects)
    with TemporaryDirectory() as kept:
        folder = Path(kept)
        sections = [
            Section("", [Text(_summary(defects), strong=True), Code(f"anomgen make --recipe {path.stem}.yaml")]),
            Section("What was measured on the normal images", [_material(plan, plan.generator)]),
        ]
        if measured is not None:
            sections.append(Section("What the real defects say", _said(folder, defects, measured)))
            sections.append(Section("What was chosen", _chosen(usual, recipe, measured)))
        sections.append(Section("What the recipe draws", [_drawn(folder, "own", recipe)]))
        if measured is not None:
            sections.append(Section("What it would draw without the real defects", [_drawn(folder, "usual", usual)]))
        with replacing(path) as file:
            file.write(as_html(f"A recipe for {_product(plan)}", sections, folder).encode("utf-8", "backslashreplace"))


def _product(plan: Plan) -> str:
    return f"{len(plan.source)} normal images"


def _summary(defects: Sequence[Defect]) -> str:
    if not defects:
        return (
            "Without real defects the recipe is defects as it is: contrast, colour, light and the normal boundary are "
            "measured on your images whenever it draws, and nothing else can be known from normal images alone. "
            "Give one real defect or more, and kinds, severity and tone follow them."
        )
    return (
        f"Kinds, severity and tone follow {len(defects)} real defect{'s' if len(defects) > 1 else ''}, "
        f"shrunk towards the usual ones: these count like {PRIOR:g} defects. Do not test on the same ones."
    )


def _material(plan: Plan, ready: Defects) -> Table:
    foreground = plan.foreground.method
    rows = [
        ["Normal images", str(len(plan.source))],
        ["Foreground", "the whole image" if foreground == "none" else foreground],
        ["Local deviation", f"{ready.deviation} grey levels of 255"],
        ["Colours", "coloured" if ready.colourful else "grey"],
        ["Light from", f"{ready.light}° (0 from the right, 90 from the top)"],
    ]
    return Table(["", "measured"], rows, "Measured anew whenever the recipe draws; nothing of it is fixed in it.")


def _said(folder: Path, defects: Sequence[Defect], measured: Measured) -> list[Block]:
    r = sorted(measured.r)
    shown = sorted(range(len(defects)), key=lambda k: defects[k].item)[:SHOWN]
    pictures = [
        _tile(
            folder, f"real-{k}", Panel(defects[k].image, defects[k].mask, None, None, _named(defects[k], measured.r[k]))
        )
        for k in shown
    ]
    text = (
        f"Detectability r (1: as unusual as one normal pixel in a hundred): from {r[0]:.2f} to {r[-1]:.2f}, median "
        f"{float(np.median(r)):.2f}. {measured.dark:.0%} of the pieces are darker than what is around them."
    )
    faint = sum(value < 1 for value in r)
    if faint:
        text += f" {faint} of {len(r)} lie below the normal boundary: colour and grain alone do not show them."
    return [Text(text), Pictures(pictures)]


def _named(defect: Defect, r: float) -> str:
    return f"{defect.item} · r {r:.2f}"


def _chosen(usual: Recipe, recipe: Recipe, measured: Measured) -> list[Block]:
    before, after = usual.generator, measured.tuned
    assert isinstance(before, Defects)
    text = (
        "The recipe puts the real defects themselves on normal images (transplant), and draws others like them "
        f"(defects), {_shares(recipe)}. Of the drawn ones:"
    )
    whole = sum(before.kinds.values())
    most = max(after.kinds.values())
    rows: list[list[str | Cell]] = [
        [
            str(kind).replace("_", " "),
            f"{measured.likeness.get(kind, 0):.0%}",
            f"{before.kinds[kind] / whole:.0%}",
            Cell(f"{weight:.0%}", shade=weight / most),
        ]
        for kind, weight in sorted(after.kinds.items(), key=lambda item: -item[1])
    ]
    kinds = Table(
        ["kind", "like the real ones", "usual share", "chosen share"],
        rows,
        "Like the real ones: how likely each kind is to have made the pieces of the real defects, by thickness, "
        "length, filling, number, contrast, grain and colour, compared with what each kind draws on the normal images.",
    )
    dials = Table(
        ["dial", "usual", "chosen"],
        [
            ["severity (r)", _range(before.severity), _range(after.severity)],
            ["dark share", "of each kind", f"{after.dark:.0%}"],
        ],
    )
    return [Text(text), kinds, dials]


def _shares(recipe: Recipe) -> str:
    assert isinstance(recipe.generator, Mix)
    transplants, drawn = (part.weight for part in recipe.generator.parts)
    return "half and half" if transplants == drawn else f"{transplants:g} to {drawn:g}"


def _range(pair: tuple[float, float]) -> str:
    return f"{pair[0]:g} … {pair[1]:g}"


def _drawn(folder: Path, name: str, recipe: Recipe) -> Pictures:
    plan = Plan.of(recipe.model_copy(update={"anomaly_ratio": 1.0}))
    with single_threaded():
        rows = list(islice(Renderer(plan).rows(range(SHOWN)), SHOWN))
    return Pictures([_tile(folder, f"{name}-{row.index}", Panel.of_row(row)) for row in rows])


def _tile(folder: Path, name: str, panel: Panel) -> tuple[Path, str]:
    path = Path(f"{name}.png")
    write_sheet(tile(panel), folder / path)
    return path, panel.caption
