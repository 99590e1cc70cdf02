"""The report of `tune`: what was measured, what was chosen and why, and pictures of what the recipe draws."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from anomgen.banks.folder import Defect
from anomgen.dataset.panel import Panel
from anomgen.dataset.preview import tile, write_sheet
from anomgen.files import replacing
from anomgen.generators.defects.generator import Defects
from anomgen.generators.mix import Mix
from anomgen.making.engine import Plan, Recipe, Renderer
from anomgen.making.threads import single_threaded
from anomgen.places import temporary_folder
from anomgen.score.report.blocks import Block, Code, Details, PictureList, Section, Table, TableCell, Text
from anomgen.score.report.write import as_html
from anomgen.tuning.arms import ARMS, DEFAULT, DETECTOR, LEAST_FOLDS, MARGIN, SEEDS, STEPS, TUNED, Comparison
from anomgen.tuning.folds import SIDE
from anomgen.tuning.hints import Hint
from anomgen.tuning.likeness import PRIOR
from anomgen.tuning.measure import Measured

SHOWN = 8
"""Samples on each sheet."""


def write_report(
    path: Path,
    plan: Plan,
    usual: Recipe,
    recipe: Recipe,
    defects: Sequence[Defect],
    measured: Measured | None,
    comparison: Comparison | None = None,
    hints: Sequence[Hint] = (),
) -> None:
    """Write the report as one HTML page. plan: of the usual recipe."""
    assert isinstance(plan.generator, Defects)
    with temporary_folder() as kept:
        folder = Path(kept)
        summary = _summary(defects, comparison, hints)
        sections = [
            Section("", [Text(summary, strong=True), Code(f"anomgen make --recipe {path.stem}.yaml")]),
            Section("What was measured on the normal images", [_material(plan, plan.generator)]),
        ]
        if measured is not None:
            sections.append(Section("What the real defects say", _said(folder, defects, measured)))
        if comparison is not None:
            sections.append(Section("Which recipe teaches most about defects left out", _compared(comparison)))
        if hints:
            sections.append(Section("What else was looked at", [Text(hint.text) for hint in hints]))
        if measured is not None or hints:
            sections.append(Section("What was chosen", _chosen(usual, recipe, measured, hints)))
        sections.append(Section("What the recipe draws", [_drawn(folder, "own", recipe)]))
        if recipe != usual:
            sections.append(Section("What the usual recipe would draw", [_drawn(folder, "usual", usual)]))
        with replacing(path) as file:
            file.write(as_html(f"A recipe for {_product(plan)}", sections, folder).encode("utf-8", "backslashreplace"))


def _product(plan: Plan) -> str:
    return f"{len(plan.source)} normal images"


def _summary(defects: Sequence[Defect], comparison: Comparison | None, hints: Sequence[Hint]) -> str:
    if not defects and not hints:
        return (
            "Without real defects the recipe is defects as it is: contrast, colour, light and the normal boundary are "
            "measured on your images whenever it draws, and nothing else can be known from normal images alone. "
            "Give one real defect or more, and kinds, severity and tone follow them."
        )
    told = []
    if defects and (comparison is None or comparison.chosen == TUNED):
        told.append(
            f"Kinds, severity and tone follow {len(defects)} real defect{'s' if len(defects) > 1 else ''}, "
            f"shrunk towards the usual ones: these count like {PRIOR:g} defects. Do not test on the same ones."
        )
    elif defects:
        told.append(f"The recipe rests on {len(defects)} real defects. Do not test on the same ones.")
    told += [hint.text for hint in hints]
    if comparison is not None:
        told.append(_findings(comparison))
    return " ".join(told)


def _findings(comparison: Comparison) -> str:
    if not comparison.arms:
        return f"No other recipes were compared. {comparison.note}"
    chosen = next(arm for arm in comparison.arms if arm.name == comparison.chosen)
    if chosen.name != DEFAULT:
        return f"Of {len(comparison.arms)} recipes, {ARMS[chosen.name]} was clearly better on defects left out."
    told = "none was clearly better on defects left out than"
    return f"Of {len(comparison.arms)} recipes, {told} {ARMS[DEFAULT]}: it stays. {comparison.note}".strip()


def _compared(comparison: Comparison) -> list[Block]:
    if not comparison.arms:
        return [Text(comparison.note)]
    heads = ["recipe", *(f"fold {k + 1}" for k in range(len(comparison.folds))), "mean", "difference", "95 %"]
    rows: list[list[str | TableCell]] = []
    for arm in comparison.arms:
        own = arm.name == comparison.chosen
        apart = ["", ""] if arm.name == DEFAULT else [f"{arm.difference:+.3f}", f"{arm.low:+.3f} … {arm.high:+.3f}"]
        scores = [f"{score:.3f}" for score in arm.scores]
        rows.append([TableCell(ARMS[arm.name], strong=own), *scores, TableCell(f"{arm.mean:.3f}", strong=own), *apart])
    caption = (
        f"Pixel AP of the detector {DETECTOR} after {STEPS} steps, {SEEDS} seed, {SIDE} × {SIDE}: trained on the "
        "recipe's anomalies, tested on the defects of the fold, which the recipe does not know, and on normal images "
        f"that were held out. The first stays unless another is better by {MARGIN:g} or more and the interval of the "
        f"difference, over folds and test images, lies above 0; with fewer than {LEAST_FOLDS} folds it stays, too."
    )
    left = Table(["fold", "left out"], [[str(k + 1), ", ".join(own)] for k, own in enumerate(comparison.folds)])
    note = [Text(comparison.note)] if comparison.note else []
    return [*note, Table(heads, rows, caption), Details("Which defects each fold left out", [left])]


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
    return [Text(text), PictureList(pictures)]


def _named(defect: Defect, r: float) -> str:
    return f"{defect.item} · r {r:.2f}"


def _chosen(usual: Recipe, recipe: Recipe, measured: Measured | None, hints: Sequence[Hint]) -> list[Block]:
    before, after = usual.generator, _drawn_by(recipe)
    assert isinstance(before, Defects)
    blocks: list[Block] = [Text(_mixture(recipe))]
    if after is None:
        return blocks
    said = [("like the real ones", measured.likeness)] if measured is not None else []
    said += [(f"hint {k + 1}" if len(hints) > 1 else "hint", hint.likeness) for k, hint in enumerate(hints)]
    whole, all_of, most = sum(before.kinds.values()), sum(after.kinds.values()), max(after.kinds.values())
    rows: list[list[str | TableCell]] = [
        [
            str(kind).replace("_", " "),
            *(f"{found.get(kind, 0):.0%}" for _, found in said),
            f"{before.kinds[kind] / whole:.0%}",
            TableCell(f"{weight / all_of:.0%}", shade=weight / most),
        ]
        for kind, weight in sorted(after.kinds.items(), key=lambda item: -item[1])
    ]
    caption = (
        "Like the real ones: how likely each kind is to have made the pieces of the real defects, by thickness, "
        "length, filling, number, contrast, grain and colour, compared with what each kind draws on the normal images."
    )
    apart = sum(abs(before.kinds[kind] / whole - weight / all_of) for kind, weight in after.kinds.items()) / 2
    blocks.append(Text(f"Distance to the usual recipe: {apart:.0%} of the drawn ones are of other kinds than there."))
    heads = ["kind", *(head for head, _ in said), "usual share", "chosen share"]
    blocks.append(Table(heads, rows, caption if measured is not None else ""))
    dark = "of each kind" if after.dark is None else f"{after.dark:.0%}"
    dials = [["severity (r)", _range(before.severity), _range(after.severity)], ["dark share", "of each kind", dark]]
    return [*blocks, Table(["dial", "usual", "chosen"], dials)]


def _drawn_by(recipe: Recipe) -> Defects | None:
    """Return the part of a recipe that draws defects; None where it only transplants."""
    parts = [part.generator for part in recipe.generator.parts] if isinstance(recipe.generator, Mix) else []
    return next((own for own in (*parts, recipe.generator) if isinstance(own, Defects)), None)


def _mixture(recipe: Recipe) -> str:
    if isinstance(recipe.generator, Defects):
        return "The recipe draws defects. Their kinds:"
    told = "The recipe puts the real defects themselves on normal images (transplant)"
    if not isinstance(recipe.generator, Mix):
        return f"{told}, and draws no others."
    transplants, drawn = (part.weight for part in recipe.generator.parts)
    shares = "half and half" if transplants == drawn else f"{transplants:g} to {drawn:g}"
    return f"{told}, and draws others (defects), {shares}. Of the drawn ones:"


def _range(pair: tuple[float, float]) -> str:
    return f"{pair[0]:g} … {pair[1]:g}"


def _drawn(folder: Path, name: str, recipe: Recipe) -> PictureList:
    plan = Plan.of(recipe.model_copy(update={"anomaly_ratio": 1.0}))
    with single_threaded():
        rows = list(islice(Renderer(plan).rows(range(SHOWN)), SHOWN))
    return PictureList([_tile(folder, f"{name}-{row.index}", Panel.of_row(row)) for row in rows])


def _tile(folder: Path, name: str, panel: Panel) -> tuple[Path, str]:
    path = Path(f"{name}.png")
    write_sheet(tile(panel), folder / path)
    return path, panel.caption
