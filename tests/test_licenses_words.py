"""Which sentences give pictures a licence, and which words take it back."""

import pytest

from anomgen.licenses import license_beside

README = "---\nlicense: {}\n---\n\n{}\n"


@pytest.mark.parametrize(
    "text",
    [
        # a part, or something else
        "The logo in the corner of each image is licensed under CC BY 4.0.",
        "Some pictures were composed with backgrounds licensed under CC BY 4.0.",
        "Thumbnails of the images are licensed under CC BY 4.0.",
        "The first 100 images are licensed under CC BY 4.0.",
        "Most images are licensed under CC BY 4.0.",
        "The images in a/ are licensed under CC BY 4.0.",
        "The images are licensed under CC BY 4.0 (but the last ten).",
        "The images are licensed under CC BY 4.0. Some of them are under other licences.",
        "Fonts\n\nLicence: CC BY 4.0",
        "Logo: by Jane\nLicense: CC BY 4.0",
        # not now, or not to all
        "The images will be licensed under CC BY 4.0 in 2030.",
        "From 2030 on, the images are licensed under CC BY 4.0.",
        "From 2030 on:\nThe images are licensed under CC BY 4.0.",
        "The images were licensed under CC BY 4.0.",
        "For a fee, the images are licensed under CC BY 4.0.",
        "The images are licensed under CC BY 4.0 for a fee.",
        "If you ask us, the images are licensed under CC BY 4.0.",
        "Are the images licensed under CC BY 4.0?",
        "The images are licensed under CC BY 4.0. They may not be passed on.",
        "The images are licensed under CC BY 4.0. This holds from 2030 on.",
        "The images are licensed under CC BY 4.0. Only until 2026.",
        "The images are licensed under CC BY 4.0. This licence was withdrawn.",
        "The images are licensed under CC BY 4.0. Only once you have paid.",
        "The images are licensed under CC BY 4.0, for research only.",
        "The images are licensed under CC BY 4.0. They are for research purposes only.",
        "The images are licensed under CC BY 4.0. Non-commercial use alone is allowed.",
        # another's
        "MVTec AD images are licensed under CC BY-NC-SA 4.0. We compare with them; our own images are not published.",
        "We compare with MVTec AD:\n\nCC BY-NC-SA 4.0",
        "We train on MVTec AD, too. This dataset is licensed under CC BY-NC-SA 4.0.",
        "We compare with MVTec AD. This dataset is licensed under CC BY-NC-SA 4.0.",
        "An example of a licence file:\n\nThe images are licensed under CC BY 4.0.",
        "The following is wrong. The images are licensed under CC BY 4.0.",
        "The images of MVTec AD are licensed under CC BY-NC-SA 4.0.",
        "The images are licensed under CC BY 4.0. They belong to ACME GmbH.",
    ],
)
def test_a_sentence_that_is_not_of_the_data_itself_here_and_now_claims_nothing(tmp_path, text):
    for name in ("LICENSE", "readme.txt"):
        (tmp_path / name).write_text(text)
        found = license_beside(tmp_path)
        assert found.license is None and found.file == name and len(found.notes) == 1, found
        (tmp_path / name).unlink()


@pytest.mark.parametrize(
    "text",
    [
        "The images are licensed under CC BY 4.0.",
        "All images are released under the Creative Commons Attribution 4.0 International License (CC BY 4.0).",
        "This dataset is licensed under [CC BY 4.0](https://creativecommons.org/licenses/by/4.0/).",
        "The data set is available under the terms of the CC BY 4.0 licence; enjoy.",
        "The photos and the masks in this folder are distributed under CC BY 4.0",
        "These pictures are under CC BY 4.0.",
        "Copyright 2021 Bolts GmbH\nThis work is licensed under a Creative Commons Attribution 4.0 International "
        "License.\nYou should have received a copy of the license along with this work. If not, see\n"
        "<http://creativecommons.org/licenses/by/4.0/>.",
        "This work is licensed under the Creative Commons Attribution 4.0 International License. To view a copy of "
        "this license, visit http://creativecommons.org/licenses/by/4.0/ or send a letter to Creative Commons, PO Box.",
        "# Bolts\n\nPhotos of bolts; no two are alike.\n\nLicence: CC BY 4.0",
        "# Bolts\n## Licence\nCC BY 4.0",
        "Name: Bolts\nLicense: CC BY 4.0\nContact: Jane",
        "SPDX-License-Identifier: cc-by-4.0",
    ],
)
def test_a_plain_sentence_of_the_data_claims_its_licence(tmp_path, text):
    for name in ("LICENSE", "readme.txt"):
        (tmp_path / name).write_text(text)
        assert license_beside(tmp_path).license == "cc-by-4.0", license_beside(tmp_path)
        (tmp_path / name).unlink()


@pytest.mark.parametrize(
    ("license", "body", "claimed"),
    [
        ("cc-by-4.0", "The pictures belong to ACME GmbH and may not be passed on.", None),
        ("cc-by-4.0", "All rights reserved.", None),
        ("mit", "The code is ours. The images must not be\nredistributed.", None),
        ("cc0-1.0", "For non-commercial use.", None),
        ("mit", "For research purposes only.", None),
        ("cc-by-4.0", "The images are licensed under CC BY-NC-SA 4.0.", None),
        ("cc-by-4.0", "Taken for a fee.", None),
        ("cc-by-4.0", "Please do not share these pictures.", None),
        ("cc-by-4.0", "Keep them secret.", None),
        ("cc-by-4.0", "Use them with our consent.", None),
        ("cc-by-4.0", "Redistribution is not allowed.", None),
        ("mit", "The licence is for the code.", None),
        ("cc-by-nc-4.0", "Commercial use is forbidden.", "cc-by-nc-4.0"),
        (
            "cc-by-4.0",
            "The images are licensed under CC BY 4.0. They were not resized; 40 show scratches.",
            "cc-by-4.0",
        ),
    ],
)
def test_metadata_that_the_words_below_contradict_are_no_evidence(tmp_path, license, body, claimed):
    (tmp_path / "README.md").write_text(README.format(license, body))
    found = license_beside(tmp_path)
    assert (found.license, found.file) == (claimed, "README.md")
    assert claimed or found.notes[0].startswith(f"licence unknown: README.md names {license}, but says '")
