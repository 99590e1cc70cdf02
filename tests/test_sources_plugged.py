"""A source that others wrote: whatever it raises, whenever, the error names it and the image."""

import pickle
import sys

import numpy as np
import pytest
from small import recipe

from anomgen.errors import AnomgenError, SourceError
from anomgen.making.engine import Plan
from anomgen.making.make import make
from anomgen.sources.base import SourceConfig
from anomgen.sources.plugged import PluggedSource, open_source


class Odd(SourceConfig):
    kind = "odd"
    how: str = "well"

    def open(self):
        if self.how == "leaves":
            sys.exit(0)
        return None if self.how == "nothing" else OddSource(self.how)


class Surprise(BaseException):
    """What no `except Exception` catches."""


class OddSource:
    license, skipped, shape = None, (), (64, 64)

    def __init__(self, how):
        self.how = how

    def __len__(self):
        return 0 if self.how == "empty" else 4

    def __getitem__(self, index):
        how, later = self.how.removesuffix(" later"), self.how.endswith(" later")
        if later and index < 2:
            how = "well"
        if how == "raises":
            raise ValueError("boom")
        if how == "surprises":
            raise Surprise("oh")
        if how == "exits":
            sys.exit(3)
        if how == "text":
            return "text"
        shape = {"flat": (64, 64), "grey": (64, 64, 1)}.get(how, (64, 64, 3))
        noise = np.random.default_rng(index).integers(0, 255, shape)
        return noise.astype({"floats": "f4", "deep": "u2"}.get(how, "u1"))

    def id(self, index):
        if self.how == "no name later" and index == 2:
            raise KeyError(index)
        return f"part {index}"

    def fingerprint(self):
        return "f" * 32

    def contents(self):
        if self.how == "no contents":
            raise KeyError("hash")
        return [str(index) for index in range(len(self))]


@pytest.mark.parametrize(
    ("how", "fault"),
    [
        ("leaves", "it raised SystemExit: 0; tell its author"),
        ("nothing", r"it raised TypeError: open\(\) must return a Source, not NoneType"),
        ("raises", r"image 0 \(part 0\): it raised ValueError: boom; tell its author"),
        ("empty", "it has no images; images are uint8"),
        ("text", r"image 0 \(part 0\) is str; images are"),
        ("flat", r"image 0 \(part 0\) is uint8 \(64, 64\); images are"),
        ("floats", r"image 0 \(part 0\) is float32 \(64, 64, 3\); images are"),
    ],
)
def test_what_is_wrong_from_the_beginning_is_told(how, fault):
    asked = recipe("cutpaste", count=8).model_copy(update={"source": Odd(how=how)})
    with pytest.raises(AnomgenError, match=f"^the plug-in source 'odd': {fault}"):
        Plan.of(asked)


@pytest.mark.parametrize(
    ("how", "fault"),
    [
        ("raises later", r"image [23] \(part [23]\): it raised ValueError: boom; tell its author"),
        ("surprises later", r"image [23] \(part [23]\): it raised Surprise: oh; tell its author"),
        ("exits later", r"image [23] \(part [23]\): it raised SystemExit: 3; tell its author"),
        ("text later", r"image [23] \(part [23]\) is str; images are"),
        ("grey later", r"image [23] \(part [23]\) is uint8 \(64, 64, 1\); images are .* all of one dtype and number"),
        ("deep later", r"image [23] \(part [23]\) is uint16 \(64, 64, 3\); images are"),
        ("no name later", "the name of image 2: it raised KeyError: 2; tell its author"),
    ],
)
@pytest.mark.parametrize("name", ["cutpaste", "nsa"])
def test_what_is_wrong_with_a_later_image_is_told_by_make(name, how, fault, tmp_path):
    asked = recipe(name, count=16).model_copy(update={"source": Odd(how=how)})
    with pytest.raises(SourceError, match=f"^the plug-in source 'odd': {fault}"):
        make(asked, tmp_path / "out")


def test_what_a_source_says_of_itself_is_named_where_that_fails():
    source = open_source(Odd(how="no contents"))
    with pytest.raises(SourceError, match=r"the plug-in source 'odd': contents\(\): it raised KeyError: 'hash'"):
        source.contents()


def test_a_sound_one_is_what_it_was_and_survives_pickling():
    source = open_source(Odd())
    copy = pickle.loads(pickle.dumps(source))
    for one in (source, copy):
        assert isinstance(one, PluggedSource) and len(one) == 4 and one.shape == (64, 64) and one.license is None
        assert one.contents() == list("0123") and one.id(3) == "part 3" and not hasattr(one, "opaque")
        assert np.array_equal(one[3], OddSource("well")[3])
    assert len(Plan.of(recipe("cutpaste", count=8).model_copy(update={"source": Odd()})).source) == 4


def test_ctrl_c_and_errors_of_ours_stay_as_they_are(monkeypatch):
    source = open_source(Odd())
    for error in (KeyboardInterrupt(), SourceError("a.png: is damaged")):

        def raising(_, index, error=error):
            raise error

        monkeypatch.setattr(OddSource, "__getitem__", raising)
        with pytest.raises(type(error)) as raised:
            source[1]
        assert raised.value is error


def test_what_is_built_in_is_opened_as_it_is():
    assert not isinstance(open_source(recipe("cutpaste").source), PluggedSource)
