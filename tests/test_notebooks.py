"""In a notebook a row, a recipe, a dataset and a score show themselves; `show` opens the same picture."""

import base64
import re

import cv2
import numpy as np
import pytest
from PIL import Image

from anomgen.dataset.pictures import OUTLINE
from anomgen.dataset.png import decode_png
from anomgen.dataset.reader import Dataset
from anomgen.dataset.row import GAP, SIDE
from anomgen.errors import UsageError
from anomgen.making.make import make
from anomgen.making.recipe import load_recipe


@pytest.fixture
def recipe(photos):
    return load_recipe("perlin", source=photos, size=48, count=8, overrides=["foreground=none"])


def pictures_in(html):
    found = (base64.b64decode(data) for data in re.findall(r"base64,([^\"]+)", html))
    return [cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1] for data in found]


def alike(picture, other):
    """Return whether a picture is another but for the losses of its file."""
    return picture.shape == other.shape and np.abs(picture.astype(int) - other).mean() < 4


def test_a_row_shows_its_image_with_an_outline_beside_its_mask(recipe):
    row = next(row for index in range(8) if (row := recipe.sample(index)).label)
    picture = decode_png(row._repr_png_())
    height, width = row.mask.shape
    assert picture.shape == (height, 2 * width + GAP, 3)
    assert np.array_equal(picture[:, width + GAP :, 0] > 0, row.mask)
    changed = (picture[:, :width] != row.image).any(axis=2)
    assert (picture[:, :width][changed] == OUTLINE).all()
    deep = cv2.erode(np.pad(row.mask, 1).view(np.uint8), np.ones((5, 5), np.uint8))[1:-1, 1:-1] > 0
    near = cv2.dilate(row.mask.view(np.uint8), np.ones((3, 3), np.uint8)) > 0
    assert changed.any() and not (changed & deep).any() and not (changed & ~near).any()


def test_a_large_row_is_small_in_a_notebook(photos):
    large = load_recipe("perlin", source=photos, size=SIDE, count=1, overrides=["foreground=none"]).sample(0)
    assert max(decode_png(large._repr_png_()).shape) == SIDE < max(large.picture().shape)


def test_a_recipe_shows_the_anomalous_rows_that_it_makes(recipe):
    html = recipe._repr_html_()
    assert html.startswith("<p><strong>perlin</strong>: perlin, 8 rows, 50% anomalous, seed 0</p>")
    (picture,) = pictures_in(html)
    assert alike(picture, recipe.picture())
    other = recipe.model_copy(update={"seed": 1})
    assert not alike(other.picture(), picture)


def test_a_recipe_of_normal_rows_shows_those(recipe):
    assert recipe.model_copy(update={"anomaly_ratio": 0.0}).picture().shape[2] == 3


def test_a_recipe_that_cannot_be_drawn_says_why(tmp_path):
    (tmp_path / "<b>").mkdir()
    Image.new("RGB", (48, 48)).save(tmp_path / "<b>" / "a.png")
    recipe = load_recipe("perlin", source=tmp_path / "<b>")
    (tmp_path / "<b>" / "a.png").unlink()
    html = recipe._repr_html_()
    assert "no image" in html and "&lt;b&gt;" in html and "<b>" not in html and "<img" not in html


def test_a_dataset_shows_its_counts_and_its_preview(recipe, tmp_path):
    path = make(recipe, tmp_path / "made").path
    dataset = Dataset(path)
    html = dataset._repr_html_()
    assert html.startswith("<p><strong>perlin</strong>: 8 rows (4 normal, 4 perlin)</p>")
    (picture,) = pictures_in(html)
    assert alike(picture, cv2.imread(str(path / "preview.png"))[..., ::-1]) and len(html) < 300_000


def test_a_stored_row_shows_what_the_drawn_one_does(recipe, tmp_path):
    row = Dataset(make(recipe, tmp_path / "made").path).row(0)
    assert row._repr_png_() == recipe.sample(0)._repr_png_() and row["label"] == 1
    assert Dataset(tmp_path / "made").row(0, ["label"])._repr_png_() is None


@pytest.mark.parametrize("content", [None, b"<script>"])
def test_a_dataset_without_a_preview_shows_its_counts_alone(recipe, tmp_path, content):
    dataset = Dataset(make(recipe, tmp_path / "made").path)
    (dataset.path / "preview.png").unlink()
    if content is not None:
        (dataset.path / "preview.png").write_bytes(content)
    assert dataset._repr_html_() == "<p><strong>perlin</strong>: 8 rows (4 normal, 4 perlin)</p>"
    with pytest.raises(UsageError, match=r"preview\.png: no picture.*anomgen preview"):
        dataset.show()


def test_show_opens_the_picture(recipe, monkeypatch):
    opened = []
    monkeypatch.setattr("PIL.Image.Image.show", lambda image: opened.append(np.asarray(image)))
    row = recipe.sample(0)
    row.show()
    recipe.show()
    assert np.array_equal(opened[0], row.picture()) and np.array_equal(opened[1], recipe.picture())


@pytest.fixture
def outcome(tmp_path):
    pytest.importorskip("torch", reason="score is an extra")
    from anomgen.score.harness import Outcome, Summary
    from anomgen.score.report.board import Line

    common = dict.fromkeys(("sd", "rank", "low", "high", "mean"), None)
    counts = {"seeds": 1, "columns": 1, "idle": 0, "incomplete": False, "undefined": 0, "against": {}}
    best = {"rank": 1, "mean": 0.4, "low": 0.35, "high": 0.45}
    board = [
        Line(**{**common, **counts, "failed": 0, "entry": "<nsa>", **best}),
        Line(**{**common, **counts, "failed": 1, "entry": "fpi"}),
    ]
    numbers = dict.fromkeys(("cells", "done", "failed", "missing", "left_out", "kept"), 0)
    summary = Summary(**numbers, seconds=1.0, board=board, files=["report.html"])
    return Outcome(None, summary, ["Use <nsa>."], tmp_path / "report.html")


def test_a_score_says_what_to_use_above_its_board(outcome):
    html = outcome._repr_html_()
    assert html.startswith("<p><strong>Use &lt;nsa&gt;.</strong></p><table>")
    words = [re.sub(r"<[^>]+>", " ", row).split() for row in html.split("<tr>")[2:]]
    assert words[0] == ["1", "&lt;nsa&gt;", "0.400", "[0.350,", "0.450]"] and words[1][:2] == ["fpi", "failed"]
    assert re.findall(r"width:(\d+)px", html) == ["48", "0"]  # of 120
    assert str(outcome.report) in html


def test_show_of_a_score_opens_the_report(outcome, monkeypatch):
    opened = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    with pytest.raises(UsageError, match=r"report\.html: no such file"):
        outcome.show()
    outcome.report.write_text("<p>")
    outcome.show()
    assert opened == [outcome.report.as_uri()]
