"""The report's pictures: what recipes draw, and test images with the maps of every recipe."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from score_pages import Page, made_rows, report
from score_rows import records

pytest.importorskip("matplotlib")

from anomgen.score.examples import shown_places
from anomgen.score.report import pictures
from anomgen.score.report.write import write_report


def test_an_image_has_the_maps_of_every_recipe_side_by_side(tmp_path):
    rows = made_rows(seeds=1, detectors=("probe",), means={"nsa": 0.4, "none": 0.3, "boxes": 0.1})
    images = [("test/crack/1.png", "crack", 0.9), ("test/good/1.png", "normal", 0.2)]
    for row in rows:
        shown = [{"image": image, "defect_type": kind, "score": score} for image, kind, score in images]
        row["examples"] = {"best": [], "worst": [], "shown": shown}
        for name in (f"{what}-{k}.webp" for what in ("image", "map") for k in range(2)):
            (tmp_path / "maps" / row["key"]).mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(tmp_path / "maps" / row["key"] / name), np.zeros((8, 8, 3), np.uint8))
    page, markdown, _ = report(tmp_path, rows)
    assert sum(value.startswith("data:image/webp") for name, value in page.attributes if name == "src") == 2 * (1 + 3)
    assert "test/crack/1.png · crack" in "".join(page.text)
    # the threshold is 0.5: the anomalous image is above it, the normal one below
    assert page.text.count("✓ 0.9") == page.text.count("✓ 0.2") == 3
    assert "- test/good/1.png · normal: 3 of 3 are right about it" in markdown


def test_a_page_holds_no_more_than_so_many_bytes_of_maps(tmp_path, monkeypatch):
    rows = made_rows(seeds=1, detectors=("probe",), means={"nsa": 0.4, "none": 0.3, "boxes": 0.1})
    for row in rows:
        shown = [{"image": f"{k}.png", "defect_type": "crack", "score": 0.9} for k in range(4)]
        row["examples"] = {"best": [], "worst": [], "shown": shown}
        (tmp_path / "maps" / row["key"]).mkdir(parents=True)
        for name in (f"{what}-{k}.webp" for what in ("image", "map") for k in range(4)):
            (tmp_path / "maps" / row["key"] / name).write_bytes(b"x" * 1000)
    for most, images in ((12_000, 4), (6500, 2), (10, 1)):
        monkeypatch.setattr(pictures, "MOST_BYTES", most)
        page = report(tmp_path, rows)[0]
        sources = [value for name, value in page.attributes if name == "src" and value.startswith("data:image/webp")]
        assert len(sources) == images * (1 + 3)


def test_every_training_shows_the_same_images_of_every_type():
    kinds = ["normal"] * 30 + ["spot"] * 2 + ["crack"] * 50
    labels = np.array([kind != "normal" for kind in kinds])
    places = shown_places(kinds, labels)
    found = [kinds[place] for place in places]
    assert len(set(places)) == 12 and found.count("spot") == 2 and found.count("crack") == 8
    assert found.count("normal") == 2 and shown_places(["normal"] * 3, np.zeros(3, bool)) == [0, 2]


def test_what_recipes_draw_stands_before_the_board(tmp_path):
    (tmp_path / "drawn").mkdir()
    places = [Path("drawn", f"x-{k}.webp") for k in range(3)]
    for place in places:
        cv2.imwrite(str(tmp_path / place), np.zeros((8, 8, 3), np.uint8))
    write_report(records(made_rows(seeds=1)), tmp_path, strips={"tiles": {"nsa": places}})
    page = Page((tmp_path / "report.html").read_text())
    assert sum(value.startswith("data:image/webp") for name, value in page.attributes if name == "src") == 3
    assert page.text.index("What each recipe draws") < page.text.index("Leaderboard")
