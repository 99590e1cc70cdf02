"""Many photos: rows are seen before all photos are checked, and are those of `make` all the same."""

import time

import cv2
import numpy as np
import pytest
from PIL import Image

pytest.importorskip("starlette", reason="the studio is an extra")

from small import MANY
from starlette.testclient import TestClient

from anomgen.errors import SourceError
from anomgen.making.recipe import load_recipe
from anomgen.sources import detect
from anomgen.studio import session as session_module
from anomgen.studio.app import studio_app
from anomgen.studio.guard import TOKEN_HEADER
from anomgen.studio.session import Session

COUNT = MANY + 4
pytestmark = pytest.mark.usefixtures("few_are_many")


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for k in range(COUNT):
        values = np.random.default_rng(k).integers(90, 120, (48, 48, 3), np.uint8)
        cv2.imwrite(str(folder / f"{k:02d}.png"), values)
    return folder


@pytest.fixture
def session(photos, tmp_path):
    session = Session(str(photos), tmp_path / "out")
    yield session
    session.reading.close()


def chosen(session, **changes):
    return session.choose("perlin", {"source.size": 48, "anomaly_ratio": 1.0, **changes})


def seen(session, key):
    with session.reading.drawing():
        return session.row(key, 5)


def checked(session):
    deadline = time.monotonic() + 20
    while session.reading.told()["checking"] and time.monotonic() < deadline:
        time.sleep(0.01)
    return session.reading.told()


def made(photos, **changes):
    overrides = {"source.size": 48, "anomaly_ratio": 1.0, **changes}
    return load_recipe("perlin", source=str(photos), overrides=overrides).sample(5)


def equal(one, other):
    return one.source_id == other.source_id and np.array_equal(one.image, other.image)


def test_the_shape_of_images_is_known_before_one_is_drawn(photos, tmp_path):
    (tmp_path / "wide" / "train").mkdir(parents=True)
    session = Session(str(tmp_path / "wide"), tmp_path / "out")
    (tmp_path / "wide" / "about.txt").write_text("no picture")
    turned = Image.Exif()
    turned[0x0112] = 6  # lies on its side: shown 60 high and 90 wide
    Image.new("RGB", (60, 90)).save(tmp_path / "wide" / "train" / "a.jpg", exif=turned)
    told = {size: session.aspect(load_recipe("perlin", source=session.photos, size=size)) for size in (48, (32, 64))}
    assert told == {48: 60 / 90, (32, 64): 0.5}
    row = session.row(session.choose("perlin", {"source.size": 48}).id, 0)
    assert row.image.shape[:2] == (32, 48)
    assert Session(None, tmp_path / "out").aspect(load_recipe("perlin")) == 1


def test_a_row_is_seen_before_the_check_and_stays_when_it_finds_nothing(session, photos):
    """Law: what is seen at a glimpse is row k of `make`."""
    with session.reading.drawing():  # the check waits while something is drawn
        first = session.row(chosen(session).id, 5)
        assert session.reading.told()["checking"]
    assert equal(first, made(photos))
    assert checked(session)["stamp"] == 0
    assert equal(seen(session, chosen(session, seed=0).id), first)


def test_an_image_that_is_left_out_changes_what_is_seen(session, photos):
    (photos / "01.png").write_bytes(b"no image")
    changes = {"source.on_bad_image": "skip", "foreground": "none"}
    before = chosen(session, **changes)
    assert session.reading.open(before.recipe.source).skipped == ()
    assert checked(session)["stamp"] == 1
    after = chosen(session, **changes)
    assert after.id != before.id  # the page draws anew
    assert equal(seen(session, after.id), made(photos, **changes))


def test_an_image_that_is_refused_is_told_until_the_photos_are_looked_at_anew(session, photos):
    good = (photos / "01.png").read_bytes()
    (photos / "01.png").write_bytes(b"no image")
    source = chosen(session).recipe.source
    session.reading.open(source)
    assert checked(session)["stamp"] == 1
    for _ in range(2):
        with pytest.raises(SourceError, match=r"1 of 24 images cannot be used:\n.*01\.png"):
            seen(session, chosen(session).id)
    (photos / "01.png").write_bytes(good)
    session.reading.anew()
    assert equal(seen(session, chosen(session).id), made(photos))


def test_a_studio_that_ends_does_not_wait_for_the_check(session):
    with session.reading.drawing():
        session.row(chosen(session).id, 5)
        began = time.monotonic()
        session.reading.close()
    assert time.monotonic() - began < 5


def test_a_key_that_is_set_lists_no_folder(session, photos, monkeypatch):
    """Law: a slider's answer does not wait for ten thousand names; a folder that changed is looked at anew."""
    looked: list[str] = []
    monkeypatch.setattr(session_module, "detect", lambda path: looked.append(path) or detect(path))
    for seed in range(3):
        chosen(session, seed=seed)
    assert len(looked) == 1
    (photos / "00.png").rename(photos / "new.png")
    chosen(session)
    assert len(looked) == 2


def test_the_page_is_told_how_far_it_is(photos, tmp_path):
    with TestClient(
        studio_app(Session(str(photos), tmp_path / "out"), token="t"), base_url="http://127.0.0.1"
    ) as client:
        client.headers[TOKEN_HEADER] = "t"
        told = client.get("/api/reading").json()
        assert set(told) == {"stamp", "done", "total", "what", "checking"} and told["done"] <= told["total"]
        assert client.get("/api/start").json()["stamp"] == told["stamp"] == 0
