"""What there is to choose from: recipes, generators, sources, exporters, detectors, each with its summary."""

from __future__ import annotations

import ast
import inspect
from importlib.util import find_spec
from pathlib import Path

from anomgen.errors import UsageError
from anomgen.making.recipe import bundled_recipes, load_recipe
from anomgen.registry import BUNDLED, load, names

GROUPS = ("recipes", "generators", "sources", "exporters", "detectors")


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
    if group == "detectors" and name in BUNDLED[group]:
        return _summary(*BUNDLED[group][name].split(":"))
    try:
        return (inspect.getdoc(load(group, name)) or "").partition("\n")[0]
    except UsageError as error:
        return f"broken: {error}"


def _summary(module: str, name: str) -> str:
    """Return the first line of a class's docstring without importing its module, which may need torch."""
    spec = find_spec(module)
    assert spec is not None and spec.origin is not None
    body = ast.parse(Path(spec.origin).read_text(encoding="utf-8")).body
    found = next(node for node in body if isinstance(node, ast.ClassDef) and node.name == name)
    return (ast.get_docstring(found) or "").partition("\n")[0]
