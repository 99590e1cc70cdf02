"""Configurations as data: what only says where files lie is told by the declared types; parts of a job."""

from typing import ClassVar, Literal

import pytest
from pydantic import Field, SerializeAsAny

from anomgen.config import Config, Part, PathText
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


@pytest.mark.parametrize("text", ["0/4", "5/4", "3", "a/b", "1/0", "-1/4", "1/4/2", "", "1/²", " 1/2"])
def test_what_is_no_part_is_refused_in_the_option_s_name(text):
    with pytest.raises(UsageError, match=r"--part .*: write it as K/N with K from 1 to N"):
        Part.parse(text, "--part")
