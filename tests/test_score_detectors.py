"""Every registered detector keeps the contract; the check itself finds detectors that do not."""

import re
import subprocess
import sys
from typing import Literal

import numpy as np
import pytest
from pydantic import Field
from small_detectors import SMALL

torch = pytest.importorskip("torch", reason="detectors need the extra `score`")
pytest.importorskip("timm", reason="detectors need the extra `score`")

from anomgen.config import Config, PathText
from anomgen.errors import RecipeError, UsageError
from anomgen.registry import load, names
from anomgen.rng import Stream, rng_for
from anomgen.score.detectors.base import (
    Detector,
    build_detector,
)
from anomgen.score.detectors.conformance import MadeTraining
from anomgen.testing import check_detector

torch.set_num_threads(1)


@pytest.mark.parametrize("name", names("detectors"))
def test_every_registered_detector_keeps_the_contract(name):
    try:
        load("detectors", name)
    except ModuleNotFoundError as error:
        pytest.skip(str(error))
    check_detector(build_detector({"kind": name, "steps": 2, "batch_size": 2, **SMALL.get(name, {})}))


def test_unknown_detectors_and_settings_are_named():
    with pytest.raises(RecipeError, match="unknown detector 'unett'; did you mean 'unet'"):
        build_detector({"kind": "unett"})
    with pytest.raises(RecipeError, match="did you mean 'steps'"):
        build_detector({"kind": "unet", "step": 3})


def test_anomgen_testing_imports_no_torch_until_asked():
    code = "import sys, anomgen.testing; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


class Brightness(Detector):
    """Bright is anomalous; nothing is learnt but that `fit` was called."""

    kind = "brightness"
    steps: int = 1
    fault: str = ""

    def fit(self, train, rng):
        self._seed = rng.integers(100)
        if self.fault == "numpy":
            np.random.rand()  # noqa: NPY002
        if self.fault == "torch":
            torch.rand(1)
        if self.fault == "chance":
            type(self)._calls += 1

    def anomaly_maps(self, images):
        self.learnt(None if self._seed < 0 and self.fault != "unfitted" else True)
        maps = images.mean(axis=3, dtype=np.float32)
        if self.fault == "chance":
            return maps + type(self)._calls
        if self.fault == "whole call":
            return maps - maps.mean()
        if self.fault == "written":
            images[0, 0, 0] += 1
        if self.fault == "wrong way":
            return -maps
        return maps.astype(np.float64) if self.fault == "dtype" else maps

    _seed: int = -1
    _calls = 0


Brightness._calls = 0


def test_the_check_passes_a_detector_that_keeps_the_contract():
    check_detector(Brightness(), learns=True)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("numpy", "numpy's global"),
        ("torch", "torch's global"),
        ("chance", "two fits"),
        ("whole call", "alone in the call"),
        ("written", "writes to its images"),
        ("dtype", "float64"),
        ("wrong way", "AUROC"),
        ("unfitted", "before fit"),
    ],
)
def test_the_check_finds(fault, message):
    with pytest.raises(AssertionError, match=message):
        check_detector(Brightness(fault=fault), learns=True)


class Reading(Brightness):
    uses_anomalies = False

    def fit(self, train, rng):
        super().fit(train, rng)
        next(train.batches(1, 2))


def test_the_check_finds_batches_read_by_a_detector_of_normal_images_only():
    with pytest.raises(AssertionError, match="1 batches were read"):
        check_detector(Reading())


def test_made_training_gives_the_same_batches_again():
    train = MadeTraining()
    first, second = (list(train.batches(2, 4, 0.5)) for _ in range(2))
    assert all(np.array_equal(a.images, b.images) for a, b in zip(first, second, strict=True))
    assert first[0].labels.sum() == 2
    assert np.array_equal(first[0].images[~first[0].labels], first[0].normals[~first[0].labels])


@pytest.mark.parametrize("kind", ["none", "nsa", "cutpaste", "probe"])
def test_arrays_of_another_type_are_refused_by_name(kind):
    detector = build_detector({"kind": kind, **SMALL[kind], "steps": 1})
    detector.fit(MadeTraining(), rng_for(0, Stream.TRAINING))
    arrays = detector.arrays()
    for dtype in (np.float16, np.int8):
        for name in [*sorted(arrays)[:1], *(set(arrays) & {"memory", "density.mean", "squared"})]:
            own = re.escape(name.removeprefix("backbone."))
            told = rf"the first: \S*{own} is {np.dtype(dtype)} .*, should be {arrays[name].dtype} "
            with pytest.raises(ValueError, match=told):
                detector.unfitted().restore({**arrays, name: arrays[name].astype(dtype)})
    surplus = "backbone.zz" if kind == "none" else "zz"
    with pytest.raises(ValueError, match="the first: zz is not expected"):
        detector.unfitted().restore({**arrays, surplus: np.zeros(9)})


def test_what_was_not_learnt_is_said():
    with pytest.raises(UsageError, match="detector unet: it has learnt nothing yet"):
        build_detector({"kind": "unet"}).anomaly_maps(np.zeros((1, 32, 32, 3), np.uint8))


def test_files_are_recorded_by_name_and_keyed_by_what_is_in_them(tmp_path):
    """The key of a score follows the weights' contents; what is written says nothing of the machine."""
    probe = load("detectors", "probe")
    digests = []
    for name, content in (("a", b"one"), ("b", b"one"), ("c", b"two")):
        (tmp_path / name).write_bytes(content)
        detector = probe(weights=str(tmp_path / name))
        assert detector.recorded() == {**detector.config(), "weights": name}
        digests.append(detector.keyed()["weights"])
    assert digests[0] == digests[1] != digests[2]
    with pytest.raises(UsageError, match=r"probe: weights=.*gone: there is no such file"):
        probe(weights=str(tmp_path / "gone")).keyed()


class Part(Config):
    weights: PathText


class Filed(Brightness):
    files: list[PathText] = Field(default_factory=list)
    weights: PathText | Literal["imagenet", "clip"] = "imagenet"
    part: Part | None = None


def test_files_in_lists_and_parts_are_keyed_by_what_is_in_them_and_words_as_they_are(tmp_path):
    sha256 = "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b"  # of "1"
    for name, content in (("a", "1"), ("b", "2")):
        (tmp_path / name).write_text(content)
    a, b = str(tmp_path / "a"), str(tmp_path / "b")
    keyed = Filed(files=[a, b], part=Part(weights=a)).keyed()
    assert (keyed["files"][0], keyed["weights"], keyed["part"]) == (sha256, "imagenet", {"weights": sha256})
    assert keyed["files"][1] != sha256 and Filed(weights=a).keyed()["weights"] == sha256
    assert Filed(weights="clip").keyed() != Filed().keyed() != Filed(files=[a]).keyed()
    with pytest.raises(UsageError, match=r"brightness: part\.weights=.*gone: there is no such file"):
        Filed(part=Part(weights=str(tmp_path / "gone"))).keyed()


@pytest.mark.parametrize(
    "name", [name for name in names("detectors") if "width" in load("detectors", name).model_fields]
)
def test_a_step_costs_more_with_wider_networks(name):
    """By the power 3/2 of the width, which every network that has one declares."""
    detector = load("detectors", name)
    default = detector().width
    assert detector(width=4 * default).growth == pytest.approx(8) and detector().growth == 1
