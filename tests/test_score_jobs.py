"""How long the trainings of a run will take, by what they took so far."""

from types import SimpleNamespace

import pytest

from anomgen.score import jobs
from anomgen.score.schedule import Job


def job(name, seconds=10.0):
    return Job((SimpleNamespace(key=name),), seconds)


@pytest.fixture
def clock(monkeypatch):
    now = SimpleNamespace(at=0.0)
    monkeypatch.setattr(jobs, "time", SimpleNamespace(monotonic=lambda: now.at))
    return now


def test_the_time_left_follows_from_what_the_trainings_took(clock):
    """Law: left = (estimates of what waits) × (taken + trust) / (estimated + trust) / workers, and what still runs."""
    todo = [job(name) for name in "abcd"]
    pace = jobs._Pace(todo, 2)
    assert pace.slowness() == 1 and pace.left() == "about 20 s left"
    for one in todo[:2]:
        pace.begun(one)
    clock.at = 5.0
    assert pace.slowness() == 1 and pace.left() == "about 15 s left"
    clock.at = 95.0
    pace.ended(todo[0])
    pace.ended(todo[1])
    slowness = (2 * 95 + jobs.TRUST) / (2 * 10 + jobs.TRUST)
    assert pace.slowness() == pytest.approx(slowness)
    assert pace.left() == f"about {20 * slowness / 2:.0f} s left"


def test_something_is_left_while_a_training_runs(clock):
    """Law: a late training is expected to run on for a tenth of what it has run, and for a second at least."""
    pace = jobs._Pace([job("a", 1.0)], 1)
    pace.begun(job("a", 1.0))
    assert pace.left() == "about 1 s left"
    clock.at = 300.0
    assert pace.left() == "about 30 s left"


def test_a_training_that_is_late_already_counts(clock):
    """Law: nobody waits for the first training to end before the estimate rises."""
    pace = jobs._Pace([job("a"), job("b")], 1)
    pace.begun(job("a"))
    clock.at = 110.0
    assert pace.slowness() == pytest.approx((110 + jobs.TRUST) / (10 + jobs.TRUST))
