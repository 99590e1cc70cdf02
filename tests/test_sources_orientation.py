"""Pictures that EXIF turns: a mask without an orientation follows them where sizes tell, and is told of elsewhere."""

import io
import json
import re

import numpy as np
import pytest
from PIL import Image
from small import run

from anomgen import bank, load_recipe, make, preview
from anomgen.banks.folder import Bank
from anomgen.errors import AnomgenNote, SourceError
from anomgen.sources.folder import Folder
from anomgen.sources.foreground import Foreground
from anomgen.sources.images import read_image, read_picture
from anomgen.sources.mask_files import read_object_mask, united_mask
from anomgen.sources.objects import opened
from anomgen.sources.orientation import Drawn, Turn

WIDE, SQUARE = (48, 80), (64, 64)
SIDEWAYS = range(5, 9)


def stored(pixels, orientation=None, format="PNG"):
    """Return a file of pixels, with an orientation where one is given."""
    exif, file = Image.Exif(), io.BytesIO()
    if orientation is not None:
        exif[274] = orientation
    Image.fromarray(pixels).save(file, format, exif=exif)
    return file.getvalue()


def photo(seed, shape=WIDE):
    return np.random.default_rng(seed).integers(60, 200, (*shape, 3)).astype(np.uint8)


def blob(shape=WIDE):
    """Return a mask, 0 and 255, that looks otherwise in each orientation."""
    mask = np.zeros(shape, np.uint8)
    mask[4:20, 6:18] = mask[4:10, 6:40] = 255
    return mask


def put(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def united(mask, orientation, shape=WIDE):
    image, found = read_picture(stored(photo(0, shape), orientation), "a.png")
    return united_mask([(mask, "m.png")], Turn(found, image.shape), "a.png")


@pytest.mark.parametrize("format", ["PNG", "JPEG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", [None, *range(1, 9)])
def test_a_picture_says_which_orientation_was_applied(format, orientation):
    data = stored(photo(0), orientation, format)
    found = read_picture(data, "a")
    assert found.orientation == orientation and np.array_equal(found.pixels, read_image(data))


@pytest.mark.parametrize("orientation", SIDEWAYS)
def test_where_sizes_tell_a_mask_of_what_is_stored_is_turned_with_its_picture(orientation):
    upright = read_object_mask(stored(blob(), orientation), "m")
    mask, drawn = united(stored(blob()), orientation)
    assert np.array_equal(mask, upright) and drawn is Drawn.STORED
    mask, drawn = united(stored(upright.astype(np.uint8)), orientation)
    assert np.array_equal(mask, upright) and drawn is Drawn.SHOWN


@pytest.mark.parametrize(
    ("orientation", "shape"), [(2, WIDE), (3, WIDE), (4, WIDE), *((k, SQUARE) for k in range(2, 9))]
)
def test_where_no_size_tells_a_mask_is_read_as_shown_and_that_is_said(orientation, shape):
    mask, drawn = united(stored(blob(shape)), orientation, shape)
    assert np.array_equal(mask, blob(shape) > 0) and drawn is Drawn.UNKNOWN


@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_a_mask_with_an_orientation_of_its_own_is_read_by_it(orientation):
    mask = stored(blob(SQUARE), orientation)
    found = united(mask, 6, SQUARE)
    assert np.array_equal(found.mask, read_object_mask(mask, "m")) and found.drawn is Drawn.SHOWN
    assert united(stored(blob()), None).drawn is united(stored(blob()), 1).drawn is Drawn.SHOWN


def test_a_mask_of_another_size_is_refused_as_ever():
    with pytest.raises(SourceError, match=r"is 40 × 40 pixels, but its image a\.png is 80 × 48"):
        united(stored(blob()[:40, :40]), 6)


UNTOLD = (
    r"EXIF turns 2 pictures whose masks have no orientation.*: (test/crack|crack)/1\.png, (test/crack|crack)/2\.png"
)
TURNED = r"EXIF turns 1 picture whose masks were.*turned, too: (test/crack|crack)/0\.png"


def category(root):
    """Write a category: of the masks one was drawn on what is stored, of two nobody can tell, one has none to tell."""
    for k in range(8):
        put(root / f"train/good/{k}.png", stored(photo(k)))
        put(root / f"test/good/{k}.png", stored(photo(20 + k)))
    for k, orientation in enumerate((6, 3, 2, None)):
        put(root / f"test/crack/{k}.png", stored(photo(40 + k), orientation))
        put(root / f"ground_truth/crack/{k}_mask.png", stored(blob()))
    return root


def test_a_bank_says_so_once_and_its_masks_lie_as_its_pictures(tmp_path):
    data = category(tmp_path / "data")
    printed, _ = run("bank", data, "-o", tmp_path / "bank")
    made = Bank(tmp_path / "bank")
    notes = " ".join(made.record["notes"])
    for pattern in (UNTOLD, TURNED):
        assert re.search(pattern, notes), notes
        assert len(re.findall(pattern, " ".join(printed.split()))) == 1
    found = {own.item: own for own in made.defects()}
    assert np.array_equal(found["test/crack/0.png"].mask, read_object_mask(stored(blob(), 6), "m"))
    assert np.array_equal(found["test/crack/1.png"].mask, blob() > 0)


def annotations(form, height, width, said):
    """Return the file and the contents of an annotation of rows 4 to 19, columns 6 to 17 of a picture `a.png`."""
    corners = np.array([(6.5, 4.5), (17.5, 4.5), (17.5, 19.5), (6.5, 19.5)])
    if form == "yolo":
        return "labels/a.txt", " ".join(map(str, [0, *(corners / (width, height)).ravel()]))
    if form == "labelstudio":
        points = (corners / (width, height) * 100).tolist()
        region = {"type": "polygonlabels", "value": {"points": points, "polygonlabels": ["dent"]}}
        region |= {"original_height": height, "original_width": width}
        return "tasks.json", json.dumps([{"data": {"image": "a.png"}, "annotations": [{"result": [region]}]}])
    mask = np.zeros((height, width), bool)
    mask[4:20, 6:18] = True
    flat = np.concatenate([[False], mask.T.ravel(), [False]])
    runs = np.diff(np.flatnonzero(np.diff(flat)), prepend=0, append=mask.size)
    polygon, lengths = [corners.ravel().tolist()], {"size": [height, width], "counts": runs.tolist()}
    image = {"id": 1, "file_name": "a.png"} | ({"height": height, "width": width} if said else {})
    marks = {"image_id": 1, "segmentation": lengths if form == "run lengths" else polygon}
    return "marks.json", json.dumps({"images": [image], "annotations": [marks]})


@pytest.mark.parametrize(
    ("forms", "orientation", "shape", "is_stored", "said"),
    [
        (("coco", "run lengths", "labelstudio"), 6, WIDE, True, "their size, drawn on what is stored; these are"),
        (("coco", "run lengths", "labelstudio"), 6, WIDE, False, ""),
        (("coco", "run lengths", "labelstudio", "yolo"), 8, SQUARE, False, "no size tells on what they were drawn"),
        (("coco", "run lengths", "labelstudio", "yolo"), 3, WIDE, False, "no size tells on what they were drawn"),
        (("no size", "yolo"), 6, WIDE, False, "no size tells on what they were drawn"),
        (("coco", "run lengths", "labelstudio", "yolo"), 1, WIDE, False, ""),
    ],
)
def test_annotations_of_a_turned_picture_are_turned_or_told_of_as_masks_are(
    tmp_path, forms, orientation, shape, is_stored, said
):
    for form in forms:
        data = tmp_path / form
        height, width = shape[::-1] if orientation in SIDEWAYS and not is_stored else shape
        name, text = annotations(form, height, width, form != "no size")
        put(data / "images/a.png", stored(photo(0, shape), orientation))
        put(data / name, text.encode())
        made = bank(data, tmp_path / f"bank of {form}")
        mask = np.zeros((height, width), np.uint8)
        mask[4:20, 6:18] = 255
        expected = read_object_mask(stored(mask, orientation if is_stored else None), "m")
        (found,) = Bank(made.path).defects()
        assert np.array_equal(found.mask, expected), form
        notes = [note for note in made.notes if "EXIF" in note]
        assert len(notes) == bool(said) and all(said in note and ": images/a.png" in note for note in notes), form


def test_annotations_of_another_size_are_refused_on_turned_pictures_too(tmp_path):
    name, text = annotations("coco", 40, 40, True)
    put(tmp_path / "data/images/a.png", stored(photo(0), 6))
    put(tmp_path / "data" / name, text.encode())
    with pytest.raises(SourceError, match=r"images/a\.png: was annotated at 40 × 40 pixels, but is 80 × 48"):
        bank(tmp_path / "data", tmp_path / "bank")


def test_score_says_so_in_a_dry_run_and_what_it_splits_off_is_not_in_doubt(tmp_path):
    pytest.importorskip("torch")
    data = category(tmp_path / "data")
    options = ("--recipes", "boxes,real", "--real-share", "0.9", "--size", "32", "-o", tmp_path / "run")
    printed, _ = run("score", data, *options, "--dry-run", "--json")
    notes = json.loads(printed)["notes"]
    assert (
        sum("EXIF turns 2 pictures" in note for note in notes)
        == sum("EXIF turns 1 picture " in note for note in notes)
        == 1
    )
    run("score", data, *options, "--split", tmp_path / "split")
    parts = tmp_path / "split" / "data"
    again = bank(parts / "abnormal", tmp_path / "again", masks=parts / "masks")
    assert not [note for note in again.notes if "EXIF" in note] and again.defects >= 3


def drawn_folder(root, shape, orientation):
    for k in range(4):
        put(root / f"photos/{k}.png", stored(photo(k, shape), orientation if k else None))
        put(root / f"object/{k}.png", stored(blob(shape)))
    return Folder(path=str(root / "photos"), size=64), root / "object"


@pytest.mark.parametrize("key", ["path", "roi", "exclude"])
def test_masks_of_objects_and_regions_are_told_of_too(tmp_path, key):
    config, place = drawn_folder(tmp_path, SQUARE, 6)
    method = {"method": "folder"} if key == "path" else {}
    found = opened(config, Foreground(**method, **{key: str(place)}))
    (note,) = found.surprises
    assert note.startswith(f"foreground.{key}: EXIF turns 3 pictures") and ": 1.png, 2.png, 3.png. " in note
    assert note in found.notes


def test_the_note_is_in_a_preview_a_dry_run_and_the_record(tmp_path):
    config, place = drawn_folder(tmp_path, SQUARE, 3)
    recipe = load_recipe("nsa", source=config.path, size=64, count=4, overrides=[f"foreground={place}"])
    shown = preview(recipe=recipe, rows=2, out=tmp_path / "sheet.png").resolved["notes"]
    with pytest.warns(AnomgenNote, match=r"EXIF turns 3 pictures .* save pictures and masks turned, or strip the tag"):
        made = make(recipe, tmp_path / "out")
    assert make(recipe, tmp_path / "new", dry_run=True).plan["notes"] == shown == made.provenance["source"]["notes"]


def test_a_mask_of_an_object_drawn_on_what_is_stored_is_refused(tmp_path):
    config, place = drawn_folder(tmp_path, WIDE, 6)
    put(tmp_path / "object/0.png", stored(blob()))
    with pytest.raises(
        SourceError, match=r"foreground\.path: 1\.png: was, by its size, drawn on 1\.png as it is stored"
    ):
        opened(config, Foreground(method="folder", path=str(place)))


def test_what_the_studio_paints_is_not_in_doubt(tmp_path):
    pytest.importorskip("starlette")
    from anomgen.studio.session import Session

    config, _ = drawn_folder(tmp_path, SQUARE, 6)
    session = Session(config.path, tmp_path / "studio")
    place = session.save_mask("zone", stored(blob(SQUARE)))
    found = opened(config, Foreground(roi=str(place)))
    assert found.surprises == () and np.array_equal(read_object_mask(place.read_bytes(), "zone"), blob(SQUARE) > 0)
