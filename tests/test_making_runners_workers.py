"""Worker processes: each task once, those that die replaced, all ended with their parent."""

import os
import subprocess
import sys
import time

import pytest

from anomgen.errors import AnomgenError
from anomgen.making.runners.workers import Workers, died

started = {}


def start(word):
    started["word"] = word


def answer(number):
    return started["word"], number, os.getpid()


def die(number):
    if number == 1:
        os._exit(9)
    return number


def wait(path):
    path.touch()
    time.sleep(60)


def until(condition):
    """Wait until something holds, for half a minute."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.02)


def done_by(workers, tasks, work, **options):
    """Return task → what it came to, and the tasks that were not begun."""
    found = {}
    left = workers.do(tasks, work, lambda task, future: found.update({task: future}), **options)
    return found, left


def test_every_task_is_done_once_in_processes_that_were_started_with_the_arguments():
    with Workers(2, start, ("hello",)) as workers:
        found, left = done_by(workers, range(6), answer)
    results = [found[k].result() for k in range(6)]
    assert left == [] and [result[:2] for result in results] == [("hello", k) for k in range(6)]
    assert os.getpid() not in {result[2] for result in results}


def test_a_worker_that_dies_loses_its_task_alone():
    with Workers(1, start, ("hello",)) as workers:
        found, _ = done_by(workers, range(4), die)
    assert [k for k in found if died(found[k])] == [1]
    assert [found[k].result() for k in (0, 2, 3)] == [0, 2, 3]


def test_a_worker_that_dies_idle_is_replaced():
    with Workers(1, start, ("hello",)) as workers:
        first = done_by(workers, [0], answer)[0][0].result()[2]
        next(iter(workers._pools[0]._processes.values())).kill()
        until(lambda: workers._pools[0]._broken)  # its executor has noticed
        second = done_by(workers, [0], answer)[0][0].result()[2]
    assert second != first


def exit_once_started(place):
    """Start the first time, exit with 7 from then on."""
    if place.exists():
        os._exit(7)
    place.touch()


def test_a_replacement_that_dies_as_it_starts_is_told_by_what_was_seen(tmp_path):
    """Law: that it may lack what to import is a guess, and none where another worker could."""
    with Workers(1, exit_once_started, (tmp_path / "begun",)) as workers:
        workers._ready[0].result()
        with pytest.raises(AnomgenError, match=r"^a worker process died as it started \(exit code 7\); what is"):
            done_by(workers, [1, 2], die)


@pytest.mark.parametrize("replaced", [False, True])
def test_a_worker_that_is_killed_as_it_starts_is_told_by_the_signal(replaced):
    with Workers(1, time.sleep, (60 * (not replaced),)) as workers:
        if replaced:
            workers._arguments = (60,)
            workers._ready[0].result()
            workers._processes[0].kill()
            until(lambda: workers._pools[0]._broken)
            workers._replace(0)
        workers._processes[0].kill()
        with pytest.raises(AnomgenError, match=r"\(signal 9, Killed.*\), for lack of memory perhaps: use") as error:
            done_by(workers, [0], answer)
        assert "__main__" not in str(error.value)


def test_tasks_that_may_not_begin_are_returned():
    with Workers(1, start, ("hello",)) as workers:
        found, left = done_by(workers, range(5), answer, may_begin=lambda task: task < 2)
    assert sorted(found) == [0, 1] and left == [2, 3, 4]


def test_an_error_ends_running_tasks_at_once(tmp_path):
    def beat():
        if (tmp_path / "begun").exists():
            raise KeyboardInterrupt

    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt), Workers(1, start, ("hello",)) as workers:
        done_by(workers, [tmp_path / "begun"], wait, beat=beat, every=0.05)
    assert time.monotonic() - begun < 30


def test_the_environment_is_that_of_the_workers_alone():
    with Workers(1, start, ("hello",), environment={"ANOMGEN_TEST": "1"}) as workers:
        found, _ = done_by(workers, ["ANOMGEN_TEST"], os.getenv)
    assert found["ANOMGEN_TEST"].result() == "1" and "ANOMGEN_TEST" not in os.environ


PARENT = """
import os, pathlib, sys
from anomgen.errors import AnomgenError
from anomgen.making.runners.workers import Workers
import test_making_runners_workers as here

if __name__ == "__main__":
    with Workers(1, here.start, ("hello",)) as workers:
        workers.do([pathlib.Path(sys.argv[1])], here.wait, lambda *_: None)
"""


UNGUARDED = """
from anomgen.errors import AnomgenError
from anomgen.making.runners.workers import Workers
import test_making_runners_workers as here

with Workers(2, here.start, (), content="x" * int({size})) as workers:
    print(here.done_by(workers, range(3), here.answer))
"""


@pytest.mark.parametrize("size", [10, 10_000_000])
def test_a_script_that_a_worker_cannot_import_ends_with_what_to_do(size, tmp_path):
    (tmp_path / "script.py").write_text(UNGUARDED.format(size=size))
    path = os.pathsep.join([os.path.dirname(__file__), *sys.path])  # noqa: PTH120
    command, environment = [sys.executable, tmp_path / "script.py"], {**os.environ, "PYTHONPATH": path}
    ended = subprocess.run(command, check=False, capture_output=True, text=True, env=environment, timeout=60)
    assert (
        ended.returncode == 1 and "died as it started (exit code 1): for" in ended.stderr
    )  # Python's own warning may come after it
    assert "if __name__ == '__main__':" in ended.stderr


@pytest.mark.parametrize("size", [10, 10_000_000])
def test_content_reaches_each_worker_and_leaves_no_file(size, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    with Workers(2, start, (), content="x" * size) as workers:
        found, _ = done_by(workers, range(2), answer)
    assert [len(found[k].result()[0]) for k in range(2)] == [size, size]
    assert not list(tmp_path.glob("anomgen-*"))


def test_workers_end_with_a_parent_that_is_killed(tmp_path):
    (tmp_path / "parent.py").write_text(PARENT)
    path = os.pathsep.join([os.path.dirname(__file__), *sys.path])  # noqa: PTH120
    command = [sys.executable, tmp_path / "parent.py", tmp_path / "begun"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": path}) as parent:
        until((tmp_path / "begun").exists)
        parent.kill()
        parent.communicate(timeout=30)  # what they print to is closed when the last of them has ended
