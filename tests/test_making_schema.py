"""The JSON schema of recipes: it explains every key, takes what the program takes, and leaves out what is broken."""

import importlib
from collections.abc import Callable
from importlib.metadata import EntryPoint
from typing import ClassVar

import pytest
import yaml

from anomgen import registry
from anomgen.config import Config
from anomgen.errors import AnomgenWarning
from anomgen.making.recipe import bundled_recipes, load_recipe
from anomgen.making.schema import recipe_schema


@pytest.fixture(scope="module")
def validator():
    jsonschema = pytest.importorskip("jsonschema")
    schema = recipe_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def settings_in(value, key=""):
    """Yield path and schema of every key that a recipe may hold."""
    for part, inner in value.items() if isinstance(value, dict) else enumerate(value):
        if part == "properties":
            yield from ((f"{key}.{name}", setting) for name, setting in inner.items())
        if isinstance(inner, dict | list):
            yield from settings_in(inner, f"{key}.{part}")


def test_every_key_is_explained():
    keys = dict(settings_in(recipe_schema()))
    assert len(keys) > 150
    assert not [key for key, setting in keys.items() if not setting.get("description")]


@pytest.mark.parametrize(
    "place",
    [
        *registry.BUNDLED["detectors"].values(),
        *registry.BUNDLED["exporters"].values(),
        "anomgen.models.sdas.settings:TrainSDAS",
        "anomgen.models.cyclegan.training:TrainCycleGAN",
    ],
)
def test_every_setting_outside_of_recipes_is_explained(place):
    """What `anomgen ls detectors/draem` and the guide to each training say comes from here."""
    module, _, name = place.partition(":")
    if module.startswith(("anomgen.models", "anomgen.score")):
        pytest.importorskip("torch", reason="detectors and trainings import it")
    if module.startswith("anomgen.models"):
        pytest.importorskip("diffusers", reason="of the extra `diffusion`")
    model = getattr(importlib.import_module(module), name)
    assert model.model_fields and not [key for key, field in model.model_fields.items() if not field.description]


def test_every_kind_shows_its_keys():
    schema = recipe_schema()
    kinds = {
        key: {option["properties"]["kind"]["const"]: set(option["properties"]) for option in place["oneOf"]}
        for key, place in {**schema["properties"], **schema["$defs"]}.items()
        if "oneOf" in place
    }
    assert {"kind", "blend", "shape"} <= kinds["generator"]["nsa"]
    assert {"kind", "path", "fit", "size"} <= kinds["source"]["folder"]
    assert {"weight", "kind", "blend"} <= kinds["Weighted"]["nsa"]
    assert {name["properties"]["kind"]["const"] for name in schema["$defs"]["Textures"]["anyOf"]} == {
        "procedural",
        "folder",
        "hub",
    }
    nsa = next(o for o in schema["properties"]["generator"]["oneOf"] if o["properties"]["kind"]["const"] == "nsa")
    assert set(nsa["properties"]["preset"]["enum"]) == {*type(load_recipe("nsa").generator).presets, None}


@pytest.mark.parametrize("name", bundled_recipes())
def test_it_takes_every_bundled_recipe(name, validator):
    validator.validate(yaml.safe_load(bundled_recipes()[name].read_text(encoding="utf-8")))
    validator.validate(load_recipe(name).as_dict())


@pytest.mark.parametrize(
    "change",
    [
        "generator.blnd=mixed",
        "generator.blend=mixt",
        "source.kind=foldr",
        "source.pth=x",
        "foreground={methd: otsu}",
        "generator={kind: mix, parts: [{kind: nsa, weight: 0}]}",
        "generator={kind: mix, parts: [{kind: nsa, x: 1}]}",
        "generator={kind: perlin, texture: {kind: procedural, bank: 3}}",
        "generator.preset=screew",
    ],
)
def test_it_refuses_what_the_program_refuses(change, validator):
    from anomgen.config.text import changed
    from anomgen.making.recipe import read_recipe

    assert not validator.is_valid(changed(read_recipe("nsa"), [change]))


def test_a_broken_plug_in_is_named_and_left_out(monkeypatch, tmp_path):
    class Odd(Config):
        kind: ClassVar[str] = "odd"
        callback: Callable[[], None]

    class Leaves(Config):
        kind: ClassVar[str] = "leaves"

        @classmethod
        def __get_pydantic_json_schema__(cls, *_):
            raise SystemExit(9)

    (tmp_path / "leaves.py").write_text("raise SystemExit(3)\n")
    monkeypatch.syspath_prepend(tmp_path)
    plugins = {"exits": "leaves:It", "gone": "no_such_module:It", "odd": f"{__name__}:Odd", "plain": "json:dumps"}
    plugins["leaves"] = f"{__name__}:Leaves"
    monkeypatch.setitem(globals(), "Odd", Odd)
    monkeypatch.setitem(globals(), "Leaves", Leaves)
    found = {name: EntryPoint(name, value, "anomgen.generators") for name, value in plugins.items()}
    monkeypatch.setattr(registry, "_plugins", lambda group: found if group == "generators" else {})
    with pytest.warns(AnomgenWarning) as caught:
        kinds = {o["properties"]["kind"]["const"] for o in recipe_schema()["properties"]["generator"]["oneOf"]}
    assert kinds == set(registry.BUNDLED["generators"])
    told = "\n".join(str(warning.message) for warning in caught)
    assert all(f"left out of the schema: generator {name!r}: " in told for name in plugins)
    assert "'exits' (leaves:It) fails to load: it exits (3)" in told
