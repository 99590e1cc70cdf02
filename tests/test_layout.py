"""The house: which folder may import which, and what a module loads."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "anomgen"
FOLDERS = sorted(path.parent for path in PACKAGE.rglob("__init__.py"))


MODELS = ["classifier", "cyclegan", "sdas"]


@pytest.fixture(scope="module")
def loaded_by():
    """Return what of anomgen each model's training loads, by the model: in one process, which forgets it between."""
    pytest.importorskip("diffusers")
    code = (
        "import importlib, sys\n"
        "for model in sys.argv[1:]:\n"
        "    for name in [name for name in sys.modules if name.partition('.')[0] == 'anomgen']:\n"
        "        del sys.modules[name]\n"
        "    importlib.import_module(f'anomgen.models.{model}.training')\n"
        "    print(*(name for name in sys.modules if name.startswith('anomgen.')))\n"
    )
    done = subprocess.run([sys.executable, "-c", code, *MODELS], capture_output=True, text=True, check=True)
    return {model: set(line.split()) for model, line in zip(MODELS, done.stdout.splitlines(), strict=True)}


@pytest.mark.parametrize("model", MODELS)
def test_training_loads_nothing_of_making_writing_or_cards(model, loaded_by):
    loaded = loaded_by[model]
    assert f"anomgen.models.{model}.training" in loaded
    foreign = ("anomgen.making", "anomgen.cards", f"anomgen.models.{model}.card", "anomgen.generators", "anomgen.score")
    writing = {f"anomgen.dataset.{name}" for name in ("writer", "card", "preview", "statistics", "normals")}
    assert not {name for name in loaded if name.startswith(foreign)} | (loaded & writing)


def test_few_modules_stand_beside_the_packages():
    modules = [path.name for path in PACKAGE.glob("*.py") if path.name != "__init__.py"]
    assert len(modules) <= 12, modules


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: str(folder.relative_to(PACKAGE.parent)))
def test_every_folder_says_in_a_sentence_what_it_is_for(folder):
    first = (folder / "__init__.py").read_text(encoding="utf-8").splitlines()[0]
    assert first.startswith('"""') and first.rstrip('"').endswith(".") and "TODO" not in first


@pytest.mark.parametrize("folder", ["anomgen", "tests", "tools", "benchmarks"])
def test_no_file_is_longer_than_400_lines(folder):
    files = [path for ending in ("py", "js", "css", "html") for path in (PACKAGE.parent / folder).rglob(f"*.{ending}")]
    assert files and not {path.name: n for path in files if (n := len(path.read_bytes().splitlines())) > 400}


def test_the_drawing_of_the_layers_is_the_contract():
    """Law: the floors in CONTRIBUTING.md, where a bracket holds those of one floor together, are import-linter's."""
    text = (PACKAGE.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
    drawing = re.search(r"`lint-imports` verifies:\n\n```\n(.*?)```", text, re.S)
    floors, inside = [], False
    for line in drawing[1].splitlines():
        name, bracket = re.match(r"(\w*)(?:\.py|/)? *([┐│┘])?", line).groups()
        floors += [] if inside else [[]]
        floors[-1] += [name] if name else []
        inside = bracket in ("┐", "│")
    contract = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    layers = contract["contracts"][0]["layers"]
    assert [sorted(floor) for floor in floors] == [sorted(layer.split(" | ")) for layer in layers]
