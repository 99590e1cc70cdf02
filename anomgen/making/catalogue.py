"""What there is to choose from, and what each of it takes: `anomgen ls`, `show` and `validate`."""

from __future__ import annotations

import ast
import inspect
import json
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from anomgen.config.text import Overrides
from anomgen.errors import AnomgenNote, UsageError, near_miss
from anomgen.generators.defects.generator import Defects
from anomgen.generators.defects.kinds import KINDS
from anomgen.making.engine import Recipe
from anomgen.making.recipe import bundled_recipes, load_recipe
from anomgen.making.schema import keys_of, recipe_schema
from anomgen.registry import BUNDLED, load, names

FEW_TYPES = 3
"""Types of defects that the line about a recipe names."""
PURPOSES = {
    "boxes": "the baseline that whatever teaches something must beat: one rectangle of one colour",
    "cutpaste": "for objects whose parts may sit wrongly: patches of the same image elsewhere on it",
    "cutpaste-3way": "for objects whose parts may sit wrongly, with a detector that tells patches from scars",
    "cyclegan": "for 30 or more real defects and half an hour: a model learns from photos what is abnormal",
    "defects": "for normal images alone: kinds of defect that inspectors name, as visible as asked for",
    "fpi": "for medical images that lie alike: the same square of another image, blended in",
    "mix": "for normal images alone: several methods in one dataset",
    "nsa": "for detectors that learn from soft labels: seamless patches of other images",
    "perlin": "the first to try with normal images alone: other textures in irregular shapes",
    "pii": "for medical images that lie alike: the same square of another image, without a seam",
    "realnet": "for normal images and half an hour: half drawn by a diffusion model of them, half perlin",
    "scar": "for objects whose parts may sit wrongly: thin strips of the same image, turned",
    "sdas": "for normal images and half an hour: a diffusion model of them, led astray as far as asked for",
    "sia": "to draw whole images with that model beforehand, which sdas then takes its content from",
    "transplant": "for 1 to some hundred real defects: puts them on other normal images, with drawn ones",
}
"""What a recipe is for; of a single kind of defect its own words say that."""
SHEET = "anomgen-recipes.png"
"""Where the pictures of recipes go, in the current folder, unless another file is named."""
GROUPS = ("recipes", "generators", "sources", "exporters", "detectors")


def ls(what: str | None = None, *, pictures: bool = False, out: str | Path | None = None) -> dict[str, dict[str, str]]:
    """Return group → name → one line about it, as `anomgen ls` prints it.

    what: one group, ``detectors``, or one of a group, ``detectors/draem``, for its keys; by default all groups. A
    plug-in that fails to load is listed with its error. pictures: for ``recipes``, draw a sample of each as the file
    `out`, by default `SHEET`; see `preview`. Raises UsageError for what there is not, and for a file without pictures.
    """
    if pictures and what != "recipes":
        raise UsageError("--pictures are of recipes: anomgen ls recipes --pictures")
    if out is not None and not pictures:
        raise UsageError("-o is the file of --pictures: anomgen ls recipes --pictures -o recipes.png")
    group, _, name = (what or "").partition("/")
    if what is not None and group not in GROUPS:
        raise UsageError(f"nothing called {what!r}{near_miss(what, GROUPS)} (there are {', '.join(GROUPS)})")
    if name and group == "recipes":
        raise UsageError(f"ls {what}: `anomgen show {name}` prints a recipe with all of its keys")
    if pictures:
        _draw_recipes(SHEET if out is None else out)
    if name:
        return {f"{group}/{name}": _keys(group, name)}
    return {group: _names(group) for group in ([group] if group else GROUPS)}


def _draw_recipes(out: str | Path) -> None:
    from anomgen.making.preview import picture_recipes

    left_out = picture_recipes(out, {name: meaning_of(name, load_recipe(name)) for name in bundled_recipes()})
    warnings.warn(f"{out} is without {', '.join(left_out)}, which need a trained model or a bank", AnomgenNote, 3)


def show(recipe: str | Path, *, overrides: Overrides = (), schema: bool = False) -> dict[str, Any]:
    """Return a recipe as plain data, every key written out, as `anomgen show` prints it.

    recipe: a bundled one's name or a YAML file. overrides: what --set takes. schema: return the JSON schema of recipes
    instead. Raises UsageError or RecipeError.
    """
    loaded = load_recipe(recipe, overrides=overrides)  # a wrong name or key is an error of the schema's, too
    return recipe_schema() if schema else loaded.as_dict()


def validate(recipe: str | Path, *, overrides: Overrides = ()) -> dict[str, Any]:
    """Return a valid recipe's name and fingerprint, as `anomgen validate` prints them.

    recipe, overrides: as for `show`. Raises UsageError, or RecipeError, which names every faulty key.
    """
    valid = load_recipe(recipe, overrides=overrides)
    return {"valid": True, "name": valid.name, "fingerprint": valid.fingerprint()}


def _names(group: str) -> dict[str, str]:
    if group == "recipes":
        return {name: _about_recipe(name) for name in bundled_recipes()}
    return {name: _about_plugin(group, name) for name in names(group)}


def _about_recipe(name: str) -> str:
    recipe = load_recipe(name)
    types = recipe.generator.defect_types
    some = ", ".join(types[:FEW_TYPES]) + (f" and {len(types) - FEW_TYPES} more" if len(types) > FEW_TYPES else "")
    told = recipe.generator.kind if _is_one_kind(recipe) else some
    usual = all(getattr(recipe, key) == Recipe.model_fields[key].default for key in ("count", "anomaly_ratio"))
    rows = "" if usual else f"; {recipe.count} rows, {recipe.anomaly_ratio:.0%} anomalous"
    return f"{meaning_of(name, recipe)} ({told}){rows}"


def _is_one_kind(recipe: Recipe) -> bool:
    return isinstance(recipe.generator, Defects) and len(recipe.generator.defect_types) == 1


def meaning_of(name: str, recipe: Recipe) -> str:
    """Return what a recipe is for; of a single kind of defect, what it looks like.

    name: the bundled recipe's; of another name it is what its generator is for.
    """
    if _is_one_kind(recipe):
        return _first_line(next(KINDS[kind].draw for kind in KINDS if kind == recipe.generator.defect_types[0]))
    kind = recipe.generator.kind
    return PURPOSES.get(name) or PURPOSES.get(kind) or _first_line(type(recipe.generator))


def _first_line(thing: Any) -> str:
    return (inspect.getdoc(thing) or "").partition("\n")[0].rstrip(".")


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


def _keys(group: str, name: str) -> dict[str, str]:
    """Return key → its default and what it means."""
    schema = keys_of(load(group, name))
    required = schema.get("required", ())
    return {
        key: _about_key(setting, "required" if key in required else "optional")
        for key, setting in schema["properties"].items()
    }


def _about_key(setting: dict[str, Any], word: str) -> str:
    """Return default, meaning and choices of a setting; `word` stands for a default that is not listed."""
    default = json.dumps(setting["default"], ensure_ascii=False) if "default" in setting else word
    words = [choice for option in (setting, *setting.get("anyOf", ())) for choice in option.get("enum", ())]
    choices = f" ({', '.join('null' if word is None else str(word) for word in words)})" if words else ""
    return " ".join(f"{default}: {setting.get('description', '')}{choices}".split())
