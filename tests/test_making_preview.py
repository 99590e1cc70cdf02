"""`preview`: a sheet of a dataset, of a recipe, of the foreground, and what it refuses."""

import re
import shutil
from base64 import b64encode
from hashlib import sha256

import cv2
import numpy as np
import pytest
from small import run

from anomgen.errors import AnomgenNote, UsageError
from anomgen.making import catalogue
from anomgen.making.engine import Plan
from anomgen.making.make import make
from anomgen.making.preview import picture_recipes, preview
from anomgen.making.recipe import load_recipe
from anomgen.tuning.tune import tune

SMALL = ("source.size=48", "source.count=5")


@pytest.fixture
def made(photos, tmp_path):
    """A dataset of photos whose rows are all anomalous."""
    chosen = load_recipe("nsa", source=photos, size=48, count=6, overrides=["anomaly_ratio=1.0", "foreground=otsu"])
    return make(chosen, tmp_path / "made").path


TITLE = 32
"""Rows of pixels on top of a sheet, which name the dataset or the recipe."""


def pixels(result):
    return cv2.imread(str(result.path))[TITLE:]


def test_the_sheet_of_a_recipe_shows_the_first_anomalous_rows_that_make_writes(made, photos, tmp_path):
    """Law: before and after making, the same rows give the same sheet."""
    overrides = ("anomaly_ratio=1.0", "foreground=otsu")
    before = preview(recipe="nsa", source=photos, size=48, overrides=overrides, rows=6, out=tmp_path / "before.png")
    after = preview(made, rows=6, out=tmp_path / "after.png")
    assert np.array_equal(pixels(before), pixels(after))
    plan = Plan.of(load_recipe("nsa", source=photos, size=48, overrides=overrides))
    notes = ["12 of 12 images scaled, from 96×96 to 48×48 pixels (height × width)"]
    assert before.resolved == {**plan.resolved, "notes": notes}
    assert after.resolved == {}


def test_the_foreground_of_a_dataset_is_that_of_its_recipe(made, photos, tmp_path):
    given = {"foreground": True, "rows": 3}
    of_dataset = preview(made, **given, out=tmp_path / "a.png")
    of_recipe = preview(
        recipe="nsa", source=photos, size=48, overrides=["foreground=otsu"], **given, out=tmp_path / "b.png"
    )
    assert np.array_equal(pixels(of_dataset), pixels(of_recipe))
    assert of_dataset.resolved["foreground"]["method"] == "otsu"
    other = preview(made, overrides=["foreground=none"], **given, out=tmp_path / "c.png")
    assert other.resolved["foreground"]["method"] == "none"


def test_a_dataset_s_images_that_have_moved_are_found_where_the_source_says(made, photos, tmp_path):
    whole = pixels(preview(made, rows=6, views=True, out=tmp_path / "whole.png"))
    shutil.move(photos, tmp_path / "moved")
    without = pixels(preview(made, rows=6, views=True, out=tmp_path / "without.png"))
    again = pixels(preview(made, source=tmp_path / "moved", rows=6, views=True, out=tmp_path / "again.png"))
    assert np.array_equal(again, whole) and not np.array_equal(without, whole)
    with pytest.raises(UsageError, match="not the"):
        (tmp_path / "moved" / "a" / "001.png").unlink()
        preview(made, source=tmp_path / "moved", out=tmp_path / "x.png")


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"out": "sheet.tif"}, "ends in .png, .jpg, .jpeg, .webp or .html"),
        ({"out": "sheet.html", "foreground": True}, "ends in .png, .jpg, .jpeg, .webp$"),
        ({"cols": 0}, "has 1 to 64 a line"),
        ({"cols": 2, "foreground": True}, "a grid of samples"),
        ({"recipes": "nsa,perlin"}, "a DATASET, or --recipe"),
        ({"rows": 0}, "holds 1 to 64 samples"),
        ({"rows": 65}, "holds 1 to 64 samples"),
        ({"recipe": "nsa"}, "a DATASET, or --recipe"),
        ({"size": 64}, "a DATASET, or --recipe"),
        ({"seed": 0}, "a DATASET, or --recipe"),
        ({"overrides": ["seed=1"]}, "a DATASET, or --recipe"),
        ({"source": {"kind": "builtin"}}, "not a mapping"),
    ],
)
def test_what_is_refused_writes_nothing(tmp_path, monkeypatch, options, text):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=text):
        preview(tmp_path / "made", **options)
    assert not any(tmp_path.iterdir())


def test_a_recipe_of_few_or_of_normal_rows_shows_those(photos, tmp_path):
    for ratio, count in ((0.25, 2), (0.0, 8)):
        changes = {"anomaly_ratio": ratio, "count": 8}
        result = preview(recipe="cutpaste", source=photos, size=48, overrides=changes, out=tmp_path / "g.html")
        assert result.path.read_text(encoding="utf-8").count("<figure") == count


def test_views_are_a_line_a_sample(made, tmp_path):
    height, width = (pixels(preview(made, rows=2, views=True, out=tmp_path / "views.png")).shape[k] for k in (0, 1))
    assert width > 4 * 240 and height > 2 * 240
    with pytest.raises(UsageError, match="leave out --cols"):
        preview(made, views=True, cols=2, out=tmp_path / "no.png")


def test_a_dataset_behind_a_url_is_drawn_as_in_its_folder(made, tmp_path):
    """`--source` is not needed for a sheet of rows, wherever they lie."""
    pytest.importorskip("upath")
    sheets = []
    for k, where in enumerate((str(made), made.as_uri(), f"local://{made}")):
        run("preview", where, "-o", str(tmp_path / f"{k}.png"))
        sheets.append(cv2.imread(str(tmp_path / f"{k}.png"))[TITLE:])
    assert np.array_equal(sheets[0], sheets[1]) and np.array_equal(sheets[0], sheets[2])


def test_several_recipes_stand_side_by_side_on_the_same_images(photos, tmp_path):
    """Law: line k has the k-th anomalous row that `make` writes of each recipe."""
    options = {"source": photos, "size": 64, "rows": 2, "out": tmp_path / "grid.png"}
    result = preview(recipes="cutpaste, fpi", **options)
    assert list(result.resolved) == ["cutpaste", "fpi"]
    sheet = cv2.imread(str(result.path))[..., ::-1]
    for name, left in (("cutpaste", 0), ("fpi", 1)):
        recipe = load_recipe(name, source=photos, size=64)
        for line in range(2):
            row = recipe.sample(2 * line)
            assert row.label and not recipe.sample(2 * line + 1).label
            plain = np.repeat(np.repeat(row.image, 4, axis=0), 4, axis=1)
            step = 2 * 8 + 256 + 4 + 256
            y, x = 16 + 34 + 26 + line * (256 + 34), 16 + left * step
            cell = sheet[y : y + 256, x : x + 256]
            line_ = (cell == (255, 0, 160)).all(axis=2)
            assert line_.any() and np.array_equal(cell[~line_], plain[~line_])
            inside = np.repeat(np.repeat(row.mask, 4, axis=0), 4, axis=1)
            assert inside[line_].all()
    with pytest.raises(UsageError, match="not both"):
        preview(recipe="nsa", recipes="fpi", **options)
    with pytest.raises(UsageError, match="one recipe"):
        preview(recipes="nsa,fpi", foreground=True, **options)


def test_a_picture_is_what_its_name_says(photos, tmp_path):
    for name, start in (("a.jpg", b"\xff\xd8"), ("a.jpeg", b"\xff\xd8"), ("a.webp", b"RIFF"), ("a.png", b"\x89PNG")):
        result = preview(recipe="cutpaste", source=photos, size=48, rows=3, cols=2, out=tmp_path / name)
        assert result.path.read_bytes().startswith(start)
    assert cv2.imread(str(tmp_path / "a.webp")).shape == cv2.imread(str(tmp_path / "a.png")).shape


def test_a_gallery_is_one_file_that_asks_nothing_of_anybody(made, tmp_path):
    page = preview(made, rows=4, out=tmp_path / "gallery.html").path.read_text(encoding="utf-8")
    assert page.count("<figure>") == 4 and page.count('class="difference"') == 4
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    allowed = b64encode(sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{allowed}'" in page and "http" not in page.replace("http-equiv", "")
    assert re.search(r"<h1>nsa on [\w-]+ · 6 rows</h1>", page)
    assert page.count("source_id:") == page.count("params:") == 4
    assert all(source.startswith("data:image/webp;base64,") for source in re.findall(r'src="([^"]*)"', page))


def test_names_in_a_gallery_are_texts(photos, tmp_path):
    next(photos.rglob("*.png")).rename(photos / "<img src=x>\u202e.png")
    out = preview(recipe="cutpaste", source=photos, size=48, rows=24, out=tmp_path / "g.html").path
    page = out.read_text(encoding="utf-8")
    assert "&lt;img src=x&gt;" in page and "<img src=x>" not in page
    assert "\\u202e.png" in page and "\u202e" not in page  # which would turn the text after it


def test_pictures_of_recipes_are_a_page_that_names_each_and_tells_what_is_left_out(tmp_path):
    out = tmp_path / "recipes.html"
    about = {name: f"what {name} is" for name in ("perlin", "transplant", "cutpaste", "chipped-edge")}
    assert picture_recipes(out, about) == ["transplant"]
    page = out.read_text(encoding="utf-8")
    assert "perlin · what perlin is" in page and "chipped-edge · what" in page and "transplant" not in page
    with pytest.raises(UsageError, match="give a name that ends in"):
        picture_recipes(tmp_path / "recipes.txt", about)


def test_pictures_of_recipes_have_a_usual_place_and_spare_what_is_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(catalogue, "bundled_recipes", lambda: ["cutpaste"])
    for _ in range(2):  # the second takes the place of the first
        with pytest.warns(AnomgenNote, match="anomgen-recipes.png"):
            catalogue.ls("recipes", pictures=True)
    cv2.imwrite("anomgen-recipes.png", np.zeros((9, 9, 3), np.uint8))
    with pytest.raises(UsageError, match="is there already"):
        catalogue.ls("recipes", pictures=True)
    with pytest.raises(UsageError, match="-o is the file of --pictures"):
        catalogue.ls("recipes", out="recipes.png")


def test_a_picture_never_lands_among_the_normal_images(photos, made, tmp_path, monkeypatch):
    """Law: neither where it is asked for nor by default; the next run would take it for a normal image."""
    before = sorted(photos.rglob("*"))
    monkeypatch.chdir(photos)
    for options in (
        {"recipe": "nsa", "source": "."},
        {"recipes": "nsa,fpi", "source": str(photos), "out": "sub/look.jpg"},
        {"source": photos, "foreground": True},
        {"dataset": made},
        {"dataset": made, "foreground": True},
        {"dataset": made, "source": "."},
    ):
        with pytest.raises(UsageError, match=r"lies inside the source .*choose another folder with -o"):
            preview(**options)
    with pytest.raises(UsageError, match="lies inside the source"):
        tune(".", out="tuned.yaml")
    assert sorted(photos.rglob("*")) == before


def test_real_defects_are_no_place_for_what_tune_writes(photos, tmp_path):
    (tmp_path / "defects").mkdir()
    with pytest.raises(UsageError, match="lies inside the source"):
        tune(photos, defects=tmp_path / "defects", out=tmp_path / "defects" / "tuned.yaml")


@pytest.mark.parametrize("ending", [".png", ".jpg", ".jpeg", ".webp", ".html"])
def test_a_file_is_replaced_where_a_preview_wrote_it_and_no_other(tmp_path, ending):
    own, photo = tmp_path / f"look{ending}", tmp_path / f"photo{ending}"
    draw = {"recipe": "cutpaste", "overrides": SMALL, "rows": 1}
    preview(**draw, out=own)
    before = own.read_bytes()
    preview(**draw, out=own)
    assert own.read_bytes() == before
    if ending == ".html":
        photo.write_text("<html><meta name=generator content=me>")
    else:
        cv2.imwrite(str(photo), np.zeros((9, 9, 3), np.uint8))
    (tmp_path / f"broken{ending}").write_bytes(b"mine")
    (tmp_path / f"folder{ending}").mkdir()
    for file in (photo, tmp_path / f"broken{ending}", tmp_path / f"folder{ending}"):
        kept = file.read_bytes() if file.is_file() else None
        for refused in (lambda out: preview(**draw, out=out), lambda out: picture_recipes(out, {"nsa": "x"})):
            with pytest.raises(UsageError, match=r"is there already, and nothing says .*; choose another name, or rem"):
                refused(file)
        assert kept is None or file.read_bytes() == kept


def test_a_sheet_of_the_usual_name_is_replaced(tmp_path, monkeypatch):
    """As those are that earlier versions wrote, which nothing else tells from a photograph."""
    monkeypatch.chdir(tmp_path)
    cv2.imwrite("anomgen-preview.png", np.zeros((9, 9, 3), np.uint8))
    result = preview(recipe="cutpaste", overrides=SMALL, rows=1)
    assert cv2.imread(str(result.path)).shape[1] > 9


@pytest.mark.parametrize(
    ("recipes", "why"),
    [("nsa,,perlin", "is empty"), ("", "is empty"), ("nsa, perlin,nsa", "twice"), (["nsa", "nsa"], "twice")],
)
def test_a_list_of_recipes_names_each_once(tmp_path, recipes, why):
    with pytest.raises(UsageError, match=why):
        preview(recipes=recipes, out=tmp_path / "look.png")
