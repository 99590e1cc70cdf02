"""The transform for torchvision."""

import numpy as np
import pytest
from online import ALWAYS, as_tensor, loaded, outside, recipe, same

torch = pytest.importorskip("torch", reason="the adapters are for torch")

from anomgen.adapters.torch import Seeded
from anomgen.errors import UsageError

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def transform():
    pytest.importorskip("torchvision")
    from anomgen.adapters.torchvision import Anomaly

    return Anomaly(recipe(overrides=ALWAYS), value_range=(0, 255))


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
    with pytest.raises(UsageError, match=r"1 images and 2 masks.*others to transforms before or after it"):
        transform(image, mask, tv_tensors.Mask(torch.ones(1, 64, 64)))
    for value in (2, 255):
        with pytest.raises(UsageError, match=f"the mask for anomalies holds {value}; they are marked with 1"):
            transform(image, tv_tensors.Mask(torch.full((1, 64, 64), value, dtype=torch.uint8)))
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
