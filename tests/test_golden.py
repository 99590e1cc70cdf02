"""What a recipe draws from a seed does not change by accident, nor where a run dies and another goes on."""

import os

import pytest
from learned import METHODS, NAMES
from small import count_shards, digests, launch, uncounted

from anomgen.making.engine import Plan, Renderer
from anomgen.making.make import make
from anomgen.making.recipe import load_recipe


@pytest.mark.parametrize("name", NAMES)
def test_the_first_rows_of_every_bundled_recipe(name, golden):
    """Each row by itself, the last first. Drawn numbers exactly; masks' areas to a percent of the image, and what is
    measured to ten percent of itself.

    Arithmetic differs a little by processor, and OpenCV's edges by release.
    """
    renderer = Renderer(Plan.of(load_recipe(name, overrides=["source.size=128"])))
    drawn = [renderer.row(index) for index in reversed(range(8))]
    rows = [
        {
            "source": row.source_id,
            "type": row.defect_type,
            "attempt": row.attempt,
            "params": {key: stored(key, value) for key, value in row.params.items()},
            "area": pytest.approx(round(row.area, 2), abs=0.011),
        }
        for row in reversed(drawn)
    ]
    golden(name, rows)


MEASURED = {"reached", "strength"}
"""Parameters that follow from pixels: how visible a defect came out, and the strength that made it so."""


def stored(key, value):
    return pytest.approx(rounded(value), rel=0.1) if key in MEASURED else rounded(value)


def rounded(value):
    if isinstance(value, float):
        return round(value, 6)
    if isinstance(value, dict):
        return {key: rounded(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(inner) for inner in value]
    return value


PARTS = ["source.size=64", "source.count=3", "shard_size=4", "block_size=2"]


@pytest.fixture(scope="module")
def dead(tmp_path_factory):
    """A folder of what runs of all methods left that died in the second of three parts."""
    program = """
        import os, sys
        from anomgen.making.make import make
        from anomgen.making.recipe import load_recipe
        names, *overrides = sys.argv[1:]
        for name in names.split():
            if not os.fork():
                recipe = load_recipe(name, count=12, overrides=overrides)
                make(recipe, name, progress=lambda done, _: done > 4 and os._exit(0))
                os._exit(1)
            os.wait()
    """
    place = tmp_path_factory.mktemp("dead")
    launch(" ".join(METHODS), *PARTS, program=program, cwd=place, environment=uncounted())
    return place


@pytest.mark.skipif(not hasattr(os, "fork"), reason="runs die in forked children")
@pytest.mark.parametrize("name", METHODS)
def test_every_method_resumes_to_the_identical_result(dead, tmp_path, name):
    """Law: rows depend on nothing that a process remembers of the rows before, whatever generator draws them."""
    assert count_shards(dead / name) == 1
    chosen = load_recipe(name, count=12, overrides=PARTS)
    assert make(chosen, dead / name, resume=True).made == 8
    make(chosen, tmp_path / "whole")
    assert digests(dead / name) == digests(tmp_path / "whole")
