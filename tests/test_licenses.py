"""Licences: how they are found beside pictures."""

from importlib.metadata import files
from pathlib import Path

import pytest

from anomgen.licenses import license_beside, license_in
from anomgen.licenses.texts import TEXTS


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
        ("CC0", "cc0-1.0"),
        ("CC0 1.0", "cc0-1.0"),
        ("CC0 1.0 Universal", "cc0-1.0"),
        ("https://creativecommons.org/publicdomain/zero/1.0/", "cc0-1.0"),
        ("https://creativecommons.org/publicdomain/mark/1.0/", None),
        ("CC0, but for the night images", None),
        ("Attribution-NonCommercial-NoDerivatives 4.0", "cc-by-nc-nd-4.0"),
        ("Attribution-NoDerivs 3.0", "cc-by-nd-3.0"),
        ("Attribution Share Alike 3.0", "cc-by-sa-3.0"),
        ("Attribution Non-Commercial 2.0", "cc-by-nc-2.0"),
        ("CC BY 4.0 or CC BY-NC 4.0", None),
        ("MIT License", None),
        ("CC BY 5.0", None),
        ("CC BY-SA-ND 4.0", None),
        ("CC BY-ND-NC 4.0", "cc-by-nc-nd-4.0"),
        ("https://creativecommons.org/licenses/by/3.0/igo/", None),
        ("https://creativecommons.org/publicdomain/zero/2.0/", None),
    ],
)
def test_a_licence_is_read_from_text(text, license):
    assert license_in(text) == license


@pytest.mark.parametrize(
    ("front", "license"),
    [
        ("license: cc-by-4.0", "cc-by-4.0"),
        ("pretty_name: x\nlicense: 'MIT'  # see LICENSE\ntags: [a]", "mit"),
        ("license: [cc0-1.0]", "cc0-1.0"),
        ("license: cc-by-4.0\nlicense_link: https://creativecommons.org/licenses/by/4.0/", "cc-by-4.0"),
        ("license: [ 'cc0-1.0' ]", "cc0-1.0"),
        ("license: [mit", None),
        ("license: mit]", None),
        ("license: 'mit", None),
        ("license: cc-by-5.0", None),
        ("license: CC BY 4.0", None),
        ("license: mit  # not decided", None),
        ("license: cc-by-4.0  # placeholder", None),
        ("license: cc-by-4.0\nlicense_name: bolts-eula", None),
        ("license: cc-by-4.0\nextra_gated_prompt: You agree to keep the images.", None),
        ("license: cc-by-4.0\nextra_gated_heading: Ask for access", None),
        ("license: cc-by-4.0\nsource_datasets: [extended|mnist]", None),
        ("license: cc-by-4.0\nsource_datasets:\n- original\n- extended|other", None),
        ("license: cc-by-4.0\nsource_datasets:\n- original\ntags:\n- extended", "cc-by-4.0"),
        ("license: cc-by-4.0\ndescription: >\n  photographs for internal\n  use only", None),
        ("license: cc-by-4.0\ntags: [bolts, non-commercial]", None),
        ("license: cc-by-4.0\ntags:\n- license:cc-by-4.0\n- bolts\npretty_name: Bolts", "cc-by-4.0"),
        ("license: unsplash", None),
        ("license: apache-2.0\nlibrary_name: timm", None),
        ("license:\n- cc0-1.0\ntags:\n- a", "cc0-1.0"),
        ("license:\n- mit\n- cc0-1.0", None),
        ("license: unknown", None),
        ("license:\ntags: [a]", None),
        ("nested:\n  license: mit", None),
    ],
)
def test_the_metadata_of_a_readme_are_evidence_of_a_licence(tmp_path, front, license):
    (tmp_path / "README.md").write_bytes(f"---\n{front}\n---\n\nPhotos of bolts.\n".replace("\n", "\r\n").encode())
    assert license_beside(tmp_path).license == license


def test_a_licence_that_the_hub_does_not_have_is_quoted(tmp_path):
    (tmp_path / "README.md").write_text("---\nlicense: unsplash\n---\nPhotos of bolts.\n")
    assert "README.md says license: unsplash, which is none that is known" in license_beside(tmp_path).notes[0]


@pytest.mark.parametrize("stated", ["'MIT'", "CC-BY-4.0", "[mit]"])
def test_metadata_are_quoted_as_they_are_written(tmp_path, stated):
    (tmp_path / "README.md").write_text(f"---\nlicense: {stated}\n---\n")
    assert license_beside(tmp_path).words == f"license: {stated}"


def test_a_licence_of_its_own_is_not_known_by_the_name_of_other(tmp_path):
    """Its terms are elsewhere, and one licence of that name need not be another one."""
    (tmp_path / "README.md").write_text("---\nlicense: other\nlicense_name: bolts\nlicense_link: LICENSE\n---\n")
    assert license_beside(tmp_path).notes == (
        "licence unknown: README.md says license: other, license_name: bolts, license_link: LICENSE, "
        "which is one of its own; read it, and give --license",
    )


@pytest.mark.parametrize(
    ("body", "license", "note"),
    [
        (
            "This work is licensed under a Creative Commons Attribution 4.0 International License.",
            "cc-by-4.0",
            "licence cc-by-4.0, as README.md says: 'This work is licensed under a Creative Commons Attribution 4.0 "
            "International License.'",
        ),
        (
            "Photos of a line in Ulm.\n\nLicense: CC BY 4.0",
            None,
            "licence unknown: README.md names cc-by-4.0, but says 'Photos of a line in Ulm.', which is not understood "
            "here; read it, and give --license",
        ),
        (
            "Photos of a line in Ulm.\n\nThey belong to ACME.",
            None,
            "licence unknown: README.md says 'They belong to ACME.', which is not understood here; read it, and give "
            "--license",
        ),
        ("Photos of a line in Ulm.\n\nEach belongs to one of 3 classes, the right side first.", None, None),
    ],
)
def test_of_a_readme_without_metadata_it_is_said_what_came(tmp_path, body, license, note):
    (tmp_path / "README.md").write_text(f"# Bolt dataset\n\n{body}\n")
    found = license_beside(tmp_path)
    assert found.license == license and found.notes == ((note,) if note else ())
    assert not license_beside(tmp_path / "train", tmp_path).file  # of the folder above it may be the code's


@pytest.mark.parametrize("place", ["mvtec_ad", "mvtec_ad/bottle"])
def test_a_licence_in_a_category_may_name_the_data_set(tmp_path, place):
    put(tmp_path / place, {"license.txt": "The MVTec AD dataset is licensed under CC BY-NC-SA 4.0."})
    assert license_beside(tmp_path / place).license == "cc-by-nc-sa-4.0"


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
            {"../LICENSE-DATASET": "CC BY 4.0", "../README.md": "Our bolts. License: CC BY 4.0"},
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
        # what a readme beside it takes back
        ({"../LICENSE-DATASET": "CC BY 4.0", "../README.md": "CC BY-NC 4.0"}, None, "../README.md"),
        ({"LICENSE": "CC BY 4.0", "README.md": "The photos in raw/ are under NDA."}, None, "README.md"),
        ({"LICENSE": "CC BY 4.0", "readme.txt": "Photos: all rights reserved."}, None, "readme.txt"),
        ({"LICENSE": "CC BY 4.0", "README.md": "---\nlicense: mit\n---\n"}, None, "LICENSE and README.md"),
        ({"LICENSE": "CC BY 4.0", "README.rst": "Photos: all rights reserved."}, None, "README.rst"),
        ({"LICENSE": "CC BY 4.0", "README": "The photos in raw/ are under NDA."}, None, "README"),
        ({"LICENSE": "CC BY 4.0", "README": "Photos of 400 bolts."}, "cc-by-4.0", "LICENSE"),
        ({"LICENSE": "CC BY 4.0", "TERMS.txt": "Ask Jane."}, None, "TERMS.txt"),
        ({"LICENSE": "CC BY 4.0", "EULA.pdf": "%PDF"}, None, "EULA.pdf"),
        ({"LICENSE": "CC BY 4.0", "NOTICE": "Copyright 2024 Jane Doe"}, "cc-by-4.0", "LICENSE"),
        ({"LICENSE": "CC BY 4.0", "Nutzungsbedingungen.txt": "Nur intern."}, None, "Nutzungsbedingungen.txt"),
        ({"LICENSE": "CC BY 4.0", "license_plates.txt": "UL-X 1", "rights.png": "x"}, "cc-by-4.0", "LICENSE"),
        ({"terms_of_use.md": "Ask Jane.", "../LICENSE": "CC BY 4.0"}, None, "terms_of_use.md"),
        ({"README.md": "---\nlicense: cc-by-4.0\n---\n", "LICENSE-CODE": "Licence: MIT"}, None, "LICENSE-CODE"),
        # the name of a data set is that of its folder
        ({"LICENSE": "The Bolts dataset is licensed under CC BY 4.0."}, None, "LICENSE"),
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


def stored(package):
    """Return the text of a licence as a package has it that the tests need anyway."""
    return next(f for f in files(package) if f.name in ("LICENSE", "LICENSE.txt") and "dist-info" in str(f)).read_text()


def composed(known):
    """Return a text with the marks of a licence, and with as many words as it has."""
    marks = [known.first, *known.between, known.last]
    count = sum(known.words) // 2 - len(" ".join(marks).split())
    return "\n".join([*marks[:-1], "word " * count, marks[-1]]).replace(" 4 0 ", " 4.0 ")


WHOLE = {
    "mit": stored("filelock"),
    "bsd-3-clause": stored("jinja2"),
    "apache-2.0": (Path(__file__).parent.parent / "LICENSE").read_text(),
    **{known.license: composed(known) for known in TEXTS if known.license.startswith("cc")},
}


@pytest.mark.parametrize("license", WHOLE)
def test_the_whole_text_of_a_licence_is_evidence_with_what_changes_nothing_beside_it(tmp_path, license):
    begins = next(known.first.split()[0] for known in TEXTS if known.license == license)
    own = "Copyright (c) 2024 The Bolt Makers\nAll rights reserved.\n\n"
    for beside in ("", own, f"SPDX-License-Identifier: {license.upper()}\n\n", "The images are given under\n\n"):
        for form in (lambda text: text, str.upper, lambda text: text.replace("\n", "\r\n"), lambda text: f"# {text}"):
            (tmp_path / "LICENSE").write_text(beside + form(WHOLE[license]), encoding="utf-8", newline="")
            found = license_beside(tmp_path)
            assert found.license == license, (beside, found)
            (note,) = found.notes
            assert note.lower().startswith(f"licence {license}, as license says: '{begins.lower()}") and len(note) < 250


@pytest.mark.parametrize("code", ["train.py", "Makefile", "src"])
def test_a_licence_for_software_beside_code_is_no_evidence_for_images(tmp_path, code):
    (tmp_path / "images").mkdir()
    for license, claimed in (("mit", None), ("cc0-1.0", "cc0-1.0")):
        put(tmp_path, {"LICENSE": WHOLE[license], "notes.txt": "of the bolts"})
        assert license_beside(tmp_path / "images", tmp_path).license == license
        (tmp_path / code).mkdir()
        found = license_beside(tmp_path / "images", tmp_path)
        assert found.license == claimed
        assert claimed or found.notes == (
            f"licence unknown: ../LICENSE names mit, and stands beside code ({code}); read it, and give --license",
        )
        (tmp_path / code).rmdir()


MORE = {
    "a condition": "You may not sell it.",
    "a reservation": "The images are proprietary.",
    "another thing": "The code is under the terms above.",
    "whose it is not": "The images are excluded.",
    "a use": "For internal use only.",
    "another licence": WHOLE["mit"],
    "another again": WHOLE["cc-by-sa-4.0"],
    "one that is named": "The images are given under CC BY-NC 4.0, https://creativecommons.org/licenses/by-nc/4.0/",
}


@pytest.mark.parametrize("more", MORE)
@pytest.mark.parametrize("license", WHOLE)
def test_a_text_with_more_beside_it_is_no_evidence(license, more):
    """Law: but for what is given, beside such a text, of the images, and what says the same."""
    if MORE[more] == WHOLE[license]:
        return
    for text in (f"{WHOLE[license]}\n\n{MORE[more]}\n", f"{MORE[more]}\n\n{WHOLE[license]}"):
        of_images = more == "one that is named" and license in ("mit", "bsd-3-clause", "apache-2.0", "cc-by-nc-4.0")
        assert license_in(text) in ({None, "cc-by-nc-4.0"} if of_images else {None})


@pytest.mark.parametrize("license", WHOLE)
def test_a_text_that_is_not_whole_or_has_other_words_in_it_is_no_evidence(license):
    known = next(known for known in TEXTS if known.license == license)
    text, (low, high) = WHOLE[license], known.words
    assert license_in("\n".join(text.splitlines()[: len(text.splitlines()) // 2])) in (None, license)
    begin, end = known.found(text)
    assert known.found(text[: end - 1]) is None and known.found(text[begin + 1 :]) is None
    middle = text.index("\n", len(text) // 2)
    assert known.found(f"{text[:middle]} {'but for money alone ' * (1 + (high - low) // 4)}{text[middle:]}") is None


def test_the_bsd_licence_of_two_clauses_and_a_mention_are_no_others():
    lines = WHOLE["bsd-3-clause"].splitlines()
    third = next(k for k, line in enumerate(lines) if line.lstrip().startswith("3."))
    two = "\n".join([*lines[:third], *lines[third + 4 :]])
    assert "endorse" not in two and license_in(two) is None
    for text in (
        "MIT License",
        "Apache License, Version 2.0, January 2004",
        "BSD 3-Clause License",
    ):
        assert license_in(text) is None


def test_a_note_says_on_which_words_a_claim_rests(tmp_path):
    put(
        tmp_path,
        {"LICENSE": "Hello.\n\nThe images are given under\nCC BY 4.0. Enjoy.", "a/LICENSE": "Images: never CC BY 4.0."},
    )
    assert license_beside(tmp_path).notes == (
        "licence cc-by-4.0, as LICENSE says: 'The images are given under CC BY 4.0.'",
    )
    assert license_beside(tmp_path / "a").notes == (
        "licence unknown: LICENSE names cc-by-4.0, but says 'Images: never CC BY 4.0.', which is not understood here; "
        "read it, and give --license",
    )
    put(tmp_path, {"b/LICENSE": "CC BY 4.0 " * 40})
    found = license_beside(tmp_path / "b")
    assert found.license == "cc-by-4.0" and len(found.words) <= 160
