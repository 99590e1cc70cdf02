"""Keys of scores: what decides a cell is in them, and nothing else."""

from types import SimpleNamespace
from typing import ClassVar, Literal

import pytest

import anomgen
from anomgen.config import PathText
from anomgen.files import fingerprint_of
from anomgen.generators.base import Generator
from anomgen.score import identity
from anomgen.score.entries import Entry

DATA = SimpleNamespace(fingerprint="f")
NSA = {"kind": "nsa", "shape": "ellipse"}
MIX = {"kind": "mix", "parts": [{"weight": 2.0, **NSA}, {"weight": 1.0, "kind": "fpi"}]}


def keys(generator, monkeypatch, **versions):
    """Return the keys of a generator's anomalies. versions: of the kinds that are plug-ins."""
    monkeypatch.setattr(identity, "version_of", lambda group, name: versions.get(name))
    recipe = anomgen.load_recipe("nsa", overrides={"generator": generator})
    entry = Entry("own", "own", "recipe", recipe)
    return identity.anomalies_key(DATA, entry), identity.drawn_key(DATA, entry, 8)


@pytest.mark.parametrize("generator", [NSA, MIX], ids=["alone", "in a mix"])
def test_a_plug_in_of_another_version_draws_other_anomalies(generator, monkeypatch):
    found = [keys(generator, monkeypatch, **of) for of in ({}, {"nsa": "extra 1.0"}, {"nsa": "extra 2.0"})]
    for of_version in zip(*found, strict=True):
        assert len(set(of_version)) == 3
    assert keys(generator, monkeypatch, sdas="other 1.0") == found[0]


def test_what_is_bundled_keeps_the_keys_of_earlier_runs():
    """Law: the identity of a bundled generator has no word about plug-ins, so that rows that are kept stay good."""
    recipe = anomgen.load_recipe("nsa", overrides={"generator": MIX})
    canonical = recipe.canonical()
    deciding = ("generator", "foreground", "detectability_range", "anomaly_ratio", "block_size")
    before = {"data": "f", **{key: canonical[key] for key in deciding if key in canonical}}
    before |= {"resources": {}, "count": None}
    expected = fingerprint_of(before, size=8, default=str)
    assert identity.anomalies_key(DATA, Entry("own", "own", "recipe", recipe)) == expected


class Stamp(Generator):
    kind: ClassVar[str] = "stamp"
    stamp: PathText | Literal["black", "white"] = "black"


def test_words_and_contents_of_files_decide_a_plug_in_s_anomalies(tmp_path):
    """Law: two words, and two files of other contents, have keys of their own; where a file lies has none."""
    for name, content in (("black", "1"), ("b", "2"), ("c", "1")):
        (tmp_path / name).write_text(content)
    recipe = anomgen.load_recipe("nsa")

    def key(stamp):
        own = recipe.model_copy(update={"generator": Stamp(stamp=str(stamp))})
        return identity.anomalies_key(DATA, Entry("own", "own", "recipe", own))

    found = [key(stamp) for stamp in ("black", "white", tmp_path / "black", tmp_path / "b", tmp_path / "c")]
    assert found[2] == found[4] and len(set(found)) == 4
