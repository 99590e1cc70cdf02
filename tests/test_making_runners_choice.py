"""Which runner a run gets, and what is said of one that there is not."""

import sys

import pytest
from small import recipe

from anomgen.errors import UsageError
from anomgen.making.make import make
from anomgen.making.runners.choice import runner


def test_without_ray_the_error_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match=r'pip install "\.\[ray\]"'):
        make(recipe(), tmp_path / "out", engine="ray")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("engine", "workers", "address", "text"),
    [
        ("rya", None, None, r"no engine 'rya'; did you mean 'ray'\? \(there are local, ray\)"),
        ("local", 0, None, "--workers 0: must be 1 or more"),
        ("local", None, "auto", "--address .* goes with --engine ray"),
    ],
)
def test_a_wrong_choice_names_the_option(engine, workers, address, text):
    with pytest.raises(UsageError, match=text), runner(engine, workers, address):
        raise AssertionError("it was given")
