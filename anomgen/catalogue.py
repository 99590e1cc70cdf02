"""What there is to choose from: recipes, generators, sources, exporters, each with its summary."""

from __future__ import annotations

import inspect

from anomgen.errors import UsageError
from anomgen.recipe import bundled_recipes, load_recipe
from anomgen.registry import load, names

GROUPS = ("recipes", "generators", "sources", "exporters")


def catalogue(group: str) -> dict[str, str]:
    """Return name → one line about it. A plug-in that fails to load is listed with its error."""
    if group == "recipes":
        return {name: _about_recipe(name) for name in bundled_recipes()}
    return {name: _about_plugin(group, name) for name in names(group)}


def _about_recipe(name: str) -> str:
    recipe = load_recipe(name)
    ratio = f"{recipe.anomaly_ratio:.0%} anomalous"
    return f"{', '.join(recipe.generator.defect_types)}; {recipe.count} rows, {ratio}"


def _about_plugin(group: str, name: str) -> str:
    try:
        return (inspect.getdoc(load(group, name)) or "").partition("\n")[0]
    except UsageError as error:
        return f"broken: {error}"
