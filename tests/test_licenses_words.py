"""Which sentences give pictures a licence, and that any other one leaves it unknown."""

import pytest

from anomgen.licenses import license_beside

BY = "The images are licensed under CC BY 4.0."


def told(tmp_path, name, text):
    """Return what a file beside pictures of bolts says."""
    folder = tmp_path / name / "bolts"
    folder.mkdir(parents=True)
    (folder / name).write_text(text)
    found = license_beside(folder)
    assert found.file == name and len(found.notes) == 1, found
    return found


DOUBTS = [
    # a part, or something else
    "The logo in the corner of each image is licensed under CC BY 4.0.",
    "Some pictures were composed with backgrounds licensed under CC BY 4.0.",
    "Thumbnails of the images are licensed under CC BY 4.0.",
    "The first 100 images are licensed under CC BY 4.0.",
    "Most images are licensed under CC BY 4.0.",
    "The images in a/ are licensed under CC BY 4.0.",
    "The images are licensed under CC BY 4.0 (but the last ten).",
    f"{BY} Some of them are under other licences.",
    f"{BY}\nExcept those named img0*.png, which belong to our customer.",
    f"{BY}\n\nFolder train/good comes from a supplier who keeps all copyrights.",
    f"{BY}\nThis applies to the rendered views only; camera captures are ours alone.",
    f"{BY}\n\nThis work: the article.",
    "CC BY 4.0\n\nSauf les images de nuit.",
    "Fonts\n\nLicence: CC BY 4.0",
    "Open Sans Regular\n\nLicense: CC BY 4.0",
    "Blender scene\n\nThis work is licensed under CC BY 4.0.",
    "bolt_07.png by Jane Doe\n\nCC BY 4.0",
    "Thumbnails dataset\n\nCC BY 4.0",
    "No images\n\nCC BY 4.0",
    "By Invitation Only\n\nCC BY 4.0",
    "The Synthetic Part dataset is licensed under CC BY 4.0.",
    "- [ ] The images are licensed under CC BY 4.0.",
    "Logo: by Jane\nLicense: CC BY 4.0",
    "License of the code\n\nCC BY 4.0",
    "License: CC BY 4.0\n\nApplies to the images of the test set",
    # not now, or not to all
    "The images will be licensed under CC BY 4.0 in 2030.",
    "From 2030 on, the images are licensed under CC BY 4.0.",
    "From 2030 on:\nThe images are licensed under CC BY 4.0.",
    "The images were licensed under CC BY 4.0.",
    "For a fee, the images are licensed under CC BY 4.0.",
    "The images are licensed under CC BY 4.0 for a fee.",
    "If you ask us, the images are licensed under CC BY 4.0.",
    "Are the images licensed under CC BY 4.0?",
    f"{BY} They may not be passed on.",
    f"{BY} This holds from 2030 on.",
    f"{BY} This takes effect when the paper is accepted.",
    f"{BY} Only until 2026.",
    f"{BY} This licence was withdrawn.",
    f"{BY} Only once you have paid.",
    f"{BY} For commercial use contact sales@example.org.",
    "The images are licensed under CC BY 4.0, for research only.",
    f"{BY} They are for research purposes only.",
    f"{BY} Non-commercial use alone is allowed.",
    f"{BY} See https://example.org/image-terms",
    f"DRAFT\n\n{BY}",
    "Proposal (not agreed yet)\n\nLicense: CC BY 4.0",
    "CC BY 4.0 (planned)",
    "License: CC BY 4.0\nStatus: under review",
    "CC BY 4.0\n\nNur für internen Gebrauch.",
    "CC BY 4.0\n\nReproduction interdite.",
    "CC BY 4.0\n\nUso interno.",
    "CC BY 4.0\n\nAll rights reserved.",
    "CC BY 4.0\n\nCitation: Doe, 2020. Only ten images are free.",
    # another's
    "The COCO dataset is licensed under CC BY 4.0.",
    "The MVTec AD dataset is licensed under CC BY-NC-SA 4.0.",
    "The Annotations Database is licensed under CC BY 4.0.",
    "The ImageNet Pretraining dataset is licensed under CC BY 4.0.",
    "Screws © 2024 by Jane Doe is licensed under CC BY 4.0.",
    "Bolts Masks Dataset\n\nCC BY 4.0",
    f"{BY} See https://example.org/tos",
    f"{BY} See https://example.org/do-not-redistribute",
    "MVTec AD images are licensed under CC BY-NC-SA 4.0. We compare with them; our own images are not published.",
    "We compare with MVTec AD:\n\nCC BY-NC-SA 4.0",
    "We train on MVTec AD, too. This dataset is licensed under CC BY-NC-SA 4.0.",
    "We compare with the MVTec AD dataset\n\nThis dataset is licensed under CC BY-NC-SA 4.0.",
    "An example of a licence file:\n\nThe images are licensed under CC BY 4.0.",
    "The following is wrong. The images are licensed under CC BY 4.0.",
    "The images of MVTec AD are licensed under CC BY-NC-SA 4.0.",
    f"{BY} They belong to ACME GmbH.",
    "Credit: ACME, editorial licence\n\nCC BY 4.0",
    "Copyright of the night images: ACME\n\nCC BY 4.0",
    f"# Bolts\n\nPhotos of bolts; no two are alike.\n\n{BY}",
]


@pytest.mark.parametrize("text", DOUBTS)
def test_a_file_with_one_sentence_that_is_not_understood_claims_nothing(tmp_path, text):
    for name in ("LICENSE", "readme.txt"):
        assert told(tmp_path, name, text).license is None


UNTRUE_TITLES = [
    "The following dataset",
    "Old Bolts Dataset",
    "Annotations of Bolts",
    "We compare with the MVTec AD dataset",
    "Excluded from the license:",
    "By Invitation Only",
    "Draft",
    "Copyright holder: ask us",
    "Copyright Bolts, Inc. or others",
    "Copyright Bolts, Inc. and affiliates only",
]


@pytest.mark.parametrize("text", [*DOUBTS, *(f"{title}\n\n{BY}" for title in UNTRUE_TITLES)])
def test_where_lines_and_paragraphs_end_makes_no_claim(tmp_path, text):
    together = text.replace("\n\n", "\n")
    for number, before in enumerate(("", "Copyright 2024 Jane Doe\n", "Bolts Dataset\n")):
        for more, written in enumerate((together, together.replace("licensed under", "licensed\nunder"))):
            assert told(tmp_path / f"{number}{more}", "LICENSE", before + written).license is None


MVTEC = """Attribution
-----------
If you use the dataset in scientific work, please cite:

Jane Doe, John Doe, "A Dataset for Detection", Conference on Vision, 2019


License
-------
Copyright 2019 Bolts Software GmbH

This work is licensed under a Creative Commons
Attribution-NonCommercial-ShareAlike 4.0 International License.

You should have received a copy of the license along with this work.
If not, see <http://creativecommons.org/licenses/by-nc-sa/4.0/>.

For using the data in a way that falls under the commercial use clause
of the license, please contact us.


Contact
-------
If you have any questions or comments about the dataset, feel free to
contact us via: jane@example.org, john@example.org
"""
OWNERS = [
    "",
    "Copyright 2024 Amazon.com, Inc. or its affiliates.",
    "Copyright (c) Bolts Platforms, Inc. and affiliates",
    "© 2024 Bolts Co., Ltd. and its affiliates",
    "Copyright holder: Jane Doe",
]
TITLED = "Bolts Dataset\nThis dataset is licensed under the Creative Commons\nAttribution 4.0 International License."
DEED = """This dataset is licensed under [CC BY-SA 4.0](https://creativecommons.org/licenses/by-sa/4.0/).

**You are free to:**

- _Share_ — copy and redistribute the material in any medium or format
- _Adapt_ — remix, transform, and build upon the material

**Under the following terms:**

- _Attribution_ — You must give appropriate credit, provide a link to the license, and indicate if changes were made.
- _ShareAlike_ — If you remix, transform, or build upon the material, you must distribute your contributions under the
  same license as the original.
"""


@pytest.mark.parametrize(
    ("text", "license"),
    [
        (BY, "cc-by-4.0"),
        ("All images are released under the Creative Commons Attribution 4.0 International License.", "cc-by-4.0"),
        ("This dataset is licensed under [CC BY 4.0](https://creativecommons.org/licenses/by/4.0/).", "cc-by-4.0"),
        ("The data set is available under the terms of the CC BY 4.0 licence; enjoy.", "cc-by-4.0"),
        ("The photos and the masks in this folder are distributed under CC BY 4.0", "cc-by-4.0"),
        ("These pictures are under CC BY 4.0.", "cc-by-4.0"),
        ("The files associated with this dataset are licensed under a CC BY 4.0 licence.", "cc-by-4.0"),
        ("The Bolts & Nuts dataset is made publicly available under the CC BY 4.0 license (CC-BY-4.0).", "cc-by-4.0"),
        ("We release the dataset under the CC-BY-4.0 license. Please credit Jane Doe.", "cc-by-4.0"),
        (
            "Copyright 2021 Bolts GmbH\nThis work is licensed under a Creative Commons Attribution 4.0 International "
            "License.\nYou should have received a copy of the license along with this work. If not, see\n"
            "<http://creativecommons.org/licenses/by/4.0/>.",
            "cc-by-4.0",
        ),
        (
            "This work is licensed under the Creative Commons Attribution 4.0 International License. To view a copy of "
            "this license, visit http://creativecommons.org/licenses/by/4.0/ or send a letter to Creative Commons, PO.",
            "cc-by-4.0",
        ),
        *[(f"{owner}\n{TITLED}", "cc-by-4.0") for owner in OWNERS],
        ("Copyright Bolts, Inc. or its affiliates. The images are licensed under CC BY 4.0.", "cc-by-4.0"),
        ("SPDX-FileCopyrightText: 2024 Jane Doe <a@b.org>\nSPDX-License-Identifier: CC-BY-4.0", "cc-by-4.0"),
        ("# Bolts\n\nLicence: CC BY 4.0", "cc-by-4.0"),
        ("# Bolts\n## Licence\nCC BY 4.0", "cc-by-4.0"),
        ("Photos of bolts\n\nDie Bilder stehen unter der Lizenz CC BY 4.0.", "cc-by-4.0"),
        ("Name: Bolts\nLicense: CC BY 4.0\nContact: Jane", "cc-by-4.0"),
        ("Bolts of Ulm Dataset (UlmBolts)\n\nAuthor: Jane Doe\nDOI: 10.5281/zenodo.1\nLicense: CC BY 4.0", "cc-by-4.0"),
        ("SPDX-License-Identifier: cc-by-4.0", "cc-by-4.0"),
        ("License: CC0: Public Domain", "cc0-1.0"),
        ("CC0 1.0 Universal (CC0 1.0) Public Domain Dedication", "cc0-1.0"),
        ("Bolts © 2024 by Jane Doe is licensed under CC BY 4.0.", "cc-by-4.0"),
        ("Der Datensatz wird unter CC BY 4.0 veröffentlicht.", "cc-by-4.0"),
        ("Les images sont sous licence CC BY 4.0.", "cc-by-4.0"),
        ("The images are released under the MIT License.", "mit"),
        (
            "License: Creative Commons Attribution 4.0 International\n\nThe Creative Commons Attribution license "
            "allows re-distribution and re-use of a licensed work on the condition that the creator is appropriately "
            "credited.",
            "cc-by-4.0",
        ),
        (
            "The images are licensed under a [Creative Commons Attribution 4.0 License][cc-by].\n\n"
            "[![CC BY 4.0][shield]][cc-by]\n\n[cc-by]: http://creativecommons.org/licenses/by/4.0/\n"
            "[shield]: https://img.shields.io/badge/License-CC%20BY%204.0-lightgrey.svg\n",
            "cc-by-4.0",
        ),
        (MVTEC, "cc-by-nc-sa-4.0"),
        (DEED, "cc-by-sa-4.0"),
    ],
)
def test_plain_words_of_the_data_claim_their_licence(tmp_path, text, license):
    for name in ("LICENSE", "readme.txt", "README.md"):
        found = told(tmp_path, name, text)
        assert found.license == license, found


@pytest.mark.parametrize(
    ("license", "body"),
    [
        ("cc-by-4.0", "The pictures belong to ACME GmbH and may not be passed on."),
        ("cc-by-4.0", "All rights reserved."),
        ("mit", "The code is ours. The images must not be\nredistributed."),
        ("cc0-1.0", "For non-commercial use."),
        ("mit", "For research purposes only."),
        ("cc-by-4.0", "The images are licensed under CC BY-NC-SA 4.0."),
        ("cc-by-4.0", "Taken for a fee."),
        ("cc-by-4.0", "Please do not share these pictures."),
        ("cc-by-4.0", "Please don't share these pictures."),
        ("cc-by-4.0", "Keep them secret."),
        ("cc-by-4.0", "Use them with our consent."),
        ("cc-by-4.0", "Redistribution is not allowed."),
        ("mit", "The licence is for the code."),
        ("mit", "The license above covers the scripts. Ask us about the images."),
        ("mit", "Scripts of the paper."),
        ("cc-by-4.0", "Images are under NDA."),
        ("cc-by-4.0", "The photographs in raw/ are excluded from this license."),
        ("cc-by-4.0", "We do not own the images. Contact the hospital for usage rights."),
        ("cc-by-4.0", "Bilder: Weitergabe untersagt."),
        ("cc-by-4.0", "Die Fotos gehören der Firma Müller."),
        ("cc-by-4.0", "Les photos appartiennent au client."),
        ("cc-by-4.0", "Las imágenes son propiedad de ACME."),
        ("cc-by-4.0", "The images were scraped from the web."),
        ("cc-by-4.0", "The images are available upon request."),
        ("cc-by-4.0", "Project members may look at them."),
        ("cc-by-4.0", "Partners of the consortium get the images."),
        ("cc-by-4.0", "Please sign the request form."),
        ("cc-by-4.0", "For students of the course."),
        ("cc-by-4.0", "For research use."),
        ("cc-by-4.0", "Only for the workshop."),
        ("cc-by-4.0", "Do not hand them out to anybody."),
        ("cc-by-4.0", "Bitte nicht weiterreichen."),
        ("cc-by-4.0", "Nur zur Verwendung in der Forschung."),
        ("cc-by-4.0", "Die Bilder verbleiben bei uns."),
        ("cc-by-4.0", "The images were downloaded from a shop."),
        ("cc-by-4.0", "We found the photos on the web."),
        ("cc-by-4.0", "We do not know who took them."),
        ("cc-by-4.0", "Taken from MVTec AD."),
        ("cc-by-4.0", "The pictures come from a competitor's website."),
        ("cc-by-4.0", "Please keep these in house."),
        ("cc-by-4.0", "Bottles (internal, not for publication)"),
        ("cc-by-4.0", "They fall under the conditions of the plant."),
        ("cc-by-4.0", "See Jane's page for the images."),
        ("cc-by-4.0", "A rights-of-use form is needed."),
        ("cc-by-4.0", "Die Fotos geh&ouml;ren Jane, they may&nbsp;not be used."),
        ("cc-by-4.0", "Pour la recherche."),
        ("cc-by-4.0", "Les photos restent en possession du client."),
        ("cc-by-4.0", "Para investigación."),
        ("cc-by-4.0", "A subset of MVTec AD."),
        ("cc-by-4.0", "# MVTec AD dataset\n\nBottles."),
        ("cc-by-4.0", "These are the bottle images of MVTec AD (Bergmann et al., 2019), converted to JPEG."),
        ("cc-by-4.0", "Bottles of [MVTec-AD](https://example.org) in YOLO format."),
        ("cc-by-nc-sa-4.0", "Candles of VisA."),
        ("cc-by-nc-4.0", "From KolektorSDD2, cropped."),
        ("mit", "Textures: DTD."),
        ("cc-by-4.0", "Based on Kolektor's images, resized."),
        ("cc-by-4.0", "Based on Jane Doe's photographs."),
        ("cc-by-4.0", "This is a modified version of Severe Steel."),
        ("cc-by-4.0", "A subset of the ACME collection."),
        ("cc-by-4.0", "Derived from Somebody-Else/bolts."),
        ("cc-by-4.0", "Original data: https://example.org/bolts"),
        ("cc-by-4.0", "Export controlled (ITAR)."),
        ("cc-by-4.0", "Export-controlled."),
        ("cc-by-4.0", "## License\n\nOnly the renderings."),
        ("cc-by-4.0", "## License\n\n### Images\n\nAsk Jane."),
        ("cc-by-4.0", "## License\n\nMetadata: CC BY 4.0."),
    ],
)
def test_a_card_with_another_word_on_rights_is_no_evidence(tmp_path, license, body):
    found = told(tmp_path, "README.md", f"---\nlicense: {license}\n---\n\n{body}\n")
    assert found.license is None
    assert found.notes[0].startswith(f"licence unknown: README.md names {license}, but says ")


HUB = """# Dataset Card for Bolts

<!-- Who owns it, and what may not be done with it. -->

Photos of 400 bolts, from the front and the right side, under three conditions. Each belongs to one of 4 classes.

- **Curated by:** Jane Doe
- **Shared by [optional]:** [More Information Needed]
- **License:** cc-by-4.0

Test images are not used for training; 40 show scratches.

### Licensing Information

The dataset is licensed under the [CC BY 4.0](https://creativecommons.org/licenses/by/4.0/) license. See
[LICENSE](LICENSE) for details.

## Citation

```bibtex
@article{doe2024,
  title={Bolts},
  year={2024}
}
```
"""


@pytest.mark.parametrize(
    ("license", "body"),
    [
        ("cc-by-4.0", HUB),
        ("cc-by-4.0", f"{BY} They were not resized; 40 show scratches."),
        (
            "cc-by-4.0",
            "Taken from above, of internal threads; they come from three lines and were shot in house.",
        ),
        (
            "cc-by-4.0",
            "Of course all are new; seen from the right, by a diffusion model &amp; taken in the course of a day.",
        ),
        ("cc-by-4.0", "© 2024 Jane Doe. If you use this dataset, please cite our paper."),
        ("cc-by-4.0", "## License\n\n`cc-by-4.0`, inherited from the source images."),
        ("cc0-1.0", "## License\n\nCC0: Public Domain"),
        ("mit", "## License\n\nThis dataset is released under the MIT License."),
        ("cc-by-nc-4.0", "Commercial use is forbidden."),
        ("cc-by-nc-sa-4.0", MVTEC),
        ("cc-by-nc-sa-4.0", "These are the bottle images of MVTec AD, converted to JPEG."),
        ("cc-by-4.0", "Candles of VisA, resized."),
        (
            "cc-by-4.0",
            "They have the layout of MVTec AD, such as VisA; detectors trained on MVTec AD read them.",
        ),
        (
            "cc-by-4.0",
            "Unlike those of MVTec AD, compared with MVTec LOCO.\n\nShot with HALCON of MVTec Software.",
        ),
        ("cc-by-4.0", "## Citation\n\nBergmann et al., MVTec AD, CVPR 2019."),
        ("cc-by-4.0", "```bibtex\n@article{b,\n title={MVTec AD}\n}\n```"),
        (
            "cc-by-4.0",
            "Classes are based on the images; converted from BMP to PNG, derived from CAD models, based on RGB images.",
        ),
        ("cc-by-4.0", "A subset of 40 images shows dents, based on three cameras. Evaluated on VisA, too."),
    ],
)
def test_a_card_that_says_the_same_or_nothing_on_rights_is_evidence(tmp_path, license, body):
    found = told(tmp_path, "README.md", f"---\nlicense: {license}\n---\n\n{body}\n")
    assert (found.license, found.words) == (license, f"license: {license}"), found
