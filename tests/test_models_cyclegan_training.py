"""Training a Cycle-GAN: the same bytes again, after a kill, in parts; the command."""

import json
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="learned generators need the extra `diffusion`")
pytest.importorskip("accelerate", reason="learned generators need the extra `diffusion`")

from cyclegan_runs import SMALL, sources
from learned import disc, pictures
from small import run, uncounted

from anomgen.errors import UsageError
from anomgen.generators.base import build_generator
from anomgen.generators.conformance import check_generator
from anomgen.models.cyclegan import networks, training
from anomgen.models.cyclegan.model import (
    TO_ABNORMAL,
    TO_NORMAL,
    load_translators,
)
from anomgen.models.cyclegan.training import TrainCycleGAN, train_cyclegan
from anomgen.models.described import DESCRIPTION
from anomgen.models.device import accelerator_for
from anomgen.models.training import Diverged
from anomgen.sources.pool import Pool

pytestmark = pytest.mark.usefixtures("one_thread")


def weights(folder):
    return {name: (folder / name).read_bytes() for name in (TO_ABNORMAL, TO_NORMAL)}


# --- training -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_it_learns_to_paint_what_the_abnormal_images_have(tmp_path):
    """Normal: grey noise. Abnormal: a dark disc in the middle. After a few steps the middle becomes darker."""
    pictures(tmp_path / "good", 16)
    pictures(tmp_path / "bad", 16, seed=50, change=disc)
    settings = TrainCycleGAN(
        steps=300,
        width=8,
        blocks=1,
        discriminator_width=16,
        learning_rate=1e-3,
        cycle=3.0,
        identity=1.0,
        augment="flips",
        resolution=32,
    )
    result = train_cyclegan(*sources(tmp_path), settings, tmp_path / "m")
    model = load_translators(result.path)
    source = sources(tmp_path)[0]
    change = np.mean([model.to_abnormal.change(source[k]) for k in range(16)], axis=0)[..., 0]
    assert change[12:20, 12:20].mean() < -0.1
    assert change[12:20, 12:20].mean() < change[:6].mean() - 0.04  # by processors and seeds .07 to .14


def test_the_same_seed_gives_the_same_bytes_and_another_one_others(discs, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        train_cyclegan(*sources(discs), TrainCycleGAN(**SMALL | {"seed": seed, "steps": 2}), tmp_path / name)
    assert weights(tmp_path / "a") == weights(tmp_path / "b")
    assert (tmp_path / "a" / DESCRIPTION).read_bytes() == (tmp_path / "b" / DESCRIPTION).read_bytes()
    assert weights(tmp_path / "a")[TO_ABNORMAL] != weights(tmp_path / "c")[TO_ABNORMAL]


def test_a_resumed_training_equals_an_uninterrupted_one(discs, tmp_path):
    settings = TrainCycleGAN(**SMALL, checkpoint_every=2, batch_size=2, accumulation=2)
    train_cyclegan(*sources(discs), settings, tmp_path / "whole")

    def stop(done, total, note):
        if done == 5 and not (tmp_path / "again").exists():
            (tmp_path / "again").touch()
            raise RuntimeError("pulled the plug")

    with pytest.raises(RuntimeError, match="plug"):
        train_cyclegan(*sources(discs), settings, tmp_path / "cut", progress=stop)
    with pytest.raises(UsageError, match=r"not finished.*step 4 of 6.*--resume"):
        load_translators(tmp_path / "cut")
    result = train_cyclegan(*sources(discs), settings, tmp_path / "cut", resume=True, progress=stop)
    assert (result.steps, result.made) == (6, 2)
    assert weights(tmp_path / "cut") == weights(tmp_path / "whole")
    assert (tmp_path / "cut" / DESCRIPTION).read_bytes() == (tmp_path / "whole" / DESCRIPTION).read_bytes()


def test_a_finished_training_goes_on_with_more_steps(discs, tmp_path):
    train_cyclegan(*sources(discs), TrainCycleGAN(**SMALL | {"steps": 2}), tmp_path / "m")
    with pytest.raises(UsageError, match="at least as many"):
        train_cyclegan(*sources(discs), TrainCycleGAN(**SMALL | {"steps": 1}), tmp_path / "m", resume=True)
    before = weights(tmp_path / "m")
    result = train_cyclegan(*sources(discs), TrainCycleGAN(**SMALL | {"steps": 4}), tmp_path / "m", resume=True)
    assert (result.steps, result.made) == (4, 2)
    assert weights(tmp_path / "m") != before
    with pytest.raises(UsageError, match="different: width"):
        train_cyclegan(*sources(discs), TrainCycleGAN(**SMALL | {"width": 8}), tmp_path / "m", resume=True)


def test_accumulated_parts_give_the_gradient_of_the_whole_batch(discs, tmp_path):
    found = {}
    for parts in (1, 2):
        settings = TrainCycleGAN(**SMALL, batch_size=4, accumulation=parts)
        task = training.CycleGANTask(settings, accelerator_for(settings), *sources(discs))
        task._update = lambda optimiser, number, losses: None
        task.step(0)
        found[parts] = torch.cat(
            [p.grad.flatten() for p in (*task.to_abnormal.parameters(), *task.is_normal.parameters())]
        )
    assert torch.allclose(found[1], found[2], rtol=1e-3, atol=1e-4)


def test_a_loss_that_is_no_number_stops_and_keeps_the_checkpoint(discs, tmp_path, monkeypatch):
    settings = TrainCycleGAN(**SMALL, checkpoint_every=2)
    monkeypatch.setattr(networks, "_squares", _nan_after(networks._squares, calls=18))
    with pytest.raises(Diverged, match=r"step 4.*generators is nan.*--resume"):
        train_cyclegan(*sources(discs), settings, tmp_path / "m")
    assert json.loads((tmp_path / "m" / "training.json").read_text())["steps"] == 2
    assert (tmp_path / "m" / "checkpoint.safetensors").exists()


def _nan_after(function, calls):
    """Return the function, whose results after so many calls are no numbers; six calls are one step."""
    count = 0

    def counted(*arguments):
        nonlocal count
        count += 1
        return function(*arguments) * (np.nan if count > calls else 1)

    return counted


def test_held_out_images_are_never_trained_on(discs):
    settings = TrainCycleGAN(**SMALL)
    task = training.CycleGANTask(settings, accelerator_for(settings), *sources(discs))
    assert len(task.held_out) == 2 and len(task.trained_on) == 10
    assert not {*task.held_out} & {*task.trained_on}
    task.normal.scaled = lambda index: (
        (_ for _ in ()).throw(AssertionError) if index in task.held_out else np.zeros((32, 32, 3), np.float32)
    )
    for number in range(20):
        task._drawn(range(number, number + 1))


def test_non_square_grey_and_16_bit_images_train_and_translate(tmp_path):
    pictures(tmp_path / "good", 10, shape=(40, 56), dtype=np.uint16)
    pictures(tmp_path / "bad", 10, shape=(40, 56), dtype=np.uint16, seed=50, change=disc)
    settings = TrainCycleGAN(**SMALL | {"steps": 1, "resolution": 48, "augment": "flips", "residual": False})
    result = train_cyclegan(*sources(tmp_path, size=[40, 56]), settings, tmp_path / "m")
    pool = Pool(sources(tmp_path, size=[40, 56])[0])
    assert pool[0].shape == (40, 56, 1) and pool[0].dtype == np.uint16
    configuration = {"kind": "cyclegan", "model": str(result.path), "threshold": 0.05, "max_area": 1.0}
    check_generator(build_generator(configuration), pool, count=4)


# --- the command ----------------------------------------------------------------------------------------------------


def command(data, out, *words):
    """Return the words after `anomgen` that train on the folders `good` and `bad` of `data`."""
    settings = [f"--set={key}={value}" for key, value in SMALL.items() if key != "steps"]
    base = ["train", "cyclegan", "--source", data / "good", "--abnormal", data / "bad", "-o", out, "--size", 32]
    return list(map(str, [*base, *settings, *words]))


def test_the_command_trains_and_a_killed_training_goes_on_to_the_same_bytes(discs, tmp_path):
    words = ("--steps", 100, "--set", "checkpoint_every=5", "--set", "sheet_every=1000")
    killed = subprocess.Popen(
        [sys.executable, "-m", "anomgen", *command(discs, tmp_path / "cut", *words)],
        stdout=subprocess.DEVNULL,
        env={**uncounted(), "OMP_NUM_THREADS": "1"},
    )
    record = tmp_path / "cut" / "training.json"
    while killed.poll() is None and not (record.exists() and json.loads(record.read_text())["steps"] >= 5):
        time.sleep(0.02)
    killed.kill()
    killed.wait()
    assert not (tmp_path / "cut" / DESCRIPTION).exists()
    done = json.loads(run(*command(discs, tmp_path / "cut", *words, "--resume", "--json"))[0])
    assert done["steps"] == 100 and 0 < done["made"] < 100
    whole, _ = run(*command(discs, tmp_path / "whole", *words))
    assert f"generator.model={tmp_path / 'whole'}" in whole
    assert weights(tmp_path / "cut") == weights(tmp_path / "whole")
    picture = cv2.imread(str(tmp_path / "whole" / "sheets" / "step-000100.png"))
    assert picture.shape[0] > 5 * 256 and picture.shape[1] > 2 * 256
    record = json.loads((tmp_path / "whole" / "training.json").read_text())
    assert record["findings"] == done["findings"] and record["findings"] in whole


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--preset", "papr"], "did you mean 'paper'"),
        (["--set", "widht=3"], "did you mean 'width'"),
        (["--set", "source.fiit=crop"], "fiit"),
        (["--abnormal", "nowhere"], "nowhere"),
        (["--size", "big"], "--size big"),
        (["--resume", "--overwrite"], "exclude each other"),
    ],
)
def test_wrong_usage_exits_with_2(words, text, discs, tmp_path):
    assert text in run(*command(discs, tmp_path / "m", *words), cwd=tmp_path, code=2)[1]


def test_a_model_does_not_go_into_its_images(discs):
    assert "lies inside the source" in run(*command(discs, discs / "bad" / "m"), code=2)[1]
