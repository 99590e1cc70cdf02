"""Marking real defects in the studio: the wand, the bank that is written, and what is refused."""

import cv2
import numpy as np
import pytest

pytest.importorskip("starlette", reason="the studio is an extra")

from real_data import defect
from studio_client import opened as client

from anomgen.banks.folder import Bank
from anomgen.dataset.png import decode_png, encode_png
from anomgen.making.make import make
from anomgen.making.output import check_output
from anomgen.making.recipe import load_recipe
from anomgen.studio import pictures
from anomgen.studio.datasets import Datasets
from anomgen.studio.pictures import SHOWN_SIDE


def stepped(height=40, width=60):
    """Return a grey picture of 100 with a square of 150 at rows and columns 10 to 19, and in it one pixel of 156."""
    picture = np.full((height, width, 3), 100, np.uint8)
    picture[10:20, 10:20] = 150
    picture[14:17, 14:17] = 156
    return picture


def opened(studio, picture, name="a.png"):
    answer = studio.post("/api/picture", params={"name": name}, content=encode_png(picture))
    assert answer.status_code == 200, answer.text
    return answer.json()


def wand(studio, picture, x, y, tolerance):
    answer = studio.get(f"/api/wand/{picture['id']}", params={"x": x, "y": y, "tolerance": tolerance})
    assert answer.status_code == 200, answer.text
    return decode_png(answer.content)[..., 0]


def put(studio, picture, mask, **asked):
    return studio.post(
        f"/api/bank/{picture['id']}", params={"bank": "bank", "type": "dent", **asked}, content=encode_png(mask)
    )


def test_the_wand_takes_what_differs_from_its_pixel_by_no_more_than_the_tolerance(studio):
    picture = opened(studio, stepped())
    inner, square = np.zeros((40, 60), bool), np.zeros((40, 60), bool)
    inner[14:17, 14:17] = square[10:20, 10:20] = True
    for x, y, tolerance, wanted in (
        (11, 11, 6, square),
        (15, 15, 5, inner),
        (15, 15, 6, square),
        (0, 0, 49, ~square),
        (0, 0, 60, square | True),
    ):
        found = wand(studio, picture, x, y, tolerance) > 0
        corners = np.abs(found ^ wanted).sum()  # the blur against noise rounds a square's corners
        assert corners <= 4, (x, y, tolerance)
    refused = studio.get(f"/api/wand/{picture['id']}", params={"x": 60, "y": 0, "tolerance": 1})
    assert refused.status_code == 400 and "is not on the picture" in refused.json()["error"]


def test_what_is_marked_is_the_bank_and_is_transplanted_at_once(studio, out):
    image, mask = defect(200, 48)
    picture = opened(studio, np.ascontiguousarray(image), "a photo/of <b>it</b>.png")
    bank = put(studio, picture, mask).json()["banks"][0]
    assert (bank["name"], bank["path"], bank["types"]) == ("bank", str(out / "bank"), {"dent": 1})
    (own,) = Bank(out / "bank").defects()
    assert own.item == "b>.png" and not own.proposed
    assert np.array_equal(own.image, image) and np.array_equal(own.mask, mask > 127)
    changes = {"generator.bank": bank["path"], "generator.with_defects": 0, "source.size": 48, "foreground": "none"}
    ask = {"base": "transplant", "changes": changes}
    first = studio.post("/api/recipe", json=ask).json()["id"]
    row = studio.post("/api/rows", json={"id": first, "count": 1}).json()["rows"][0]
    assert row["defect_type"] == "dent" and row["outline"]
    other, mask = defect(201, 48)
    bank = put(studio, opened(studio, np.ascontiguousarray(other), "b.png"), mask, type="scratch").json()["banks"][0]
    again = studio.post("/api/recipe", json=ask).json()["id"]
    rows = studio.post("/api/rows", json={"id": again, "count": 20}).json()["rows"]
    assert again != first and {row["defect_type"] for row in rows} == {"dent", "scratch"}
    told = put(studio, opened(studio, np.ascontiguousarray(other), "b.png"), mask, type="crack")
    assert told.status_code == 400 and "in bank already, as scratch" in told.json()["error"]
    told = put(studio, opened(studio, np.ascontiguousarray(other), "b.png"), mask, type="crack", replace="1")
    assert told.json()["banks"][0]["types"] == {"crack": 1, "dent": 1}
    thumbnail = studio.get("/bank/bank/1.png")
    assert thumbnail.status_code == 200 and max(decode_png(thumbnail.content).shape) <= 160
    left = studio.post("/api/unbank", json={"bank": "bank", "item": "b.png"}).json()["banks"][0]
    assert left["types"] == {"dent": 1}
    refused = studio.post("/api/unbank", json={"bank": "bank", "item": "b>.png"})
    assert refused.status_code == 400 and "every defect" in refused.json()["error"]


def test_a_dataset_of_a_bank_and_a_painted_region_is_replayed_and_gone_on_with(studio, photos, out):
    """Law: datasets keep no paths of the machine, and the studio knows where its own banks and masks are."""
    image, mask = defect(200, 48)
    bank = put(studio, opened(studio, np.ascontiguousarray(image)), mask).json()["banks"][0]["path"]
    region = np.full((48, 48), 255, np.uint8)
    region[:, :16] = 0
    studio.post("/api/mask", params={"name": "w"}, content=encode_png(region))
    foreground = {"method": "none", "roi": str(out / "w.png")}
    overrides = {"generator.bank": bank, "source.size": 48, "count": 4, "foreground": foreground}
    recipe = load_recipe("transplant", source=str(photos), overrides=overrides)
    make(recipe, out / "d")
    assert studio.post("/api/replay", json={"name": "d", "index": 0}).json()["identical"]
    again = Datasets(out, str(photos), (out,)).recipe("d")
    assert (again.generator.bank, again.foreground.roi) == (bank, str(out / "w.png"))
    check_output(again, out / "d", resume=True, overwrite=False)


def test_a_large_picture_is_marked_small_and_stored_whole(studio, out):
    large = np.full((SHOWN_SIDE * 2, 600, 3), 90, np.uint8)
    picture = opened(studio, large)
    assert (picture["height"], picture["width"], picture["size"]) == (SHOWN_SIDE, 300, [SHOWN_SIDE * 2, 600])
    mask = np.zeros((SHOWN_SIDE, 300), np.uint8)
    mask[700:710, 20:30] = 255
    assert put(studio, picture, mask).status_code == 200
    (own,) = Bank(out / "bank").defects()
    assert own.image.shape == large.shape and own.mask[1400:1420, 40:60].all() and own.mask.sum() == 400


def test_a_painted_mask_that_is_written_anew_under_its_name_is_read_anew(studio, out):
    for half in (np.s_[:, 24:], np.s_[:, :24]):
        region = np.zeros((48, 48), np.uint8)
        region[half] = 255
        studio.post("/api/mask", params={"name": "w", "overwrite": "1"}, content=encode_png(region))
        changes = {"source.size": 48, "foreground": {"method": "none", "roi": str(out / "w.png")}}
        told = studio.post("/api/recipe", json={"base": "perlin", "changes": changes}).json()
        studio.post("/api/rows", json={"id": told["id"], "count": 1})
        mask = decode_png(studio.get(f"/row/{told['id']}/0/mask.png").content)[..., 0] > 127
        assert mask[half].any() and mask[half].sum() == mask.sum()


def test_pictures_that_are_none_and_marks_that_are_none_are_refused(studio, out):
    for content in (b"", b"<svg/>", b"\x89PNG\r\n\x1a\nrest"):
        answer = studio.post("/api/picture", params={"name": "x"}, content=content)
        assert answer.status_code == 400 and "x: " in answer.json()["error"]
    picture = opened(studio, stepped())
    marked = np.zeros((40, 60), np.uint8)
    marked[10:20, 10:20] = 255
    for mask, asked, text in (
        (marked * 0, {}, "marks no pixel"),
        (marked * 0 + 255, {}, "as if inverted"),
        (marked[:20], {}, "another size"),
        (marked, {"bank": "../b"}, "is no name"),
        (marked, {"type": "a/b"}, "is no type"),
        (marked, {"type": "<b>"}, "is no type"),
    ):
        answer = put(studio, picture, mask, **asked)
        assert answer.status_code == 400 and text in answer.json()["error"], answer.text
    gone = studio.post("/api/bank/unknown", params={"bank": "b", "type": "t"}, content=encode_png(marked))
    assert gone.status_code == 400 and "open it again" in gone.json()["error"]
    assert not list(out.glob("[!.]*"))


def test_the_foreground_is_told_as_auto_chose_it_and_refined_from_there(studio):
    disc = {"source.size": 48, "foreground": "auto"}
    told = studio.post("/api/recipe", json={"base": "perlin", "changes": disc}).json()
    about = studio.get(f"/api/normal/{told['id']}/0").json()
    assert about["chosen"] and about["foreground"]["method"] != "auto" and about["images"] == 12
    refined = {"source.size": 48, "foreground": about["foreground"]}
    told = studio.post("/api/recipe", json={"base": "perlin", "changes": refined}).json()
    again = studio.get(f"/api/normal/{told['id']}/0").json()
    assert not again["chosen"] and again["outline"] == about["outline"] and again["area"] == about["area"]


def test_every_mark_is_kept_and_the_next_studio_finds_it(studio, photos, out):
    marks = {}
    for k in range(9):
        picture = opened(studio, stepped() + k, f"{k}.png")
        mask = np.zeros((40, 60), np.uint8)
        mask[k : k + 5, 3:9] = 255
        answer = studio.post(f"/api/mark/{picture['id']}", content=encode_png(mask))
        assert answer.json()["marked"] and not answer.json()["banked"]
        marks[picture["id"]] = mask
    first, second, third = list(marks)[:3]
    assert put(studio, {"id": first}, marks[first]).status_code == 200
    studio.post(f"/api/mark/{first}", content=encode_png(marks[first]))  # the same once more
    studio.post(f"/api/mark/{second}", content=encode_png(marks[second] * 0))
    studio.post(f"/api/take-away/{third}", json={})
    with client(photos, out) as later:
        told = later.get("/api/pictures").json()["pictures"]
        assert [one["name"] for one in told] == [f"{k}.png" for k in range(9) if k != 2]
        assert [one["id"] for one in told if one["banked"]] == [first]
        assert [one["id"] for one in told if not one["marked"]] == [second]
        for one in told[2:]:
            assert np.array_equal(decode_png(later.get(f"/mark/{one['id']}.png").content)[..., 0], marks[one["id"]])
        assert decode_png(later.get(f"/picture/{told[-1]['id']}.png").content)[0, 0].tolist() == [108] * 3


def test_a_picture_too_many_is_refused_and_none_is_dropped(studio, monkeypatch):
    kept = opened(studio, stepped())
    monkeypatch.setattr(pictures, "MOST_BYTES", len(encode_png(stepped())) + 1)
    refused = studio.post("/api/picture", params={"name": "b"}, content=encode_png(stepped() + 1))
    assert refused.status_code == 400 and "take away" in refused.json()["error"]
    assert studio.get("/api/pictures").json()["pictures"] == [kept]
    for key in ("..", "../..", "%2e%2e", "0" * 32):
        assert studio.post(f"/api/take-away/{key}", json={}).status_code in (400, 404, 405)


def test_colour_images_of_any_format_are_read_as_ours(studio):
    image = np.zeros((32, 32, 3), np.uint8)
    image[..., 0] = 200  # blue, as OpenCV has it
    data = cv2.imencode(".bmp", image)[1].tobytes()
    told = studio.post("/api/picture", params={"name": "b.bmp"}, content=data).json()
    shown = decode_png(studio.get(f"/picture/{told['id']}.png").content)
    assert shown[0, 0].tolist() == [0, 0, 200] and studio.get("/api/pictures").json()["pictures"] == [told]


def test_a_recipe_that_takes_a_bank_offers_those_that_are_there(studio, out):
    def control():
        told = studio.post("/api/recipe", json={"base": "transplant", "changes": {"source.size": 48}}).json()
        return next(c for section in told["sections"] for c in section["controls"] if c["key"] == "generator.bank")

    assert (control()["type"], control()["options"]) == ("choice", [])
    image, mask = defect(200, 48)
    put(studio, opened(studio, np.ascontiguousarray(image)), mask)
    assert (control()["options"], control()["names"]) == ([str(out / "bank")], {str(out / "bank"): "bank"})
