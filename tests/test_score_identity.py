"""Keys of scores: what decides a cell is in them, and nothing else."""

from types import SimpleNamespace

import pytest

import anomgen
from anomgen.files import fingerprint_of
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
