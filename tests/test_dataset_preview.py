"""Sheets: any size, depth and channel count; what they show is where it belongs; the same bytes every time."""

import weakref

import cv2
import numpy as np
import pytest
from made_dataset import anomalous, made_rows, normal_image, write_dataset
from PIL import Image

from anomgen.dataset.grid import complete_preview
from anomgen.dataset.panel import Panel
from anomgen.dataset.pictures import factor_of, saturated
from anomgen.dataset.preview import (
    TILE,
    dataset_panels,
    foreground_sheet,
    preview_sheet,
    texts_on,
    wrapped,
    write_sheet,
)
from anomgen.dataset.reader import Dataset
from anomgen.dataset.row import Row


def panels(count=2, shape=(48, 40, 3), dtype=np.uint8, soft=True):
    rows = made_rows(2 * count, shape=shape, dtype=dtype, soft=soft)
    return [Panel.of_row(row) for row in rows if row.label]


def pictures(sheet):
    """Return the bounding boxes (x, y, w, h) of the pictures: what is not white paper, and is no letter."""
    dark = (sheet < 250).any(axis=2)
    contours, _ = cv2.findContours(dark.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    boxes = [cv2.boundingRect(contour) for contour in contours]
    full = [(x, y, w, h) for x, y, w, h in boxes if min(w, h) > 11 and dark[y : y + h, x : x + w].mean() > 0.6]
    return sorted(full, key=lambda box: (box[1], box[0]))


@pytest.mark.parametrize("shape", [(48, 40, 3), (64, 64, 1), (20, 400, 3), (700, 33, 1), (600, 500, 3), (16, 16, 1)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_any_size_depth_and_channels_give_tiles_of_the_right_shape(shape, dtype):
    image = normal_image(1, shape, dtype)
    mask = np.zeros(image.shape[:2], bool)
    mask[5:15, 5:15] = True
    changed = image.copy()
    changed[mask] //= 2
    sheet = preview_sheet([Panel(changed, mask, mask.astype(np.float32), image, "x")])
    assert sheet.dtype == np.uint8 and sheet.shape[2] == 3
    boxes = pictures(sheet)
    assert len(boxes) == 5
    height, width = image.shape[:2]
    for _, _, w, h in boxes:
        assert max(w, h) <= TILE
        assert abs(w - h * width / height) <= 0.5 * max(1, width / height) + 0.5


def test_a_long_caption_is_broken_between_words_and_keeps_each():
    text = "chipped-edge · A bite out of the outline, rimmed by the fresh face of the break"
    lines = wrapped(text, 13, 300, 2)
    assert len(lines) == 2 and " ".join(lines) == text
    assert wrapped("two words", 13, 300, 2) == ["two words"] and wrapped("x" * 90 + " y", 13, 20, 2) == ["x" * 90, "y"]


def test_what_the_font_lacks_is_no_box():
    def drawn(text):
        return texts_on(np.full((30, 200, 3), 255, np.uint8), [(0, 0, text, 13, (0, 0, 0), 200)])

    assert np.array_equal(drawn("Löcher é 螺.png"), drawn("Locher e ?.png"))


def test_columns_show_what_their_heading_says():
    (panel,) = panels(1)
    sheet = preview_sheet([panel])
    boxes = pictures(sheet)
    scale = TILE // 48
    centre = (25 * scale, 15 * scale)  # inside the second rectangle of the mask
    corner = (2, 2)
    tiles = [sheet[y : y + h, x : x + w] for x, y, w, h in boxes]
    normal, changed, mask, soft, difference = tiles
    np.testing.assert_array_equal(normal[corner], panel.normal[0, 0])
    np.testing.assert_array_equal(normal[centre], panel.normal[25, 15])
    np.testing.assert_array_equal(changed[centre], panel.image[25, 15])
    assert mask[centre].tolist() == [255] * 3 and mask[corner].tolist() == [0] * 3
    assert soft[centre].tolist() == [153] * 3
    assert difference[centre].sum() > difference[corner].sum() + 200


def test_the_column_of_soft_masks_goes_when_there_are_none():
    assert len(pictures(preview_sheet(panels(1, soft=False)))) == 4


def test_a_missing_normal_image_leaves_a_blank():
    (panel,) = panels(1)
    sheet = preview_sheet([Panel(panel.image, panel.mask, panel.soft_mask, None, "")])
    assert len(pictures(sheet)) == 5
    assert (sheet == 238).all(axis=2).sum() > 2 * 200 * 180


def test_sixteen_bits_that_use_a_twelfth_of_the_range_are_still_seen():
    image = np.full((64, 64, 1), 2000, np.uint16)
    mask = np.zeros((64, 64), bool)
    mask[10:30, 10:30] = True
    changed = image.copy()
    changed[mask] = 4000
    sheet = preview_sheet([Panel(changed, mask, None, image, "")])
    x, y, *_ = pictures(sheet)[0]
    assert 100 < sheet[y, x, 0] < 160


def test_a_faint_difference_is_amplified_and_an_unchanged_image_is_shown():
    faint, mask = normal_image(1).copy(), np.zeros((48, 40), bool)
    mask[4:20, 4:20] = True
    faint[mask] += 3
    sheet = preview_sheet([Panel(faint, mask, None, normal_image(1), "")])
    x, y, *_ = pictures(sheet)[3]
    assert sheet[y + 40, x + 40].max() > 60
    same = Panel(normal_image(1), np.zeros((48, 40), bool), None, normal_image(1), "")
    assert len(pictures(preview_sheet([same]))) == 4


def test_samples_of_different_sizes_share_a_sheet():
    sheet = preview_sheet([*panels(1), *panels(1, shape=(100, 300, 3))], title="two sizes")
    assert len(pictures(sheet)) == 10


@pytest.mark.parametrize("kind", ["views", "foreground"])
def test_a_sheet_holds_one_sample_at_a_time(kind):
    """Law: whoever draws many large samples needs memory for one, and for the sheet."""
    drawn = []

    def sample():
        assert all(image() is None for image in drawn)
        (panel,) = panels(1, shape=(300, 520, 3))
        drawn.append(weakref.ref(panel.image))
        return panel if kind == "views" else (panel.image, panel.mask, "")

    samples = (sample() for _ in range(3))
    sheet = preview_sheet(samples) if kind == "views" else foreground_sheet(samples)
    assert len(drawn) == 3 and sheet.shape[0] > 3 * 140


def test_a_factor_saturates_a_tenth_of_the_changed_pixels_at_most():
    faint = np.repeat(np.float32([0, 30, 200]), [80, 18, 2])
    assert factor_of(saturated(faint)) == 8
    assert factor_of(saturated(faint) + saturated(np.float32([200]))) == 1
    assert factor_of(saturated(np.zeros(9, np.float32))) == 1


def test_a_long_caption_is_cut_to_the_width_of_the_sheet():
    (panel,) = panels(1)
    short = preview_sheet([panel])
    long = preview_sheet([Panel(panel.image, panel.mask, panel.soft_mask, panel.normal, "name " * 200)], "t " * 500)
    assert long.shape[1] == short.shape[1]
    assert (long[:, -8:] == 255).all()


# ------------------------------------------------------------------------------------------- from a dataset


def test_rows_are_spread_over_the_dataset_and_over_its_defect_types(tmp_path):
    dataset = Dataset(write_dataset(tmp_path / "d", made_rows(40)))
    chosen = list(dataset_panels(dataset, 6))
    assert sum("nsa" in panel.caption for panel in chosen) == 3
    assert sum("scar" in panel.caption for panel in chosen) == 3
    numbers = [int(panel.caption.split()[1]) for panel in chosen]
    assert numbers == sorted(set(numbers)) and max(numbers) - min(numbers) > 20
    for panel in chosen:
        np.testing.assert_array_equal(panel.image[~panel.mask], panel.normal[~panel.mask])


@pytest.mark.parametrize("count", [1, 6, 100])
def test_no_more_rows_are_shown_than_there_are(tmp_path, count):
    dataset = Dataset(write_dataset(tmp_path / "d"))
    assert len(list(dataset_panels(dataset, count))) == min(count, 6)


def test_a_rare_defect_type_is_shown(tmp_path):
    image = normal_image(0)
    rows = []
    for index in range(30):
        sample = anomalous(image, index, soft=False, defect_type="scar" if index == 17 else "nsa")
        rows.append(Row.of_sample(sample, index=index, seed=7, attempt=0, source_id="a", normal=image))
    chosen = list(dataset_panels(Dataset(write_dataset(tmp_path / "d", rows)), 4))
    assert sum("row 17 · scar" in panel.caption for panel in chosen) == 1
    assert all(panel.normal is None for panel in chosen)


def test_a_dataset_of_normal_rows_is_shown_too(tmp_path):
    rows = [row for row in made_rows(6) if not row.label]
    dataset = Dataset(write_dataset(tmp_path / "d", rows))
    assert len(list(dataset_panels(dataset))) == 3
    complete_preview(dataset, tmp_path / "p.png")


def test_the_same_dataset_gives_the_same_bytes(tmp_path):
    dataset = Dataset(write_dataset(tmp_path / "d"))
    for name in ("one.png", "two.png"):
        complete_preview(dataset, tmp_path / name)
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["d", "one.png", "two.png"]


def test_the_picture_of_a_card_is_small(tmp_path):
    rows = [row for row in made_rows(16, shape=(300, 300, 3)) if row.label]
    complete_preview(Dataset(write_dataset(tmp_path / "d", rows)), tmp_path / "p.png")
    with Image.open(tmp_path / "p.png") as picture:
        assert picture.mode == "P" and picture.width == 2 * 16 + 2 * (160 + 4 + 160) + 16  # two samples a line
    assert (tmp_path / "p.png").stat().st_size < 300_000


def test_colours_survive_the_file(tmp_path):
    sheet = np.zeros((20, 20, 3), np.uint8)
    sheet[..., 0] = 200
    write_sheet(sheet, tmp_path / "red.png")
    assert cv2.imread(str(tmp_path / "red.png"))[0, 0].tolist() == [0, 0, 200]


# ----------------------------------------------------------------------------------------------- foreground


@pytest.mark.parametrize("shape", [(48, 40, 3), (300, 520, 1)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_the_background_is_dimmed_and_the_foreground_left_as_it_is(shape, dtype):
    image, mask = np.full(shape, np.iinfo(dtype).max, dtype), np.zeros(shape[:2], bool)
    mask[: shape[0] // 2] = True
    sheet = foreground_sheet([(image, mask, "half")])
    pink = (sheet == (255, 0, 160)).all(axis=2)
    assert pink.any()
    assert (sheet == round(0.2 * 255 + 25.5)).all(axis=2).sum() > 0.2 * pink.sum()


def test_an_image_without_background_is_shown_as_it_is():
    sheet = foreground_sheet([(normal_image(0), None, "")])
    boxes = pictures(sheet)
    assert len(boxes) == 2
    (x1, y1, w, h), (x2, y2, *_) = boxes
    np.testing.assert_array_equal(sheet[y1 : y1 + h, x1 : x1 + w], sheet[y2 : y2 + h, x2 : x2 + w])


def test_a_caption_ends_with_a_part_of_which_something_is_left():
    """Law: at every width it fits, in whole parts but for a last one, cut, of which ten characters or more are left."""
    from anomgen.dataset.preview import CAPTION_SIZE, LEGIBLE, _shortened, _text_width

    text = "row 1 · spot · from a_long_name.png"
    whole = {text, "row 1 · spot", "row 1"}
    shown = {width: _shortened(text, CAPTION_SIZE, width) for width in range(40, _text_width(text, CAPTION_SIZE) + 1)}
    for width, short in shown.items():
        cut = short.removesuffix("...")
        assert _text_width(short, CAPTION_SIZE) <= width and text.startswith(cut)
        assert short in whole or (short != cut and (" · " not in cut or len(cut.split(" · ")[-1]) >= LEGIBLE))
    assert {"row 1 · spot", text} < set(shown.values())
