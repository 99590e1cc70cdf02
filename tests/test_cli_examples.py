"""The help of every command ends with an example that its parser takes."""

import shlex

import pytest
from typer.main import get_command

from anomgen.cli.main import app


def commands(command, *path):
    if path:
        yield path, command
    for name, below in getattr(command, "commands", {}).items():
        yield from commands(below, *path, name)


ALL = dict(commands(get_command(app)))


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_the_example_of_a_command_is_one_of_it(path):
    start, _, example = (ALL[path].epilog or "").partition(": ")
    program, *words = shlex.split(example)
    assert (start, program) == ("Example", "anomgen")
    assert tuple(words[: len(path)]) == path
    command = get_command(app)
    while hasattr(command, "commands"):
        command, words = command.commands[words[0]], words[1:]
    context = command.make_context("anomgen", list(words))
    assert not context.args
