"""The torch dataset: equal to files, equal for any number of workers."""

import multiprocessing

import numpy as np
import pytest
from learned import METHODS
from online import loaded, recipe, same

torch = pytest.importorskip("torch", reason="the adapters are for torch")

from anomgen.adapters.torch import AnomalyDataset, Seeded
from anomgen.dataset.png import decode_png
from anomgen.dataset.reader import Dataset
from anomgen.errors import UsageError
from anomgen.making.make import make
from anomgen.making.recipe import load_recipe

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("name", METHODS)
def test_the_first_epochs_are_the_files_of_a_longer_dataset(name, tmp_path):
    make(recipe(name, 32, overrides=["keep_normal=true"]), tmp_path / "out")
    files = Dataset(tmp_path / "out")
    dataset = AnomalyDataset(recipe(name, 16, overrides=["keep_normal=true"]))
    for epoch in range(2):
        dataset.set_epoch(epoch)
        for index in range(16):
            item, row = dataset[index], files.row(16 * epoch + index)
            assert item["index"] == row["index"] and item["label"] == row["label"]
            assert dataset.defect_names[item["defect_type"]] == row["defect_type"]
            for key in ("image", "normal"):
                assert torch.equal(item[key], torch.from_numpy(row[key].transpose(2, 0, 1) / np.float32(255)))
            assert np.array_equal(item["mask"][0].numpy() > 0, row["mask"])
            if "soft_mask" in item:
                stored = decode_png(files.cells(row["index"])["soft_mask"]["bytes"])[..., 0]
                assert np.abs(item["soft_mask"][0].numpy() * 255 - stored).max() <= 0.5 + 1e-3


def test_items_are_the_same_for_any_number_of_workers():
    alone = loaded(AnomalyDataset(recipe("mix")), 2)
    assert {index for _, index in alone} == set(range(64))
    for options in (
        {"num_workers": 1},
        {"num_workers": 2, "persistent_workers": True},
        {"num_workers": 2, "shuffle": True},
        {"num_workers": 2, "persistent_workers": True, "shuffle": True},
    ):
        assert same(loaded(AnomalyDataset(recipe("mix")), 2, **options), alone)


def test_spawned_workers_that_live_on_learn_of_the_epoch():
    context = multiprocessing.get_context("spawn")
    options = {"num_workers": 1, "persistent_workers": True, "multiprocessing_context": context}
    assert same(loaded(AnomalyDataset(recipe(count=4)), 2, **options), loaded(AnomalyDataset(recipe(count=4)), 2))


def test_the_global_generators_are_left_alone():
    dataset = AnomalyDataset(recipe())
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    dataset[0], Seeded([1, 2])[1]
    assert torch.equal(torch.get_rng_state(), before[0]) and (np.random.get_state()[1] == before[1]).all()  # noqa: NPY002


def test_wrong_indices_epochs_and_recipes_are_errors():
    dataset = AnomalyDataset(recipe(count=4))
    with pytest.raises(IndexError):
        dataset[4]
    assert dataset[-1]["index"] == 3
    with pytest.raises(UsageError, match="from 0"):
        dataset.set_epoch(-1)
    for either in (dataset, Seeded([1])):
        with pytest.raises(UsageError, match="an epoch is a whole number, not 'x'"):
            either.set_epoch("x")
    with pytest.raises(UsageError, match="did you mean 'nsa'"):
        AnomalyDataset("nsaa")
    with pytest.raises(UsageError, match="Recipe is complete: give seed"):
        AnomalyDataset(recipe(), seed=3)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_grey_and_16_bit_images_keep_every_level(tmp_path, dtype):
    import cv2

    top = np.iinfo(dtype).max
    for k in range(3):
        picture = (np.random.default_rng(k).normal(0.5, 0.1, (64, 80)).clip(0, 1) * top).astype(dtype)
        cv2.imwrite(str(tmp_path / f"{k}.png"), cv2.GaussianBlur(picture, (0, 0), 2))
    chosen = load_recipe("fpi", source=tmp_path, size="native", count=6)
    dataset = AnomalyDataset(chosen)
    low, high = dataset.plan.source.value_range or (0, top)
    for index in range(6):
        restored = np.rint(dataset[index]["image"].double().numpy() * (high - low) + low)
        assert np.array_equal(restored.astype(dtype)[0], chosen.sample(index).image[..., 0])
