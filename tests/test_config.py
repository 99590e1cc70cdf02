"""Configurations as data: what only says where files lie is told by the declared types; parts of a job."""

import sys
from typing import Annotated, ClassVar, Literal

import pytest
from pydantic import Field, SerializeAsAny, create_model
from typing_extensions import TypeAliasType

from anomgen.config import Config, Part, PathText, Range, ShareRange, located_texts, validated
from anomgen.errors import RecipeError, UsageError
from anomgen.generators.base import Generator, build_generator
from anomgen.generators.conformance import check_generator
from anomgen.generators.mix import Mix
from anomgen.making.engine import Recipe
from anomgen.sources.base import SourceConfig
from anomgen.sources.builtin import Builtin


class Inner(Config):
    path: PathText
    model: Literal["small", "large"] = "small"


class Outer(Config):
    part: SerializeAsAny[Config]
    parts: tuple[SerializeAsAny[Config], ...] = ()
    named: dict[str, Inner] = Field(default_factory=dict)
    either: Inner | int = 3
    weights: PathText | None = None
    files: list[PathText] = Field(default_factory=list)
    path: str = "a curve, no file"


class Chosen(Generator):
    kind: ClassVar[str] = "chosen"
    model: Literal["dents", "scratches"] = "dents"
    checkpoint: PathText | None = None


class Kept(SourceConfig):
    kind: ClassVar[str] = "kept"
    path: str = "/home/me/photos"


def outer(home):
    inner = Inner(path=f"{home}/inner", model="large")
    return Outer(
        part=inner,
        parts=(inner,),
        named={"a": inner},
        either=inner,
        weights=f"{home}/w.pt",
        files=[f"{home}/1.png", "shared/2.png"],
    )


def test_only_what_is_declared_as_a_place_is_left_out():
    large = {"model": "large"}
    assert outer("/here").canonical() == {
        "part": large,
        "parts": [large],
        "named": {"a": large},
        "either": large,
        "path": "a curve, no file",
    }
    assert outer("/here").canonical() == outer("/there").canonical()
    assert Outer(part=Inner(path="/x")).canonical() != Outer(part=Inner(path="/x", model="large")).canonical()


Place = TypeAliasType("Place", PathText)


class Named(Config):
    stamp: PathText | Literal["black", "white"] = "black"
    stamps: tuple[PathText | Literal["black", "white"], ...] = ()
    alias: Place | None = None
    places: dict[str, Place] = Field(default_factory=dict)
    either: PathText | int | None = None


def test_a_word_that_is_taken_beside_a_path_is_no_path():
    words, path = [Named(stamp=stamp) for stamp in ("black", "white")], Named(stamp="white.png")
    assert [word.canonical() for word in words] == [{"stamp": "black"}, {"stamp": "white"}]
    assert path.canonical() == Named(stamp="/home/me/black").canonical() == {}
    assert located_texts(words[0]) == [] and located_texts(path) == [("stamp", "white.png")]
    listed = Named(stamps=("black", "/home/me/a.png"))
    assert listed.canonical() == {"stamp": "black", "stamps": ["black", None]}
    assert listed.portable() == Named(stamps=("black", "a.png"))


def test_of_a_field_that_takes_paths_other_values_count():
    assert Named(either=3).canonical() != Named(either=4).canonical()
    assert Named(either="a").canonical() == Named().canonical()


def test_what_stands_for_paths_by_another_name_is_known_at_any_depth():
    settings = Named(alias="/home/me/a", places={"b": "/home/me/b"})
    assert located_texts(settings) == [("alias", "/home/me/a"), ("places.b", "/home/me/b")]
    assert settings.canonical() == {"stamp": "black"}
    assert settings.portable() == Named(alias="a", places={"b": "b"})


@pytest.mark.skipif(sys.version_info < (3, 12), reason="`type` statements came with Python 3.12")
def test_a_type_may_hold_itself():
    names = {"PathText": PathText}
    exec("type Tree = PathText | list[Tree]", names)  # a syntax error before Python 3.12
    model = create_model("Holder", __base__=Config, tree=(names["Tree"], ...))
    assert located_texts(model(tree=["a", ["b"]])) == [("tree.0", "a"), ("tree.1.0", "b")]


def test_the_places_of_a_mixture_have_the_recipe_s_keys():
    mixed = Mix(parts=({"kind": "nsa"}, {"kind": "perlin", "texture": {"kind": "folder", "path": "/home/me/t"}}))
    assert located_texts(mixed) == [("parts.1.texture.path", "/home/me/t")]
    assert mixed.portable().parts[1].generator.texture.path == "t"


def test_what_a_generator_s_files_hold_is_a_resource(tmp_path):
    for name, content in (("a/x.txt", "1"), ("b/x.txt", "1"), ("c/x.txt", "2"), ("d/y.txt", "1")):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(content)

    def hashes(path):
        return [Chosen(checkpoint=str(tmp_path / folder / path)).resources()["checkpoint"] for folder in "abcd"]

    folders = hashes("")
    assert folders[0] == folders[1] and len(set(folders)) == 3
    (tmp_path / "d/x.txt").write_text("3")
    files = hashes("x.txt")
    assert files[0] == files[1] and len(set(files)) == 3
    assert Chosen().resources() == {}


def test_a_file_that_is_not_there_is_named_by_its_key(tmp_path):
    gone = Chosen(checkpoint=str(tmp_path / "gone"))
    with pytest.raises(UsageError, match=r"generator\.checkpoint: .*gone: there is no such file or folder"):
        gone.resources()
    with pytest.raises(UsageError, match=r"generator\.parts\.0\.checkpoint: .*gone: there is no such file"):
        Mix(parts=({"weight": 1.0, "generator": gone},)).resources()


class Forgetful(Chosen):
    kind: ClassVar[str] = "forgetful"

    def resources(self):
        return {"check": "0"}


def test_a_file_without_a_resource_is_found_by_the_checks(monkeypatch, tmp_path):
    (tmp_path / "weights").write_text("1")
    values = {"checkpoint": str(tmp_path / "weights")}
    monkeypatch.setattr("anomgen.generators.conformance.build_generator", lambda _: Forgetful(**values))
    with pytest.raises(AssertionError, match=r"forgetful: checkpoint says where .*weights is, but resources\(\) has"):
        check_generator(Forgetful(**values))


def test_a_value_out_of_its_bounds_is_told_with_the_meaning_of_its_key():
    with pytest.raises(RecipeError, match=r"turn: .*less than or equal to 180 \(it is 200\)\. Degrees that a piece"):
        build_generator({"kind": "transplant", "turn": 200})


def test_what_leaves_the_machine_holds_the_last_part_of_its_paths():
    portable = outer("/home/alice").portable()
    assert portable == outer("/home/bob").portable()
    assert (portable.weights, portable.files, portable.either.path) == ("w.pt", ["1.png", "shared/2.png"], "inner")
    assert portable.parts[0].path == portable.named["a"].path == portable.part.path == "inner"
    assert Outer(part=Config()).portable() == Outer(part=Config())


def test_generators_that_differ_in_a_key_called_model_have_fingerprints_of_their_own():
    def fingerprint(generator):
        return Recipe(name="x", source=Builtin(), generator=generator).fingerprint()

    dents, scratches = Chosen(), Chosen(model="scratches")
    assert fingerprint(dents) != fingerprint(scratches)
    assert fingerprint(dents) == fingerprint(Chosen(checkpoint="/home/me/checkpoint"))

    def mixed(generator):
        return Mix(parts=({"weight": 1.0, "generator": generator},))

    assert fingerprint(mixed(dents)) != fingerprint(mixed(scratches))
    assert fingerprint(mixed(dents)) == fingerprint(mixed(Chosen(checkpoint="/home/me/checkpoint")))


def test_a_path_that_is_declared_as_any_text_is_found_by_the_checks(monkeypatch):
    from anomgen.sources.conformance import check_portable

    with pytest.raises(AssertionError, match="/home/me/photos: declare its field as PathText"):
        check_portable(Kept())
    monkeypatch.setattr("anomgen.generators.conformance.build_generator", lambda values: Text(**values))
    with pytest.raises(AssertionError, match="~/textures: declare"):
        check_generator(Text())


class Text(Generator):
    kind: ClassVar[str] = "text"
    where: str = "~/textures"

    def __init__(self, **values):
        super().__init__(**{key: value for key, value in values.items() if key != "kind"})


@pytest.mark.parametrize("of", [1, 3, 8, 20])
def test_the_parts_of_a_job_hold_every_item_once_and_differ_in_size_by_one(of):
    items = list(range(17))
    parts = [Part.parse(f"{number}/{of}", "--shard").take(items) for number in range(1, of + 1)]
    assert sorted(item for part in parts for item in part) == items
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_all_of_it_is_one_part():
    assert Part().take("abc") == "abc" and Part.parse("1/1", "--part") == Part()


@pytest.mark.parametrize(
    "text", ["0/4", "5/4", "3", "a/b", "1/0", "-1/4", "1/4/2", "", "1/²", " 1/2", "1/" + "9" * 5000]
)
def test_what_is_no_part_is_refused_in_the_option_s_name(text):
    with pytest.raises(UsageError, match=r"--part .*: write it as K/N with K from 1 to N"):
        Part.parse(text, "--part")


class _Wanting(Config):
    shares: ShareRange = (0.25, 0.5)
    free: Range | Literal["auto"] = "auto"
    whole: Annotated[tuple[int, int], Field(strict=False)] = (0, 5)
    weights: Annotated[tuple[float, ...], Field(strict=False, min_length=1)] = (1.0,)
    names: dict[str, str] = Field(default_factory=dict)
    """What is called how, ``{nsa: scratch}``."""
    kinds: dict[str, float] = Field(default_factory=dict)
    """Which. In YAML: a list, or a mapping. Else nothing."""
    count: Annotated[int, Field(ge=1)] = 1
    """How many."""
    flag: bool = True
    part: Config = Config()


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"shares": 0.2}, "shares: must be two numbers, [low, high], such as [0.25, 0.5] (it is 0.2)"),
        ({"shares": [0.2]}, "shares: must be two numbers, [low, high], such as [0.25, 0.5] (it is [0.2])"),
        ({"shares": [0, 1, 2]}, "shares: must be two numbers, [low, high], such as [0.25, 0.5] (it is [0, 1, 2])"),
        ({"shares": ["a", 1]}, "shares.0: must be a number (it is 'a')"),
        ({"free": 3}, "free: must be two numbers, [low, high] (it is 3)"),
        ({"whole": "x"}, "whole: must be two whole numbers, [low, high], such as [0, 5] (it is 'x')"),
        ({"weights": 3}, "weights: must be a list, [VALUE, …] (it is 3)"),
        ({"weights": []}, "weights: must have at least 1 item (it is [])"),
        ({"weights": ["a"]}, "weights.0: must be a number (it is 'a')"),
        ({"names": 3}, "names: must be a mapping, such as {nsa: scratch} (it is 3)"),
        ({"names": {"a": 3}}, "names.a: must be a text (it is 3)"),
        ({"kinds": 3}, "kinds: must be a list, or a mapping (it is 3)"),
        ({"count": 1.5}, "count: must be a whole number (it is 1.5)"),
        ({"count": 0}, "count: must be greater than or equal to 1 (it is 0). How many"),
        ({"flag": "x"}, "flag: must be true or false (it is 'x')"),
        ({"part": 3}, "part: must be a mapping, {KEY: VALUE} (it is 3)"),
        *(({key: 1}, f"{key}: unknown key") for key in ("a-b", "yx[0]", "(", ",", "str", "dict", "+/v8-yxz")),
        ({"flag-": 1}, "flag-: unknown key; did you mean 'flag'?"),
        ({"x" * 5000: 1}, f"{'x' * 80}: unknown key"),
        ({"names": {"a-b[0]": 3}}, "names.a-b[0]: must be a text (it is 3)"),
        ({"names": {"int": 3}}, "names.int: must be a text (it is 3)"),
        ({"part": {"my-key": 1}}, "part.my-key: unknown key"),
    ],
)
def test_a_value_of_the_wrong_form_is_told_what_is_wanted(values, told):
    with pytest.raises(RecipeError) as error:
        validated(_Wanting, values)
    assert str(error.value) == told
