"""How progress is shown: nothing for short runs, a line now and then for long ones, whatever they are at."""

import time

import pytest

from anomgen.cli import terminal
from anomgen.errors import tell


@pytest.fixture
def lines(monkeypatch, capsys):
    """Return the function that waits for the next line and returns it."""
    monkeypatch.setattr(terminal, "PATIENCE", 0.02)
    monkeypatch.setattr(terminal, "EVERY", 0.02)

    def wait():
        capsys.readouterr()
        for _ in range(500):
            time.sleep(0.02)
            if "\n" in (printed := capsys.readouterr().err):
                return printed.splitlines()[-1]
        raise AssertionError("nothing is said")

    return wait


def test_a_run_that_takes_long_says_so_even_where_nobody_tells_how_far_it_is(lines):
    with terminal.progress_of("making"):
        assert lines() == "making: getting ready"


def test_what_is_done_deep_inside_is_shown_by_the_command_that_waits(lines):
    """Law: `tell` reaches the command's progress, and nobody outside of its block."""
    with terminal.progress_of("making") as progress:
        tell(0, 40, "reading the normal images")
        assert lines().startswith("making: 0 of 40, 0/s, time left unknown, reading the normal images")
        progress(3, 8)
        assert lines().startswith("making: 3 of 8")
    tell(1, 2, "nobody listens")


def test_where_the_notes_say_how_long_it_takes_nothing_else_does(lines):
    with terminal.progress_of("scoring", timed=False) as progress:
        progress(3, 8, "about 12 min left")
        assert lines() == "scoring: 3 of 8, about 12 min left"


def test_a_short_run_says_nothing(capsys):
    with terminal.progress_of("making") as progress:
        progress(1, 2)
    assert capsys.readouterr().err == ""
