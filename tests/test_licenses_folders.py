"""Which folders are looked into for the licence of images."""

from itertools import product

import pytest
from test_licenses import put

from anomgen.licenses import license_beside

OPEN = "The images are licensed under CC BY 4.0."
SECRET = "Confidential. Do not redistribute."


@pytest.mark.parametrize(
    ("files", "license", "file"),
    [
        ({"train/good/LICENSE": "All rights reserved."}, None, "train/good/LICENSE"),
        ({"train/good/LICENSE": "All rights reserved.", "LICENSE": "CC BY 4.0"}, None, "train/good/LICENSE"),
        ({"train/good/NOTICE": "customer images, confidential"}, None, "train/good/NOTICE"),
        ({"train/good/README.md": SECRET}, None, "train/good/README.md"),
        ({"train/README.md": SECRET}, None, "train/README.md"),
        ({"train/good/README.rst": SECRET}, None, "train/good/README.rst"),
        ({"train/TERMS.txt": "No redistribution."}, None, "train/TERMS.txt"),
        ({"train/good/README.md": "Photos of 400 bolts."}, "cc-by-4.0", "../LICENSE.txt"),
        ({"test/LICENSE": "All rights reserved."}, "cc-by-4.0", "../LICENSE.txt"),
        ({"train/LICENSE": "The Bolts dataset is licensed under CC0 1.0."}, "cc0-1.0", "train/LICENSE"),
        ({"train/bent/LICENSE": "CC BY-SA 4.0"}, None, "../LICENSE.txt and train/bent/LICENSE"),
        ({"train/bent/LICENSE": "CC BY 4.0"}, "cc-by-4.0", "train/bent/LICENSE"),
        ({"train/bent/LICENSE": "CC BY 4.0", "../LICENSE.txt": ""}, None, "../LICENSE.txt"),
    ],
)
def test_the_folders_between_a_source_and_its_images_are_looked_into(tmp_path, files, license, file):
    root = tmp_path / "bolts"
    put(root, {"../LICENSE.txt": OPEN, **files})
    found = license_beside(root, tmp_path, pictures=["train/good/0.png", "train/good/1.png", "train/bent/0.png"])
    assert (found.license, found.file) == (license, file), found
    assert set(files) - set(found.read) <= {"test/LICENSE"}


def test_a_licence_beside_some_of_the_images_alone_is_not_that_of_all(tmp_path):
    put(tmp_path, {"a/LICENSE": OPEN})
    assert license_beside(tmp_path, pictures=["a/0.png"]).license == "cc-by-4.0"
    assert license_beside(tmp_path, pictures=["a/0.png", "b/0.png"]).notes == (
        "licence unknown: a/LICENSE is not beside the images in b; read it, and give --license",
    )


def test_a_readme_above_that_takes_a_licence_back_counts(tmp_path):
    put(tmp_path, {"LICENSE": OPEN, "set/README.md": SECRET, "set/good/notes.txt": ""})
    found = license_beside(tmp_path / "set/good", tmp_path / "set", tmp_path)
    assert (found.license, found.file) == (None, "../README.md")


NAMES = (
    *("CONFIDENTIAL", "NDA.txt", "DO_NOT_SHARE.txt", "permission.txt", "restrictions.txt", "policy.txt"),
    *("IMPORTANT.txt", "READ_ME.txt", "00README", "LIESMICH.txt", "Lies mich.txt", "usage.txt", "ATTRIBUTION.txt"),
    *("Contract.txt", "notes.md", "about.rst", "AUTHORS", "info.txt"),
)


@pytest.mark.parametrize("name", NAMES)
def test_what_a_text_of_any_name_says_of_rights_takes_a_licence_back(tmp_path, name):
    for place, text in product(
        ("train/good", "train", ".", ".."), (SECRET, "b/3.png: Getty Images, all rights reserved", "A part of VisA.")
    ):
        root = tmp_path / f"{place.replace('/', '+')} {len(text)}" / "bolts"
        put(root, {"../LICENSE": OPEN.replace("BY", "BY-NC"), f"{place}/{name}": text})
        found = license_beside(root, root.parent, pictures=["train/good/0.png"])
        assert found.license is None and found.file.endswith(name), (place, text)
        (root / place / name).unlink()
        assert license_beside(root, root.parent, pictures=["train/good/0.png"]).license == "cc-by-nc-4.0"


@pytest.mark.parametrize(
    "name", ["CONFIDENTIAL", "NDA.txt", "do-not-distribute", "Vertraulich.txt", "Rechte.txt", "Bildrechte.txt"]
)
def test_a_name_that_tells_of_rights_counts_without_words(tmp_path, name):
    put(tmp_path, {"LICENSE": OPEN, name: ""})
    assert license_beside(tmp_path).notes == (
        f"licence unknown: {name} cannot be read beside LICENSE; read it, and give --license",
    )


ROBOFLOW = """bolts - v1 2024-01-01 10:00am
==============================

This dataset was exported via roboflow.com on January 1, 2024 at 9:00 AM GMT

Roboflow is an end-to-end computer vision platform that helps you
* collaborate with your team on computer vision projects
* collect & organize images
* understand and search unstructured image data
* annotate, and create datasets
* export, train, and deploy computer vision models
* use active learning to improve your dataset over time

For state of the art Computer Vision training notebooks you can use with this dataset,
visit https://github.com/roboflow/notebooks

To find over 100k other datasets and pre-trained models, visit https://universe.roboflow.com

The dataset includes 300 images.
Bolts are annotated in YOLOv8 format.

The following pre-processing was applied to each image:
* Auto-orientation of pixel data (with EXIF-orientation stripping)
* Resize to 640x640 (Stretch)

No image augmentation techniques were applied.
"""


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("README.roboflow.txt", ROBOFLOW),
        ("notes.txt", "Camera 3, lamp on the left. Shot by Jane. Image 12 is blurred."),
        ("classes.txt", "scratch\ndent\nmissing"),
        ("train.txt", "good/0.png\ngood/1.png"),
        ("0.txt", "restricted"),
        ("0.png.txt", "restricted"),
        ("rechte_seite.txt", "Lampe 3"),
        ("Rechteck.txt", "Lampe 3"),
        ("do_not_touch_1.txt", "0 .5 .5 .1 .1"),
        ("do_nothing.txt", "0 .5"),
        ("long.txt", SECRET * 1000),
        ("AUTHORS", "Jane Doe\nJohn Doe"),
        ("CONTRIBUTING.md", "Ask before you change the licence."),
        ("notes.csv", SECRET),
    ],
)
def test_texts_about_other_things_take_nothing_back(tmp_path, name, text):
    put(tmp_path, {"LICENSE": OPEN, "0.png": "", "do_not_touch_1.png": "", name: text})
    assert license_beside(tmp_path, pictures=["0.png"]).license == "cc-by-4.0"


def test_of_many_texts_a_few_are_read_and_those_that_their_name_tells_of(tmp_path):
    put(tmp_path, {"LICENSE": OPEN, **{f"annotation{k:03d}": "0 1 2 3" for k in range(300)}, "zz.txt": SECRET})
    assert license_beside(tmp_path).license == "cc-by-4.0"
    put(tmp_path, {"zz-permission.txt": "Ask Jane."})
    assert license_beside(tmp_path).file == "zz-permission.txt"


@pytest.mark.parametrize(
    ("files", "license"),
    [
        ({}, "cc-by-4.0"),
        ({"pool/x/LICENSE": OPEN}, "cc-by-4.0"),
        ({"pool/x/LICENSE": "All rights reserved."}, None),
        ({"pool/LICENSE": "The images are licensed under CC BY-NC 4.0."}, None),
        ({"pool/x/NDA.txt": ""}, None),
        ({"pool/notes.txt": SECRET}, None),
        ({"pool/notes.txt": "Camera 3."}, "cc-by-4.0"),
    ],
)
def test_what_lies_beside_the_images_that_links_lead_to_counts(tmp_path, files, license):
    put(tmp_path, {"pool/x/0.png": "", "set/mine/1.png": "", "set/LICENSE": OPEN, **files})
    (tmp_path / "set/mine/0.png").symlink_to(tmp_path / "pool/x/0.png")
    (tmp_path / "set/theirs").symlink_to(tmp_path / "pool/x")
    for pictures in (["mine/0.png", "mine/1.png"], ["theirs/0.png"]):
        found = license_beside(tmp_path / "set", pictures=pictures)
        assert found.license == license
        assert license or found.file.startswith("theirs/") or "links to images of ../pool/" in found.notes[0], found
    assert license_beside(tmp_path / "set", pictures=iter(["mine/1.png"])).license == "cc-by-4.0"


@pytest.mark.parametrize(
    "text",
    [
        "002.png is by Jane.",
        "`002.png`, 003.png and 004.png were shot by Jane Doe.",
        "Photos 3-7 are by Élise.",
        "Images 1 and 2 by Jane",
        "Some of the images are by Jane.",
        "Other pictures were taken by John.",
        "002.JPG stammt von Müller.",
        "002.png est de Jane.",
    ],
)
def test_that_single_images_are_by_somebody_takes_a_licence_back(tmp_path, text):
    put(tmp_path, {"LICENSE": OPEN, "notes.txt": text})
    assert license_beside(tmp_path).file == "notes.txt"


@pytest.mark.parametrize(
    "text",
    [
        "All photos were taken by Jane Doe.",
        "Image 12 was taken by Camera 3, image 3 by hand.",
        "001.png is degraded by Gaussian noise, 002.png followed by 003.png.",
        "Bild 3 von 12. 002.png ist von Hand beschriftet, 003.png ist von Linie 2.",
    ],
)
def test_how_single_images_came_about_takes_none_back(tmp_path, text):
    put(tmp_path, {"LICENSE": OPEN, "notes.txt": text})
    assert license_beside(tmp_path).license == "cc-by-4.0"
