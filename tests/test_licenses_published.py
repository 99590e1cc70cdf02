"""What Zenodo, Roboflow, Kaggle and readmes of repositories write of a licence."""

import json

import pytest

from anomgen.licenses import license_beside

ROBOFLOW = (
    "# Bolts > 2024-01-01 1:00pm\nhttps://universe.roboflow.com/me/bolts\n\nProvided by a Roboflow user\nLicense: {}\n"
)
KAGGLE = '{{"id": "me/bolts", "licenses": [{}], "description": "{}"}}'


@pytest.mark.parametrize(
    ("file", "text", "license"),
    [
        ("README.dataset.txt", ROBOFLOW.format("CC BY 4.0"), "cc-by-4.0"),
        ("README.dataset.txt", ROBOFLOW.format("undefined"), None),
        ("README.dataset.txt", ROBOFLOW.format("Private"), None),
        ("README.dataset.txt", ROBOFLOW.format("CC BY 4.0").replace("Bolts", "Confidential bolts"), None),
        ("README.dataset.txt", ROBOFLOW.format("CC BY 4.0").replace("Bolts", "MVTec AD bottle"), None),
        ("README.dataset.txt", ROBOFLOW.format("CC BY 4.0").replace("me/bolts", "me/mvtecad"), None),
        ("README.dataset.txt", ROBOFLOW.format("CC BY 4.0").replace("a Roboflow user", "our customer"), None),
        (
            "README.dataset.txt",
            ROBOFLOW.format("CC BY-NC-SA 4.0").replace("Bolts", "MVTec AD bottle"),
            "cc-by-nc-sa-4.0",
        ),
        ("README.dataset.txt", ROBOFLOW.format("CC BY 4.0\nNight images excepted"), None),
        ("dataset-metadata.json", KAGGLE.format('{"name": "CC-BY-SA-4.0"}', "Photos."), "cc-by-sa-4.0"),
        ("dataset-metadata.json", KAGGLE.format('{"name": "CC0-1.0"}', "They belong to ACME."), None),
        ("dataset-metadata.json", KAGGLE.format('{"name": "other"}', ""), None),
        ("dataset-metadata.json", KAGGLE.format('{"name": "ODbL-1.0"}', ""), None),
        ("dataset-metadata.json", KAGGLE.format('{"name": "CC0-1.0"}, {"name": "CC-BY-4.0"}', ""), None),
        ("LICENSE", "Rights: Creative Commons Attribution 4.0 International", "cc-by-4.0"),
        ("LIZENZ.txt", "Die Bilder stehen unter der Lizenz CC BY 4.0.", "cc-by-4.0"),
        (
            "README.md",
            "# Bolts\n\nTwo hundred photos.\n\n## License\n\nCC BY 4.0\n\n## Camera\n\nOne of ACME.\n",
            "cc-by-4.0",
        ),
        ("README.md", "# Bolts\n\nTwo hundred photos.\n\n## License\n\nMIT\n", None),
        ("README.md", "# Bolts\n\nPhotos of a customer.\n\n## License\n\nCC BY 4.0\n", None),
        ("README.md", "# Bolts\n\nPhotos.\n\n## License\n\nCC BY 4.0\n\n### Exceptions\n\nNight images.\n", None),
        ("README.md", "# Bolts\n\nPhotos.\n\n## License\n\nThe code is licensed under CC BY 4.0.\n", None),
    ],
)
def test_what_publishers_write_of_a_licence_is_read_and_no_more(tmp_path, file, text, license):
    (tmp_path / "bolts").mkdir()
    (tmp_path / "bolts" / file).write_text(text)
    found = license_beside(tmp_path / "bolts")
    assert (found.license, found.file) == (license, file)


@pytest.mark.parametrize(
    ("more", "license"),
    [
        ({"title": "Bolts", "id": "me/bolts", "keywords": ["image", "manufacturing"], "isPrivate": True}, "cc0-1.0"),
        ({"subtitle": "Own photographs", "userSpecifiedSources": "Photographed by me."}, "cc0-1.0"),
        ({"resources": [{"path": "0.png", "description": "a bolt from above"}]}, "cc0-1.0"),
        ({"keywords": ["internet", "subject > technology > internet"]}, "cc0-1.0"),
        ({"userSpecifiedSources": "internet"}, None),
        ({"title": "MVTec AD"}, None),
        ({"id": "me/mvtec-ad"}, None),
        ({"subtitle": "Non-commercial use only"}, None),
        ({"keywords": ["image", "non-commercial"]}, None),
        ({"userSpecifiedSources": "MVTec AD"}, None),
        ({"userSpecifiedSources": "https://example.org/bolts"}, None),
        ({"resources": [{"path": "0.png", "description": "belongs to ACME"}]}, None),
    ],
)
def test_all_that_the_metadata_of_kaggle_say_may_take_a_licence_back(tmp_path, more, license):
    for folder in ("bolts", "mvtec-ad"):
        (tmp_path / folder).mkdir()
        stated = {"licenses": [{"name": "CC0-1.0"}], **more}
        (tmp_path / folder / "dataset-metadata.json").write_text(json.dumps(stated))
        assert license_beside(tmp_path / folder).license == license


@pytest.mark.parametrize(
    "text", ["", "[" * 100_000, "[1]", '{"licenses": 3}', '{"licenses": [{"title": 1}]}', '{"licenses": [3]}', "\x00"]
)
def test_damaged_metadata_say_nothing_of_a_licence(tmp_path, text):
    (tmp_path / "dataset-metadata.json").write_text(text)
    assert license_beside(tmp_path).license is None
