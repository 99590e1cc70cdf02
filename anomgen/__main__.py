"""`anomgen` and `python -m anomgen`: the command line, which Ctrl-C ends in one line from its first import on."""

import atexit
import os
import signal
import sys
from contextlib import suppress
from types import FrameType
from typing import Any

SECONDS = 0.002
"""Between two looks at whether a library is still being loaded."""
STOPPING = b"stopping as soon as a library is loaded; Ctrl-C again stops at once\n"
INTERRUPTED = b"error: interrupted\n"
_is_done = False
"""Whether nothing is left of the command but its end."""


def main() -> None:
    """Run the command line and exit; see `anomgen.cli.main.main`."""
    global _is_done
    _defer_interrupts()
    try:
        try:
            from anomgen.cli import main as run

            run()
        finally:
            _is_done = True
    except KeyboardInterrupt:
        _say(INTERRUPTED)
        sys.exit(130)
    finally:
        _stop_deferring()


def _defer_interrupts() -> None:
    """Let Ctrl-C wait while a library is being loaded: some swallow it then, and half of one is loaded.

    A second one does not wait, nor does one when the command is done. Where interrupts are ignored (`nohup`) or
    somebody else's, they stay so.
    """
    global _is_done
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        return
    waiting = _is_done = False

    def look_again() -> None:
        if hasattr(signal, "setitimer"):
            signal.signal(signal.SIGALRM, interrupt)
            signal.setitimer(signal.ITIMER_REAL, SECONDS)

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal waiting
        if _is_done:
            if number == signal.SIGINT:
                _say(INTERRUPTED)
                os._exit(130)
            return
        is_second = waiting and number == signal.SIGINT
        if is_loading(frame) and not is_second and hasattr(signal, "setitimer"):
            if not waiting:
                _say(STOPPING)
            waiting = True
            look_again()
            return
        waiting = False
        if errors := sys.modules.get("anomgen.errors"):
            vars(errors)["interrupted"] = True
        raise KeyboardInterrupt

    def ignored(error: Any) -> None:
        """Interrupt again where Python ignores it, as it does in what cleans up behind an object."""
        if error.exc_type is KeyboardInterrupt:
            look_again()
        else:
            sys.__unraisablehook__(error)

    sys.unraisablehook = ignored
    signal.signal(signal.SIGINT, interrupt)
    atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)  # the last: then Python takes its handlers away


def _say(line: bytes) -> None:
    """Write a line on standard error, not by printing, which may be what was interrupted and is not entered twice."""
    if sys.stderr is not None:
        with suppress(OSError):
            os.write(2, line)


def _stop_deferring() -> None:
    """Stop the timer for good: it would outlive its handler, which Python takes away, and end the process itself."""
    sys.unraisablehook = sys.__unraisablehook__
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, 0)


def is_loading(frame: FrameType | None) -> bool:
    """Return whether a module is being imported where a frame runs."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


if __name__ == "__main__":  # a worker process imports this module anew
    main()
