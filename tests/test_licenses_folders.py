"""Which folders are looked into for the licence of images."""

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
