"""The README and the docs say what the program does."""

import os
import re
import shlex
import subprocess
import sys
import textwrap
import tomllib
import types
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from anomgen.making.recipe import bundled_recipes, parse_recipe

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(name):
    """Return the code blocks, (language, text), between the markers `test: name` and `test: end`."""
    part = README.split(f"<!-- test: {name} -->")[1].split("<!-- test: end -->")[0]
    return re.findall(r"```(\w+)\n(.*?)```", part, re.S)


def environment():
    """Return an environment in which `anomgen` is this Python's command."""
    return {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "HF_HUB_OFFLINE": "1"}


def test_the_start_works_as_written(photos, tmp_path):
    pytest.importorskip("datasets", reason="the README's start loads the dataset with the extra `hub`")
    for language, text in blocks("start"):
        if language == "bash":
            text = re.sub(
                r"^anomgen ", f"{sys.executable} -m anomgen.cli ", text.replace("-n 1000", "-n 40"), flags=re.M
            )
        command = ["bash", "-euc", text] if language == "bash" else [sys.executable, "-c", text]
        subprocess.run(command, cwd=tmp_path, env=environment(), check=True)
    assert (tmp_path / "object.png").exists() and (tmp_path / "look.png").exists()


def test_the_python_example_works_as_written(photos, tmp_path):
    ((_, text),) = blocks("python")
    (tmp_path / "example.py").write_text(text)
    subprocess.run([sys.executable, "example.py"], cwd=tmp_path, env=environment(), check=True)
    assert (tmp_path / "made-in-python" / "provenance.json").exists()


def test_the_export_works_as_written(tmp_path):
    from anomgen.exporters.conformance import made_dataset

    made_dataset(tmp_path / "out")
    ((_, text),) = blocks("export")
    text = re.sub(r"^anomgen ", f"{sys.executable} -m anomgen.cli ", text, flags=re.M)
    subprocess.run(["bash", "-euc", text], cwd=tmp_path, env=environment(), check=True)
    assert (tmp_path / "out-mvtec" / "photos" / "train" / "good").is_dir()


def test_every_bundled_exporter_is_in_the_table():
    from anomgen.registry import BUNDLED

    table = README.split("## Into other tools")[1].split("## ")[0]
    assert set(re.findall(r"^\| `(\w+)`", table, re.M)) == set(BUNDLED["exporters"])


def test_the_online_example_works_as_written(photos, tmp_path, monkeypatch):
    pytest.importorskip("torch", reason="the README's online example is for torch")
    ((_, text),) = blocks("online")
    monkeypatch.chdir(tmp_path)
    exec(compile(text, "README", "exec"), {})


def scoring(page):
    """Return the words of each `anomgen score` command in the code blocks of a page."""
    text = "\n".join(re.findall(r"```bash\n(.*?)```", page, re.S)).replace("\\\n", " ")
    return [shlex.split(line, comments=True)[1:] for line in re.findall(r"^anomgen score .*$", text, re.M)]


def scored(tmp_path, monkeypatch):
    """Make what the examples of `anomgen score` name: two data sets, a finished dataset, recipes in a file."""
    from real_data import tiny_data

    from anomgen.exporters.conformance import made_dataset

    for good, name in ((6, "hazelnut"), (7, "screw")):
        tiny_data(tmp_path / name, train=16, good=good)
    made_dataset(tmp_path / "out")
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("page", ["README.md", "docs/how-to/compare.md"])
def test_every_scoring_plans_what_it_says(page, tmp_path, monkeypatch):
    pytest.importorskip("timm", reason="scoring is an extra")
    from typer.testing import CliRunner

    from anomgen.cli.main import app

    scored(tmp_path, monkeypatch)
    commands = [words for words in scoring((ROOT / page).read_text(encoding="utf-8")) if "model=" not in str(words)]
    assert len(commands) > 5
    for words in commands:
        told = [] if "--split" in words else ["--dry-run"]
        result = CliRunner().invoke(app, [*words, "--size", "32", *told], catch_exceptions=False)
        assert result.exit_code == 0, words


def test_the_first_look_works_as_written(tmp_path, monkeypatch, capsys):
    pytest.importorskip("timm", reason="scoring is an extra")
    scored(tmp_path, monkeypatch)
    words = scoring(README)[0]
    command = [sys.executable, "-m", "anomgen", *words, "--size", "32", "--steps", "2", "--workers", "1"]
    subprocess.run(command, env=environment(), check=True)
    assert (tmp_path / "look" / "report.html").exists()
    page = (ROOT / "docs" / "how-to" / "compare.md").read_text(encoding="utf-8")
    (text,) = re.findall(r"<!-- test: board -->\n```python\n(.*?)```", page, re.S)
    exec(compile(text, "score.md", "exec"), {})
    assert "perlin" in capsys.readouterr().out


def test_every_bundled_detector_is_in_the_table():
    from anomgen.registry import BUNDLED

    table = README.split("## Which recipe helps?")[1].split("## ")[0]
    assert {*re.findall(r"^\| `(\w+)`", table, re.M), "none"} == set(BUNDLED["detectors"])


def test_every_bundled_recipe_is_in_the_table():
    table = README.split("## Generators")[1].split("## Recipes")[0]
    assert set(re.findall(r"^\| `([\w-]+)`", table, re.M)) == set(bundled_recipes())


def test_the_command_lines_page_is_what_the_program_prints():
    sys.path.insert(0, str(ROOT / "tools"))
    try:
        import make_docs
    finally:
        sys.path.pop(0)
    page = (ROOT / "docs" / "reference" / "command-line.md").read_text(encoding="utf-8")
    assert page == make_docs.help_texts(), "run `make docs`"


def test_every_option_named_in_the_readme_exists():
    page = (ROOT / "docs" / "reference" / "command-line.md").read_text(encoding="utf-8")
    for line in re.findall(r"^anomgen .*$", README, re.M):
        for option in re.findall(r"(?<= )--[a-z-]+", line.split("#")[0]):
            assert option in page, option


def test_the_command_for_ci_is_in_the_readme():
    assert re.search(r'^pip install "\.\[all,test\]" && pytest$', README, re.M)


def test_every_subpackage_is_in_the_wheel():
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel["packages"] == ["anomgen"]  # and all that is below it
    assert wheel["force-include"] == {"recipes": "anomgen/recipes", "cards": "anomgen/templates"}
    assert all((ROOT / folder).is_dir() for folder in wheel["force-include"])


def test_no_path_or_host_of_a_machine_is_in_the_docs():
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]:
        assert not re.search(r"/(home|root|tmp|work)/", page.read_text(encoding="utf-8")), page


def test_every_group_of_plug_ins_has_its_entry_points_in_contributing():
    from anomgen.registry import BUNDLED

    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    tables = tomllib.loads(textwrap.dedent(re.search(r"^( *)```toml\n(.*?)^ *```", text, re.S | re.M).group(2)))
    assert set(tables["project"]["entry-points"]) == {f"anomgen.{group}" for group in BUNDLED}


def test_the_params_rectangles_are_told_apart_from_the_column_boxes():
    """The column is [x, y, w, h], as readers of boxes expect; a generator's record is [row, column, height, width]."""
    for page in ("README.md", "cards/dataset.md"):
        line = next(line for line in (ROOT / page).read_text(encoding="utf-8").splitlines() if "`params`" in line)
        assert "[row, column, height, width]" in line
    from anomgen import load_recipe

    row = load_recipe("fpi", overrides=["anomaly_ratio=1", "foreground=none"]).sample(0)
    top, left, height, width = row.params["box"]
    assert (left, top, width, height) == cv2.boundingRect(row.mask.astype(np.uint8))


@pytest.mark.parametrize(
    ("heading", "name", "group"),
    [
        ("Add a generator", "Darken", "generators"),
        ("Add a source", "Flat", "sources"),
        ("Add an exporter", "Lines", "exporters"),
        ("Add a detector", "Colours", "detectors"),
    ],
)
def test_the_plug_ins_in_contributing_pass_their_checks(heading, name, group):
    """The examples as written, registered under their own kind, pass the published checks."""
    from anomgen import registry, testing

    if group == "detectors":
        pytest.importorskip("torch", reason="the check of detectors needs the extra `score`")
    section = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").split(f"## {heading}")[1]
    code = textwrap.dedent(re.search(r"^( *)```python\n(.*?)^ *```", section, re.S | re.M).group(2))
    module = types.ModuleType("contributed")
    sys.modules["contributed"] = module
    exec(compile(code, "contributed", "exec"), module.__dict__)
    plugin = getattr(module, name)
    plugin.__module__ = "contributed"
    registry.BUNDLED[group][plugin.kind] = f"contributed:{plugin.__name__}"
    try:
        getattr(testing, f"check_{group[:-1]}")(plugin())
        for recipe in re.findall(r"^ *```yaml\n(.*?)^ *```", section.split("\n## ")[0], re.S | re.M):
            assert isinstance(parse_recipe(yaml.safe_load(textwrap.dedent(recipe))).generator, plugin)
    finally:
        del registry.BUNDLED[group][plugin.kind]
        del sys.modules["contributed"]
