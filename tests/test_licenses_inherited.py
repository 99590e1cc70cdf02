"""What is made of several things has a known licence only where each of them has; the card says which has none."""

import json

import cv2
import numpy as np
import pytest
from learned import quick_detector

from anomgen.banks.folder import open_bank
from anomgen.banks.make import bank
from anomgen.dataset.card import license_of
from anomgen.dataset.reader import Dataset
from anomgen.exporters.base import license_of as exported_license
from anomgen.generators.base import build_generator, terms_of
from anomgen.hub.upload import NoLicense, upload_of
from anomgen.licenses import inherited
from anomgen.making.make import make, plan_of
from anomgen.making.recipe import load_recipe
from anomgen.models.card import common_license
from anomgen.models.folder import recorded_licenses
from anomgen.models.use import model_licenses, why_unlicensed

GIVEN = "The images are licensed under CC BY 4.0."


def put(folder, count=4, terms=None):
    """Write a folder of noise, with a file LICENSE where there are terms."""
    folder.mkdir(parents=True)
    for k in range(count):
        noise = np.random.default_rng([3, len(folder.name), k]).integers(90, 130, (48, 48, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / f"{k}.png"), noise)
    if terms:
        (folder / "LICENSE").write_text(terms)
    return folder


def made(recipe, tmp_path, **generator):
    source = {"kind": "folder", "path": str(put(tmp_path / "mine" / "good", terms=GIVEN)), "size": 32}
    settings = [f"generator.{key}={value}" for key, value in generator.items()]
    return load_recipe(recipe, source=source, count=4, overrides=[*settings, "detectability_range=null"])


@pytest.mark.parametrize(
    ("terms", "license", "why"),
    [
        ("The images are licensed under CC BY-NC 4.0.", "cc-by-nc-4.0", None),
        (None, None, "no file beside the pictures names one"),
        ("For research purposes only. All rights reserved.", None, "LICENSE says 'For research purposes only."),
    ],
)
def test_textures_of_an_unknown_licence_leave_that_of_the_dataset_unknown(tmp_path, terms, license, why):
    textures = put(tmp_path / "textures" / "cloth", terms=terms)
    recipe = made("perlin", tmp_path, **{"texture.kind": "folder", "texture.path": textures})
    notes = make(recipe, tmp_path / "out").provenance["source"]["notes"]
    dataset = Dataset(tmp_path / "out")
    told = [note for note in notes if "generator.texture" in note]
    assert license_of(dataset.provenance, dataset.recipe) == exported_license(dataset) == license
    assert dataset.provenance["licenses"] == [license] and plan_of(recipe)["license"] == (license or "unknown")
    card = (tmp_path / "out" / "README.md").read_text()
    assert f"\nlicense: {license or 'unknown'}\n" in card
    if why:
        assert "licence of something that the anomalies were made of" in card and told[0] in card
        assert why in told[0] and told[0].endswith("give --license")
        with pytest.raises(NoLicense, match=r"not known, .* \(textures, banks, models\)"):
            upload_of(tmp_path / "out", "me/x", None, None)
        assert upload_of(tmp_path / "out", "me/x", None, "cc-by-4.0").card.data["license"] == "cc-by-4.0"
    else:
        assert not told


def banked(tmp_path, place, license=None):
    """Make a bank of four dents in ``tmp_path/place``."""
    if not (tmp_path / "defects").exists():
        put(tmp_path / "defects" / "dent")
        (tmp_path / "masks" / "dent").mkdir(parents=True)
    for k in range(4):
        mask = np.zeros((48, 48), np.uint8)
        mask[10 + k : 25, 10:25] = 255
        cv2.imwrite(str(tmp_path / "masks" / "dent" / f"{k}.png"), mask)
    return bank(tmp_path / "defects", tmp_path / place, masks=tmp_path / "masks", license=license).path


@pytest.mark.parametrize("license", [None, "cc-by-4.0"])
def test_a_bank_of_an_unknown_licence_is_named_as_a_part_of_a_mixture(tmp_path, license):
    transplant = {"kind": "transplant", "bank": str(banked(tmp_path, "bank", license))}
    alone = build_generator(transplant)
    mixed = build_generator({"kind": "mix", "parts": [{"kind": "perlin"}, transplant]})
    assert terms_of(alone) == terms_of(mixed) == (license,)
    assert list(alone.unlicensed()) == ([] if license else ["bank"])
    assert list(mixed.unlicensed()) == ([] if license else ["parts.1.bank"])


@pytest.mark.parametrize(
    ("recorded", "card", "license"),
    [(None, "cc-by-4.0", "cc-by-4.0"), ("mit", "cc-by-4.0", "mit"), (None, "unknown", None), (None, None, None)],
)
def test_a_published_bank_has_the_licence_that_it_was_published_with(tmp_path, monkeypatch, recorded, card, license):
    banked(tmp_path, "repository/dents", recorded)
    if card:
        (tmp_path / "repository" / "README.md").write_text(f"---\nlicense: {card}\n---\n# Dents\n")
    monkeypatch.setattr("anomgen.banks.folder.hub_folder", lambda *_, **__: tmp_path / "repository")
    assert open_bank("me/dents").license == license


@pytest.mark.parametrize(
    ("card", "data", "licenses", "known"),
    [
        (None, None, [], None),
        ("unknown", ["cc-by-4.0"], [], None),
        ("unknown", ["cc-by-4.0", None], [], None),
        ("unknown", ["cc-by-4.0", "cc-by-nc-4.0"], [], "cc-by-nc-4.0"),
        ("cc-by-4.0", [None], [], "cc-by-4.0"),
        ("cc-by-4.0", ["cc-by-4.0"], [], "cc-by-4.0"),
        (None, ["cc-by-4.0"], [], "cc-by-4.0"),
        ("unknown", ["cc-by-4.0"], [None], None),
        (None, ["cc-by-4.0"], [None], None),
        ("openrail", [None], ["cc-by-nc-4.0"], None),
    ],
)
def test_a_model_is_under_what_its_card_says_and_all_that_it_learnt_from(tmp_path, card, data, licenses, known):
    if card:
        (tmp_path / "README.md").write_text(f"---\nlicense: {card}\n---\n# A model\n")
    if data is not None:
        record = {"kind": "sdas", "settings": {}, "data": [{"license": each} for each in data], "licenses": licenses}
        (tmp_path / "training.json").write_text(json.dumps(record))
        assert recorded_licenses(tmp_path) == (*data, *licenses)
    unknown = [None] if why_unlicensed(tmp_path) else []
    assert inherited("cc0-1.0", [*model_licenses(tmp_path), *unknown]) == known


@pytest.mark.filterwarnings("ignore::anomgen.errors.AnomgenNote")
@pytest.mark.parametrize(
    ("images", "licenses", "license", "told"),
    [
        ("cc-by-4.0", (), "cc-by-4.0", "`cc-by-4.0`, that of the training images."),
        ("cc-by-4.0", ("cc-by-nc-4.0",), "cc-by-nc-4.0", "`cc-by-nc-4.0`, that of what the anomalies were made of."),
        ("cc-by-4.0", (None,), None, "The licence of what the anomalies were made of was not known"),
        (None, ("mit",), None, "The licence of the training images was not known"),
    ],
)
def test_a_detector_is_under_the_terms_of_the_anomalies_that_it_saw(tmp_path, images, licenses, license, told):
    pytest.importorskip("timm", reason="scoring is an extra")
    from anomgen.score.kept.folder import load_detector, save_detector

    detector, known = load_detector(quick_detector(tmp_path))
    data = [known.data[0].model_copy(update={"license": images})]
    save_detector(tmp_path / "x", detector, known.model_copy(update={"data": data, "licenses": licenses}), 1.0)
    card = (tmp_path / "x" / "README.md").read_text()
    assert f"\nlicense: {license or 'unknown'}\n" in card and told in card
    assert recorded_licenses(tmp_path / "x", "anomgen_model.json") == (images, *licenses)
    if license is None:
        with pytest.raises(NoLicense):
            upload_of(tmp_path / "x", "me/x", None, None)
    else:
        assert upload_of(tmp_path / "x", "me/x", None, None).sources == (images, *licenses)


def test_a_model_that_began_with_another_is_under_the_licence_of_both():
    assert common_license(["cc-by-4.0", "cc-by-4.0"]) == "cc-by-4.0"
    assert common_license(["cc-by-4.0", None]) is common_license(["cc-by-4.0", "mit"]) is None
