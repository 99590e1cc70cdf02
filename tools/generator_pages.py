"""docs/reference/generators/NAME.md: what a generator does, its keys, how it looks on three materials."""

from __future__ import annotations

import inspect
import json
import sys
from pathlib import Path

from keys import key_table, paragraphs, prose

from anomgen.generators.base import Generator
from anomgen.making.recipe import bundled_recipes, load_recipe
from anomgen.registry import BUNDLED, load

IMAGES = Path(__file__).parent.parent / "docs" / "images" / "generators"


def generator_pages() -> dict[str, str]:
    """Return kind → page."""
    return {kind: "\n\n".join(_page(kind, load("generators", kind))) + "\n" for kind in BUNDLED["generators"]}


def recipes_of(kind: str) -> list[str]:
    """Return the bundled recipes of a generator, the one of its own name first."""
    names = [name for name in bundled_recipes() if load_recipe(name).generator.kind == kind]
    return sorted(names, key=lambda name: name != kind)


def _page(kind: str, model: type[Generator]) -> list[str]:
    told = list(paragraphs(sys.modules[model.__module__].__doc__))
    notes = [part for part in told if part.startswith("Note:")]
    start = told.index(notes[0]) if notes else len(told)
    parts = [f"# {kind}", *told[:start]]
    if (IMAGES / f"{kind}.png").exists():
        parts.append(f"![{kind} on three materials](../../images/generators/{kind}.png)")
    parts += _recipes(kind)
    summary = [part for part in paragraphs(inspect.cleandoc(model.__doc__ or "")) if part not in told]
    parts += ["## Keys", *summary, key_table(model)]
    if "texture" in model.model_fields:
        parts.append("The keys of `texture` are in [recipes](../recipes.md#textures).")
    parts += _presets(model)
    if start < len(told):
        rest = [told[start].removeprefix("Note:").strip(), *told[start + 1 :]]
        rest[0] = rest[0][0].upper() + rest[0][1:]
        parts += ["## What differs from the paper", *rest]
    return parts


def _recipes(kind: str) -> list[str]:
    names = recipes_of(kind)
    if not names:
        return []
    needs_model = '"model": null' in json.dumps(load_recipe(names[0]).as_dict())
    command = f"anomgen preview --recipe {names[0]} --source photos -o look.png"
    if needs_model:
        command += f" --set generator.model=model  # of `anomgen train {kind}`"
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
