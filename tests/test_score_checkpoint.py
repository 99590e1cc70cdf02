"""A training that was stopped goes on where it was: the same weights, bit for bit, as without the stop."""

import numpy as np
import pytest
from small_detectors import SMALL

torch = pytest.importorskip("torch", reason="detectors need the extra `score`")
pytest.importorskip("timm", reason="detectors need the extra `score`")

from anomgen.errors import UsageError
from anomgen.rng import Stream, rng_for
from anomgen.score import checkpoint
from anomgen.score.checkpoint import Checkpoint
from anomgen.score.detectors.base import build_detector
from anomgen.score.detectors.conformance import MadeTraining

torch.set_num_threads(1)
STEPS, STOP = 7, 4


class Stopped(Exception):
    pass


class Training(MadeTraining):
    """Stops after a number of steps."""

    def __init__(self, path=None, stop=None, training="this one"):
        super().__init__((32, 32, 3))
        self.checkpoint = None if path is None else Checkpoint(path, training)
        self.stop, self.done = stop, []

    def progress(self, done, total):
        self.done.append(done)
        if done == self.stop:
            raise Stopped


@pytest.fixture
def at_once(monkeypatch):
    monkeypatch.setattr(checkpoint, "EVERY", 0.0)
    monkeypatch.setattr(checkpoint, "LONG", 0.0)


def fitted(name, train):
    detector = build_detector({"kind": name, "steps": STEPS, **SMALL[name]})
    detector.fit(train, rng_for(3, Stream.TRAINING))
    return detector.arrays()


@pytest.mark.parametrize("name", [name for name in SMALL if name != "none"])
def test_the_same_weights_come_out_as_without_a_stop(name, tmp_path, at_once):
    whole = fitted(name, Training())
    with pytest.raises(Stopped):
        fitted(name, Training(tmp_path / "state", STOP))
    rest = Training(tmp_path / "state")
    again = fitted(name, rest)
    assert rest.done == list(range(STOP + 1, STEPS + 1))
    assert whole.keys() == again.keys()
    assert all(np.array_equal(whole[key], again[key]) for key in whole)


def test_nothing_is_written_for_a_training_of_less_than_two_minutes(tmp_path):
    fitted("unet", Training(tmp_path / "state"))
    assert not list(tmp_path.iterdir())


def test_it_is_written_every_minute_of_a_long_one(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(checkpoint.time, "monotonic", lambda: now[0])
    written = []
    monkeypatch.setattr(Checkpoint, "_write", lambda self, done, state: written.append((done, now[0])))
    kept = Checkpoint(tmp_path / "state", "x")
    for done in range(1, 11):
        now[0] += 25
        kept.step(done, 10, None)
    assert written == [(3, 75), (6, 150), (9, 225)]


def test_the_state_of_another_training_is_left_alone(tmp_path, at_once):
    with pytest.raises(Stopped):
        fitted("unet", Training(tmp_path / "state", STOP))
    other = Training(tmp_path / "state", training="another one")
    fitted("unet", other)
    assert other.done[0] == 1


@pytest.mark.parametrize("damage", [lambda data: data[:-7], lambda data: b"", lambda data: b"\x00" * 64])
def test_a_damaged_checkpoint_is_named(tmp_path, at_once, damage):
    path = tmp_path / "state"
    with pytest.raises(Stopped):
        fitted("unet", Training(path, STOP))
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UsageError, match=r"state: this checkpoint of an interrupted training is damaged .* remove it"):
        fitted("unet", Training(path))


def test_weights_of_somebody_else_are_not_replaced(tmp_path, at_once):
    from safetensors.numpy import save_file

    save_file({"mine": np.ones(3)}, tmp_path / "state")
    with pytest.raises(UsageError, match="is none of anomgen's"):
        fitted("unet", Training(tmp_path / "state"))
