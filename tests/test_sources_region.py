"""Regions of interest: whatever draws, anomalies lie where the pictures say; pictures that cannot serve are told."""

import cv2
import numpy as np
import pytest

from anomgen.adapters.base import Drawer
from anomgen.errors import SourceError, UsageError
from anomgen.making.check import check
from anomgen.making.engine import Plan, Renderer
from anomgen.making.make import make
from anomgen.making.preview import preview
from anomgen.making.recipe import load_recipe
from anomgen.making.replay import replay


@pytest.fixture
def good(tmp_path):
    """Return a folder of six textures, 60 high and 90 wide."""
    (tmp_path / "good").mkdir()
    for number in range(6):
        values = np.random.default_rng(number).normal(120, 20, (60, 90)).clip(0, 255).astype(np.uint8)
        cv2.imwrite(str(tmp_path / "good" / f"{number}.png"), values)
    return tmp_path / "good"


def picture(path, rows=slice(None), columns=slice(None), shape=(60, 90)):
    """Draw a picture that is white there."""
    path.parent.mkdir(exist_ok=True)
    values = np.zeros(shape, np.uint8)
    values[rows, columns] = 255
    cv2.imwrite(str(path), values)
    return str(path)


@pytest.mark.parametrize("name", ["nsa", "cutpaste", "scar", "perlin", "fpi", "pii", "boxes", "defects"])
def test_anomalies_of_every_recipe_lie_inside_the_one_and_outside_the_other(name, good, tmp_path):
    roi = picture(tmp_path / "roi.png", columns=slice(0, 60))
    exclude = picture(tmp_path / "exclude.png", rows=slice(0, 25))
    changes = {"foreground.roi": roi, "foreground.exclude": exclude, "anomaly_ratio": 1.0}
    rows = list(Renderer(Plan.of(load_recipe(name, source=good, size=90, overrides=changes))).rows(range(12)))
    allowed = np.zeros((60, 90), bool)
    allowed[25:, :60] = True
    for row in rows:
        assert row.mask.any() and not (row.mask & ~allowed).any()
        assert not ((row.image != row.normal).any(axis=2) & ~row.mask).any()


def test_a_folder_has_a_picture_for_each_image_and_it_follows_the_images_size(good, tmp_path):
    for number in range(6):
        picture(tmp_path / "rois" / f"{number}.png", columns=slice(0, 45) if number % 2 else slice(45, 90))
    changes = {"foreground.roi": str(tmp_path / "rois"), "anomaly_ratio": 1.0}
    for row in Renderer(Plan.of(load_recipe("perlin", source=good, size=180, overrides=changes))).rows(range(6)):
        left = int(row.source_id[0]) % 2
        assert row.mask.any() and not row.mask[:, 90:].any() if left else not row.mask[:, :90].any()


def test_the_picture_is_a_part_of_the_records_and_none_leaves_them_as_they_were(good, tmp_path):
    roi = picture(tmp_path / "roi.png", columns=slice(0, 60))
    chosen = load_recipe("cutpaste", source=good, size=64, count=8, overrides={"foreground.roi": roi})
    out = make(chosen, tmp_path / "d").path
    assert check(out).ok and str(tmp_path) not in (out / "recipe.yaml").read_text()
    changes = [f"foreground.roi={roi}"]
    assert all(replay(out, index, overrides=changes).identical for index in range(4))
    picture(tmp_path / "roi.png", columns=slice(0, 61))
    with pytest.raises(UsageError, match=r"foreground\.roi .* --set foreground\.roi="):
        replay(out, 1, overrides=changes)
    plain = load_recipe("cutpaste", source=good, size=64)
    assert "roi" not in plain.canonical()["foreground"] and plain.foreground.resources() == {}
    assert preview(recipe=chosen, foreground=True, out=tmp_path / "look.png").path.is_file()


def test_images_from_outside_take_one_picture_and_no_folder(good, tmp_path):
    roi = picture(tmp_path / "rois" / "0.png", columns=slice(0, 60))
    options = {"source": good, "size": 90, "overrides": {"foreground.roi": roi, "anomaly_ratio": 1.0}}
    sample = Drawer("perlin", **options).draw([np.full((60, 90, 1), 120, np.uint8)], [3])[0]
    assert sample.mask.any() and not sample.mask[:, 60:].any()
    options["overrides"]["foreground.roi"] = str(tmp_path / "rois")
    for number in range(1, 6):
        picture(tmp_path / "rois" / f"{number}.png", columns=slice(0, 60))
    with pytest.raises(UsageError, match="a folder of masks serves images of the recipe's source only"):
        Drawer("perlin", **options)


@pytest.mark.parametrize(
    ("drawn", "said"),
    [
        ({"shape": (60, 60)}, "of another aspect, 60 × 90"),
        ({"rows": slice(0, 0)}, "marks nothing, it is black all over"),
        ({"rows": slice(0, 2), "columns": slice(0, 2)}, "leave no room for an anomaly"),
        (None, "there is no such picture"),
    ],
)
def test_a_picture_that_cannot_serve_is_told_before_anything_is_drawn(drawn, said, good, tmp_path):
    roi = str(tmp_path / "roi.png") if drawn is None else picture(tmp_path / "roi.png", **drawn)
    with pytest.raises(UsageError, match=said):
        Plan.of(load_recipe("perlin", source=good, size=90, overrides={"foreground.roi": roi}))


@pytest.mark.parametrize("fit", ["keep", "stretch", "crop"])
def test_a_mask_of_another_aspect_than_its_image_is_named_before_anything_is_drawn(fit, good, tmp_path):
    for number in range(6):
        picture(tmp_path / "masks" / f"{number}.png", columns=slice(10, 40))
    picture(tmp_path / "masks" / "1.png", columns=slice(10, 40), shape=(30, 45))
    if fit != "keep":  # drawn on the image as it becomes
        picture(tmp_path / "masks" / "2.png", columns=slice(10, 40), shape=(64, 64))
    changes = {"foreground": {"method": "folder", "path": str(tmp_path / "masks")}, "source.fit": fit}
    recipe = load_recipe("perlin", source=good, size=64, overrides=changes)
    assert Plan.of(recipe).foreground.method == "folder"
    picture(tmp_path / "masks" / "4.png", columns=slice(10, 40), shape=(90, 60))
    with pytest.raises(
        SourceError, match=r"1 of 6 masks .*\n  4\.png, the mask of 4\.png: is 90 × 60 .* image 60 × 90"
    ):
        Plan.of(recipe)
    (tmp_path / "masks" / "4.png").rename(tmp_path / "masks" / "4.jpg")
    with pytest.raises(SourceError, match=r"no mask of 4\.png: .*; 4\.jpg is not taken, as it may be the photograph"):
        Plan.of(recipe)


def test_keys_beside_auto_refine_what_it_chose(tmp_path):
    (tmp_path / "good").mkdir()
    for number in range(4):
        values = np.random.default_rng(number).normal(30, 2, (64, 64, 3)).clip(0, 255).astype(np.uint8)
        cv2.circle(values, (32, 32), 18, (60, 160, 220), -1)
        cv2.imwrite(str(tmp_path / "good" / f"{number}.png"), values)
    options = {"source": tmp_path / "good", "size": 64}
    chosen = Plan.of(load_recipe("perlin", **options)).foreground
    assert chosen.method == "background_color" and chosen.tolerance != 20
    refined = Plan.of(load_recipe("perlin", overrides=["foreground.tolerance=20"], **options)).foreground
    assert refined == chosen.model_copy(update={"tolerance": 20.0})
    with pytest.raises(UsageError, match=r"foreground\.channel: auto chose background_color"):
        Plan.of(load_recipe("perlin", overrides=["foreground.channel=r"], **options))
    preset = load_recipe("perlin", overrides=["foreground=realnet/bottle", "foreground.close=3"], **options)
    assert (preset.foreground.method, preset.foreground.close) == ("otsu", 3)
