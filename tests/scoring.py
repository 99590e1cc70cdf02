"""Requests of `anomgen score` for a tiny data set, what they will train, and trainings in the tests' own process."""

import pickle
from concurrent.futures import Future
from contextlib import contextmanager

import pytest
from real_data import tiny_data
from score_pages import without_charts

pytest.importorskip("timm", reason="scoring is an extra")

from anomgen.score import jobs
from anomgen.score.request import Request
from anomgen.score.rows import RowFile
from anomgen.score.schedule import scheduled

QUICK = ("detector.probe.steps=2", "detector.probe.batch_size=2")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return tiny_data(tmp_path_factory.mktemp("real") / "part")


def request(data, recipes=("perlin",), detectors=("probe",), **options):
    changes = QUICK if "probe" in detectors else ()
    return Request((str(data),), recipes, detectors, **{"seeds": 1, "size": 32, "changes": changes, **options})


def schedule_of(data, out, **options):
    return scheduled(request(data, **options), out, RowFile(out))


def sent(value):
    """Return a value as a process gets it."""
    return pickle.loads(pickle.dumps(value))


class Here:
    """What takes the place of `Workers`: each task in this process, of what a worker would be sent."""

    def __init__(self, count, start, arguments, *, content, environment):
        start(sent(content), *arguments)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def do(self, tasks, work, ended, *, may_begin=lambda _: True, beat=None):
        waiting = list(tasks)
        while waiting and may_begin(waiting[0]):
            task, future = waiting.pop(0), Future()
            try:
                future.set_result(sent(sent(work)(sent(task))))
            except Exception as error:
                future.set_exception(sent(error))
            ended(task, future)
        return waiting


@contextmanager
def in_this_process():
    """Start no workers and draw no charts: both take longer than a small training."""
    with without_charts(), pytest.MonkeyPatch.context() as patched:
        patched.setattr(jobs, "Workers", Here)
        patched.setattr(jobs, "_bench", None)
        yield


@pytest.fixture
def here():
    """Train in this process, and draw no charts."""
    with in_this_process():
        yield
