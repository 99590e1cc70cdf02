"""Masks are told from images by names and contents, by one rule for all that reads folders; nothing is guessed."""

import cv2
import numpy as np
import pytest
from test_sources_tree import MASK, PICTURE, put

from anomgen.errors import SourceError
from anomgen.sources.folder import FileReader
from anomgen.sources.labelled import defects_in, listing
from anomgen.sources.mask_files import Look, look_of
from anomgen.sources.pairing import normal_among, paired
from anomgen.sources.sorting import sorted_pictures
from anomgen.sources.tree import tree_of

ENDINGS = (
    *("_m", "_mask1", "_mask_0", "_defect_mask", "_gtmask", "_segm", "_roi", "_anno", "_labelTrainIds", "_instanceIds"),
    *("_GT (1)", "_bw", "_matte", "_alpha", "mask", ".mask", "_0"),
)
FOLDERS = (
    *(
        "labels",
        "Label",
        "annotations",
        "SegmentationClass",
        "mask_png",
        "labels_png",
        "seg",
        "masks",
        "gts",
        "targets",
    ),
    *("truth", "y", "bitmap", "LabelsBinary", "ROI", "ann", "segmap"),
)


def encoded(pixels, extension=".png"):
    return cv2.imencode(extension, pixels)[1].tobytes()


def write(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encoded(pixels, path.suffix))


def sort(root):
    return sorted_pictures(tree_of(root).pictures, FileReader(root), "d")


def typed(found):
    return {image.id: (image.defect_type, list(image.mask or [])) for image in found.found}


# --- beside images and in folders beside ------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_mask_beside_its_image_is_no_image_whatever_its_ending(tmp_path, ending):
    for k in range(4):
        put(tmp_path, f"good/a{k}.jpg", f"bad/b{k}.jpg", f"bad/b{k}{ending}.png!")
        write(tmp_path / f"good/a{k}{ending}.png", np.zeros_like(MASK))
    masks = {f"{place}{k}{ending}.png" for k in range(4) for place in ("good/a", "bad/b")}
    assert sort(tmp_path).masks == masks
    found = typed(listing(str(tmp_path)))
    assert {name: what for name, what in found.items() if what[0] != "normal"} == {
        f"bad/b{k}.jpg": ("bad", [f"bad/b{k}{ending}.png"]) for k in range(4)
    }
    normal = normal_among(tree_of(tmp_path).pictures, FileReader(tmp_path), "d")
    assert normal.images == [f"good/a{k}.jpg" for k in range(4)]
    assert normal.notes[0].startswith("left out 8 files, masks: bad/b0")


@pytest.mark.parametrize("inner", ["", "bad/"])
@pytest.mark.parametrize("folder", FOLDERS)
def test_a_folder_of_masks_is_none_of_defects_whatever_it_is_called(tmp_path, folder, inner):
    for k in range(4):
        put(tmp_path, f"good/g{k}.jpg", f"bad/b{k}.jpg", f"{folder}/{inner}b{k}.png!")
    expected = {f"bad/b{k}.jpg": ("bad", [f"{folder}/{inner}b{k}.png"]) for k in range(4)}
    assert typed(listing(str(tmp_path))) == expected | {f"good/g{k}.jpg": ("normal", []) for k in range(4)}
    assert typed(defects_in(str(tmp_path))) == expected


@pytest.mark.parametrize("folder", FOLDERS)
def test_normal_images_have_no_masks_among_them(tmp_path, folder):
    for k in range(4):
        put(tmp_path, f"images/a{k}.jpg")
        write(tmp_path / f"{folder}/a{k}.png", np.zeros_like(MASK) if k else MASK)
    write(tmp_path / f"{folder}/z.png", MASK)  # of an image that is not there
    found = normal_among(tree_of(tmp_path).pictures, FileReader(tmp_path), "d")
    assert found.images == ["images/a1.jpg", "images/a2.jpg", "images/a3.jpg"]
    assert found.notes[0].startswith("left out 5 files, masks: ")
    assert found.notes[1] == "left out 1 file, whose masks mark an anomaly: images/a0.jpg"


@pytest.mark.parametrize("folder", ["masks", "labels", "y"])
@pytest.mark.parametrize("endings", [("_0", "_1"), ("_mask_0", "_mask_1"), ("_dent", "_scratch"), ("-1", "-2")])
def test_several_masks_of_one_image_are_united(tmp_path, folder, endings):
    put(tmp_path, "good/g.jpg", "bad/b1.jpg", "bad/b12.jpg", f"{folder}/b12{endings[0]}.png!")
    put(tmp_path, *(f"{folder}/b1{ending}.png!" for ending in endings))
    found = typed(listing(str(tmp_path)))
    assert found["bad/b1.jpg"] == ("bad", [f"{folder}/b1{ending}.png" for ending in endings])
    assert found["bad/b12.jpg"] == ("bad", [f"{folder}/b12{endings[0]}.png"])


def test_a_mask_goes_to_the_image_whose_name_is_most_of_its_own():
    images, masks = ["bad/b1.jpg", "bad/b1_2.jpg"], ["y/b1_0.png", "y/b1_2_0.png", "y/b1_2_1.png"]
    assert paired(images, masks, "d") == {"bad/b1.jpg": masks[:1], "bad/b1_2.jpg": masks[1:]}
    assert paired(images[:1], masks, "d", images[1:]) == {"bad/b1.jpg": masks[:1]}
    with pytest.raises(SourceError, match=r"y/b1_0\.png could be the mask of a/b1\.jpg and of b/b1\.jpg"):
        paired(["a/b1.jpg", "b/b1.jpg"], ["y/b1_0.png"], "d")
    with pytest.raises(
        SourceError, match=r"y/b1\.png and z/b1\.png are masks of the same image; the folders y and z both"
    ):
        paired(["a/b1.jpg"], ["y/b1.png", "z/b1.png"], "d")


# --- contents ---------------------------------------------------------------------------------------------------------


def blurred(sigma=2.0):
    mask = np.zeros((64, 64), np.uint8)
    mask[10:30, 10:30] = 255
    return cv2.GaussianBlur(mask, (0, 0), sigma)


def instances(side, cells):
    """Return `cells` × `cells` squares, each of its own value, a pixel apart."""
    mask = np.zeros((side, side), np.uint8)
    step = side // cells
    for k in range(cells * cells):
        top, left = k // cells * step, k % cells * step
        mask[top : top + step - 1, left : left + step - 1] = k + 1
    return mask


def product_on_white():
    image = np.full((64, 64, 3), 255, np.uint8)
    image[16:40, 16:40] = PICTURE[:24, :24]
    return image


@pytest.mark.parametrize(
    ("pixels", "look"),
    [
        (PICTURE, Look.PICTURE),
        (PICTURE[..., 0], Look.PICTURE),
        (product_on_white(), Look.PICTURE),
        (product_on_white()[..., 0], Look.UNCLEAR),
        (MASK, Look.MASK),
        (np.zeros_like(MASK), Look.EMPTY),
        (instances(256, 7), Look.MASK),
        (instances(64, 7), Look.UNCLEAR),
        (blurred(0.7), Look.MASK),
        (instances(256, 7).astype(np.uint16) * 500, Look.MASK),
    ],
)
def test_contents_look_like_a_mask_or_like_a_picture(pixels, look):
    assert look_of(encoded(pixels)) is look


@pytest.mark.parametrize("name", ["a_label.png", "a_mask.png", "a_seg.png", "a_gt.jpg", "labels/a.png"])
def test_a_mask_with_soft_edges_is_a_mask(tmp_path, name):
    write(tmp_path / "a.bmp", PICTURE)
    write(tmp_path / name, blurred())
    assert sort(tmp_path).masks == {name}


@pytest.mark.parametrize(
    "name", ["bottle 0 mask.png", "mask_bottle 0.png", "bottle 0_GT.png", "masks/good/7.png", "labels/bottle 0.png"]
)
def test_a_photograph_that_is_called_like_a_mask_is_an_image_and_this_is_said(tmp_path, name):
    put(tmp_path, "bottle 0.png", name)
    found = sort(tmp_path)
    assert found.masks == set() and found.images == sorted(["bottle 0.png", name])
    assert found.notes == (f"1 file is called like a mask but holds a picture, and was taken for an image: {name}",)


@pytest.mark.parametrize(
    ("name", "pixels", "image"),
    [
        ("a.png", instances(64, 7), PICTURE),  # the same name, neither flat nor a photograph
        ("a_2.png", product_on_white()[..., 0], PICTURE),
        ("a mask.png", product_on_white()[..., 0], product_on_white()[..., 0]),  # perhaps photographs of masks
    ],
)
def test_what_stays_open_is_refused_with_what_to_do(tmp_path, name, pixels, image):
    write(tmp_path / "a.bmp", image)
    write(tmp_path / name, pixels)
    with pytest.raises(SourceError, match=rf"d: {name} may be a mask of a\.bmp or an image .*folder named masks"):
        sort(tmp_path)


def test_a_folder_of_nothing_but_one_colour_is_refused(tmp_path):
    for k in range(3):
        put(tmp_path, f"good/{k}.png")
        write(tmp_path / f"camera/{k}.png", np.zeros_like(MASK))
    with pytest.raises(SourceError, match=r"camera/0\.png may be a mask of good/0\.png"):
        sort(tmp_path)


@pytest.mark.parametrize(
    "names",
    [
        ("good/0.png", "bad/0.png", "bad/1.png"),
        ("a.png", "a_left.png", "a_right.png", "a_0.png"),
        ("train/good/000.png", "test/good/000.png", "test/crack/000.png"),
        ("front/0.png", "segments/0.png", "side/0.png"),
    ],
)
def test_views_and_parts_of_the_same_name_are_images(tmp_path, names):
    found = sort(put(tmp_path, *names))
    assert sorted(found.images) == sorted(names) and found.masks == set() and found.notes == ()


@pytest.mark.parametrize("kind", [blurred(), product_on_white()[..., 0], MASK])
def test_pictures_alike_are_images_however_flat(tmp_path, kind):
    for k in range(3):
        write(tmp_path / f"a{k}.png", kind)
        write(tmp_path / f"a{k}_2.png", kind)
    assert sort(tmp_path).masks == set()


@pytest.mark.parametrize(
    ("image", "masks"),
    [
        ("Image{k}.jpg", ["Mask{k}.png"]),
        ("a{k}_img.png", ["a{k}_msk.png"]),
        ("a{k}_rgb.png", ["a{k}_seg.png"]),
        ("photo-{k}.png", ["gt-{k}.png"]),
        ("a{k}/img.png", ["a{k}/label.png", "a{k}/label_viz.png"]),  # as labelme lays it out
    ],
)
def test_words_that_pair_names_tell_masks_from_images(tmp_path, image, masks):
    names = [name.format(k=k) for k in range(4) for name in masks]
    put(tmp_path, "good/c.jpg", *(f"bad/{image.format(k=k)}" for k in range(4)), *(f"bad/{name}!" for name in names))
    assert sort(tmp_path / "bad").masks == set(names)
    found = typed(listing(str(tmp_path)))
    for k in range(4):
        assert found[f"bad/{image.format(k=k)}"][1] == [f"bad/{name.format(k=k)}" for name in masks]


@pytest.mark.parametrize("images", [2, 40])
def test_masks_that_no_name_gives_away_are_refused_and_named(tmp_path, images):
    drawn = images // 4 + 2
    put(tmp_path, *(f"p{k}.png" for k in range(images)), *(f"q{k}.png!" for k in range(drawn)))
    said = rf"d: {drawn} of {images + drawn} images hold one colour or a few flat greys .*: q0\.png"
    with pytest.raises(SourceError, match=said):
        sort(tmp_path)


@pytest.mark.parametrize("mask", ["bin_{k}.png", "b{k}.png", "masken/m_{k}.png"])
def test_empty_masks_that_no_name_gives_away_are_refused_as_well(tmp_path, mask):
    """A normal part's mask is black all over; as an image it would be a normal one."""
    put(tmp_path, *(f"img_{k}.png" for k in range(8)))
    for k in range(8):
        write(tmp_path / mask.format(k=k), np.zeros_like(MASK))
    with pytest.raises(SourceError, match=r"d: 8 of 16 images hold one colour"):
        sort(tmp_path)


@pytest.mark.parametrize(
    "names",
    [
        [f"a{k}.png!" for k in range(5)],  # binary products, all alike
        [*(f"a{k}.png" for k in range(9)), "b.png!"],  # a single one
        [*(f"a{k}.png" for k in range(14)), "b.png!", "c.png!"],  # few of many
        [*(f"u/a{k}.png!" for k in range(5)), *(f"v/b{k}.png!" for k in range(5))],  # in both folders
        [*(f"u/a{k}.png" for k in range(5)), "v/b.png!"],  # a single one in a folder of its own
    ],
)
def test_flat_images_are_no_masks_where_not_many_are_among_photographs(tmp_path, names):
    found = sort(put(tmp_path, *names))
    assert found.masks == set() and len(found.images) == len(names)


CLASSES = cv2.resize(instances(64, 3), (256, 256), interpolation=cv2.INTER_NEAREST)


@pytest.mark.parametrize("mask", [MASK, CLASSES, CLASSES // 9, np.dstack([CLASSES * 20, CLASSES * 5, CLASSES])])
@pytest.mark.parametrize(
    ("image", "name"),
    [
        ("leftImg8bit/x_{k}_leftImg8bit.png", "gtFine/x_{k}_gtFine_labelIds.png"),
        ("imagesTr/a{k}_0000.png", "labelsTr/a{k}.png"),
        ("images/a{k}_image.png", "annotations/a{k}_anno.png"),
        ("photo/p{k}.png", "segm/s{k}.png"),
        ("p/{k}_L.jpg", "q/{k}_M.png"),
        ("photos/IMG_{k}.jpg", "targets/TGT_{k}.png"),
        ("scans/s{k}/im.png", "seg/s{k}/gt.png"),
    ],
)
def test_folders_of_masks_whose_names_are_unlike_the_images_are_refused(tmp_path, image, name, mask):
    for k in range(6):
        put(tmp_path, image.format(k=k))
        write(tmp_path / name.format(k=k), mask if k > 2 else mask * 0)
    with pytest.raises(SourceError, match=rf"d: 6 of 12 images hold one colour .* photographs: {name.format(k=0)}"):
        sort(tmp_path)


@pytest.mark.parametrize("side", [64, 256])
@pytest.mark.parametrize(("colour", "ground"), [((0, 0, 255), 0), ((0, 128, 128), 0), ((0, 0, 255), 255)])
@pytest.mark.parametrize("name", ["targets/TGT_{k}.png", "TGT_{k}.png", "2. Groundtruths/1. MA/IMG_{k}_MA.png"])
def test_coloured_masks_are_refused_though_some_mark_single_pixels(tmp_path, name, colour, ground, side):
    for k in range(8):
        put(tmp_path, f"1. Originals/IMG_{k}.png" if name[0] == "2" else f"IMG_{k}.png")
        mask = np.full((side, side, 3), ground, np.uint8)
        mask[(5, 9, 30), (7, 40, 60)] = colour
        mask[10:20, 10:20] = colour if k != 3 else ground
        write(tmp_path / name.format(k=k), mask)
    with pytest.raises(SourceError, match=r"d: 8 of 16 images hold one colour"):
        sort(tmp_path)


def test_a_mask_of_many_colours_in_single_pixels_is_refused_among_painted_ones(tmp_path):
    for k in range(8):
        put(tmp_path, f"photos/IMG_{k}.png")
        mask = np.dstack([CLASSES * 20, CLASSES * 5, CLASSES])
        if k == 3:
            mask = np.zeros_like(mask)
            mask[np.arange(4, 64, 6), np.arange(4, 64, 6)] = np.arange(30).reshape(10, 3) * 8 + 5
        write(tmp_path / f"targets/TGT_{k}.png", mask)
    with pytest.raises(SourceError, match=r"d: 8 of 16 images hold one colour"):
        sort(tmp_path)


def test_a_few_photographs_of_bright_colours_on_black_are_images(tmp_path):
    for k in range(8):
        glow = np.dstack([blurred(3 + k), blurred(2) // 3, blurred(2) * 0])
        write(tmp_path / f"a{k}.png", glow if k % 2 else PICTURE)
    assert len(sort(tmp_path).images) == 8


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
@pytest.mark.parametrize("how", [lambda scene: scene // 60, lambda scene: scene // 20, lambda scene: 255 - scene // 60])
def test_dark_and_overexposed_photographs_beside_others_are_images(tmp_path, suffix, how):
    rng = np.random.default_rng(0)
    for k in range(4):
        scene = cv2.GaussianBlur(rng.normal(120, 900, (96, 128)), (0, 0), 8) + rng.normal(0, 4, (96, 128))
        scene = np.clip(scene, 0, 255).astype(np.uint8)
        put(tmp_path, f"day/a{k}.png")
        write(tmp_path / f"night/b{k}{suffix}", how(scene))
    assert len(sort(tmp_path).images) == 8


@pytest.mark.parametrize("folder", ["ground_truth", "ground_truth/ko", "Masks", "SegmentationClass", "set_GroundTruth"])
def test_drawn_files_alone_are_refused_where_their_folder_says_so(tmp_path, folder):
    names = [f"{k}.png!" for k in range(5)]
    for path in (tmp_path / folder, tmp_path / "binary"):
        path.mkdir(parents=True)
        put(path, *names)
    read = lambda name: (tmp_path / folder / name).read_bytes()  # noqa: E731
    pictures = [name.rstrip("!") for name in names]
    with pytest.raises(SourceError, match=r"all of 5 images that were opened .* lie in a folder .*: 0\.png"):
        sorted_pictures(pictures, read, str(tmp_path / folder))
    (note,) = sorted_pictures(pictures, read, str(tmp_path / "binary")).notes
    assert "hold a few flat greys" in note and "give the folder of the photographs" in note


# --- few files are opened ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layout", "most", "masks"),
    [
        (["{k}.png"], 16, 0),
        (["{k}.png", "{k}_1.png", "{k}_2.png"], 24 + 16, 0),
        (["good/{k}.png", "bad/{k}.png"], 24 + 2 * 16, 0),
        (["part_{k}/cam1.png", "part_{k}/cam2.png"], 60 + 16, 0),
        (["{k}.png", "{k}_mask.png!"], 6 + 16, 1),
        (["images/{k}.png", "masks/{k}.png!"], 16, 1),
        (["images/{k}.png", "labels/{k}.png!"], 24 + 16, 1),
        (["u/{k}.png", "v/b{k}.png!"], 2 * 16, None),
    ],
)
def test_the_number_of_files_that_are_opened_does_not_grow_with_the_folder(layout, most, masks):
    opened = []
    contents = {"": encoded(PICTURE), "!": encoded(MASK)}
    kinds = {name.rstrip("!").format(k=k): "!" * name.endswith("!") for k in range(500) for name in layout}

    def read(name):
        opened.append(name)
        return contents[kinds[name]]

    if masks is None:
        with pytest.raises(SourceError, match="500 of 1000 images"):
            sorted_pictures(sorted(kinds), read, "d")
    else:
        assert len(sorted_pictures(sorted(kinds), read, "d").masks) == 500 * masks
        assert len(opened) == len(set(opened))
    assert len(set(opened)) <= most
