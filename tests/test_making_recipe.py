"""Recipes: strict, round-tripping, fingerprinted, with errors that name the key."""

import json

import pytest
import yaml

from anomgen.errors import RecipeError, UsageError
from anomgen.making.recipe import bundled_recipes, load_recipe, parse_recipe

MINIMAL = {"name": "x", "source": {"kind": "builtin"}, "generator": {"kind": "fpi"}}


@pytest.mark.parametrize("name", bundled_recipes())
def test_every_bundled_recipe_is_valid_and_survives_yaml(name):
    recipe = load_recipe(name)
    assert recipe.name == name
    assert parse_recipe(yaml.safe_load(recipe.to_yaml())) == recipe
    assert parse_recipe(json.loads(json.dumps(recipe.as_dict()))).fingerprint() == recipe.fingerprint()


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"cuont": 5}, "cuont: unknown key; did you mean 'count'"),
        ({"count": "many"}, "count: must be a whole number .*'many'"),
        ({"count": 0}, "count"),
        ({"anomaly_ratio": 1.5}, "anomaly_ratio"),
        ({"generator": {"kind": "prelin"}}, "generator.kind: unknown generator 'prelin'; did you mean 'perlin'"),
        ({"generator": {"kind": "fpi", "weight_rang": [0, 1]}}, "generator.weight_rang: unknown key; did you mean"),
        ({"generator": {"kind": "fpi", "weight_range": [0.5]}}, "generator.weight_range"),
        ({"source": {"kind": "foldr"}}, "source.kind: unknown source 'foldr'; did you mean 'folder'"),
        ({"source": {"kind": "builtin", "name": "brik"}}, "source.name"),
        ({"foreground": "otzu"}, "foreground.*otsu"),
        ({"anomgen": 2}, "anomgen"),
        ({"name": "a/b"}, "name"),
        ({"generator": "nsa"}, "generator: must be a mapping"),
    ],
)
def test_a_fault_is_reported_with_its_key(change, text):
    with pytest.raises(RecipeError, match=text):
        parse_recipe({**MINIMAL, **change})


def test_all_faults_are_reported_at_once():
    with pytest.raises(RecipeError) as caught:
        parse_recipe({**MINIMAL, "cuont": 5, "seed": -1})
    assert "cuont" in str(caught.value) and "seed" in str(caught.value)


def test_faults_of_every_part_are_reported_at_once():
    values = {
        "source": {"kind": "buildin"},
        "generator": {"kind": "nsa", "blend": "mixt", "preset": "scre"},
        "foreground": "otsuu",
        "count": 2.5,
        "cuont": 1,
    }
    with pytest.raises(RecipeError) as caught:
        parse_recipe(values)
    keys = {key for key, _ in caught.value.problems}
    assert {"source.kind", "generator.preset", "foreground", "count", "cuont", "name"} <= keys


def test_a_key_that_takes_a_word_or_a_value_is_one_fault():
    with pytest.raises(RecipeError) as caught:
        parse_recipe({**MINIMAL, "generator": {"kind": "nsa", "patches": 0, "height_range": [0.5, 0.1]}})
    assert [key for key, _ in caught.value.problems] == ["generator.height_range", "generator.patches"]


def test_a_folder_of_masks_may_be_named_by_its_path(tmp_path):
    recipe = parse_recipe({**MINIMAL, "foreground": str(tmp_path)})
    assert (recipe.foreground.method, recipe.foreground.path) == ("folder", str(tmp_path))


def test_a_nested_default_takes_single_keys():
    recipe = load_recipe("perlin", overrides=["generator.texture.families=[cracks]"])
    assert recipe.generator.texture.families == ("cracks",)
    with pytest.raises(RecipeError, match=r"texture.*cracks"):
        load_recipe("perlin", overrides=["generator.texture.families=[craks]"])


def test_yaml_that_would_explode_is_refused(tmp_path):
    bomb = "a0: &a0 [x, x]\n" + "".join(f"a{k}: &a{k} [*a{k - 1}, *a{k - 1}]\n" for k in range(1, 30))
    (tmp_path / "bomb.yaml").write_text(bomb + "count: *a29\n")
    (tmp_path / "deep.yaml").write_text("a: " + "[" * 5000)
    for name, text in (("bomb.yaml", "aliases"), ("deep.yaml", "nested too deeply")):
        with pytest.raises(RecipeError, match=text):
            load_recipe(str(tmp_path / name))


def test_a_recipe_file_can_be_wrong_in_many_ways(tmp_path):
    cases = {
        "list.yaml": ("- a\n- b\n", "mapping"),
        "broken.yaml": ("a: [1\n", "not valid YAML"),
        "twice.yaml": ("name: a\nname: b\n", "given twice"),
        "code.yaml": ("name: !!python/object/apply:os.system ['true']\n", "not valid YAML"),
        "empty.yaml": ("", "mapping"),
        "nameless.yaml": (
            "generator: {kind: nsa}\nsource: {kind: builtin}\n",
            "name: is missing; add a line such as `name: scratches`",
        ),
    }
    for name, (text, message) in cases.items():
        (tmp_path / name).write_text(text)
        with pytest.raises(RecipeError, match=message):
            load_recipe(str(tmp_path / name))
    with pytest.raises(UsageError, match="did you mean 'nsa'"):
        load_recipe("nas")
    with pytest.raises(UsageError, match="cannot read"):
        load_recipe(str(tmp_path / "missing.yaml"))


def test_a_file_of_powershell_is_read_and_another_encoding_named(tmp_path):
    text = load_recipe("perlin").to_yaml()
    (tmp_path / "mine.yaml").write_bytes(text.encode("utf-16"))
    assert load_recipe(str(tmp_path / "mine.yaml")) == load_recipe("perlin")
    (tmp_path / "mine.yaml").write_bytes(f"# größer\n{text}".encode("cp1252"))
    with pytest.raises(RecipeError, match=r"mine\.yaml: not a text file in UTF-8; save it"):
        load_recipe(str(tmp_path / "mine.yaml"))


def test_overrides_reach_any_depth():
    recipe = load_recipe(
        "mix", overrides=["generator.parts.0.weight=3", "count=7", "generator.parts.1.opacity_range=[0.5, 1.0]"]
    )
    assert recipe.count == 7
    assert recipe.generator.parts[0].weight == 3
    assert recipe.generator.parts[1].generator.opacity_range == (0.5, 1.0)


def test_an_option_wins_over_set_and_a_named_foreground_takes_keys():
    recipe = load_recipe("nsa", overrides=["count=5", "foreground.method=otsu", "foreground.side=dark"], count=10)
    assert recipe.count == 10
    assert (recipe.foreground.method, recipe.foreground.side) == ("otsu", "dark")


@pytest.mark.parametrize("override", ["count", "=3", "generator.parts.9.weight=1", "name.x=1", "count=[1"])
def test_a_wrong_override_says_so(override):
    with pytest.raises(UsageError, match="--set"):
        load_recipe("mix", overrides=[override])


def test_a_source_option_keeps_the_recipes_size(tmp_path):
    recipe = load_recipe("nsa", overrides=["count=3"], source={"kind": "folder", "path": str(tmp_path)})
    assert recipe.source.size == 256


def test_fingerprints_tell_recipes_apart_and_hold_no_path():
    plain = load_recipe("nsa")
    assert plain.fingerprint() == load_recipe("nsa").fingerprint()
    assert plain.fingerprint() != load_recipe("nsa", seed=1).fingerprint()
    here = load_recipe("nsa", source={"kind": "folder", "path": "/home/alice/good"})
    there = load_recipe("nsa", source={"kind": "folder", "path": "/data/bob/good"})
    assert here.fingerprint() == there.fingerprint()
    assert "alice" not in here.portable().to_yaml()


@pytest.mark.parametrize("license", ["mit\n---\n# hi", "x" * 101])
def test_a_licence_of_a_recipe_is_one_short_line(license):
    """It is written into the card."""
    with pytest.raises(RecipeError, match=r"(?s)license.*one line of at most 100 printable characters"):
        parse_recipe({**load_recipe("perlin").as_dict(), "license": license})
