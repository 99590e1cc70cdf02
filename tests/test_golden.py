"""What a recipe draws from a seed does not change by accident."""

import pytest
from learned import needs_more

from anomgen.making.engine import Plan, Renderer
from anomgen.making.recipe import bundled_recipes, load_recipe

NAMES = [name for name in bundled_recipes() if not needs_more(load_recipe(name))]
"""Recipes that need no trained model, whose drawings differ by processor, and no bank."""


@pytest.mark.parametrize("name", NAMES)
def test_the_first_rows_of_every_bundled_recipe(name, golden):
    """Drawn numbers exactly; mask areas to a percent of the image, since arithmetic differs a little by processor."""
    renderer = Renderer(Plan.of(load_recipe(name, overrides=["source.size=128"])))
    rows = [
        {
            "source": row.source_id,
            "type": row.defect_type,
            "attempt": row.attempt,
            "params": rounded(row.params),
            "area": round(row.area, 2),
        }
        for row in renderer.rows(range(8))
    ]
    golden(name, rows)


def rounded(value):
    if isinstance(value, float):
        return round(value, 6)
    if isinstance(value, dict):
        return {key: rounded(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(inner) for inner in value]
    return value
