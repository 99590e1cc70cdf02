"""Pictures without an object: named before a run, left out when that is asked for, and the same ones everywhere."""

import json

import cv2
import numpy as np
import pytest

from anomgen import check, load_recipe, make, preview, replay
from anomgen.errors import AnomgenNote, SourceError
from anomgen.sources.folder import Folder
from anomgen.sources.foreground import Foreground
from anomgen.sources.objects import opened

EMPTY = ("03.png", "07.png", "08.png")
OTSU = "foreground={method: background_color, tolerance: 40}"


@pytest.fixture
def shots(tmp_path):
    """Twelve shots of a bright disc on grey; on three the disc is missing, and a speck of dust lies there."""
    for k in range(12):
        rng = np.random.default_rng(k)
        picture = np.full((64, 64, 3), 60, np.uint8)
        name = f"{k:02d}.png"
        cv2.circle(picture, (32, 32), 2 if name in EMPTY else 20, (200, 210, 220), -1)
        (tmp_path / "shots").mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / "shots" / name), picture + rng.integers(0, 8, picture.shape, dtype=np.uint8))
    return tmp_path / "shots"


def recipe_on(shots, **changes):
    return load_recipe(
        "nsa", source=shots, size=64, count=24, overrides=[OTSU, *(f"{k}={v}" for k, v in changes.items())]
    )


def test_images_without_an_object_are_named_before_anything_is_drawn(shots, tmp_path):
    dry = make(recipe_on(shots), tmp_path / "out", dry_run=True).plan
    drawn = preview(recipe=recipe_on(shots), rows=2, out=tmp_path / "sheet.png").resolved
    looked = preview(recipe=recipe_on(shots), foreground=True, rows=2, out=tmp_path / "sheet.png").resolved
    for told in (dry, drawn, looked):
        assert "no object is found in 3 of 12 images: 03.png, 07.png, 08.png" in told["notes"][-1]
    with pytest.warns(AnomgenNote, match="03.png, 07.png, 08.png.*source.on_no_object=skip"):
        made = make(recipe_on(shots), tmp_path / "out")
    assert made.provenance["source"]["notes"] == dry["notes"] and made.provenance["source"]["count"] == 12


def test_they_are_left_out_when_that_is_asked_for_and_the_records_say_so(shots, tmp_path):
    """Law: no row shows one, normal or anomalous; check and replay leave out the same."""
    made = make(recipe_on(shots, **{"source.on_no_object": "skip"}), tmp_path / "out")
    source = json.loads((tmp_path / "out" / "provenance.json").read_text())["source"]
    assert source["count"] == 9 and source["skipped"] == list(EMPTY)
    assert source["notes"][-1] == f"left out 3 files, in which no object is found: {', '.join(EMPTY)}"
    report = check(tmp_path / "out", source=shots)
    assert report.ok and replay(tmp_path / "out", 1, shots).identical
    from anomgen import load_dataset

    ids = set(load_dataset(tmp_path / "out").table(["source_id"])["source_id"].to_pylist())
    assert made.rows == 24 and len(ids) == 9 and not ids & set(EMPTY)


def test_auto_leads_to_the_same_with_many_empty_shots(shots):
    """Five of twelve, more than methods may err on."""
    for name in ("01.png", "10.png"):
        (shots / name).write_bytes((shots / EMPTY[0]).read_bytes())
    found = opened(Folder(path=str(shots), size=64), Foreground(method="auto"))
    assert found.foreground.method == "background_color"
    assert found.surprises[0].startswith("no object is found in 5 of 12 images: 01.png, 03.png, 07.png, 08.png, 10.png")
    rest = opened(Folder(path=str(shots), size=64, on_no_object="skip"), Foreground(method="auto"))
    assert len(rest.source) == 7 and rest.foreground == found.foreground


def test_where_the_foreground_is_the_whole_image_nothing_is_looked_for(shots, monkeypatch):
    from anomgen.sources.pool import Pool

    monkeypatch.setattr(Pool, "object_area", None)
    assert opened(Folder(path=str(shots), size=64), Foreground()).notes == ()


def test_images_of_which_none_shows_an_object_cannot_all_be_left_out(shots):
    never = Foreground(method="background_color", tolerance=250)
    config = Folder(path=str(shots), size=64, on_no_object="skip")
    with pytest.raises(SourceError, match="finds no object in any of the 12 images"):
        opened(config, never)


def test_the_fingerprint_is_that_of_the_images_that_stay(shots):
    found = opened(Folder(path=str(shots), size=64, on_no_object="skip"), recipe_on(shots).foreground)
    for name in EMPTY:
        (shots / name).unlink()
    assert found.source.fingerprint() == Folder(path=str(shots), size=64).open().fingerprint()
    assert [found.source.id(k) for k in range(9)] == [f"{k:02d}.png" for k in range(12) if f"{k:02d}.png" not in EMPTY]


def test_where_auto_takes_whole_images_those_that_seem_to_show_an_object_are_named(shots, tmp_path):
    """Law: before a run, in dry run, preview and record; what is advised finds the object."""
    shown = {"02.png", "05.png", "11.png"}
    for k in range(12):
        if f"{k:02d}.png" not in shown:
            plain = 60 + np.random.default_rng(k).integers(0, 8, (64, 64, 3), dtype=np.uint8)
            cv2.imwrite(str(shots / f"{k:02d}.png"), plain)
    recipe = load_recipe("nsa", source=shots, size=64, count=4, overrides=["foreground=auto"])
    dry = make(recipe, tmp_path / "out", dry_run=True).plan
    drawn = preview(recipe=recipe, rows=2, out=tmp_path / "sheet.png").resolved
    with pytest.warns(AnomgenNote, match="takes whole images, as most show no object"):
        made = make(recipe, tmp_path / "out")
    note = dry["notes"][-1]
    assert "3 of the 12 that were looked at seem to show one: 02.png, 05.png, 11.png. " in note
    assert drawn["notes"][-1] == made.provenance["source"]["notes"][-1] == note
    advised = [f"foreground={{{note.split('{')[1].split('}')[0]}}}", "source.on_no_object=skip"]
    named = load_recipe("nsa", source=shots, size=64, overrides=advised)
    found = opened(named.source, named.foreground)
    assert {found.source.id(k) for k in range(len(found.source))} == shown
