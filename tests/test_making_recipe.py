"""Recipes: strict, round-tripping, fingerprinted, with errors that name the key."""

import json
import re
from pathlib import Path

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
        "number.yaml": (
            "name: x\ngenerator: {kind: nsa, 3: 4}\nsource: {kind: builtin}\n",
            r"generator\.3: is no key: .* quotes",
        ),
        "yes.yaml": (
            "name: x\ngenerator: {kind: nsa}\nsource: {kind: builtin, yes: 4}\n",
            r"source\.true: is no key: ",
        ),
        "lists.yaml": ("name: x\n? [a, b]\n: 4\n", "a key is a list or a mapping; keys are texts"),
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


def test_a_named_foreground_takes_keys():
    recipe = load_recipe("nsa", overrides=["foreground.method=otsu", "foreground.side=dark"])
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


def test_a_licence_of_a_recipe_is_one_that_the_hub_lists():
    """A stored one may be another: what was made is read as it is."""
    with pytest.raises(RecipeError, match=r"license: the Hub has no licence 'cc-by-4'; did you mean 'cc-by-4.0'"):
        load_recipe("perlin", license="cc-by-4")
    assert load_recipe("perlin", overrides=["license=CC BY 4.0"]).license == "CC BY 4.0"
    assert parse_recipe({**load_recipe("perlin").as_dict(), "license": "bolts-eula"}).license == "bolts-eula"


@pytest.mark.parametrize("license", ["mit\n---\n# hi", "x" * 101])
def test_a_licence_of_a_recipe_is_one_short_line(license):
    """It is written into the card."""
    with pytest.raises(RecipeError, match=r"(?s)license.*one line of at most 100 printable characters"):
        parse_recipe({**load_recipe("perlin").as_dict(), "license": license})


@pytest.mark.parametrize(
    ("options", "change", "told"),
    [
        ({"size": "48"}, "source.size=64", "--size 48 and --set source.size=64: two values"),
        ({"size": "native"}, "source={kind: builtin, size: 64}", "--size native and --set source.size=64"),
        ({"count": 5}, "count=6", "--count 5 and --set count=6"),
        ({"seed": 0}, "seed=1", "--seed 0 and"),
        ({"source": "builtin:coffee"}, "source.name=brick", "--source builtin:coffee and --set source.name=brick"),
        ({"roi": Path("a.png")}, "foreground.roi=b.png", "--roi a.png and --set foreground.roi=b.png"),
        ({"anomaly_ratio": 1.0}, "anomaly_ratio=0.5", "^anomaly_ratio=1.0 and --set anomaly_ratio=0.5"),
    ],
)
def test_an_option_and_a_change_give_a_key_one_value(options, change, told):
    with pytest.raises(UsageError, match=re.escape(told).replace(r"\^", "^")):
        load_recipe("boxes", **options, overrides=[change])


@pytest.mark.parametrize("key", ["generator..kind", ".count", "source.", " ", "generator. .kind"])
def test_a_key_without_one_of_its_parts_is_told(key):
    with pytest.raises(UsageError, match=rf"--set {re.escape(key)}=nsa: write it as key=value"):
        load_recipe("boxes", overrides=[f"{key}=nsa"])
    with pytest.raises(UsageError, match=rf"a key is a text such as 'generator.blend', not '{re.escape(key)}'"):
        load_recipe("boxes", overrides={key: "nsa"})


def test_an_option_and_a_change_may_say_the_same():
    recipe = load_recipe("boxes", size="48x64", count=5, overrides=["source.size=[48, 64]", "count=5"])
    assert (recipe.source.size, recipe.count) == ((48, 64), 5)
