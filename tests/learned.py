"""Tiny trained models and their pictures, made in a second: for every test that needs a learned generator."""

import json
from pathlib import Path

import cv2
import numpy as np

from anomgen.making.recipe import bundled_recipes, load_recipe

LEARNED = {"cyclegan": "anomgen train cyclegan", "sdas": "anomgen train sdas", "transplant": "anomgen bank"}
"""Kinds of generators that draw nothing without a trained model, or real defects, and the command that makes these."""


def needs_more(recipe):
    """Return whether a recipe draws nothing until it is given a model or a bank."""
    text = json.dumps(recipe.as_dict())
    return '"model"' in text or '"bank"' in text


NAMES = [name for name in bundled_recipes() if not needs_more(load_recipe(name))]
"""Recipes that need no trained model, whose drawings differ by processor, and no bank."""
METHODS = [name for name in NAMES if name == "defects" or load_recipe(name).generator.kind != "defects"]
"""Those of them that are not a single kind of defect: where what counts is the generator."""


def pictures(folder, count, *, shape=(32, 32), seed=0, dtype=np.uint8, grey=False, change=lambda values: values):
    """Write pictures of smooth noise, grey where `dtype` is uint16; `change` is told the values, 0 to 1."""
    folder.mkdir(parents=True, exist_ok=True)
    channels = 1 if grey or dtype == np.uint16 else 3
    for k in range(count):
        noise = np.random.default_rng(seed + k).normal(0, 1, (*shape, channels))
        values = 0.6 + 0.1 * cv2.GaussianBlur(noise, (0, 0), 1.5).reshape(*shape, channels)
        stored = (np.clip(change(values), 0, 1) * np.iinfo(dtype).max).astype(dtype)
        cv2.imwrite(str(folder / f"{k:03d}.png"), stored)


def disc(values):
    """Darken a disc in the middle of a picture."""
    y, x = np.ogrid[: values.shape[0], : values.shape[1]]
    inside = np.hypot(y - values.shape[0] / 2, x - values.shape[1] / 2) < 0.2 * min(values.shape[:2])
    return np.where(inside[..., None], 0.15, values)


def tiny_cyclegan(out, data) -> Path:
    """Train two steps on the pictures in ``data/good`` and ``data/bad``, 32×32; it changes all of every image."""
    from anomgen.models.cyclegan.abnormal import Abnormal
    from anomgen.models.cyclegan.training import TrainCycleGAN, train_cyclegan
    from anomgen.sources.folder import Folder

    settings = TrainCycleGAN(steps=2, width=4, blocks=1, discriminator_width=4, residual=False, resolution=32)
    normal = Folder(path=str(data / "good"), size=32)
    abnormal = Abnormal.beside(str(data / "bad"), normal)
    return train_cyclegan(normal.open(), abnormal.open(), settings, out).path


def edit_description(model, **values):
    """Change values in a Cycle-GAN's description."""
    path = model / "anomgen_model.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


TINY = {"channels": (32, 32), "attention": (False, True), "batch_size": 4, "warmup": 0}
"""A U-Net that trains a step in a hundredth of a second."""


TINY_GUIDE = {"channels": (32, 32), "attention": (False, True), "batch_size": 4}
"""A classifier of noised images that trains as fast."""


def two_categories(count=8, size=32):
    """Return crops of two materials, as a class-conditional model and its classifier take them."""
    from anomgen.models.sdas.noised import Category
    from anomgen.sources.builtin import Builtin

    return [Category(name, Builtin(count=count, size=size, name=name).open()) for name in ("brick", "grass")]


def tiny_guided(folder, steps=2) -> tuple[Path, Path]:
    """Train a class-conditional DDPM of 32×32 grey images and its classifier for a few steps; return their folders."""
    from anomgen.models.classifier.settings import TrainClassifier
    from anomgen.models.classifier.training import train_classifier
    from anomgen.models.sdas.settings import TrainSDAS
    from anomgen.models.sdas.training import train_sdas

    model = train_sdas(two_categories(), TrainSDAS(steps=steps, **TINY), folder / "model").path
    settings = TrainClassifier(steps=steps, **TINY_GUIDE)
    return model, train_classifier(two_categories(), settings, folder / "guide", guides=str(model)).path


def tiny_sdas(out, *, folder=None, steps=2, count=8, size=32, resume=False, **settings) -> Path:
    """Train a DDPM for a few steps on `count` crops of brick, grey, of the size, or on the images of a folder."""
    from anomgen.models.sdas.noised import Category
    from anomgen.models.sdas.settings import TrainSDAS
    from anomgen.models.sdas.training import train_sdas
    from anomgen.sources.builtin import Builtin
    from anomgen.sources.folder import Folder

    source = (Builtin(count=count, size=size) if folder is None else Folder(path=str(folder), size=size)).open()
    return train_sdas(
        [Category("brick", source)], TrainSDAS(steps=steps, **{**TINY, **settings}), out, resume=resume
    ).path


def quick_detector(folder) -> Path:
    """Fit a probe in two steps on six pictures in ``folder/photos``, 32×32, and return where it is kept."""
    import anomgen

    pictures(folder / "photos", 6)
    quick = {"steps": 2, "size": 32, "overrides": ["detector.probe.batch_size=2"]}
    return anomgen.fit(folder / "photos", "boxes", folder / "kept", **quick).path
