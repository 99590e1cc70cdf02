"""`anomgen.train`: the command of that name from Python, and what both refuse before a step is made."""

import re
import shutil

import pytest

pytest.importorskip("diffusers", reason="needs the extra `diffusion`")

from accelerate import Accelerator
from accelerate.state import AcceleratorState
from docs_pages import read
from learned import TINY, TINY_GUIDE, disc, pictures
from typer.testing import CliRunner

from anomgen.cli import app
from anomgen.errors import AnomgenWarning, SourceError, UsageError
from anomgen.models import device as devices
from anomgen.models import start
from anomgen.models.cyclegan.model import load_translators
from anomgen.models.folder import read_record
from anomgen.models.sdas.settings import TrainSDAS
from anomgen.models.start import train

SMALL = {key: list(value) if isinstance(value, tuple) else value for key, value in TINY.items()}


@pytest.fixture
def data(tmp_path):
    pictures(tmp_path / "data" / "good", 10)
    pictures(tmp_path / "data" / "bad", 10, change=disc)
    return tmp_path / "data"


def weights(folder):
    return {path.name: path.read_bytes() for path in folder.rglob("*.safetensors") if "checkpoint" not in str(path)}


def test_sdas_is_the_command_of_that_name(data, tmp_path):
    result = train("sdas", data / "good", tmp_path / "one", size=32, steps=2, seed=4, overrides=SMALL)
    assert (result.path, result.steps, result.made) == (tmp_path / "one", 2, 2)
    assert result.categories == {"data": str(data / "good")}
    words = [f"--set={key}={value}".replace("True", "true") for key, value in SMALL.items()]
    command = ["train", "sdas", "-s", str(data / "good"), "-o", str(tmp_path / "two"), "--size", "32", "--steps", "2"]
    done = CliRunner().invoke(app, [*command, "--seed", "4", *words])
    assert done.exit_code == 0, done.output
    assert weights(tmp_path / "one") == weights(tmp_path / "two") != {}


def test_cyclegan_takes_its_two_kinds_of_images_and_warns_of_few(data, tmp_path):
    small = {"width": 4, "blocks": 1, "discriminator_width": 4, "source.on_bad_image": "skip"}
    (data / "good" / "broken.png").write_bytes(b"no picture")
    with pytest.warns(AnomgenWarning) as told:
        train(
            "cyclegan", [data / "good"], tmp_path / "m", abnormal=data / "bad", size=(32, 32), steps=1, overrides=small
        )
    assert [str(warning.message) for warning in told] == [
        "skipped source files: 1, the first is broken.png",
        "10 abnormal images are few, 30 or more are better",
    ]
    assert load_translators(str(tmp_path / "m")).description.width == 4


@pytest.mark.filterwarnings("ignore::anomgen.errors.AnomgenWarning")
def test_images_of_several_shapes_are_trained_on_at_a_size_of_two_sides_as_is_published(data, tmp_path):
    for name, seed in (("good", 100), ("bad", 200)):
        pictures(tmp_path / "tall" / name, 4, shape=(60, 40), seed=seed)
        for file in (tmp_path / "tall" / name).iterdir():
            file.rename(data / name / f"tall{file.name}")
    shutil.copytree(data / "good", tmp_path / "other")
    small = {"width": 4, "blocks": 1, "discriminator_width": 4}
    guide = {key: list(value) if isinstance(value, tuple) else value for key, value in TINY_GUIDE.items()}
    for kind, images, settings, more in (
        ("sdas", data / "good", SMALL, {}),
        ("cyclegan", data / "good", small, {"abnormal": data / "bad"}),
        ("classifier", [data / "good", tmp_path / "other"], guide, {"guides": tmp_path / "sdas"}),
    ):
        options = {**more, "steps": 1, "overrides": settings}
        with pytest.raises(SourceError, match=r"training needs one size; stretch them with --size HxW"):
            train(kind, images, tmp_path / f"refused-{kind}", size=32, **options)
        size = None if kind == "classifier" else "32x32"  # that of the model it guides
        assert train(kind, images, tmp_path / kind, size=size, **options).made == 1
    for page in ("docs/reference/leaderboard.md", "docs/how-to/compare.md"):
        assert set(re.findall(r"anomgen train .*models/.*--size (\S+)", read(page))) == {"128x128"}


@pytest.mark.parametrize(("gpu", "sdas", "cyclegan"), [(False, "laptop", "laptop"), (True, "gpu", "paper")])
def test_the_preset_is_that_of_the_device_unless_one_is_named(gpu, sdas, cyclegan, monkeypatch):
    from anomgen.models.cyclegan.training import TrainCycleGAN
    from anomgen.models.sdas.settings import TrainSDAS

    monkeypatch.setattr("anomgen.models.device.has_accelerator", lambda: gpu)
    where = start.require_device("auto")
    for model, preset in ((TrainSDAS, sdas), (TrainCycleGAN, cyclegan)):
        assert start._Request((), None, {}, where, {}).settings(model).preset == preset
        assert start._Request((), None, {}, where, {"preset": "paper"}).settings(model).preset == "paper"


@pytest.mark.parametrize(
    ("words", "options", "text"),
    [
        (("sdaz", "builtin", "m"), {}, "no model 'sdaz' to train; did you mean 'sdas'"),
        (("sdas", "builtin", "m"), {"abnormal": "x"}, "sdas learns from normal images alone"),
        (("sdas", "builtin", "m"), {"overrides": ["source=x"]}, "name a key of the source"),
        (("sdas", "builtin", "m"), {"size": 48, "overrides": ["source.size=64"]}, "--size 48 and --set source.size=64"),
        (("sdas", "builtin", "m"), {"steps": 2, "overrides": ["steps=3"]}, "--steps 2 and --set steps=3"),
        (("sdas", "builtin", "m"), {"overrides": ["steps"]}, "for instance --set learning_rate=1e-4"),
        (("sdas", "builtin", "m"), {"overrides": ["learning_rate=0"]}, "learning_rate"),
        (("cyclegan", "builtin", "m"), {}, "abnormal ones: name both"),
        (("cyclegan", ["a", "b"], "m"), {"abnormal": "x"}, "takes one source"),
        (("cyclegan", "builtin", "m"), {"abnormal": "x", "init": "y"}, "starts from new weights"),
    ],
)
def test_what_does_not_fit_together_is_refused(words, options, text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=text):
        train(*words, **options)
    assert not list(tmp_path.iterdir())


def test_a_record_says_what_was_asked_for(data, tmp_path):
    train("sdas", data / "good", tmp_path / "m", size=32, steps=1, overrides={**SMALL, "learning_rate": 1e-4})
    settings = read_record(tmp_path / "m")["settings"]
    assert (settings["steps"], settings["learning_rate"], settings["channels"]) == (1, 1e-4, [32, 32])


@pytest.fixture
def fresh():
    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.mark.parametrize(("before", "device"), [("bf16", "cpu"), ("no", "gpu")])
def test_another_precision_or_device_in_one_process_is_an_error_that_says_so(fresh, monkeypatch, before, device):
    Accelerator(cpu=True, mixed_precision=before)
    monkeypatch.setattr(devices, "has_accelerator", lambda: True)
    with pytest.raises(UsageError, match="train in a new process"):
        devices.accelerator_for(TrainSDAS(), device)
