"""The public face: its names, lazily; its functions, with the command line's options; one stub, which agrees."""

import ast
import importlib
import inspect
import pydoc
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command

import anomgen
from anomgen.cli import app

COMMANDS = (
    *("make", "preview", "check", "replay", "export", "push", "bank", "tune", "score", "fit", "inspect"),
    *("ls", "show", "validate", "studio"),
)
CALLED = {"set": "overrides", "no_check": "check", "open": "opened"}
"""Options that a Python parameter says in another word."""
PACKAGES = {"score": "anomgen.score.run", "studio": "anomgen.studio.serve"}
PRINTING = {"json", "help", "quiet", "verbose", "fail_on_anomaly"}
"""Options that only say how to print, and how to exit."""
OF_PYTHON = {"progress", "api", "wait", "warn", "tell"}
"""Parameters that no command line can give."""


def stub():
    """Return public name → module, as the stub says."""
    tree = ast.parse((Path(anomgen.__file__).parent / "__init__.pyi").read_text(encoding="utf-8"))
    imports = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
    (listed,) = [ast.literal_eval(node.value) for node in tree.body if isinstance(node, ast.Assign)]
    return {alias.name: f"anomgen.{node.module}" for node in imports for alias in node.names}, listed


def options(command):
    """Return the names of a command's options and arguments."""
    found = set()
    for parameter in command.params:
        long = [word for word in parameter.opts if word.startswith("--")]
        name = long[0].removeprefix("--") if long else parameter.name
        found.add(name.replace("-", "_"))
    return {CALLED.get(name, name) for name in found - PRINTING}


def function_of(name):
    """Return a public function; a package that is called like one says in which module it is."""
    module = PACKAGES.get(name)
    return getattr(anomgen, name) if module is None else getattr(importlib.import_module(module), name)


def parameters(function):
    return set(inspect.signature(function).parameters) - OF_PYTHON


@pytest.mark.parametrize("name", [*COMMANDS, "doctor"])
def test_a_function_has_the_options_of_its_command(name):
    command = get_command(app).commands[name]
    assert parameters(function_of(name)) == options(command)


def test_train_has_the_options_of_both_commands():
    commands = get_command(app).commands["train"].commands
    assert parameters(anomgen.train) == {"model"} | set().union(*(options(command) for command in commands.values()))


@pytest.mark.parametrize(("name", "first"), [("score", "data"), ("studio", "photos")])
def test_the_package_that_is_a_function_shows_its_signature_and_its_docstring(name, first):
    function, package = function_of(name), getattr(anomgen, name)
    assert callable(package) and inspect.signature(package) == inspect.signature(function)
    assert inspect.getdoc(function) in package.__doc__
    assert f"anomgen.{name}({first}" in pydoc.render_doc(package)


@pytest.mark.parametrize("name", [*COMMANDS, "train", "load_recipe", "load_dataset"])
def test_a_function_explains_itself(name):
    function = function_of(name)
    text = inspect.getdoc(function)
    assert text.partition("\n")[0].endswith((".", ":")) and "Raises" in text
    first = next(iter(inspect.signature(function).parameters))
    assert re.search(rf"\b{first}\b", text)


def test_the_stub_names_what_there_is_and_all_of_it():
    homes, listed = stub()
    assert sorted(listed) == sorted({*homes, "__version__"})
    assert sorted(anomgen.__all__) == sorted(homes) and set(homes) <= set(dir(anomgen))
    for name, module in homes.items():
        if name not in PACKAGES:
            assert getattr(anomgen, name) is getattr(importlib.import_module(module), name)
    with pytest.raises(AttributeError, match="no_such_name"):
        anomgen.no_such_name  # noqa: B018


def test_score_can_be_called_whatever_was_imported_before():
    code = (
        "import sys, anomgen\n"
        "if len(sys.argv) > 1: import anomgen.score.metrics\n"
        "import anomgen.score.run as run\n"
        "run.score = lambda data, recipes, **options: (data, recipes, options)\n"
        "assert anomgen.score('x', 'nsa', seeds=1) == ('x', 'nsa', {'seeds': 1})\n"
        "assert anomgen.score is sys.modules['anomgen.score'] and anomgen.score.__doc__\n"
    )
    for words in ([], ["first"]):
        subprocess.run([sys.executable, "-c", code, *words], check=True)


def test_the_package_loads_what_is_used_when_it_is_used():
    code = (
        "import sys, anomgen\n"
        "assert not {'numpy', 'pydantic', 'torch'} & set(sys.modules)\n"
        "anomgen.__version__, dir(anomgen), anomgen.UsageError\n"
        "assert not {'numpy', 'pydantic', 'torch'} & set(sys.modules)\n"
        "anomgen.make, anomgen.train, anomgen.push\n"
        "assert not {'torch', 'datasets', 'huggingface_hub', 'diffusers'} & set(sys.modules)\n"
        "from anomgen import *\n"
        "assert load_recipe('nsa').name == 'nsa'\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_schema_is_of_a_recipe_that_is_there():
    assert anomgen.show("nsa", schema=True)["properties"]["generator"]
    with pytest.raises(anomgen.UsageError, match="no recipe 'nsaa'"):
        anomgen.show("nsaa", schema=True)
    with pytest.raises(anomgen.RecipeError, match="shpe"):
        anomgen.show("nsa", overrides=["generator.shpe=3"], schema=True)
