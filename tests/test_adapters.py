"""What the online adapters share: anomalies on images from outside, and the page about them."""

import re
from pathlib import Path

import numpy as np
import pytest
from learned import NAMES
from online import ALWAYS, loaded, outside, recipe, same
from PIL import Image

torch = pytest.importorskip("torch", reason="the adapters are for torch")

from anomgen.adapters.base import Converted, Drawer
from anomgen.adapters.torch import AnomalyDataset
from anomgen.errors import AnomgenError, UsageError
from anomgen.making.recipe import load_recipe

pytestmark = pytest.mark.usefixtures("one_thread")
PAGE = (Path(__file__).parent.parent / "docs" / "how-to" / "online.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("channels", [1, 3])
def test_every_recipe_draws_on_images_of_another_size_and_channel_count(name, channels):
    drawer = Drawer(recipe(name, overrides=["anomaly_ratio=1.0"]))
    images = [outside(k, (80, 72, channels)) for k in range(4)]
    if name in ("chipped-edge", "broken-outline"):  # which need an object with an outline
        away = np.hypot(*(np.mgrid[:80, :72] - np.array([39.5, 35.5])[:, None, None]))
        images = [np.where(away[..., None] < 28, image, np.uint8(225)) for image in images]
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


def test_a_folder_of_masks_cannot_serve_images_from_outside(photos, tmp_path):
    for photo in Path(photos).rglob("*.png"):
        mask = tmp_path / "masks" / photo.relative_to(photos)
        mask.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.pad(np.full((64, 64), 255, np.uint8), 16)).save(mask)
    with pytest.raises(UsageError, match="folder of masks"):
        Drawer("nsa", source=photos, overrides=[f"foreground={tmp_path / 'masks'}"])


def test_a_source_is_converted_by_the_usual_weights():
    from anomgen.sources.builtin import Builtin

    grey, colour = Builtin(count=3, size=64).open(), Builtin(name="immunohistochemistry", count=3, size=64).open()
    assert (Converted(grey, 3, np.uint8)[0] == grey[0]).all()
    assert np.array_equal(Converted(grey, 1, np.uint16)[0], grey[0].astype(np.uint16) * 257)
    assert np.array_equal(Converted(Converted(grey, 1, np.uint16), 1, np.uint8)[0], grey[0])
    made = Converted(colour, 1, np.uint8)[1][..., 0].astype(float)
    assert np.abs(made - colour[1] @ [0.299, 0.587, 0.114]).max() <= 0.51


# --- the page -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["torch", "torchvision", "albumentations", "anomalib"])
def test_the_examples_of_the_page_run(name, photos, tmp_path, monkeypatch):
    pytest.importorskip(name, reason=f"the example is for {name}")
    part = PAGE.split(f"<!-- test: {name} -->")[1].split("<!-- test: end -->")[0]
    (text,) = re.findall(r"```python\n(.*?)```", part, re.S)
    photos.rename(tmp_path / "good")
    monkeypatch.chdir(tmp_path)
    exec(compile(text, f"{name} example", "exec"), {"__name__": "example"})
