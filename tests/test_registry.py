"""Plug-ins are found by name, bundled ones first; a fault in one is told with its name and touches no other."""

import sys

import pytest

from anomgen import registry
from anomgen.errors import RecipeError, UsageError
from anomgen.generators.cutpaste import CutPaste


@pytest.fixture
def plugins(tmp_path, monkeypatch):
    """A distribution `extra 1.5` with entry points, as pip leaves it; the tests are shut off from all others."""
    folder = tmp_path / "extra-1.5.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: extra\nVersion: 1.5\n")
    (folder / "entry_points.txt").write_text(
        "[anomgen.generators]\nmine = extra_plugin:Mine\nbroken = no_such_module:It\nnsa = extra_plugin:Mine\n"
    )
    (tmp_path / "extra_plugin.py").write_text(
        "from anomgen.generators.cutpaste import CutPaste\n\n\nclass Mine(CutPaste):\n    kind = 'mine'\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delenv("ANOMGEN_NO_PLUGINS")
    registry._plugins.cache_clear()
    yield
    registry._plugins.cache_clear()
    sys.modules.pop("no_such_module", None)


@pytest.mark.parametrize("group", registry.BUNDLED)
def test_every_bundled_name_is_that_of_its_class(group):
    if group == "detectors":
        pytest.importorskip("torch", reason="detectors need the extra `score`")
    assert registry.names(group) == sorted(registry.BUNDLED[group])
    for name in registry.names(group):
        assert registry.load(group, name).kind == name
        assert registry.version_of(group, name) is None


def test_an_unknown_name_is_told_with_the_nearest_and_all_known_ones():
    with pytest.raises(UsageError, match=r"unknown generator 'cutpast'; did you mean 'cutpaste'\? \(known: boxes, "):
        registry.load("generators", "cutpast")


def test_a_plug_in_is_found_by_its_entry_point_and_knows_its_distribution(plugins):
    assert {"mine", "broken", "nsa", "cutpaste"} <= set(registry.names("generators"))
    assert issubclass(registry.load("generators", "mine"), CutPaste)
    assert registry.build("generators", {"kind": "mine", "jitter": 0.2}).config()["kind"] == "mine"
    assert registry.version_of("generators", "mine") == "extra 1.5"


def test_a_bundled_name_cannot_be_taken(plugins):
    assert registry.load("generators", "nsa").__module__ == "anomgen.generators.nsa"
    assert registry.version_of("generators", "nsa") is None


def test_a_broken_plug_in_is_named_with_its_error(plugins):
    with pytest.raises(UsageError, match=r"plug-in generator 'broken' \(no_such_module:It\).*No module named"):
        registry.load("generators", "broken")


@pytest.mark.parametrize("code", ["kind = 'nsa'", "pass"])
def test_a_plug_in_whose_kind_is_not_its_name_is_told(plugins, tmp_path, code):
    """It would be drawn, recorded and blamed under the other name, or fall when it is used."""
    (tmp_path / "no_such_module.py").write_text(
        f"from anomgen.generators.base import Generator\n\n\nclass It(Generator):\n    {code}\n"
    )
    with pytest.raises(UsageError, match=r"plug-in generator 'broken' .* must be the same"):
        registry.load("generators", "broken")


def test_plug_ins_can_be_left_out(plugins, monkeypatch):
    monkeypatch.setenv("ANOMGEN_NO_PLUGINS", "1")
    assert registry.names("generators") == sorted(registry.BUNDLED["generators"])


@pytest.mark.parametrize(
    ("values", "text"),
    [
        (["nsa"], "must be a mapping"),
        ({}, "kind: is missing: one of boxes, "),
        ({"kind": "nsaa"}, "kind: unknown"),
        ({"kind": "cutpaste", "jiter": 1}, "jiter: unknown key; did you mean 'jitter'"),
    ],
)
def test_a_wrong_configuration_names_the_key(values, text):
    with pytest.raises(RecipeError, match=text):
        registry.build("generators", values)


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("import sys; sys.exit(0)", r"it exits \(0\)"),
        ("raise BaseException('x')", "BaseException: x"),
        ("raise GeneratorExit", "GeneratorExit"),
    ],
)
def test_whatever_a_plug_in_raises_while_it_loads_is_told(plugins, tmp_path, code, text):
    (tmp_path / "no_such_module.py").write_text(code)
    with pytest.raises(UsageError, match=rf"plug-in generator 'broken' .* fails to load: {text}"):
        registry.load("generators", "broken")


UNFIT = {
    "Any = object()": "<object object",
    "Any = len": "<built-in function len>",
    "Any = numpy.float32(0.25)": r"np.float32\(0.25\)",
    "Any = numpy.zeros(2)": "array",
    "Any = float('nan')": "nan",
    "str = '\\ud800'": r"'\\ud800'",
    "bytes = b'\\xff'": r"b'\\xff'",
    "set[int] = {1, 2}": r"{1, 2} .* read again, it must be a valid set",
    "datetime.date = datetime.date(2020, 1, 1)": "datetime.date.* read again, it must be a valid date",
    "tuple[float, float] = (0.5, 1.0)": r"\(0.5, 1.0\) .* read again, it must be two numbers",
    "dict[int, str] = {1: 'x'}": r"{1: 'x'} .* read again, it must be a whole number",
}


@pytest.mark.parametrize("declared", UNFIT)
def test_a_setting_that_no_recipe_can_hold_is_refused(plugins, tmp_path, monkeypatch, declared):
    """Else a dataset would be made that cannot be read, or the run would end in the middle of its records."""
    (tmp_path / "extra_plugin.py").write_text(
        "import datetime\nfrom typing import Any\nimport numpy\nfrom anomgen.generators.cutpaste import CutPaste\n\n\n"
        f"class Mine(CutPaste):\n    kind = 'mine'\n    own: {declared}\n"
    )
    monkeypatch.delitem(sys.modules, "extra_plugin", raising=False)
    with pytest.raises(RecipeError, match=f"own.*: {UNFIT[declared]}") as error:
        registry.build("generators", {"kind": "mine"})
    assert "of a plug-in is no value that this setting can have in a recipe" in str(error.value)


def test_what_a_recipe_can_hold_is_taken(plugins, tmp_path, monkeypatch):
    (tmp_path / "extra_plugin.py").write_text(
        "from typing import Any, Literal\nfrom anomgen.generators.cutpaste import CutPaste\n"
        "from anomgen.generators.base import ShareRange\n\n\nclass Mine(CutPaste):\n    kind = 'mine'\n"
        "    one: ShareRange = (0.5, 1.0)\n    two: Any = None\n    three: dict[str, int] = {'ä': 10**30}\n"
        "    four: Literal['auto'] | tuple[str, ...] = 'auto'\n    five: list[float] = [0.5]\n"
    )
    monkeypatch.delitem(sys.modules, "extra_plugin", raising=False)
    assert registry.build("generators", {"kind": "mine"}).config()["three"] == {"ä": 10**30}
