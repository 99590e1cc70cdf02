"""docs/reference/generators/NAME.md: what a generator does, its keys, how it looks on three materials."""

from __future__ import annotations

import inspect
import json
import re
import sys
from pathlib import Path

from keys import key_table, paragraphs, prose

from anomgen.generators.base import Generator
from anomgen.making.recipe import bundled_recipes, load_recipe
from anomgen.registry import BUNDLED, load

IMAGES = Path(__file__).parent.parent / "docs" / "images"
SHOWN = {
    "defects": ("generators/defects.jpg", "eight materials"),
    "cyclegan": ("generators/cyclegan.png", "three materials, of one model trained on stains"),
    "sdas": ("generators/sdas.png", "three materials, of one model of 6,000 steps at 128×128 (preset `laptop`)"),
    "transplant": ("generators/transplant.png", "three materials, of a bank of six drawn defects for each"),
}
"""What is shown otherwise than on three materials."""


def generator_pages() -> dict[str, str]:
    """Return kind → page."""
    pages = {kind: "\n\n".join(_page(kind, load("generators", kind))) + "\n" for kind in BUNDLED["generators"]}
    return {kind: re.sub(r"docs/reference/(\w+)\.md", r"[\1](../\1.md)", text) for kind, text in pages.items()}


def recipes_of(kind: str) -> list[str]:
    """Return the bundled recipes of a generator, the one of its own name first."""
    names = [name for name in bundled_recipes() if load_recipe(name).generator.kind == kind]
    return sorted(names, key=lambda name: name != kind)


def _page(kind: str, model: type[Generator]) -> list[str]:
    about, notes = _told(sys.modules[model.__module__].__doc__)
    summary, more = _told(model.__doc__)
    parts = [f"# {kind}", *about]
    parts.append(_picture(kind))
    parts += _recipes(kind)
    parts += ["## Keys", *summary, key_table(model)]
    if "texture" in model.model_fields:
        parts.append("The keys of `texture` are in [recipes](../recipes.md#textures).")
    parts += _presets(model)
    if notes or more:
        parts += ["## What differs from the paper", *notes, *more]
    return parts


def _picture(kind: str) -> str:
    """Return the line that shows a generator; a page without a picture is not written."""
    file, shown = SHOWN.get(kind, (f"generators/{kind}.png", "three materials"))
    if not (IMAGES / file).exists():
        raise FileNotFoundError(f"docs/images/{file} is not there; draw it with tools/pictures.py")
    return f"![{kind} on {shown}](../../images/{file})"


def _told(docstring: str | None) -> tuple[list[str], list[str]]:
    """Return the paragraphs of a docstring before `Note:`, and those from there on."""
    told = list(paragraphs(inspect.cleandoc(docstring or "")))
    start = next((k for k, part in enumerate(told) if part.startswith("Note:")), len(told))
    notes = [part.removeprefix("Note:").strip() for part in told[start:]]
    return told[:start], [part[0].upper() + part[1:] for part in notes]


def _recipes(kind: str) -> list[str]:
    names = recipes_of(kind)
    if not names:
        return []
    recipe = json.dumps(load_recipe(names[0]).as_dict())
    command = f"anomgen preview --recipe {names[0]} --source photos -o look.png"
    if '"model": null' in recipe:
        command += f" --set generator.model=model  # of `anomgen train {kind}`"
    if '"bank": null' in recipe:
        command += " --set generator.bank=bank  # of `anomgen bank`"
    recipes = ", ".join(f"`{name}`" for name in names)
    return [f"Bundled recipe{'s' * (len(names) > 1)}: {recipes}.", f"```bash\n{command}\n```"]


def _presets(model: type[Generator]) -> list[str]:
    presets = getattr(model, "presets", {})
    if not presets:
        return []
    lines = ["| `preset` | sets |", "|---|---|"]
    for name, values in presets.items():
        told = ", ".join(f"`{key}: {json.dumps(value)}`" for key, value in values.items())
        lines.append(f"| `{name}` | {prose(told)} |")
    return ["## Presets", "\n".join(lines)]
