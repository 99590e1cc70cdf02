"""Every code block of the README and of docs/ does what its page says, every link leads somewhere, nothing is stale.

Commands run small: 16 rows of 64×64 pixels; scores are planned. Trainings, pushes and what needs a cluster or a URL are
checked for their options alone. A block below `<!-- not run: why -->` is only parsed; those between
`<!-- test: name -->` and `<!-- test: end -->` are run by the test of that name.
"""

import contextlib
import importlib.util
import inspect
import re
import shutil
import subprocess
import sys
import tomllib
import types
import zipfile
from pathlib import Path

import pytest
import yaml
from docs_pages import GENERATED, PAGES, ROOT, anchors, blocks, clear_output, links, read, redirected, smaller
from typer.main import get_command
from typer.testing import CliRunner

from anomgen.cli.main import app
from anomgen.errors import AnomgenError
from anomgen.making.recipe import bundled_recipes, parse_recipe
from anomgen.registry import BUNDLED, load

sys.path.insert(0, str(ROOT / "tools"))
LANGUAGES = {"bash", "python", "yaml", "toml", "text"}
PROJECT = tomllib.loads(read("pyproject.toml"))
NOT_RUN = {"train", "push", "studio"}
"""Commands whose options are checked, no more: they take a network, or minutes, or serve until they are stopped."""
REMOTE = re.compile(r"://|--engine|--shard|--finish|--address")
OTHERS = {"cmp", "cat", "curl", "for", "done", "hf", "pytest", "pip-audit"}
"""First words of lines that are no business of anomgen."""
TESTS = {"start", "python", "board", "torch", "torchvision", "albumentations", "anomalib"}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A folder with what the pages name: photos, defects, data sets, a finished dataset, a model."""
    from learned import pictures, tiny_sdas
    from real_data import tiny_data

    from anomgen import make

    folder = tmp_path_factory.mktemp("prepared")
    pictures(folder / "photos", 12, shape=(64, 64))
    shutil.copytree(folder / "photos", folder / "good")
    tiny_data(folder / "screw", train=16, good=7)
    tiny_data(folder / "tree", train=22, good=1)
    for part, name in (("train/good", "good"), ("test/spot", "bad"), ("ground_truth/spot", "masks")):
        shutil.copytree(folder / "tree" / part, folder / "hazelnut" / name)
    make("nsa", folder / "out", source=str(folder / "photos"), count=16, size=64)
    if importlib.util.find_spec("diffusers"):
        tiny_sdas(folder / "model", folder=folder / "photos", size=64)
    return folder


@pytest.fixture
def place(prepared, tmp_path, monkeypatch):
    """A copy of the prepared folder, which is the working directory."""
    shutil.copytree(prepared, tmp_path / "place")
    monkeypatch.chdir(tmp_path / "place")
    return tmp_path / "place"


def commands(page):
    """Return (block, words) of every command of anomgen on a page."""
    return [(b, w) for b in blocks(page) if b.language == "bash" for w in b.commands if w[0] == "anomgen"]


def parse(words):
    """Parse a command of anomgen with its own parser; an unknown option or a missing argument is an error."""
    command = get_command(app)
    while hasattr(command, "commands"):
        if words[0].startswith("-"):
            break
        command, words = command.commands[words[0]], words[1:]
    with contextlib.suppress(AnomgenError):  # of a value, such as a URL whose library is missing
        command.make_context("anomgen", list(words))


@pytest.mark.parametrize("page", PAGES)
def test_every_block_is_of_a_known_language_and_every_marker_of_a_known_test(page):
    for block in blocks(page):
        assert block.language in LANGUAGES or page == "CONTRIBUTING.md", (page, block.text[:60])
        assert block.marker is None or block.marker[0] == "not run" or block.marker[1] in TESTS, block.marker


@pytest.mark.parametrize("page", PAGES)
def test_every_command_has_options_that_exist(page):
    for block in blocks(page):
        for words in block.commands if block.language == "bash" else ():
            words = redirected(words)[0]
            match words:
                case ["anomgen", *rest] | ["accelerate", "launch", "-m", "anomgen.cli", *rest]:
                    parse(rest)
                case ["pip", "install", *rest]:
                    assert all(known_extra(word) for word in rest), words
                case ["make", target]:
                    assert f"\n{target}:" in read("Makefile"), words
                case ["python", "-c", _]:
                    pass
                case ["python", file, *_]:
                    assert (ROOT / file).is_file(), words
                case _:
                    assert words[0] in OTHERS, words


def known_extra(word):
    extras = re.fullmatch(r"\.(?:\[([\w,]+)\])?", word)
    return extras and set((extras[1] or "all").split(",")) <= set(PROJECT["project"]["optional-dependencies"])


LONG = {"docs/how-to/tune.md"}
"""Pages whose commands take longest."""


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, marks=[pytest.mark.slow] if page in LONG else [])
        for page in PAGES
        if commands(page) and not GENERATED.match(page)
    ],
)
def test_the_commands_of_a_page_run_in_order(page, place):
    for block, words in commands(page):
        if (block.marker and block.marker[0] == "not run") or words[1] in NOT_RUN or REMOTE.search(" ".join(words)):
            continue
        if words[1] == "score":
            pytest.importorskip("timm", reason="scoring is an extra")
        if "model" in " ".join(words):
            pytest.importorskip("diffusers", reason="models are an extra")
        small, target = redirected(smaller(words))
        clear_output(small, place)
        result = CliRunner().invoke(app, small)
        assert result.exit_code == 0, (words, result.output, result.exception)
        if target:
            (place / target).write_text(result.stdout)


def runnable(page):
    """Return the Python blocks of a page that no other test runs."""
    return [b for b in blocks(page) if b.language == "python" and b.marker is None]


@pytest.mark.parametrize("page", [page for page in PAGES if runnable(page)])
def test_the_python_of_a_page_runs_in_order(page, place, monkeypatch):
    pytest.importorskip("torch", reason="some pages are for torch")
    pytest.importorskip("datasets", reason="some pages load datasets")
    module = types.ModuleType("page")
    monkeypatch.setitem(sys.modules, "page", module)
    for block in runnable(page):
        exec(compile(block.text, page, "exec"), module.__dict__)


@pytest.mark.parametrize("page", PAGES)
def test_the_other_blocks_are_valid(page):
    for block in blocks(page):
        if block.language == "python":
            compile(block.text, page, "exec")
        if block.language == "toml":
            tomllib.loads(block.text)
        if block.language == "yaml" and "darken" not in block.text:  # which is registered in a test of its own
            assert parse_recipe(yaml.safe_load(block.text)).name


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_to_a_file_and_a_heading(page):
    for target in links(page):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        file = ((ROOT / page).parent / path).resolve() if path else ROOT / page
        assert file.is_file(), f"{page}: {target}"
        assert not anchor or anchor in anchors(str(file.relative_to(ROOT))), f"{page}: {target}"


@pytest.mark.parametrize("page", [*PAGES, *(f"cards/{p.name}" for p in sorted((ROOT / "cards").glob("*.md")))])
def test_every_module_and_file_that_is_named_is_there(page):
    text = read(page)
    for name in set(re.findall(r"\banomgen(?:\.[A-Za-z_]\w*)+", text)):
        if not re.fullmatch(r"anomgen\.(sources|exporters|generators|detectors)|anomgen\.yaml", name):
            resolve(name)
    for file in re.findall(r"\b(?:python )?((?:benchmarks|tools|tests|anomgen)/[\w/]+\.(?:py|json))", text):
        assert (ROOT / file).is_file() or "NAME" in file, f"{page}: {file}"


def resolve(name):
    """Import a dotted name, a module or what a module holds."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError as error:
            if error.name and not name.startswith(error.name) and not error.name.startswith("anomgen"):
                return  # a library of an extra that is not installed
            continue
        for part in parts[length:]:
            found = getattr(found, part)
        return
    raise AssertionError(name)


# --- nothing is stale -----------------------------------------------------------------------------------------------


def test_the_generated_pages_are_what_the_program_says():
    import make_docs

    pages = make_docs.pages()
    for path, text in pages.items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name}: run `make docs`"
    named = {str(path.relative_to(ROOT)) for path in pages}
    assert named == {page for page in PAGES if GENERATED.match(page)}, "a page whose generator is gone"


def test_every_page_is_in_the_navigation():
    text = read("mkdocs.yml").split("\nnav:")[1]
    written = [page.removeprefix("docs/") for page in PAGES if page[:5] == "docs/"]
    notebooks = [str(path.relative_to(ROOT / "docs").with_suffix(".md")) for path in (ROOT / "docs").rglob("*.ipynb")]
    assert sorted(re.findall(r"[\w/-]+\.md", text)) == sorted([*written, *notebooks])


def test_every_picture_is_shown_and_light():
    shown = {Path(target).name for page in PAGES for target in links(page) if target.endswith(".png")}
    for picture in (ROOT / "docs" / "images").rglob("*.png"):
        assert picture.name in shown, picture
        assert picture.stat().st_size < 400 * 1024, picture


def test_every_public_name_is_in_the_reference():
    import anomgen

    page = read("docs/reference/python.md")
    homes = {"score": "score.run.score", "studio": "studio.serve.studio"}  # packages of these names would be shown
    names = [homes.get(name, name) for name in anomgen.__all__ if name != "__version__"]
    missing = [name for name in names if f"::: anomgen.{name}\n" not in page]
    assert not missing


def test_every_function_says_in_the_reference_what_it_returns():
    """Law: the class that a function's annotation names stands in its line of the table, and has its own entry."""
    import anomgen

    page, homes = read("docs/reference/python.md"), {"score": "score.run", "studio": "studio.serve"}
    plain = {"Path", "Any", "None"}
    told = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", page, re.M))
    for name in anomgen.__all__:
        module = homes.get(name)
        found = getattr(anomgen if module is None else importlib.import_module(f"anomgen.{module}"), name)
        if not inspect.isfunction(found) or name.startswith(("build_", "composite", "rng_for")):
            continue
        for word in set(re.findall(r"\b[A-Z]\w+", str(inspect.signature(found).return_annotation))) - plain:
            assert f"`{word}`" in told[name], (name, word)
            assert re.search(rf"^::: anomgen\.[\w.]*\b{word}$", page, re.M), word


def test_every_column_is_in_the_reference_with_its_type(prepared):
    pytest.importorskip("datasets", reason="features are of the extra `hub`")
    from datasets import load_dataset

    features = load_dataset(str(prepared / "out"), split="train", cache_dir=str(prepared / "cache")).features
    told = {}
    for names, kind in re.findall(r"^\| (`.*?`) \| (\w+)", read("docs/reference/dataset.md"), re.M):
        told |= dict.fromkeys(re.findall(r"`(\w+)`", names), kind)
    assert told.pop("normal") == "Image"  # only where it is asked for
    kinds = {name: getattr(feature, "dtype", None) or type(feature).__name__ for name, feature in features.items()}
    for name, feature in features.items():
        assert told[name] in (type(feature).__name__, kinds[name], kinds[name].lower().removesuffix("64")), name
    assert told.keys() == features.keys()


def test_every_bundled_thing_is_in_its_table():
    from anomgen.registry import BUNDLED

    def table(page):
        firsts = re.findall(r"^\| (\[?`\w[^|]*)", read(page), re.M)
        return {name for cell in firsts for name in re.findall(r"`(\w[\w-]*)`", cell)}

    assert table("docs/reference/generators/index.md") == set(bundled_recipes())
    assert table("docs/reference/detectors.md") == set(BUNDLED["detectors"])
    assert table("docs/how-to/export.md") == set(BUNDLED["exporters"])
    assert table("docs/how-to/install.md") == set(PROJECT["project"]["optional-dependencies"])


def test_no_path_or_host_of_a_machine_is_in_the_docs():
    for page in PAGES:
        assert not re.search(r"/(home|root|tmp|work)/", read(page)), page


def test_the_urls_of_the_project_are_the_papers_of_the_generators_and_stand_in_the_docs():
    urls = set(PROJECT["project"]["urls"].values())
    papers = "".join(load("generators", name).paper for name in BUNDLED["generators"])
    assert urls == set(re.findall(r"https://arxiv\.org/abs/\d+\.\d+", papers)) and len(urls) == 7
    pages = "".join(map(read, PAGES))
    assert not [url for url in urls if f"]({url})" not in pages]


def test_the_package_is_installed_from_a_checkout():
    """It is on no index: neither a page nor an error may say that pip finds it by its name."""
    wrong = re.compile(r"pip install (-\S+ )*[\"']?anomgen\b")
    code = [path for folder in ("anomgen", "benchmarks", "cards", "recipes") for path in (ROOT / folder).rglob("*.*")]
    for path in [ROOT / page for page in PAGES] + [path for path in code if path.suffix in (".py", ".md", ".html")]:
        assert not wrong.search(path.read_text(encoding="utf-8")), path


def test_the_params_rectangles_are_told_apart_from_the_column_boxes():
    """The column is [x, y, w, h], as readers of boxes expect; a generator's record is [row, column, height, width]."""
    import cv2
    import numpy as np

    from anomgen import load_recipe

    for page in ("docs/reference/dataset.md", "cards/dataset.md"):
        line = next(line for line in read(page).splitlines() if "`params`" in line)
        assert "[row, column, height, width]" in line
    row = load_recipe("fpi", overrides=["anomaly_ratio=1", "foreground=none"]).sample(0)
    top, left, height, width = row.params["box"]
    assert (left, top, width, height) == cv2.boundingRect(row.mask.astype(np.uint8))


# --- the site, the wheel --------------------------------------------------------------------------------------------


def test_the_site_builds_strictly_and_needs_no_network(tmp_path):
    pytest.importorskip("material", reason="the site needs the extra `docs`")
    pytest.importorskip("mkdocstrings", reason="the site needs the extra `docs`")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    for page in (tmp_path / "site").rglob("*.html"):
        loaded = re.findall(r"<(?:script|img|link|iframe)\b[^>]*?(?:src|href)=\"?(https?:[^\" >]+)", page.read_text())
        assert not loaded, (page, loaded)


def test_all_data_files_are_in_the_wheel():
    wheel = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel["packages"] == ["anomgen"]  # and all that is below it
    assert wheel["force-include"] == {"recipes": "anomgen/recipes", "cards": "anomgen/templates"}
    assert all((ROOT / folder).is_dir() for folder in wheel["force-include"])


def test_a_wheel_that_is_built_holds_recipes_and_templates(tmp_path):
    pytest.importorskip("hatchling", reason="building without isolation needs hatchling")
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        ".",
        "--no-deps",
        "--no-build-isolation",
        "-q",
        "-w",
        str(tmp_path),
    ]
    subprocess.run(command, cwd=ROOT, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    held = set(zipfile.ZipFile(wheel).namelist())
    wanted = {f"anomgen/recipes/{path.name}" for path in (ROOT / "recipes").glob("*.yaml")}
    wanted |= {f"anomgen/templates/{path.name}" for path in (ROOT / "cards").glob("*.md")}
    wanted |= {f"anomgen/score/report/report.{end}" for end in ("html", "md")}
    assert wanted <= held
