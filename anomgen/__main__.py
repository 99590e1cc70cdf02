"""`anomgen` and `python -m anomgen`: the command line, which Ctrl-C ends in one line from its first import on."""

import os
import signal
import sys
from contextlib import suppress
from types import FrameType
from typing import Any

SECONDS = 0.002
"""Between two looks at whether a library is still being loaded."""
STOPPING = b"stopping as soon as a library is loaded; Ctrl-C again stops at once\n"


def main() -> None:
    """Run the command line and exit; see `anomgen.cli.main.main`."""
    _defer_interrupts()
    try:
        from anomgen.cli import main as run

        run()
    except KeyboardInterrupt:
        print("error: interrupted", file=sys.stderr)
        sys.exit(130)
    finally:
        _stop_deferring()


def _defer_interrupts() -> None:
    """Let Ctrl-C wait while a library is being loaded: some swallow it then, and half of one is loaded.

    A second one does not wait. Where interrupts are ignored (`nohup`) or somebody else's, they stay so.
    """
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        return
    waiting = False

    def look_again() -> None:
        if hasattr(signal, "setitimer"):
            signal.signal(signal.SIGALRM, interrupt)
            signal.setitimer(signal.ITIMER_REAL, SECONDS)

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal waiting
        is_second = waiting and number == signal.SIGINT
        if is_loading(frame) and not is_second and hasattr(signal, "setitimer"):
            if not waiting and sys.stderr is not None:
                with suppress(OSError):
                    os.write(2, STOPPING)  # printing, which may be what was interrupted, cannot be entered twice
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
