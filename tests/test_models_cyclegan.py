"""Cycle-GAN: its networks, the images it takes, the model on disk."""

import json

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="learned generators need the extra `diffusion`")
pytest.importorskip("accelerate", reason="learned generators need the extra `diffusion`")

from cyclegan_runs import SMALL, sources
from learned import edit_description, pictures

from anomgen.config import validated
from anomgen.dataset.reader import Dataset
from anomgen.errors import RecipeError, SourceError, UsageError
from anomgen.generators.base import build_generator
from anomgen.making.make import make
from anomgen.making.recipe import load_recipe
from anomgen.models.cyclegan.abnormal import Abnormal
from anomgen.models.cyclegan.model import (
    FILES,
    TO_ABNORMAL,
    TO_NORMAL,
    InstanceNorm,
    ResNetGenerator,
    load_translators,
)
from anomgen.models.cyclegan.networks import Buffer, build_discriminator
from anomgen.models.cyclegan.training import TrainCycleGAN, learning_rate, train_cyclegan
from anomgen.models.described import DESCRIPTION
from anomgen.models.images import turned, turned_back
from anomgen.rng import Stream, rng_for
from anomgen.sources.folder import Folder

pytestmark = pytest.mark.usefixtures("one_thread")


# --- the networks ---------------------------------------------------------------------------------------------------


def test_the_paper_preset_is_the_papers_networks():
    settings = TrainCycleGAN(preset="paper")
    with torch.device("meta"):
        network = ResNetGenerator(3, settings.width, settings.blocks, settings.residual, settings.upsampling)
        scores = build_discriminator(3, settings.discriminator_width)
    assert sum(p.numel() for p in network.parameters()) == 11_378_179  # as published with the original code
    assert [layer.out_channels for layer in scores if isinstance(layer, torch.nn.Conv2d)] == [64, 128, 256, 512, 1]
    assert (settings.batch_size, settings.cycle, settings.identity, settings.learning_rate) == (16, 10, 5, 2e-4)
    assert settings.mixed_precision == "no"


def test_the_normalisation_is_torchs_instance_norm():
    x = torch.from_numpy(np.random.default_rng(0).normal(3, 2, (2, 5, 9, 7)).astype(np.float32))
    assert torch.allclose(InstanceNorm()(x), torch.nn.functional.instance_norm(x), atol=1e-5)


@pytest.mark.parametrize("upsampling", ["nearest", "transposed"])
@pytest.mark.parametrize("shape", [(24, 24), (33, 46)])
def test_any_size_goes_through(shape, upsampling):
    network = ResNetGenerator(1, 4, 1, residual=True, upsampling=upsampling)
    assert network(torch.zeros(1, 1, *shape)).shape == (1, 1, *shape)


def test_the_rate_is_constant_for_a_tenth_and_then_falls_to_zero():
    settings = TrainCycleGAN(steps=100, learning_rate=1.0)
    rates = [learning_rate(settings, number) for number in range(101)]
    assert rates[:11] == [1.0] * 11
    assert rates[55] == pytest.approx(0.5)
    assert rates[100] == 0


def test_a_buffer_gives_back_earlier_images_half_of_the_time():
    buffer, rng = Buffer(), rng_for(0, Stream.TRAINING)
    fresh = [buffer.exchange(torch.tensor(float(k)), rng).item() == k for k in range(1050)]
    assert all(fresh[:50]) and 0.45 < np.mean(fresh[50:]) < 0.55
    assert len(buffer.images) == 50


@pytest.mark.parametrize("way", range(8))
def test_orientations_are_undone(way):
    image = np.arange(48).reshape(4, 4, 3)
    assert np.array_equal(turned_back(turned(image, way), way), image)
    assert len({turned(image, k).tobytes() for k in range(8)}) == 8


# --- what is trained on ---------------------------------------------------------------------------------------------


def test_masks_and_normal_images_in_the_abnormal_folder_are_left_out(tmp_path):
    for place in ("test/crack", "test/hole", "test/good", "train/good"):
        pictures(tmp_path / place, 3)
    (tmp_path / "ground_truth/crack").mkdir(parents=True)
    mask = np.kron(np.eye(4, dtype=np.uint8) * 255, np.ones((8, 8), np.uint8))
    for name in ("test/crack/000_mask.png", "ground_truth/crack/001_mask.png", "ground_truth/crack/002_mask.png"):
        cv2.imwrite(str(tmp_path / name), mask)
    source = Abnormal(path=str(tmp_path)).open()
    assert {source.id(k).rpartition("/")[0] for k in range(len(source))} == {"test/crack", "test/hole"}
    assert len(source) == 6


def test_a_finished_dataset_gives_its_anomalous_rows(discs, tmp_path):
    recipe = load_recipe("cutpaste", source={"kind": "folder", "path": str(discs / "good"), "size": 32}, count=24)
    make(recipe.model_copy(update={"license": "cc0-1.0"}), tmp_path / "made")
    source = Abnormal(path=str(tmp_path / "made"), size=32).open()
    assert (len(source), source.license) == (12, "cc0-1.0")
    made = json.loads((tmp_path / "made/provenance.json").read_text())
    changed = {**made, "source": {**made["source"], "license": "cc-by-4.0"}, "licenses": ["cc-by-nc-4.0"]}
    (tmp_path / "made/provenance.json").write_text(json.dumps(changed))
    (tmp_path / "made/recipe.yaml").write_text((tmp_path / "made/recipe.yaml").read_text().replace("cc0-1.0", "null"))
    assert Abnormal(path=str(tmp_path / "made"), size=32).open().license == "cc-by-nc-4.0"
    rows = [row for row in Dataset(tmp_path / "made").rows() if row["label"] == 1]
    assert np.array_equal(source[5], rows[5]["image"])
    train_cyclegan(sources(discs)[0], source, TrainCycleGAN(**SMALL | {"steps": 1}), tmp_path / "m")
    only_normal = recipe.model_copy(update={"anomaly_ratio": 0.0, "count": 4})
    make(only_normal, tmp_path / "normal")
    with pytest.raises(UsageError, match="without an anomalous row"):
        Abnormal(path=str(tmp_path / "normal")).open()


@pytest.mark.parametrize(
    ("good", "bad", "text"),
    [
        ({"count": 4}, {}, "at least 10 normal images"),
        ({}, {"count": 9}, "at least 10 abnormal images.*there are 9"),
        ({}, {"grey": True}, "32×32×3 uint8, the abnormal ones 32×32×1"),
        ({}, {"dtype": np.uint16}, "uint16"),
    ],
)
def test_images_that_cannot_be_used_together_are_refused(good, bad, text, tmp_path):
    pictures(tmp_path / "good", **{"count": 10, **good})
    pictures(tmp_path / "bad", **{"count": 10, "seed": 50, **bad})
    with pytest.raises(SourceError, match=text):
        train_cyclegan(*sources(tmp_path), TrainCycleGAN(**SMALL), tmp_path / "m")
    assert not (tmp_path / "m").exists()


def test_an_image_is_normal_or_abnormal(discs, tmp_path):
    normal = Folder(path=str(discs / "good"), size=32)
    with pytest.raises(UsageError, match=r"000\.png of the abnormal images is also 000\.png of the normal"):
        train_cyclegan(normal.open(), Abnormal.beside(str(discs / "good"), normal).open(), TrainCycleGAN(), tmp_path)


@pytest.mark.parametrize(
    ("settings", "error", "text"),
    [
        ({"preset": "papr"}, RecipeError, "did you mean 'paper'"),
        ({"widht": 8}, RecipeError, "widht: unknown key; did you mean 'width'"),
        ({"steps": 0}, RecipeError, "steps"),
        ({"batch_size": 3, "accumulation": 2}, UsageError, "batch_size 3"),
    ],
)
def test_wrong_settings_name_the_key(settings, error, text, discs, tmp_path):
    with pytest.raises(error, match=text):
        train_cyclegan(*sources(discs), validated(TrainCycleGAN, {**SMALL, **settings}), tmp_path / "m")


def test_sizes_that_do_not_fit_are_refused(tmp_path):
    for name in ("good", "bad"):
        pictures(tmp_path / name, 10, shape=(32, 64), seed=100 * (name == "bad"))
    with pytest.raises(UsageError, match=r"rotations needs square images.*augment=flips"):
        train_cyclegan(*sources(tmp_path, size=[32, 64]), TrainCycleGAN(**SMALL | {"resolution": 64}), tmp_path / "m")
    with pytest.raises(UsageError, match="16×32 pixels, at least 24×24"):
        settings = TrainCycleGAN(**SMALL | {"augment": "none"})
        train_cyclegan(*sources(tmp_path, size=[32, 64]), settings, tmp_path / "m")


# --- the model on disk ----------------------------------------------------------------------------------------------


def test_a_model_is_safetensors_json_and_a_card_without_paths(cyclegan_model, discs):
    assert all((cyclegan_model / name).is_file() for name in FILES)
    description = json.loads((cyclegan_model / DESCRIPTION).read_text())
    assert description["shape"] == [32, 32, 3] and 0 < description["threshold"] < 1
    for file in cyclegan_model.rglob("*"):
        assert not file.is_file() or str(discs).encode() not in file.read_bytes(), file
    card = (cyclegan_model / "README.md").read_text()
    assert card.startswith("---\nlicense: unknown\n") and "32×32, RGB" in card
    loaded = load_translators(cyclegan_model)
    image = sources(discs)[0][0]
    for translator in (loaded.to_abnormal, loaded.to_normal):
        change = translator.change(image)
        assert change.shape == (32, 32, 3) and change.dtype == np.float32 and np.abs(change).max() <= 1


def test_the_card_has_the_licence_that_both_classes_have(discs, tmp_path):
    made = []
    for name in ("good", "bad"):
        recipe = load_recipe("cutpaste", source={"kind": "folder", "path": str(discs / name), "size": 32}, count=24)
        make(recipe.model_copy(update={"license": "cc-by-4.0", "anomaly_ratio": 1.0}), tmp_path / name)
        made.append(Abnormal(path=str(tmp_path / name), size=32).open())
    train_cyclegan(*made, TrainCycleGAN(**SMALL | {"steps": 1}), tmp_path / "m")
    assert "license: cc-by-4.0" in (tmp_path / "m" / "README.md").read_text()


def damage(name):
    def cut(folder):
        (folder / name).write_bytes((folder / name).read_bytes()[:-100])

    return cut


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda folder: (folder / DESCRIPTION).unlink(), "is no model.*anomgen_model.json"),
        (damage(DESCRIPTION), "anomgen_model.json: is damaged"),
        (damage(TO_ABNORMAL), "normal_to_abnormal.safetensors: the weights are damaged"),
        (lambda folder: (folder / TO_NORMAL).unlink(), "the weights are missing"),
        (lambda folder: (folder / DESCRIPTION).rename(folder / "m.pth"), "m.pth, a pickle"),
        (lambda folder: edit_description(folder, kind="sdas"), "kind 'sdas'"),
        (lambda folder: edit_description(folder, width=8), "of another network"),
        (lambda folder: edit_description(folder, width="x"), "is damaged"),
    ],
)
def test_a_damaged_model_says_what_is_wrong(change, text, copied_cyclegan):
    change(copied_cyclegan)
    with pytest.raises(UsageError, match=text):
        load_translators(copied_cyclegan)
    with pytest.raises(UsageError, match=r"generator\.model: "):
        build_generator({"kind": "cyclegan", "model": str(copied_cyclegan)}).prepared([])


def test_a_missing_model_says_what_is_missing(tmp_path):
    (tmp_path / "file.pt").write_bytes(b"x")
    for path, text in ((tmp_path / "modl", "there is no such model folder"), (tmp_path / "file.pt", "is a file")):
        with pytest.raises(UsageError, match=text):
            load_translators(path)
