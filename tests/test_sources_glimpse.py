"""A glimpse: many images before they are checked are those that the check finds, or it does not stand."""

import numpy as np
import pytest
from PIL import Image
from small import MANY

from anomgen.errors import SourceError
from anomgen.sources import glimpse
from anomgen.sources.folder import Folder
from anomgen.sources.glimpse import glimpse_of

pytestmark = pytest.mark.usefixtures("few_are_many")


@pytest.fixture
def folder(tmp_path):
    for k in range(MANY):
        values = np.random.default_rng(k).integers(0, 256, (20 + k % 3, 24, 3), np.uint8)
        Image.fromarray(values if k % 2 else values[..., 0]).save(tmp_path / f"{k:02d}.png")
    return tmp_path


def test_it_is_what_the_check_finds(folder):
    config = Folder(path=str(folder), size=32)
    seen, checked = glimpse_of(config), config.open()
    assert len(seen) == len(checked) == MANY
    for k in range(MANY):
        assert seen.id(k) == checked.id(k) and np.array_equal(seen[k], checked[k]) and not seen[k].flags.writeable
    assert seen.fingerprint() != checked.fingerprint()
    assert seen.confirmed(checked)
    assert seen.fingerprint() == checked.fingerprint() and seen[3] is checked[3]


def test_an_image_that_cannot_be_used_refutes_it(folder):
    (folder / "17.png").write_bytes(b"no image")
    seen = glimpse_of(Folder(path=str(folder), size=32))
    with pytest.raises(SourceError, match=r"17\.png"):
        seen[17]
    assert not seen.confirmed(Folder(path=str(folder), size=32, on_bad_image="skip").open())
    assert seen.id(17) == "17.png"


def test_colour_among_what_was_taken_for_grey_refutes_it(tmp_path):
    for k in range(40):
        Image.new("RGB" if k == 2 else "L", (20, 20), 9).save(tmp_path / f"{k:02d}.png")
    config = Folder(path=str(tmp_path), size=None)
    seen = glimpse_of(config)
    with pytest.raises(SourceError, match="unlike the first images"):
        seen[2]
    assert not seen.confirmed(config.open())


@pytest.mark.parametrize("change", [{"range": (10, 200)}, {"on_no_object": "skip"}])
def test_what_depends_on_all_images_waits_for_the_check(folder, change):
    assert glimpse_of(Folder(path=str(folder), **change)) is None


def test_few_images_light_ones_and_deep_ones_wait_for_the_check(folder, monkeypatch):
    config = Folder(path=str(folder))
    assert glimpse_of(config) is not None
    with monkeypatch.context() as patch:
        patch.setattr(glimpse, "MANY", MANY + 1)
        assert glimpse_of(config) is None
    with monkeypatch.context() as patch:
        patch.setattr(glimpse, "HEAVY", 1 << 30)
        assert glimpse_of(config) is None
    for file in folder.glob("*.png"):
        Image.fromarray(np.full((20, 20), 700, np.uint16)).save(file)
    assert glimpse_of(config) is None
