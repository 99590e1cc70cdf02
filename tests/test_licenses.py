"""Licences: what may be published of what, and how they are found beside pictures."""

import pytest

from anomgen.licenses import (
    Evidence,
    conflict,
    first_conflict,
    inherited,
    known,
    license_beside,
    license_in,
    normalised,
)


@pytest.mark.parametrize(
    ("source", "published", "reason"),
    [
        ("cc-by-nc-sa-4.0", "cc-by-nc-sa-4.0", None),
        ("cc-by-nc-sa-4.0", "mit", "same terms"),
        ("cc-by-nc-sa-4.0", "cc-by-4.0", "same terms"),
        ("cc-by-nc-sa-4.0", "cc-by-nc-4.0", "same terms"),
        ("cc-by-nc-sa-4.0", "cc-by-sa-4.0", "same terms"),
        ("cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0", None),
        ("cc-by-nc-sa-4.0", "cc-by-nc-sa-3.0", "or a later"),
        ("cc-by-nc-4.0", "cc-by-nc-sa-4.0", None),
        ("cc-by-nc-4.0", "cc-by-nc-4.0", None),
        ("cc-by-nc-4.0", "cc-by-4.0", "forbids commercial use"),
        ("cc-by-nc-2.0", "apache-2.0", "forbids commercial use"),
        ("cc-by-nc-4.0", "other", "forbids commercial use"),
        ("CC BY-NC 4.0", "MIT", "forbids commercial use"),
        ("cc-by-sa-4.0", "cc-by-nc-sa-4.0", "same terms"),
        ("cc-by-nd-4.0", "cc-by-nd-4.0", "derived"),
        ("cc-by-nc-nd-4.0", "cc-by-nc-4.0", "derived"),
        ("cc-by-4.0", "mit", None),
        ("cc-by-4.0", "cc0-1.0", "gives it up"),
        ("mit", "cc-by-nc-sa-4.0", None),
        ("cc0-1.0", "apache-2.0", None),
        ("odbl", "mit", "must stay odbl"),
        ("gpl-3.0", "gpl-3.0", None),
        ("other", "mit", "must stay other"),
        ("research-only", "mit", "must stay research-only"),
    ],
)
def test_what_may_follow_from_what(source, published, reason):
    found = conflict(source, published)
    assert found is None if reason is None else reason in found


def test_several_sources_and_unknown_ones():
    assert first_conflict(["cc-by-4.0", None, "unknown"], "mit") is None
    assert "cc-by-nc-4.0" in first_conflict(["cc-by-4.0", None, "cc-by-nc-4.0"], "mit")
    assert known("Unknown") is None and known(None) is None and known(" CC0 1.0") == "cc0-1.0"
    assert normalised("Apache 2.0") == "apache-2.0"


@pytest.mark.parametrize(
    ("source", "others", "license"),
    [
        ("cc-by-4.0", [], "cc-by-4.0"),
        ("cc0-1.0", ["cc-by-nc-4.0"], "cc-by-nc-4.0"),
        ("cc-by-nc-sa-4.0", ["cc-by-4.0"], "cc-by-nc-sa-4.0"),
        ("cc-by-sa-4.0", ["cc-by-nc-4.0"], None),
        (None, ["cc-by-4.0"], None),
    ],
)
def test_what_is_inherited_of_several_suits_all(source, others, license):
    assert inherited(source, others) == license


@pytest.mark.parametrize(
    ("text", "license"),
    [
        (
            "licensed under a Creative\nCommons Attribution-NonCommercial-ShareAlike\n4.0",
            "cc-by-nc-sa-4.0",
        ),
        ("see <http://creativecommons.org/licenses/by-nc-sa/4.0/>", "cc-by-nc-sa-4.0"),
        ("CC BY-NC-SA 4.0, https://creativecommons.org/licenses/by-nc-sa/4.0/", "cc-by-nc-sa-4.0"),
        ("CC BY 4.0", "cc-by-4.0"),
        ("Attribution-NonCommercial-NoDerivatives 4.0", "cc-by-nc-nd-4.0"),
        ("Attribution-NoDerivs 3.0", "cc-by-nd-3.0"),
        ("Attribution Share Alike 3.0", "cc-by-sa-3.0"),
        ("Attribution Non-Commercial 2.0", "cc-by-nc-2.0"),
        ("CC BY 4.0 or CC BY-NC 4.0", None),
        ("MIT License", None),
    ],
)
def test_a_licence_is_read_from_text(text, license):
    assert license_in(text) == license


@pytest.mark.parametrize(
    ("front", "license"),
    [
        ("license: cc-by-4.0", "cc-by-4.0"),
        ("pretty_name: x\nlicense: 'MIT'  # as the images\ntags: [a]", "mit"),
        ("license:\n- cc0-1.0\ntags:\n- a", "cc0-1.0"),
        ("license:\n- mit\n- cc0-1.0", None),
        ("license: unknown", None),
        ("license:\ntags: [a]", None),
        ("nested:\n  license: mit", None),
    ],
)
def test_the_metadata_of_a_readme_are_evidence_of_a_licence(tmp_path, front, license):
    """What is written below, as of another work, is none."""
    (tmp_path / "README.md").write_text(f"---\n{front}\n---\n\nlicense: apache-2.0\n")
    assert license_beside(tmp_path).license == license
    (tmp_path / "README.md").write_text(f"# Images\n\n{front}\n")
    assert license_beside(tmp_path) == Evidence()


def put(root, files):
    """Write texts, or bytes, under names relative to a folder."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())


MVTEC = (
    "Attribution-NonCommercial-ShareAlike 4.0 International (CC BY-NC-SA 4.0)\n"
    "https://creativecommons.org/licenses/by-nc-sa/4.0/"
)


@pytest.mark.parametrize(
    ("files", "license", "file"),
    [
        ({}, None, ""),
        (
            {"../LICENSE-DATASET": "CC BY 4.0", "../README.md": "CC BY-NC 4.0"},
            "cc-by-4.0",
            "../LICENSE-DATASET",
        ),
        ({"../LICENSE": "CC BY 4.0", "readme.txt": MVTEC}, "cc-by-nc-sa-4.0", "readme.txt"),
        ({"../license.txt": MVTEC, "../readme.txt": "MVTec AD"}, "cc-by-nc-sa-4.0", "../license.txt"),
        ({"LICENCE.md": "The images are under CC BY 4.0."}, "cc-by-4.0", "LICENCE.md"),
        ({"README.TXT": MVTEC}, "cc-by-nc-sa-4.0", "README.TXT"),
        ({"license.txt": MVTEC.encode("utf-16")}, "cc-by-nc-sa-4.0", "license.txt"),
        ({"LICENSE": "https://creativecommons.org/licenses/by/3.0/de/"}, "cc-by-3.0", "LICENSE"),
        (
            {"LICENSE": "Copyright 2019 A. The images and the code are CC BY 4.0."},
            "cc-by-4.0",
            "LICENSE",
        ),
        # the nearest file decides, understood or not
        ({"LICENSE": "All rights reserved.", "../LICENSE": MVTEC}, None, "LICENSE"),
        ({"LICENSE": "Ask Jane.", "../LICENSE": MVTEC}, None, "LICENSE"),
        (
            {"license.pdf": f"%PDF {MVTEC}", "../LICENSE": MVTEC},
            None,
            "license.pdf",
        ),
        ({"readme.txt": "All rights reserved.", "../LICENSE": MVTEC}, None, "readme.txt"),
        ({"LICENSE": "CC BY 4.0", "LICENSE-IMAGES": "CC BY-NC 4.0"}, None, "LICENSE and LICENSE-IMAGES"),
        # what says no, reserves rights, or speaks of other things
        ({"LICENSE": "These images are NOT under CC BY 4.0. Ask us."}, None, "LICENSE"),
        ({"LICENSE": "Our old images were CC BY 4.0; the new ones aren't CC BY 4.0."}, None, "LICENSE"),
        ({"LICENSE": "Die Bilder stehen nicht unter CC BY 4.0."}, None, "LICENSE"),
        ({"LICENSE": "Everything but the pictures, no images, is under CC BY 4.0."}, None, "LICENSE"),
        ({"readme.txt": "Images (c) A, all rights\nreserved. Icons of the tool are CC BY 4.0."}, None, "readme.txt"),
        ({"readme.txt": "For internal use only. See CC BY 4.0."}, None, "readme.txt"),
        ({"readme.txt": "Icons of the labelling tool are CC BY 4.0."}, None, "readme.txt"),
        ({"readme.txt": "The paper is CC BY 4.0."}, None, "readme.txt"),
        ({"LICENSE": "Pictures: CC BY 4.0. Annotations: CC BY 4.0."}, None, "LICENSE"),
        ({"LICENSE": "CC BY 4.0 or CC BY-SA 4.0"}, None, "LICENSE"),
        # what is no licence file
        ({"license_plates.csv": "https://creativecommons.org/licenses/by/2.0/"}, None, ""),
        ({"license_plates.txt": "CC BY 2.0"}, None, ""),
        ({"LICENSES.md": "icons: CC BY 4.0"}, None, ""),
        ({"licensed.txt": "CC BY 4.0"}, None, ""),
        ({"../README.md": "---\nlicense: mit\n---\nmy code"}, None, ""),
        ({"README.md": "---\nlicense: mit\n---\nimages"}, "mit", "README.md"),
    ],
)
def test_a_licence_is_claimed_on_evidence_alone(tmp_path, files, license, file):
    place = tmp_path / "set"
    place.mkdir()
    put(place, files)
    found = license_beside(place, tmp_path)
    assert (found.license, found.file) == (license, file)
    assert len(found.notes) == bool(file)
    assert all(note.startswith(f"licence {license or 'unknown'}") and file in note for note in found.notes)


def test_a_note_says_on_which_words_a_claim_rests(tmp_path):
    put(
        tmp_path,
        {"LICENSE": "Hello.\n\nThe images are given under\nCC BY 4.0. Enjoy.", "a/LICENSE": "Images: never CC BY 4.0."},
    )
    assert license_beside(tmp_path).notes == (
        "licence cc-by-4.0, as LICENSE says: 'The images are given under CC BY 4.0.'",
    )
    assert license_beside(tmp_path / "a").notes == (
        "licence unknown: LICENSE does not say it of the images: 'Images: never CC BY 4.0.'",
    )
    put(tmp_path, {"b/LICENSE": "CC BY 4.0" + " x" * 200})
    assert len(license_beside(tmp_path / "b").words) <= 160
