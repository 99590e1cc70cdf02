"""The online adapters: equal to files, equal for any number of workers, and masks exact on images from outside."""

import multiprocessing
import re
from pathlib import Path

import numpy as np
import pytest
from learned import needs_more

torch = pytest.importorskip("torch", reason="the adapters are for torch")

from anomgen.adapters.base import Converted, Drawer
from anomgen.adapters.torch import AnomalyDataset, Seeded
from anomgen.dataset.png import decode_png
from anomgen.dataset.reader import Dataset
from anomgen.errors import AnomgenError, UsageError
from anomgen.making.make import make
from anomgen.making.recipe import bundled_recipes, load_recipe

PAGE = (Path(__file__).parent.parent / "docs" / "how-to" / "online.md").read_text(encoding="utf-8")
SMALL = ["source.count=9", "shard_size=32"]


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def recipe(name="nsa", count=32, size=64, overrides=(), **values):
    return load_recipe(name, count=count, size=size, overrides=[*SMALL, *overrides], **values)


NAMES = [name for name in bundled_recipes() if not needs_more(load_recipe(name))]
"""Recipes that need no trained model."""


def loaded(dataset, epochs=1, **options):
    """Return the items of some epochs by (epoch, index)."""
    loader = torch.utils.data.DataLoader(dataset, batch_size=None, **options)
    items = {}
    for epoch in range(epochs):
        dataset.set_epoch(epoch)
        for item in loader:
            items[epoch, item["index"]] = item
    return items


def same(items, others):
    assert items.keys() == others.keys()
    for key, item in items.items():
        assert item.keys() == others[key].keys()
        for name, value in item.items():
            pair = torch.as_tensor(value), torch.as_tensor(others[key][name])
            assert torch.allclose(*pair, rtol=0, atol=0, equal_nan=True), (key, name)
    return True


# --- torch ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
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


# --- images from outside ---------------------------------------------------------------------------------------------


def outside(seed=0, shape=(80, 72, 3)):
    """Return an image that is in no source: smooth, uint8."""
    import cv2

    noise = np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)
    return np.clip(cv2.GaussianBlur(noise, (0, 0), 3).reshape(shape).astype(int) * 2 - 128, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("channels", [1, 3])
def test_every_recipe_draws_on_images_of_another_size_and_channel_count(name, channels):
    drawer = Drawer(recipe(name, overrides=["anomaly_ratio=1.0"]))
    images = [outside(k, (80, 72, channels)) for k in range(4)]
    samples = drawer.draw(images, range(4))
    for k, (image, sample) in enumerate(zip(images, samples, strict=True)):
        assert sample.image.shape == image.shape and sample.mask.any() and not sample.mask.all()
        assert np.array_equal(sample.image[~sample.mask], image[~sample.mask])
        (alone,) = drawer.draw([image], [k])
        assert np.array_equal(alone.image, sample.image) and np.array_equal(alone.mask, sample.mask)


def test_a_trained_recipe_works_online_on_images_of_its_models_shape(tmp_path):
    pytest.importorskip("diffusers", reason="sdas is in the extra `diffusion`")
    from learned import tiny_sdas

    source = {"kind": "builtin", "size": 32, "count": 8}
    words = [f"generator.model={tiny_sdas(tmp_path / 'model')}", "generator.steps=2", *ALWAYS]
    chosen = load_recipe("sdas", source=source, count=4, overrides=words)
    assert same(loaded(AnomalyDataset(chosen), num_workers=2), loaded(AnomalyDataset(chosen)))
    drawer = Drawer(chosen)
    samples = drawer.draw([outside(k, (32, 32, 1)) for k in range(3)], range(3))
    assert all(sample.mask.any() for sample in samples)
    with pytest.raises(UsageError, match=r"draws images of \(H, W, C\) \(32, 32, 1\), this one is \(32, 32, 3\)"):
        drawer.draw([outside(0, (32, 32, 3))], [0])


def test_the_ratio_of_anomalies_is_the_recipes():
    drawer = Drawer(recipe("scar", overrides=["anomaly_ratio=0.3"]))
    drawn = drawer.draw([outside()] * 300, range(300))
    assert abs(sum(sample is not None for sample in drawn) / 300 - 0.3) < 0.08


def test_an_image_that_takes_no_anomaly_is_an_error_not_a_normal_image():
    drawer = Drawer(recipe("cutpaste", overrides=["anomaly_ratio=1.0"]))
    with pytest.raises(AnomgenError, match=r"50 draws of 'cutpaste' on one image gave no anomaly: .* \(50×\)"):
        drawer.draw([np.zeros((64, 64, 3), np.uint8)], [0])


def test_a_folder_of_masks_cannot_serve_images_from_outside(photos):
    with pytest.raises(UsageError, match="folder of masks"):
        Drawer("nsa", source=photos, overrides=[f"foreground={photos}"])


def test_a_source_is_converted_by_the_usual_weights():
    from anomgen.sources.builtin import Builtin

    grey, colour = Builtin(count=3, size=64).open(), Builtin(name="immunohistochemistry", count=3, size=64).open()
    assert (Converted(grey, 3, np.uint8)[0] == grey[0]).all()
    assert np.array_equal(Converted(grey, 1, np.uint16)[0], grey[0].astype(np.uint16) * 257)
    assert np.array_equal(Converted(Converted(grey, 1, np.uint16), 1, np.uint8)[0], grey[0])
    made = Converted(colour, 1, np.uint8)[1][..., 0].astype(float)
    assert np.abs(made - colour[1] @ [0.299, 0.587, 0.114]).max() <= 0.51


# --- torchvision ----------------------------------------------------------------------------------------------------

ALWAYS = ["anomaly_ratio=1.0"]


def as_tensor(image):
    return torch.from_numpy(image.transpose(2, 0, 1).copy())


@pytest.fixture(scope="module")
def transform():
    pytest.importorskip("torchvision")
    from anomgen.adapters.torchvision import Anomaly

    return Anomaly(recipe(overrides=ALWAYS))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16, torch.float32, torch.float16, torch.float64])
def test_torchvision_keeps_dtype_and_the_pixels_outside_the_mask(transform, dtype):
    from torchvision import tv_tensors

    scale = 255 if dtype.is_floating_point else 1
    image = tv_tensors.Image((as_tensor(outside()).double() / scale).to(dtype))
    drawn, mask, rest = transform(image, tv_tensors.Mask(torch.zeros(1, 80, 72, dtype=torch.uint8)), 7)
    assert type(drawn) is tv_tensors.Image and type(mask) is tv_tensors.Mask and rest == 7
    assert drawn.dtype == dtype and mask.dtype == torch.uint8 and set(mask.unique().tolist()) == {0, 1}
    inside = (mask[0] > 0).numpy()
    before, after = image.double().numpy(), drawn.double().numpy()
    assert np.array_equal(before[:, ~inside], after[:, ~inside]) and (before[:, inside] != after[:, inside]).any()


def test_torchvision_follows_torchs_seed(transform):
    from torchvision import tv_tensors

    def draw():
        return transform({"a": tv_tensors.Image(as_tensor(outside())), "b": tv_tensors.Mask(torch.zeros(80, 72))})

    torch.manual_seed(3)
    first, second = draw(), draw()
    torch.manual_seed(3)
    again = draw()
    assert torch.equal(first["b"], again["b"]) and torch.equal(first["a"], again["a"])
    assert not torch.equal(first["b"], second["b"])


def test_torchvision_takes_pil_images_batches_and_marked_masks(transform):
    from PIL import Image
    from torchvision import tv_tensors

    marked = torch.zeros(80, 72, dtype=torch.bool)
    marked[:5] = True
    for mode in ("RGB", "L"):
        drawn, mask = transform(Image.fromarray(outside()).convert(mode), tv_tensors.Mask(marked))
        assert drawn.mode == mode and drawn.size == (72, 80) and mask[:5].all() and mask[5:].any()
    batch = torch.stack([as_tensor(outside(k)) for k in range(3)])
    drawn, masks = transform(batch, tv_tensors.Mask(torch.zeros(3, 1, 80, 72)))
    assert drawn.shape == batch.shape and masks.flatten(1).any(dim=1).all()


def test_torchvision_says_what_is_wrong(transform):
    from torchvision import tv_tensors

    image, mask = torch.rand(3, 64, 64), tv_tensors.Mask(torch.zeros(1, 64, 64))
    with pytest.raises(UsageError, match="1 images and 0 masks"):
        transform(image)
    with pytest.raises(UsageError, match="draw before normalising"):
        transform(image * 4 - 2, mask)
    with pytest.raises(UsageError, match="not int32"):
        transform(image.int(), mask)
    with pytest.raises(UsageError, match=r"not \(1, 2, 64, 64\)"):
        transform(image[:2], mask)
    with pytest.raises(UsageError, match=r"the Mask is \(1, 32, 32\)"):
        transform(image, tv_tensors.Mask(torch.zeros(1, 32, 32)))


class Pictures(torch.utils.data.Dataset):
    """Six pictures from outside with an anomaly each."""

    def __init__(self, transform):
        self.transform = transform

    def __len__(self):
        return 6

    def __getitem__(self, index):
        from torchvision import tv_tensors

        image = tv_tensors.Image(as_tensor(outside(index)))
        drawn, mask = self.transform(image, tv_tensors.Mask(torch.zeros(1, 80, 72)))
        return {"index": index, "image": drawn, "mask": mask}


def test_seeded_transforms_are_the_same_for_any_number_of_workers(transform):
    alone = loaded(Seeded(Pictures(transform), seed=5), 2)
    assert not torch.equal(alone[0, 0]["mask"], alone[1, 0]["mask"])
    for options in ({"num_workers": 1}, {"num_workers": 2, "persistent_workers": True, "shuffle": True}):
        assert same(loaded(Seeded(Pictures(transform), seed=5), 2, **options), alone)
    assert not torch.equal(loaded(Seeded(Pictures(transform), seed=6))[0, 0]["mask"], alone[0, 0]["mask"])


def test_loader_workers_differ_and_torchs_seed_repeats_them(transform):
    def run():
        torch.manual_seed(1)
        loader = torch.utils.data.DataLoader(Pictures(transform), batch_size=None, num_workers=2)
        return [item["mask"] for item in loader]

    first, second = run(), run()
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert not torch.equal(first[0], first[1])  # one of each worker


# --- albumentations -------------------------------------------------------------------------------------------------


@pytest.fixture
def compose():
    A = pytest.importorskip("albumentations", reason="albumentations 2.0.8 is in the extra `test`")
    from anomgen.adapters.albumentations import Anomaly

    return A.Compose([Anomaly(recipe(overrides=ALWAYS))], seed=1)


@pytest.mark.parametrize("shape", [(80, 72), (80, 72, 1), (80, 72, 3)])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_albumentations_keeps_shape_dtype_and_the_pixels_outside_the_mask(compose, shape, dtype):
    image = outside(0, shape) if dtype == np.uint8 else outside(0, shape) / np.float32(255)
    item = compose(image=image, mask=np.zeros(shape[:2], np.uint8), other="kept")
    inside = item["mask"] > 0
    assert item["image"].shape == shape and item["image"].dtype == dtype and item["other"] == "kept"
    assert np.array_equal(item["image"][~inside], image[~inside]) and inside.any()


def test_albumentations_follows_its_own_seed(compose):
    image, mask = outside(), np.zeros((80, 72), np.uint8)
    drawn = []
    for seed in (4, 5, 4):
        compose.set_random_seed(seed)
        drawn.append(compose(image=image, mask=mask)["mask"])
    assert np.array_equal(drawn[0], drawn[2]) and not np.array_equal(drawn[0], drawn[1])


class Pasted(torch.utils.data.Dataset):
    def __init__(self, compose):
        self.compose = compose

    def __len__(self):
        return 6

    def __getitem__(self, index):
        self.compose.set_random_seed(index)
        item = self.compose(image=outside(index), mask=np.zeros((80, 72), np.uint8))
        return {"index": index, "image": item["image"], "mask": item["mask"]}

    def set_epoch(self, epoch): ...


def test_albumentations_seeded_by_index_is_the_same_for_any_number_of_workers(compose):
    assert same(loaded(Pasted(compose), num_workers=2), loaded(Pasted(compose)))


def test_albumentations_leaves_boxes_and_says_what_is_missing(compose):
    import albumentations as A

    boxes = A.BboxParams(format="pascal_voc", label_fields=["names"])
    with_boxes = A.Compose([compose.transforms[0]], bbox_params=boxes)
    item = with_boxes(image=outside(), mask=np.zeros((80, 72), bool), bboxes=[[1, 2, 30, 40]], names=["a"])
    assert np.allclose(item["bboxes"], [[1, 2, 30, 40]]) and item["mask"].dtype == bool and item["mask"].any()
    with pytest.raises(UsageError, match="a mask of zeros"):
        compose(image=outside())


def test_albumentations_refuses_a_second_image_and_alpha(compose):
    """The first image's anomaly is not the second's, and alpha is no colour."""
    import albumentations as A

    mask = np.zeros((80, 72), np.uint8)
    pair = A.Compose([compose.transforms[0]], additional_targets={"right": "image", "other": "mask"})
    with pytest.raises(UsageError, match=r"one image and a mask.*given: image, right, mask"):
        pair(image=outside(0), right=outside(1), mask=mask)
    with pytest.raises(UsageError, match="given: image, images, mask"):
        compose(image=outside(0), images=np.stack([outside(1)] * 2), mask=mask)
    item = pair(image=outside(0), mask=mask, other=mask)
    assert np.array_equal(item["mask"], item["other"]) and item["mask"].any()
    with pytest.raises(UsageError, match=r"1 channel or 3, not \(80, 72, 4\); take transparency"):
        compose(image=np.dstack([outside(), mask]), mask=mask)


# --- anomalib -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(3, 80, 72), (5, 3, 80, 72)])
def test_the_augmenter_keeps_shapes_and_the_pixels_outside_the_mask(shape):
    from anomgen.adapters.anomalib import Augmenter

    augment = Augmenter(recipe("perlin", overrides=ALWAYS))  # a grey source
    image = torch.rand(shape, generator=torch.Generator().manual_seed(0)) * 0.1 + 0.45
    drawn, mask = augment(image)
    assert drawn.shape == image.shape and mask.shape == (*shape[:-3], 1, 80, 72)
    assert drawn.dtype == mask.dtype == torch.float32 and mask.flatten(-3).any(dim=-1).all()
    assert torch.equal(drawn * (1 - mask), image * (1 - mask)) and not torch.equal(drawn, image)
    assert not list(augment.parameters()) and not augment.state_dict()


def test_feeding_adds_anomalies_while_training_only():
    from anomgen.adapters.anomalib import IMAGENET_MEAN, IMAGENET_STD, Augmenter, feed

    class Model(torch.nn.Module):
        def forward(self, images, masks=None, labels=None):
            return images, masks, labels

    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    images = (torch.stack([as_tensor(outside(k)) for k in range(4)]) / 255 - mean) / std
    model = Model()
    handle = feed(model, Augmenter(recipe("cutpaste", overrides=["anomaly_ratio=0.5"])))
    torch.manual_seed(0)
    drawn, masks, labels = model(images=images, masks=None, labels=torch.tensor([0, 0, 0, 1]))
    assert labels[3] and 0 < masks.flatten(1).any(dim=1).sum() < 4
    assert masks.shape == (4, 80, 72)
    assert torch.allclose(drawn * (1 - masks[:, None]), images * (1 - masks[:, None]), atol=1e-5)
    marked = torch.zeros(4, 80, 72)
    marked[:, :3] = 1
    assert model(images=images, masks=marked, labels=None)[1][:, :3].all()
    model.eval()
    assert model(images=images)[0] is images
    handle.remove()
    assert model.train()(images=images)[0] is images


def test_glass_dsr_and_supersimplenet_learn_from_our_anomalies(monkeypatch):
    """anomalib's own networks, untrained, take what the augmenter draws; DRAEM trains in the page's example."""
    pytest.importorskip("anomalib", reason="the models are anomalib's")
    import timm
    from anomalib.models import Dsr
    from anomalib.models.image.glass.torch_model import GlassModel
    from anomalib.models.image.supersimplenet.torch_model import SupersimplenetModel

    from anomgen.adapters.anomalib import IMAGENET_MEAN, IMAGENET_STD, Augmenter, feed

    create = timm.create_model
    monkeypatch.setattr(
        timm, "create_model", lambda *words, **options: create(*words, **options | {"pretrained": False})
    )
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    augment = Augmenter("nsa", size=128, overrides=ALWAYS)
    images = torch.rand(2, 3, 128, 128)
    glass = GlassModel(input_shape=(128, 128), backbone="resnet18", layers=["layer2", "layer3"], pre_trained=False)
    glass.augmentor = augment
    glass.center = torch.zeros(256, glass.calculate_features(images, images)[0].shape[-1])
    assert all(value.isfinite().all() for value in glass.train()((images - mean) / std)[:3])
    dsr = Dsr()
    dsr.perlin_generator = augment
    drawn, masks = dsr.perlin_generator(images)
    assert dsr.third_stage_loss(dsr.model.train()(drawn)["anomaly_map"], masks).isfinite()
    simple = SupersimplenetModel(backbone="resnet18").train()
    feed(simple, augment)
    scores = simple(images=(images - mean) / std, masks=None, labels=torch.zeros(2))
    assert scores[3].tolist() == [1, 1, 1, 1]  # it doubles the batch; without ours, half of it would be normal


# --- the page -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["torch", "torchvision", "albumentations", "anomalib"])
def test_the_examples_of_the_page_run(name, photos, tmp_path, monkeypatch):
    pytest.importorskip(name, reason=f"the example is for {name}")
    part = PAGE.split(f"<!-- test: {name} -->")[1].split("<!-- test: end -->")[0]
    (text,) = re.findall(r"```python\n(.*?)```", part, re.S)
    photos.rename(tmp_path / "good")
    monkeypatch.chdir(tmp_path)
    exec(compile(text, f"{name} example", "exec"), {"__name__": "example"})
