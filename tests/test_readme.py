"""The README's own promises: its commands as written, its length, the picture; and the plug-ins that the docs show."""

import os
import re
import subprocess
import sys
import types

import pytest
import yaml
from docs_pages import blocks, marked, read
from real_data import tiny_data
from small import run

from anomgen.making.recipe import parse_recipe

PLUG_INS = "docs/how-to/plug-ins.md"


def environment():
    """Return an environment in which `python -m anomgen` is this checkout, without a network."""
    return {**os.environ, "HF_HUB_OFFLINE": "1"}


def python(*words, cwd):
    subprocess.run([sys.executable, *words], cwd=cwd, env=environment(), check=True)


def test_the_first_screen():
    lines = read("README.md").splitlines()
    assert len(lines) <= 150
    assert any(line.startswith("![") for line in lines[:5])


def test_the_command_for_ci_is_in_the_readme():
    assert re.search(r'^pip install "\.\[all,test\]" && pytest$', read("README.md"), re.M)


def test_the_start_works_as_written(photos, tmp_path):
    pytest.importorskip("datasets", reason="the README's start loads the dataset with the extra `hub`")
    for block in marked("README.md", "start"):
        if block.language == "python":
            python("-c", block.text, cwd=tmp_path)
        for words in block.commands if block.language == "bash" else ():
            run(*[word.replace("1000", "40") for word in words[1:]], cwd=tmp_path)
    assert (tmp_path / "object.png").exists() and (tmp_path / "look.png").exists()


def test_the_python_example_works_as_written(photos, tmp_path):
    (block,) = marked("README.md", "python")
    (tmp_path / "example.py").write_text(block.text)
    python("example.py", cwd=tmp_path)
    assert (tmp_path / "made-in-python" / "provenance.json").exists()


def test_the_first_look_works_as_written(tmp_path, monkeypatch, capsys):
    pytest.importorskip("timm", reason="scoring is an extra")
    from scoring import in_this_process

    tiny_data(tmp_path / "hazelnut", train=16)
    (words,) = [words for block in blocks("README.md") for words in block.commands if "score" in words]
    with in_this_process():
        run(*words[1:], "--size", "32", "--steps", "2", cwd=tmp_path)
    assert (tmp_path / "look" / "report.html").exists()
    monkeypatch.chdir(tmp_path)
    (block,) = marked("docs/reference/scores.md", "board")
    exec(compile(block.text, "scores.md", "exec"), {})
    assert "perlin" in capsys.readouterr().out


def test_every_group_of_plug_ins_has_its_entry_points():
    import tomllib

    from anomgen.registry import BUNDLED

    (table,) = [block for block in blocks(PLUG_INS) if block.language == "toml"]
    assert set(tomllib.loads(table.text)["project"]["entry-points"]) == {f"anomgen.{group}" for group in BUNDLED}


@pytest.mark.parametrize(
    ("name", "group"), [("Darken", "generators"), ("Flat", "sources"), ("Lines", "exporters"), ("Colours", "detectors")]
)
def test_the_plug_ins_pass_their_checks(name, group, monkeypatch):
    """The examples as written, registered under their own kind, pass the published checks."""
    from anomgen import registry, testing

    if group == "detectors":
        pytest.importorskip("torch", reason="the check of detectors needs the extra `score`")
    (code,) = [b.text for b in blocks(PLUG_INS) if b.language == "python" and f"class {name}(" in b.text]
    module = types.ModuleType("contributed")
    monkeypatch.setitem(sys.modules, "contributed", module)
    exec(compile(code, "contributed", "exec"), module.__dict__)
    plugin = getattr(module, name)
    plugin.__module__ = "contributed"
    monkeypatch.setitem(registry.BUNDLED[group], plugin.kind, f"contributed:{name}")
    getattr(testing, f"check_{group[:-1]}")(plugin())
    if group == "generators":
        (recipe,) = [b.text for b in blocks(PLUG_INS) if b.language == "yaml"]
        assert isinstance(parse_recipe(yaml.safe_load(recipe)).generator, plugin)
