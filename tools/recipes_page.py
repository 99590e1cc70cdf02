"""docs/reference/recipes.md: every key of a recipe, from the configurations themselves."""

from __future__ import annotations

from keys import key_table, paragraphs

from anomgen.making.engine import Recipe
from anomgen.making.recipe import bundled_recipes, load_recipe
from anomgen.registry import BUNDLED, load
from anomgen.sources.foreground import PRESETS, Foreground
from anomgen.synthesis.textures import FolderTextures, HubTextures, ProceduralTextures

TEXTURES = {"procedural": ProceduralTextures, "folder": FolderTextures, "hub": HubTextures}


def recipes_page() -> str:
    """Return the page."""
    return "\n\n".join([*_recipe(), *_sources(), *_foreground(), *_textures(), *_bundled()]) + "\n"


def _recipe() -> list[str]:
    return [
        "# Recipes",
        "Every key of a recipe. `anomgen show NAME` prints a bundled recipe with all of them written out,"
        " `anomgen show NAME --schema` a JSON schema, which editors understand.\n"
        "[Write a recipe](../how-to/recipes.md) shows how they are used.",
        key_table(Recipe),
        "The keys of `generator` are on the pages of the [generators](generators/index.md).",
    ]


def _sources() -> list[str]:
    parts = ["## Source", "`source.kind` says which; `--source` finds it from a folder or a name."]
    for kind in BUNDLED["sources"]:
        model = load("sources", kind)
        parts += [f"### Source: {kind} {{#source-{kind}}}", *paragraphs(model.__doc__), key_table(model)]
    return parts


def _foreground() -> list[str]:
    families = sorted({name.partition("/")[0] for name in PRESETS})
    named = {family: [name for name in PRESETS if name.startswith(f"{family}/")] for family in families}
    listed = [f"- {', '.join(f'`{name}`' for name in sorted(names))}" for names in named.values()]
    return [
        "## Foreground",
        "A method's name, a preset, a folder of masks, or a mapping with `method` and its keys.",
        key_table(Foreground),
        "Presets:",
        "\n".join(listed),
    ]


def _textures() -> list[str]:
    parts = ["## Textures {#textures}", "The key `texture` of `perlin` and `sdas`: a mapping with `kind` and its keys."]
    for kind, model in TEXTURES.items():
        parts += [f"### Textures: {kind}", *paragraphs(model.__doc__), key_table(model, leave_out=("kind",))]
        if kind == "procedural":
            families = ", ".join(f"`{name}`" for name in model.model_fields["families"].default)
            parts.append(f"Families: {families}; `simplex` with the extra `noise`.")
    return parts


def _bundled() -> list[str]:
    lines = ["| recipe | generator | rows | anomalous |", "|---|---|---:|---:|"]
    for name in bundled_recipes():
        recipe = load_recipe(name)
        kind = recipe.generator.kind
        lines.append(f"| `{name}` | [`{kind}`](generators/{kind}.md) | {recipe.count:,} | {recipe.anomaly_ratio:.0%} |")
    return ["## Bundled recipes", "\n".join(lines)]
