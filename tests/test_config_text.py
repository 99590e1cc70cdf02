"""Settings as text: numbers of YAML 1.2, strict loading, files of any editor, changes at any depth."""

import json
import math
import re

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from anomgen.config.text import MAX_ALIASES, changed, decoded, read_json, read_yaml, size_of, with_name, write_yaml
from anomgen.errors import UsageError
from anomgen.making.recipe import bundled_recipes


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("1e3", 1000.0),
        ("-1E+2", -100.0),
        (".5", 0.5),
        ("5.", 5.0),
        ("1.5e-4", 0.00015),
        ("012", 12),
        ("0o12", 10),
        ("0x1F", 31),
        ("-7", -7),
        ("+7", 7),
        ("08", 8),
        ("1_000", "1_000"),
        ("1:30", "1:30"),
        ("0b11", "0b11"),
        ("1e", "1e"),
        ("e3", "e3"),
        ("1.2.3", "1.2.3"),
        ("2020-01-02", "2020-01-02"),
        ("2020-99-99", "2020-99-99"),
        ("=", "="),
        ("<<", "<<"),
        ("true", True),
        ("off", False),
        ("Yes", True),
        ("NO", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("'1e-3'", "1e-3"),
        ("[1e-3, .5]", [0.001, 0.5]),
        ("-.inf", -math.inf),
    ],
)
def test_plain_words_are_those_of_yaml_1_2_and_the_booleans_of_1_1(text, value):
    read = read_yaml(text)
    assert read == value and type(read) is type(value)


@pytest.mark.parametrize(
    "text",
    [
        "!!int abc",
        "!!int ''",
        "!!float x",
        "!!bool 7",
        "!!timestamp 2020-99-99",
        "!!timestamp x",
        "!!binary é",
        "!!python/name:os.system",
        "!!map [1]",
        "!!map abc",
        "!!set [1]",
        "!!omap {a: 1}",
        "!!pairs abc",
        "!!str [1]",
        "!!seq {a: 1}",
        '"\\UFFFFFFFF"',
        '"\\uD800"',
        "!<tag:yaml.org,2002:map> [[1, 2]]",
        "9" * 5000,
        "0x" + "f" * 5000,
        "&a [*a]",
        "&a {k: [*a]}",
        "a: &x\n  b: *x",
        "[" * 5000,
        "{a: 1, a: 2}",
        "{1: a, 1: b}",
        "? [a]\n: b",
        "{<<: {a: 1}, <<: {b: 1}}",
        "--- 1\n--- 2",
        "a: b: c",
        "\t- a",
        "\x00",
        "\ud800",
        "*a",
        "[" + ", ".join(["&a 1", *["*a"] * (MAX_ALIASES + 1)]) + "]",
    ],
)
def test_what_is_no_valid_yaml_is_one_kind_of_error(text):
    with pytest.raises(yaml.YAMLError):
        read_yaml(text)
    with pytest.raises(UsageError, match="--set"):
        changed({}, [f"a={text}"])


texts = st.text(st.characters(exclude_categories=["C", "Z"]) | st.just(" "))
leaves = st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.floats(allow_nan=False) | texts
words = st.from_regex(r"\A[-+]?(0[ox])?[0-9]{1,3}([._:e-][0-9_]{0,3}){0,3}\Z")


@settings(deadline=None, max_examples=40)
@given(st.recursive(leaves | words, lambda inner: st.lists(inner) | st.dictionaries(texts | words, inner)))
def test_what_is_written_is_read_back_by_readers_of_yaml_1_2_and_1_1(values):
    assert read_yaml(write_yaml(values)) == values
    assert yaml.safe_load(write_yaml(values)) == values


@pytest.mark.parametrize("name", bundled_recipes())
def test_a_bundled_recipe_says_the_same_to_every_reader_of_yaml(name):
    text = bundled_recipes()[name].read_text(encoding="utf-8")
    assert read_yaml(text) == yaml.safe_load(text)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_file_is_read_in_the_encodings_that_editors_and_shells_write(encoding):
    assert decoded("name: größer # 検査\n".encode(encoding)) == "name: größer # 検査\n"


@pytest.mark.parametrize("data", ["# größer".encode("cp1252"), b"\x89PNG\r\n\x00", b"\xff\xfea"])
def test_another_encoding_is_refused_with_what_to_do(data):
    with pytest.raises(ValueError, match=r"not a text file in UTF-8; save it in UTF-8 \(PowerShell"):
        decoded(data)


@pytest.mark.parametrize(("data", "line"), [("name: x".encode("utf-16-le"), 1), (b"name: x\ncount: 4\x00\n", 2)])
def test_a_nul_character_is_named_with_its_line(data, line):
    with pytest.raises(ValueError, match=rf"holds a NUL character in line {line}, .*; remove it there, or save it in"):
        decoded(data)


def test_changes_reach_any_depth_and_leave_the_original_alone():
    before = {"a": {"b": [1, {"c": 2}]}, "d": 3}
    assert changed(before, ["a.b.1.c=1e-1", "e.f=[x]", "d= null"]) == {
        "a": {"b": [1, {"c": 0.1}]},
        "d": None,
        "e": {"f": ["x"]},
    }
    assert before == {"a": {"b": [1, {"c": 2}]}, "d": 3}
    assert changed(before, {"a.b.0": "1e-1", "d": (1, 2)}) == {"a": {"b": ["1e-1", {"c": 2}]}, "d": (1, 2)}


@pytest.mark.parametrize("whole", ["foreground=auto", "foreground={method: auto}"])
def test_a_change_of_the_whole_does_not_undo_one_of_a_part_before_it(whole):
    part = "foreground.tolerance=20"
    said = f"--set {whole} undoes --set {part} before it; give it first, or leave one out"
    with pytest.raises(UsageError, match=re.escape(said)):
        changed({}, [part, "foregrounds=1", whole])
    assert changed({}, [whole, part]) == {"foreground": {"method": "auto", "tolerance": 20}}


def test_a_change_of_what_an_alias_names_changes_one_place():
    recipe = read_yaml("parts: [&p {range: [0, 1]}, *p]")
    assert changed(recipe, ["parts.0.range.0=0.5"]) == {"parts": [{"range": [0.5, 1]}, {"range": [0, 1]}]}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("count", "write it as key=value, for instance --set x=1"),
        ("=3", "write it as key=value"),
        ("count=", "the value is empty"),
        ("names={nsa:scratch,scar:dent}", "put a space behind each colon"),
        ("count= ", "the value is empty"),
        ("count=[1", "the value is not valid YAML"),
        ("a.2=1", "'2' is no position in a list of 2"),
        ("a.²=1", "is no position"),
        pytest.param("a." + "9" * 5000 + "=1", "is no position", id="5,000 digits"),
        ("a.0.b=1", "which has no keys"),
        ("count=" + "9" * 5000, "a number of more than 100 digits"),
    ],
)
def test_a_text_that_is_no_change_says_why(text, told):
    with pytest.raises(UsageError, match=told) as caught:
        changed({"a": [0, 1]}, [text], "x=1")
    assert len(str(caught.value)) < 300


def test_sizes_are_a_number_a_pair_or_native():
    assert (size_of("256"), size_of("48X64"), size_of("native")) == (256, (48, 64), "native")
    for text in ("big", "1x2x3", "x", "", "²", "-3"):
        with pytest.raises(UsageError, match="write N, HxW"):
            size_of(text)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("{", "no JSON"),
        (b"\xff\xfe\x00", "no JSON"),
        ("NaN", "NaN is no number"),
        ("1e999", "1e999 is no number"),
        ("9" * 5000, "more than 100 digits"),
        ("[" * 100_000, "nested too deeply"),
        ("[" * 65 + "]" * 65, "nested too deeply"),
        ('"\\ud800"', "a text that is none"),
        ('{"\\udc00": 1}', "a text that is none"),
    ],
)
def test_json_that_cannot_be_used_is_a_value_error(text, fault):
    with pytest.raises(ValueError, match=fault):
        read_json(text)


def test_json_is_read_as_it_is():
    text = '{"a": [1, -2.5e-3, true, null, "é"], "b": {"c": {}}}'
    assert read_json(text) == read_json(text.encode()) == json.loads(text)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (f"a: &a {'x' * 600_000}\nb: [{', '.join(['*a'] * 18)}]", "stands for more"),
        ('"\\ud800"', "a text that is none"),
        ("!!set {a, b}", "the type set"),
        ("!!binary aGk=", "the type bytes"),
        ("!!timestamp 2020-01-01", "the type date"),
        ("[" * 80 + "]" * 80, "nested too deeply"),
    ],
)
def test_yaml_that_stands_for_too_much_or_for_no_setting_is_refused(text, fault):
    with pytest.raises(yaml.YAMLError, match=fault):
        read_yaml(text)


def test_a_name_stands_for_either_word_at_any_depth():
    setting = ["{data}/a", {"path": "models/{category}", "share": 0.5}, 1, None]
    assert with_name(setting, "bolt") == ["bolt/a", {"path": "models/bolt", "share": 0.5}, 1, None]


def test_a_key_or_a_text_that_yaml_1_2_takes_for_a_number_comes_back_as_text():
    values = {"1e3": ["0o7", "1e-3", "x"], "a": {"b": [1, 2.5]}}
    for flow in (False, True, None):
        assert read_yaml(write_yaml(values, flow=flow)) == values
