"""The tutorial notebook runs from top to bottom, and shows what is stored in it."""

import json
import re
import sys

import pytest
from docs_pages import ROOT

sys.path.insert(0, str(ROOT / "tools"))
import tutorial_notebook as notebook

STORED = json.loads(notebook.NOTEBOOK.read_text(encoding="utf-8"))
PICTURES = re.compile(r"base64,[^\"]+")


@pytest.fixture(scope="module")
def run():
    """The notebook, run now."""
    return notebook.run(STORED)


def told(cell):
    """What a cell shows, without the bytes of pictures: libraries' versions decide some of them."""
    texts = []
    for output in cell.get("outputs", ()):
        data = output.get("data", {"text": output.get("text")})
        texts += [(form, PICTURES.sub("", "".join(text)) * (form != "image/png")) for form, text in data.items()]
    return texts


def test_each_cell_shows_what_is_stored(run):
    assert [told(cell) for cell in run["cells"]] == [told(cell) for cell in STORED["cells"]]
    assert sum(bool(told(cell)) for cell in STORED["cells"]) >= 7


def test_what_should_be_pictures_are(run):
    """Law: a recipe that could not be drawn would say why instead; none does."""
    shown = [
        text for cell in run["cells"] for output in cell.get("outputs", ()) for text in output.get("data", {}).items()
    ]
    html = ["".join(text) for form, text in shown if form == "text/html"]
    assert len(html) == 3 and all("<img " in text for text in html)
    assert [form for form, _ in shown].count("image/png") == 1


def test_it_is_a_notebook_of_format_4_5_and_light():
    assert (STORED["nbformat"], STORED["nbformat_minor"]) == (4, 5)
    names = [cell["id"] for cell in STORED["cells"]]
    assert len(set(names)) == len(names) and all(re.fullmatch(r"[\w-]{1,64}", name) for name in names)
    for cell in STORED["cells"]:
        keys = {"cell_type", "id", "metadata", "source"}
        assert set(cell) == keys | ({"execution_count", "outputs"} if cell["cell_type"] == "code" else set())
    assert notebook.NOTEBOOK.stat().st_size < 500 * 1024


def test_an_error_in_a_cell_is_an_error():
    cell = {"cell_type": "code", "id": "a", "metadata": {}, "source": ["1 / 0"], "outputs": [], "execution_count": None}
    with pytest.raises(ZeroDivisionError):
        notebook.run({"cells": [cell]})


def test_the_page_holds_text_code_and_pictures():
    page = notebook.page_of(STORED)
    assert page.startswith("# A first dataset, in a notebook\n")
    assert page.count("```python\n") == sum(cell["cell_type"] == "code" for cell in STORED["cells"])
    assert page.count("<img ") == 4
