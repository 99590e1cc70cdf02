"""What detectors train on: batches drawn ahead, always the same; validation; anomalies made before."""

import time

import cv2
import numpy as np
import pytest
from real_data import tiny_data

pytest.importorskip("torch")

from anomgen.dataset.reader import Dataset
from anomgen.making.engine import Plan
from anomgen.making.make import make
from anomgen.making.recipe import load_recipe
from anomgen.score.anomalies import anomalies_of, draw_anomalies, load_anomalies, shown
from anomgen.score.cell import generator_loader, given_loader
from anomgen.score.data import load
from anomgen.score.entries import entries_of
from anomgen.score.loader import AHEAD, Loader


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return load(str(tiny_data(tmp_path_factory.mktemp("real") / "part")), 32, real_share=0.5)


def loader_of(data, chosen, seed, drawn=None):
    if drawn is None and chosen.definition is not None:
        return generator_loader(Plan.of(chosen.definition, data.train), data, seed)
    return given_loader(load_anomalies(drawn) if drawn else anomalies_of(data, chosen), chosen, data, seed)


def entry(name, **options):
    return next(found for found in entries_of([name], **options) if found.recipe == name)


def test_batches_are_the_same_each_time_and_differ_by_seed(data):
    first, again, other = (loader_of(data, entry("perlin"), seed) for seed in (0, 0, 1))
    for a, b in zip(first.batches(3, 4), again.batches(3, 4), strict=True):
        assert np.array_equal(a.images, b.images) and np.array_equal(a.masks, b.masks)
    assert not np.array_equal(next(first.batches(1, 4)).images, next(other.batches(1, 4)).images)


def test_a_batch_holds_the_recipes_share_or_the_wanted_one(data):
    loader = loader_of(data, entry("perlin"), 0)
    assert sum(batch.labels.sum() for batch in loader.batches(4, 4)) == 8
    assert all(batch.labels.all() for batch in loader.batches(2, 4, anomaly_ratio=1.0))
    batch = next(loader.batches(1, 8))
    for image, normal, mask, anomalous in zip(batch.images, batch.normals, batch.masks, batch.labels, strict=True):
        assert mask.any() == anomalous and np.array_equal(image[~mask], normal[~mask])
    assert not batch.images.flags.writeable


def test_the_loader_tells_what_the_soft_masks_hold(data):
    chosen = entry("nsa", overrides=["nsa.generator.label=intensity"])
    assert loader_of(data, chosen, 0).label == "intensity" and loader_of(data, entry("fpi"), 0).label == "continuous"
    assert loader_of(data, entry("perlin"), 0).label == "binary"


def test_validation_images_are_in_no_training_batch(data):
    loader = loader_of(data, entry("perlin"), 0)
    trained = {normal.tobytes() for batch in loader.batches(10, 8) for normal in batch.normals}
    held = {normal.tobytes() for normal in loader.validation.normals}
    assert held and not trained & held
    assert 2 * loader.validation.labels.sum() == len(loader.validation)


@pytest.mark.parametrize("name", ["perlin", "boxes", "cutpaste"])
def test_validation_anomalies_are_other_draws_than_those_of_the_training(data, name):
    loader = loader_of(data, entry(name), 0)
    trained = {mask.tobytes() for batch in loader.batches(8, 8) for mask in batch.masks[batch.labels]}
    assert not trained & {mask.tobytes() for mask in loader.validation.masks[loader.validation.labels]}


def test_every_validation_image_validates_once_as_it_is_and_once_anomalous(data):
    validation = loader_of(data, entry("perlin"), 0).validation
    held = sorted(data.validation[k].tobytes() for k in range(len(data.validation)))
    for part in (validation.labels, ~validation.labels):
        assert sorted(normal.tobytes() for normal in validation.normals[part]) == held


def test_few_batches_are_drawn_ahead_and_stopping_early_ends_the_thread(data):
    loader = loader_of(data, entry("perlin"), 0)
    asked = []

    class Counting:
        defect_types, graded, label, anomaly_ratio = loader.rows.defect_types, False, "binary", 0.5

        def rows(self, indices, ratio):
            asked.append(indices)
            return loader.rows.rows(indices, ratio)

    batches = Loader(loader.source, Counting(), loader.held_source, loader.held_rows).batches(100, 4)
    next(batches)
    time.sleep(0.5)
    drawn = len(asked)
    assert drawn <= AHEAD + 2
    batches.close()
    time.sleep(0.05)
    assert len(asked) <= drawn + 2


def test_an_error_while_drawing_reaches_the_detector(data):
    loader = loader_of(data, entry("perlin"), 0)

    class Failing:
        defect_types, graded, label, anomaly_ratio = ("x",), False, "binary", 0.5

        def rows(self, indices, ratio):
            raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        next(Loader(loader.source, Failing(), loader.held_source, loader.held_rows).batches(3, 4))


def test_real_anomalies_train_and_validate_apart(data):
    loader = loader_of(data, entry("real"), 0)
    assert set(loader.defect_types) <= {"spot", "bar"}
    batch = next(loader.batches(1, 8, anomaly_ratio=1.0))
    assert batch.masks.any(axis=(1, 2)).all() and (batch.images != batch.normals).any()
    tested = {image.tobytes() for image in data.test.images}
    assert not tested & {image.tobytes() for image in data.real.images}


def test_a_finished_dataset_serves_and_one_of_test_images_is_refused(data, tmp_path):
    def made(name, part, **options):
        recipe = load_recipe("perlin", source=str(part), size=32, count=16, **options)
        return make(recipe, tmp_path / name).path

    root = tmp_path / "part"
    tiny_data(root)
    good = made("good", root / "train" / "good")
    chosen = entries_of([str(good)])[-1]
    assert chosen.kind == "dataset" and chosen.name == "good"
    loader = loader_of(data, chosen, 0)
    batch = next(loader.batches(1, 6, anomaly_ratio=1.0))
    assert batch.masks.any(axis=(1, 2)).all() and len(Dataset(good)) == 16
    leaked = made("leaked", root / "test" / "good")
    unpaired = made("unpaired", root / "test" / "good", anomaly_ratio=1.0)  # no normal image tells where it is from
    for folder in (leaked, unpaired):
        with pytest.raises(Exception, match="which is the test image test/good/"):
            loader_of(data, entries_of([str(folder)])[-1], 0)
    other = made("other", root / "train" / "good", anomaly_ratio=1.0)
    assert sum(map(len, anomalies_of(data, entries_of([str(other)])[-1]))) == 16


def test_a_test_image_is_known_by_what_is_outside_the_mask(data):
    image, mask = data.test.images[0].copy(), np.zeros((32, 32), bool)
    mask[4:20, 4:20] = True
    image[mask] = 0
    assert shown(image, mask, data.test.images) == 0
    assert shown(image, mask & False, data.test.images) is None  # what covers it is a part of the image
    resized = cv2.resize(
        cv2.resize(data.test.images[3], (128, 128), interpolation=cv2.INTER_CUBIC),
        (32, 32),
        interpolation=cv2.INTER_AREA,
    )
    assert shown(resized, mask, data.test.images) == 3
    assert all(shown(data.train[k], mask, data.test.images) is None for k in range(len(data.train)))
    assert shown(np.full_like(image, 7), mask, data.test.images) is None


def test_the_file_gives_back_what_was_drawn(data, tmp_path):
    chosen = entry("nsa")
    draw_anomalies(Plan.of(chosen.definition, data.train), data.validation, tmp_path / "anomalies.npz", 6)
    rows, held = load_anomalies(tmp_path / "anomalies.npz")
    assert (len(rows), len(held)) == (5, 1) and all(row.mask.any() and row.soft_mask.max() > 0 for row in rows)
    loader = loader_of(data, chosen, 0, tmp_path / "anomalies.npz")
    assert loader.graded and next(loader.batches(1, 4)).labels.sum() == 2


def test_rows_made_of_validation_images_validate(data, tmp_path):
    tiny_data(tmp_path / "part")
    recipe = load_recipe(
        "perlin", source=str(tmp_path / "part" / "train" / "good"), size=32, count=24, anomaly_ratio=1.0
    )
    rows, held = anomalies_of(data, entries_of([str(make(recipe, tmp_path / "all").path)])[-1])
    assert len(rows) + len(held) == 24 and len(held) == 2 * len(data.validation)
    validating = {data.validation[k].tobytes() for k in range(len(data.validation))}
    outside = [(row.normal == data.validation[k])[~row.mask].all() for row in rows for k in range(len(data.validation))]
    assert validating and not any(outside)
