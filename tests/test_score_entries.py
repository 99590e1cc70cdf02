"""The lines of the board: recipes, mixtures, datasets, baselines, sweeps."""

import pytest

from anomgen.errors import UsageError
from anomgen.score.entries import entries_of


def names(*args, **options):
    return [entry.name for entry in entries_of(*args, **options)]


def test_the_baselines_are_always_there_and_nothing_twice():
    assert names(["nsa", "boxes", "nsa"]) == ["none", "boxes", "nsa"]


def test_ratios_and_counts_sweep():
    found = entries_of(["nsa", "real"], ratios=[0.25, 0.75], counts=[20, 50])
    by_name = {entry.name: entry for entry in found}
    assert by_name["nsa count=20 ratio=0.25"].definition.anomaly_ratio == 0.25
    assert by_name["nsa count=20 ratio=0.25"].train_count == 20
    assert {"none count=20", "none count=50", "boxes count=20", "real count=50 ratio=0.75"} <= by_name.keys()
    assert by_name["boxes count=50"].definition.anomaly_ratio == 0.5, "the baseline keeps its ratio"
    assert by_name["nsa count=50 ratio=0.75"].recipe == "nsa"


def test_any_key_of_the_recipes_sweeps():
    found = entries_of(["perlin"], sweeps={"generator.opacity_range": [[0.2, 0.4], [0.6, 1.0]]})
    ranges = {entry.name: entry.definition.generator.opacity_range for entry in found if entry.recipe == "perlin"}
    assert ranges == {"perlin opacity_range=[0.2,0.4]": (0.2, 0.4), "perlin opacity_range=[0.6,1.0]": (0.6, 1.0)}


def test_a_mixture_is_its_parts_in_equal_shares():
    mixed = next(entry for entry in entries_of(["nsa+perlin"]) if entry.name == "nsa+perlin").definition
    assert [(part.weight, part.generator.kind) for part in mixed.generator.parts] == [(0.5, "nsa"), (0.5, "perlin")]


def test_a_change_belongs_to_one_recipe():
    found = entries_of(["nsa", "perlin"], overrides=["nsa.generator.blend=mixed"])
    assert next(entry for entry in found if entry.name == "nsa").definition.generator.blend == "mixed"


@pytest.mark.parametrize(
    ("recipes", "options", "words"),
    [
        (["nsaa"], {}, "did you mean 'nsa'"),
        (["nsa"], {"overrides": ["perlin.x=1"]}, "^--set recipe.perlin.x=1: names no recipe .*; they are boxes, nsa$"),
        (["nsa"], {"overrides": ["nsa.count"]}, "^--set recipe.nsa.count: write .* --set recipe.nsa.generator.blend=m"),
        (["real"], {"overrides": ["real.count=1"]}, "^--set recipe.real.count=1: real is no recipe"),
        (["nsa"], {"sweeps": {"name.x": [1]}}, "^--sweep name.x=1: .* no keys"),
        (["nsa"], {"sweeps": {"generator.blen": ["mixed"]}}, "did you mean 'blend'"),
        (["nsa"], {"sweeps": {"count": [1]}}, "^--sweep count: give the values to --counts"),
        (["nsa+perlin"], {"overrides": ["nsa+perlin.count=1"]}, r"^--set recipe.nsa\+perlin.count=1: .* kind: mix"),
        (
            ["nsa+perlin"],
            {"sweeps": {"seed": [1]}},
            r"^--sweep seed=1: nsa\+perlin, .* takes no changes; .* kind: mix",
        ),
        (["real+nsa"], {}, r"^real\+nsa: only recipes can be mixed, but not real, which is no recipe; .* real,nsa"),
    ],
)
def test_what_is_wrong_is_said(recipes, options, words):
    with pytest.raises(UsageError, match=words):
        entries_of(recipes, **options)


def test_a_finished_dataset_is_neither_mixed_nor_changed(tmp_path):
    (tmp_path / "made" / "data").mkdir(parents=True)
    (tmp_path / "made" / "recipe.yaml").write_text("")
    made = str(tmp_path / "made")
    with pytest.raises(UsageError, match=f"only recipes can be mixed, but not {made}, which is a finished dataset"):
        entries_of([f"nsa+{made}"])
    with pytest.raises(UsageError, match="is a finished dataset, which has nothing to change"):
        entries_of([made], overrides=[f"{made}.count=1"])


def test_a_mixture_uses_the_object_that_any_of_its_parts_uses(tmp_path):
    files = []
    for method in ("none", "otsu"):
        files.append(tmp_path / f"{method}.yaml")
        files[-1].write_text(
            f"anomgen: 1\nname: {method}\nsource: {{kind: builtin}}\ngenerator: {{kind: perlin}}\n"
            f"foreground: {{method: {method}}}\n"
        )
    for first, second in (files, files[::-1]):
        assert entries_of([f"{first}+{second}"])[-1].definition.foreground.method == "otsu"


def test_a_recipe_file_is_called_by_its_name(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("anomgen: 1\nname: scratches\nsource: {kind: builtin}\ngenerator: {kind: perlin}\n")
    assert "scratches" in names([str(file)])


@pytest.mark.parametrize(("called", "other"), [("perlin", "perlin"), ("boxes", "nsa"), ("real", "nsa")])
def test_two_lines_of_one_name_are_refused(tmp_path, called, other):
    """A copy of a bundled recipe keeps its name; one of the two would be lost."""
    file = tmp_path / "mine.yaml"
    file.write_text(f"anomgen: 1\nname: {called}\nsource: {{kind: builtin}}\ngenerator: {{kind: perlin}}\n")
    with pytest.raises(UsageError, match=f"would both be called '{called}'"):
        entries_of([other, str(file)])
