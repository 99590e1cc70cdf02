"""Ctrl-C: it waits for a library that is being loaded, and does not reach the processes that start."""

import os
import signal
import subprocess
import sys
import time

import pytest

from anomgen.__main__ import STOPPING
from anomgen.making.runners.workers import Workers

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")


def test_a_library_that_swallows_it_while_it_is_loaded_only_delays_it(tmp_path):
    (tmp_path / "swallowing.py").write_text(
        "import signal, time\ntry:\n    signal.raise_signal(signal.SIGINT)\n    time.sleep(0.3)\n"
        "except BaseException:\n    pass\nwhole = True\n"
    )
    code = (
        "import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from anomgen.__main__ import _defer_interrupts\n_defer_interrupts()\nimport time\n"
        "try:\n    import swallowing\n    time.sleep(20)\nexcept KeyboardInterrupt:\n    print(swallowing.whole)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"


def test_it_does_not_miss_the_short_work_between_two_libraries(tmp_path):
    """A small command would else be done before it is looked at again whether a library is being loaded."""
    for k in range(20):
        (tmp_path / f"library_{k}.py").write_text("import time\ntime.sleep(0.04)\n")
    code = (
        "import importlib, signal, time\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from anomgen.__main__ import _defer_interrupts\n_defer_interrupts()\n"
        "import threading\nthreading.Timer(0.02, signal.raise_signal, [signal.SIGINT]).start()\n"
        "try:\n    for k in range(20):\n        importlib.import_module(f'library_{k}')\n"
        "        end = time.monotonic() + 0.01\n        while time.monotonic() < end:\n            pass\n"
        "except KeyboardInterrupt:\n    print(k)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout and int(done.stdout) <= 1


def test_processes_that_start_do_not_hear_it():
    """Law: it is blocked in them from before their first import, and in the parent as it was."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    masks = []
    with Workers(1, print, ()) as workers:
        workers.do([()], _mask, lambda _, future: masks.append(future.result()))
    assert masks == [True] and signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before


def _mask(_):
    return signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ())


START = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have told its children to ignore it
sys.argv = ["anomgen", *sys.argv[1:]]
from anomgen.__main__ import main
main()
"""


@pytest.mark.slow
@pytest.mark.parametrize("wait", [1.0, 1.5, 2.0, 2.5, 3.0])
def test_at_any_moment_it_ends_a_command_with_130_and_no_traceback(tmp_path, wait):
    words = ["make", "-r", "nsa", "-n", "100000", "-j", "2", "-o", str(tmp_path / "out")]
    process = subprocess.Popen(
        [sys.executable, "-c", START, *words], stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    time.sleep(wait)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130 and "Traceback" not in errors and "error: interrupted" in errors


def test_it_is_answered_at_once_and_no_timer_outlives_the_command():
    """Law: a command that ends while Ctrl-C waits ends as it would have; the timer, left alone, would kill it."""
    code = (
        "import signal, sys, time\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "import anomgen.__main__ as program\nprogram.is_loading = lambda frame: True\n"
        "import anomgen.cli\nanomgen.cli.main = lambda: signal.raise_signal(signal.SIGINT)\nprogram.main()\n"
        "signal.signal(signal.SIGALRM, signal.SIG_DFL)\ntime.sleep(0.3)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, STOPPING.decode())


SWALLOWING = """
class Gone:
    def __del__(self):
        signal.raise_signal(signal.SIGINT)
        print("not reached")


def verify(*_, progress, **__):
    Gone()
    end = time.monotonic() + 5
    while time.monotonic() < end:
        pass
"""
TURNING = """
def verify(*_, progress, **__):
    try:
        signal.raise_signal(signal.SIGINT)
    except KeyboardInterrupt as error:
        raise RuntimeError("serialising") from error
"""
FINISHING = """
def verify(*_, progress, **__):
    with suppress(BaseException):
        signal.raise_signal(signal.SIGINT)
"""
GOING_ON = """
def verify(*_, progress, **__):
    with suppress(BaseException):
        signal.raise_signal(signal.SIGINT)
    progress(1, 2)
    print("not reached")
"""


@pytest.mark.parametrize("verify", [SWALLOWING, TURNING, FINISHING, GOING_ON])
def test_a_command_ends_so_where_something_swallows_it_or_makes_another_error_of_it(verify):
    code = (
        "import signal, sys, time\nfrom contextlib import suppress\n"
        f"signal.signal(signal.SIGINT, signal.default_int_handler)\n{verify}\n"
        "import anomgen.making.check\nanomgen.making.check.check = verify\n"
        "sys.argv = ['anomgen', 'check', 'x']\nfrom anomgen.__main__ import main\nmain()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (130, "")
    assert [line for line in done.stderr.splitlines() if "getting ready" not in line] == ["error: interrupted"]


ENDING = """
import os, signal, sys, threading
signal.signal(signal.SIGINT, signal.default_int_handler)
import anomgen.cli
from anomgen.__main__ import main


def interrupt(kill=os.kill, process=os.getpid()):
    kill(process, 2)


class Gone:
    def __del__(self, interrupt=interrupt):
        interrupt()


def command():
    print("done", flush=True)
    {}


anomgen.cli.main = command
main()
"""


@pytest.mark.parametrize(
    ("end", "code", "said"),
    [
        ("import atexit; atexit.register(interrupt)", 130, "error: interrupted\n"),
        ("sys.last_of_all = Gone()", 0, ""),
        ("raise KeyboardInterrupt", 130, "error: interrupted\n"),
    ],
)
def test_while_the_interpreter_shuts_down_it_kills_nothing_and_leaves_no_traceback(end, code, said):
    """Law: it ends what is still waited for, and at the very end changes nothing."""
    done = subprocess.run([sys.executable, "-c", ENDING.format(end)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (code, "done\n", said)


def test_it_ends_a_command_that_waits_for_a_thread():
    code = ENDING.format("threading.Thread(target=__import__('time').sleep, args=(20,)).start()")
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdout.readline()
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=10)[1] == "error: interrupted\n" and process.returncode == 130
