"""Runs that die at every single change to a folder, one after the other: nothing may be lost, whatever moment it is."""

import os
import sys
import traceback
from pathlib import Path

DEAD = 99
"""Exit code of a child that died as it should."""
CHANGES = frozenset(
    ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.chmod", "os.utime")
)
"""What Python tells of that changes a folder, beside files that are opened for writing."""
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def dies(work, arrange):
    """Call `work` in a child process, after `arrange(die)`; return whether it died, raise where it failed."""
    child = os.fork()
    if child == 0:
        try:
            arrange(lambda: os._exit(DEAD))
            work()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, DEAD), code
    return code == DEAD


def at_change(number, folder):
    """Return what arranges that a process dies just before change `number`, counted from 0, in a folder."""
    place = str(Path(folder).resolve())

    def arrange(die):
        done = 0

        def hear(event, arguments):
            nonlocal done
            if is_change(event, arguments, place):
                if done == number:
                    die()
                done += 1

        sys.addaudithook(hear)

    return arrange


def fails_at(number, folders, code, *, reading=False, lasting=False):
    """Let access `number`, counted from 0, to some folders fail with an error of the system in this process.

    reading: whether reading counts, too, or changes alone. lasting: whether all changes after it fail likewise. Returns
    a function that tells whether anything has failed; its `done` tells how many accesses there were.
    """
    places = [str(Path(folder).resolve()) for folder in folders]
    done, failed = 0, False

    def hear(event, arguments):
        nonlocal done, failed
        here = any(
            is_change(event, arguments, place) or (reading and is_read(event, arguments, place)) for place in places
        )
        if not here:
            return
        if lasting and event in ("os.remove", "os.rmdir"):
            return  # a full disk has room for less
        done += 1
        if done == number + 1 or (lasting and done > number + 1):
            failed = True
            name = arguments[0] if isinstance(arguments[0], str | bytes) else None
            raise OSError(code, os.strerror(code), name and os.fsdecode(name))

    def has_failed():
        return failed

    has_failed.done = lambda: done
    sys.addaudithook(hear)
    return has_failed


def is_read(event, arguments, place):
    """Return whether what Python tells of reads something in the folder `place`."""
    return event in ("open", "os.listdir", "os.scandir") and _lies_in(arguments[0], place)


def is_change(event, arguments, place):
    """Return whether what Python tells of changes something in the folder `place`."""
    if event == "open":
        flags = arguments[2]
        return isinstance(flags, int) and bool(flags & WRITING) and _lies_in(arguments[0], place)
    if event not in CHANGES:
        return False
    is_beside_open_folder = event in ("os.remove", "os.rmdir", "os.mkdir") and arguments[-1] != -1
    return is_beside_open_folder or any(_lies_in(argument, place) for argument in arguments[:2])


def _lies_in(argument, place):
    if not isinstance(argument, str | bytes | os.PathLike):
        return False
    path = str(Path(os.fsdecode(argument)).absolute())
    return path == place or path.startswith(place + os.sep)


def run(work):
    """Call `work` in a child process to its end."""
    assert not dies(work, lambda die: None)
