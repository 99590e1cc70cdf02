"""What the trainings of models do otherwise than their papers' code: figures as they are, and with each undone.

python benchmarks/trainings.py sdas DATA [--steps N] [--seeds 0,1] [--only 'NAME;…']
python benchmarks/trainings.py classifier DATA DATA…     one category each
python benchmarks/trainings.py cyclegan DATA             trained on half of its defects, judged on the other half
python benchmarks/trainings.py shrinking DATA…           how far images shrunk as the papers' code does are from ours

DATA are categories as `anomgen score` takes them. What is trained is a small form of the preset `paper`, for one to two
minutes of one core. With `--wide` it is the paper's classifier, or its diffusion model in the width of `gpu`, at 64×64
pixels on a GPU.

sdas prints the mean squared error of the predicted noise on held-out normal images, the same noise for all, and the
distance of samples to these images (`kid_lite0`, see benchmarks/sdas.py); classifier how many held-out images it tells
apart at all levels of noise, and the mean of log p; cyclegan how far held-out normal images are from themselves after a
translation there and back, in grey levels of 255, pixel AP and image AUROC of what the translation to normal ones
changes, and the distance of images made abnormal to held-out abnormal ones.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from unittest.mock import patch

import cv2
import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from departures import after, all_trained_on, clipped_after_each, paired, with_biases, zeroed
from diffusers.training_utils import EMAModel
from PIL import Image
from sdas import drawn

from anomgen.making.threads import single_threaded
from anomgen.models.classifier import training as classifier_training
from anomgen.models.classifier.network import NoisyClassifier
from anomgen.models.classifier.settings import TrainClassifier
from anomgen.models.classifier.training import ClassifierTask
from anomgen.models.cyclegan import networks as cyclegan_networks
from anomgen.models.cyclegan import training as cyclegan_training
from anomgen.models.cyclegan.model import Translator, change_map
from anomgen.models.cyclegan.training import SMOOTHING, CycleGANTask, TrainCycleGAN
from anomgen.models.images import scaled, unscaled
from anomgen.models.sdas import training as sdas_training
from anomgen.models.sdas.model import SDASModel
from anomgen.models.sdas.network import TIMESTEPS, begun_unet, build_scheduler, build_unet
from anomgen.models.sdas.noised import Category, noised
from anomgen.models.sdas.pipeline import SDASPipeline
from anomgen.models.sdas.settings import TrainSDAS
from anomgen.models.sdas.training import SDASTask
from anomgen.models.training import Task
from anomgen.rng import Stream, rng_for
from anomgen.score.backbone import pooled_features
from anomgen.score.data import MemorySource, RealData, TestImages, load
from anomgen.score.intrinsic import kid_lite0
from anomgen.score.metrics import Curve, image_metrics, pixel_metrics, reduce_maps

SIDE, WIDE = 32, 48
"""Of the images, in pixels: what is noised, what is translated."""
LEVELS = 8
"""Levels of noise at which a held-out image is judged."""
SAMPLES, HELD_OUT = 32, 48
"""Images that are drawn, and that are noised to be judged."""
PAPER_STEPS = 15_000
"""Optimiser steps of RealNet's diffusion model."""
STEPS = {"sdas": 250, "classifier": 250, "cyclegan": 300}
SMALL: dict[str, Any] = {
    "preset": "paper",
    "channels": (32, 32, 64),
    "attention": (False, False, True),
    "layers": 1,
    "head_dim": 32,
    "learning_rate": 1e-3,
}
"""The paper's networks of noised images, narrow."""
WIDE_SIDE = 64
WIDE_FORM: dict[str, dict[str, Any]] = {
    "sdas": {
        "channels": TrainSDAS.presets["gpu"]["channels"],
        "attention": TrainSDAS.presets["gpu"]["attention"],
        "batch_size": 16,
        "accumulation": 1,
    },
    "classifier": {},
}
"""What is not the paper's in trainings that are wide; their images have the side above."""
NARROW: dict[str, Any] = {
    "preset": "paper",
    "width": 16,
    "blocks": 3,
    "discriminator_width": 16,
    "batch_size": 1,
    "learning_rate": 1e-3,
}
"""The paper's translators, narrow."""
Figures = str


@dataclass(frozen=True)
class Variant:
    """One training: settings beside the small form's, what stands elsewhere in the code, and the precision."""

    values: Mapping[str, Any] = field(default_factory=dict)
    swaps: Sequence[tuple[Any, str, Any]] = ()
    precision: str = "no"

    def accelerator(self, parts: int, cpu: bool = True) -> Accelerator:
        """Return the CPU, or what torch sees, at this precision."""
        AcceleratorState._reset_state()
        return Accelerator(cpu=cpu, mixed_precision=self.precision, gradient_accumulation_steps=parts)

    def trained(self, build: Callable[[], Task]) -> Task:
        """Return the task after all of its steps."""
        with ExitStack() as stack:
            for place, name, value in self.swaps:
                stack.enter_context(patch.object(place, name, value))
            task = build()
            for number in range(task.settings.steps):
                task.step(number)
        return task


def normals(data: RealData) -> np.ndarray:
    """Return the normal images that nothing is trained on."""
    held_back = [data.validation[k] for k in range(len(data.validation))]
    return np.concatenate([np.stack(held_back), data.test.images[~data.test.labels]])


def batch_of(images: np.ndarray) -> torch.Tensor:
    """Return images (N, H, W, C) as float32 (N, C, H, W) in [−1, 1]."""
    return torch.from_numpy(np.stack([scaled(image) for image in images])).permute(0, 3, 1, 2).contiguous()


def noises(clean: torch.Tensor, levels: torch.Tensor) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Yield noised images, their time steps and their noise, at rising levels, the same each time."""
    rng = rng_for(0, Stream.SAMPLE, 0, 1)
    for k in range(LEVELS):
        t = torch.from_numpy(rng.integers(k * TIMESTEPS // LEVELS, (k + 1) * TIMESTEPS // LEVELS, len(clean)))
        noise = torch.from_numpy(rng.standard_normal(clean.shape, dtype=np.float32))
        yield noised(clean, noise, t, levels), t, noise


# --- sdas -------------------------------------------------------------------------------------------------------------


class AveragedSDAS(SDASTask):
    """Keeps other averages of the same weights."""

    def __init__(self, *given: Any, **named: Any):
        super().__init__(*given, **named)
        share = 0.9999 ** (PAPER_STEPS / self.settings.steps)
        decays = {"averages decay by .9999": 0.9999, f"averages decay by {share:.4f}": share, "no averages": 0.0}
        parameters = list(self.net.parameters())
        self.others = {
            name: EMAModel(parameters, decay=decay, min_decay=decay, foreach=True) for name, decay in decays.items()
        }
        for other in self.others.values():
            other.optimization_step = 1  # the first step of diffusers' forgets what it began with

    def step(self, number: int) -> dict[str, float]:
        """See `SDASTask.step`."""
        losses = super().step(number)
        for other in self.others.values():
            other.step(self.net.parameters())
        return losses


def sdas(
    paths: Sequence[str], seed: int, steps: int, variant: Variant, wide: bool = False
) -> Iterator[tuple[str, Figures]]:
    """Train on one data set and judge; of the training as it is, other averages, too."""
    data = load(paths[0], WIDE_SIDE if wide else SIDE)
    form = WIDE_FORM["sdas"] if wide else {**SMALL, "batch_size": 6}
    settings = TrainSDAS(**{"preset": "paper", **form, "steps": steps, "seed": seed, **variant.values})
    kind = AveragedSDAS if variant == CASES["sdas"][AS_IT_IS] else SDASTask
    accelerator = variant.accelerator(settings.accumulation, cpu=not wide)
    task: Any = variant.trained(lambda: kind(settings, accelerator, [Category("normal", data.train)]))
    held_out = normals(data)
    yield "", _denoising(task, held_out)
    for name, average in getattr(task, "others", {}).items():
        task.ema = average
        yield name, _denoising(task, held_out)


@torch.no_grad()
def _denoising(task: SDASTask, held_out: np.ndarray) -> Figures:
    levels, clean = task.noise_levels.cpu(), batch_of(held_out[:HELD_OUT])
    errors = []
    with task._averaged() as pipeline:
        for each in noises(clean, levels):
            noisy, t, noise = (part.to(task.accelerator.device) for part in each)
            output = pipeline.unet(noisy, t).sample[:, : clean.shape[1]]
            level = task.noise_levels[t].view(-1, 1, 1, 1)
            if task.settings.prediction == "v_prediction":
                output = level.sqrt() * output + (1 - level).sqrt() * noisy
            errors.append(((output - noise) ** 2).mean().item())
        images = drawn(SDASModel("benchmark", pipeline, ("normal",), ""), 0.0, SAMPLES)
    far = kid_lite0(pooled_features(images), pooled_features(list(held_out)))
    return f"error {np.mean(errors):.4f}, distance {far:.4f}"


# --- classifier -------------------------------------------------------------------------------------------------------


def classifier(
    paths: Sequence[str], seed: int, steps: int, variant: Variant, wide: bool = False
) -> Iterator[tuple[str, Figures]]:
    """Train on some data sets and judge."""
    side = WIDE_SIDE if wide else SIDE
    sets = [load(path, side) for path in paths]
    noise = TrainSDAS(preset="paper", channels=(32, 32), attention=(False, False))
    pipeline = SDASPipeline(build_unet(noise, (side, side, 3)), build_scheduler(noise))
    guided = SDASModel("benchmark", pipeline, ("normal",), "")
    form = WIDE_FORM["classifier"] if wide else {**SMALL, "batch_size": 20}
    settings = TrainClassifier(**{"preset": "paper", **form, "steps": steps, "seed": seed, **variant.values})
    categories = [Category(data.name, data.train) for data in sets]
    accelerator = variant.accelerator(1, cpu=not wide)
    task: Any = variant.trained(lambda: ClassifierTask(settings, accelerator, categories, guided))
    right, likelihood = [], []
    task.net.eval()
    for number, data in enumerate(sets):
        images = normals(data)[:HELD_OUT]
        clean = batch_of(np.repeat(images, 3, axis=3) if images.shape[3] == 1 else images)
        with torch.no_grad():
            told = torch.cat([_told(task, noisy, t) for noisy, t, _ in noises(clean, task.levels.cpu())])
        right.append((told.argmax(1) == number).float().mean().item())
        likelihood.append(told[:, number].mean().item())
    yield "", f"right {np.mean(right):.3f}, log p {np.mean(likelihood):.3f}"


def _told(task: Any, noisy: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    device = task.accelerator.device
    result: torch.Tensor = task.net(noisy.to(device), t.to(device)).float().log_softmax(1).cpu()
    return result


# --- cyclegan ---------------------------------------------------------------------------------------------------------


def cyclegan(paths: Sequence[str], seed: int, steps: int, variant: Variant) -> Iterator[tuple[str, Figures]]:
    """Train on one data set and judge."""
    data = load(paths[0], WIDE, real_share=0.5)
    assert data.real is not None and data.test.masks is not None
    settings = TrainCycleGAN(**{**NARROW, "steps": steps, "seed": seed, **variant.values})
    defects = _as_source(data.real)
    task: Any = variant.trained(lambda: CycleGANTask(settings, variant.accelerator(1), data.train, defects))
    there, back = (Translator(network.eval(), task.seen) for network in (task.to_abnormal, task.to_normal))
    with torch.inference_mode():
        clean = batch_of(data.test.images[~data.test.labels])
        made = torch.cat([there.network(part) for part in clean.split(16)])
        again = torch.cat([back.network(part) for part in made.split(16)])
    error = 127.5 * (again - clean).abs().mean().item()
    maps = np.stack([change_map(back.change(image), SMOOTHING) for image in data.test.images])
    pixels = pixel_metrics(Curve.of_maps(data.test.masks, maps)).metrics["pixel_ap"]
    images = image_metrics(Curve.of(data.test.labels, reduce_maps(maps))).metrics["image_auroc"]
    pictures = [unscaled(image.permute(1, 2, 0).numpy(), np.dtype(np.uint8)) for image in made[:HELD_OUT]]
    far = kid_lite0(pooled_features(pictures), pooled_features(list(data.test.images[data.test.labels][::2])))
    yield "", f"back {error:.1f}, AP {pixels:.3f}, AUROC {images:.3f}, distance {far:.3f}"


def _as_source(test: TestImages) -> MemorySource:
    chosen = np.flatnonzero(test.labels)
    names = [test.ids[k] for k in chosen]
    return MemorySource(test.images[chosen], names, names)


# --- shrinking --------------------------------------------------------------------------------------------------------


def shrinking(path: str, side: int) -> Figures:
    """Return how far images shrunk by Pillow's filters, as the papers' code does, are from ours, in grey levels."""
    large, small = (load(path, size).test.images for size in (2 * side, side))
    texts = []
    for name, how in (("bilinear", Image.Resampling.BILINEAR), ("bicubic", Image.Resampling.BICUBIC)):
        theirs = [np.asarray(Image.fromarray(image.squeeze()).resize((side, side), how)) for image in large]
        apart = [cv2.absdiff(a, b.squeeze()).mean() for a, b in zip(theirs, small, strict=True)]
        texts.append(f"{name} {np.mean(apart):.2f}")
    return ", ".join(texts)


# ----------------------------------------------------------------------------------------------------------------------

AS_IT_IS = "as it is"
CASES: dict[str, dict[str, Variant]] = {
    "sdas": {
        AS_IT_IS: Variant(),
        "last layers begin at zero": Variant(swaps=[(sdas_training, "begun_unet", after(begun_unet, zeroed))]),
        "parts added up, clipped after each": Variant(swaps=[(sdas_training, "descend", clipped_after_each)]),
        "bfloat16": Variant(precision="bf16"),
        "v, variance not learned": Variant({"prediction": "v_prediction", "variance": "fixed_small"}),
        "rate rises, then falls": Variant({"schedule": "cosine", "warmup": 20}),
        "time added, strided convolutions": Variant({"scale_shift": False, "resample": "conv"}),
    },
    "classifier": {
        AS_IT_IS: Variant(),
        "last layers begin at zero": Variant(
            swaps=[(classifier_training, "NoisyClassifier", after(NoisyClassifier, zeroed))]
        ),
        "bfloat16": Variant(precision="bf16"),
        "weights decay": Variant({"weight_decay": 0.05}),
        "categories equally often": Variant({"balanced": True}),
        "strided convolutions": Variant({"resample": "conv"}),
    },
    "cyclegan": {
        AS_IT_IS: Variant(),
        "fixed pairs": Variant(swaps=[(CycleGANTask, "_drawn", paired(alike=False))]),
        "fixed pairs, turned alike": Variant(swaps=[(CycleGANTask, "_drawn", paired(alike=True))]),
        "no normal image held back": Variant(swaps=[(cyclegan_training, "_split", all_trained_on)]),
        "biases drawn": Variant(swaps=[(cyclegan_networks, "initialise", with_biases)]),
        "additions to the image": Variant({"residual": True}),
        "nearest neighbours": Variant({"upsampling": "nearest"}),
    },
}
TRAININGS: dict[str, Callable[..., Iterator[tuple[str, Figures]]]] = {
    "sdas": sdas,
    "classifier": classifier,
    "cyclegan": cyclegan,
}


def main() -> None:
    """Print a line for each training and reading."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", choices=[*TRAININGS, "shrinking"])
    parser.add_argument("data", nargs="+")
    parser.add_argument("--seeds", default="0,1", type=lambda text: [int(part) for part in text.split(",")])
    parser.add_argument("--steps", type=int)
    parser.add_argument("--wide", action="store_true", help="of sdas and classifier: wide networks, on a GPU")
    parser.add_argument("--only", type=lambda text: text.split(";"), help="these departures alone")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    if chosen.model == "shrinking":
        for path in chosen.data:
            print(f"{path}: {shrinking(path, 256)} grey levels of 255")
        return
    cases = CASES[chosen.model]
    train = partial(TRAININGS[chosen.model], wide=True) if chosen.wide else TRAININGS[chosen.model]
    for name in chosen.only or cases:
        for seed in chosen.seeds:
            started = time.process_time()
            steps = chosen.steps or STEPS[chosen.model]
            with single_threaded():
                for reading, figures in train(chosen.data, seed, steps, cases[name]):
                    spent = time.process_time() - started
                    print(f"seed {seed}, {reading or name:35}{figures}   {spent:.0f} s", flush=True)


if __name__ == "__main__":
    main()
