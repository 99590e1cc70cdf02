"""What a step of each training preset costs on the device that there is, and how long the whole would take.

python benchmarks/presets.py DATA [--size 256] [--seconds 10] [--only sdas-paper,…]

DATA is a category as `anomgen score` takes it; as the abnormal images and the second category its own serve, since what
is shown does not matter for the time. Printed are optimiser steps per second, the peak of a GPU's memory, and the hours
that all of the preset's steps would take, without sample sheets and checkpoints.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch
from accelerate.state import AcceleratorState

from anomgen.models.classifier.settings import TrainClassifier
from anomgen.models.classifier.training import ClassifierTask
from anomgen.models.cyclegan.training import CycleGANTask, TrainCycleGAN
from anomgen.models.device import accelerator_for
from anomgen.models.sdas.model import SDASModel
from anomgen.models.sdas.network import build_scheduler, build_unet
from anomgen.models.sdas.noised import Category
from anomgen.models.sdas.pipeline import SDASPipeline
from anomgen.models.sdas.settings import TrainSDAS
from anomgen.models.sdas.training import SDASTask
from anomgen.models.training import Task
from anomgen.score.data import load
from anomgen.sources.base import Source

WARM_UP = 3
"""Steps that are not counted."""


def sdas(preset: str, images: Source) -> Task:
    """Return the training of a diffusion model of one category."""
    settings = TrainSDAS(preset=preset)
    return SDASTask(settings, accelerator_for(settings), [Category("one", images)])


def classifier(preset: str, images: Source) -> Task:
    """Return the training of a classifier of two categories, for a model on pixels."""
    settings = TrainClassifier(preset=preset)
    noise = TrainSDAS(preset="paper", channels=(32, 32), attention=(False, False))
    guided = SDASPipeline(build_unet(noise, images[0].shape), build_scheduler(noise))
    categories = [Category(name, images) for name in ("one", "other")]
    return ClassifierTask(settings, accelerator_for(settings), categories, SDASModel("benchmark", guided, ("one",), ""))


def cyclegan(preset: str, images: Source) -> Task:
    """Return the training of a Cycle-GAN."""
    settings = TrainCycleGAN(preset=preset)
    return CycleGANTask(settings, accelerator_for(settings), images, images)


TRAININGS: dict[str, tuple[Callable[[str, Source], Task], type]] = {
    "sdas": (sdas, TrainSDAS),
    "classifier": (classifier, TrainClassifier),
    "cyclegan": (cyclegan, TrainCycleGAN),
}


def cost(task: Task, seconds: float) -> tuple[float, float]:
    """Return the steps per second, of at least one, and the peak of a GPU's memory in GB, 0 on a CPU."""
    is_gpu = task.accelerator.device.type == "cuda"
    wait = torch.cuda.synchronize if is_gpu else lambda: None
    if is_gpu:
        torch.cuda.reset_peak_memory_stats()
    for number in range(WARM_UP):
        task.step(number)
    wait()
    started, done = time.perf_counter(), 0
    while done == 0 or time.perf_counter() - started < seconds:
        task.step(WARM_UP + done)
        done += 1
        wait()
    rate = done / (time.perf_counter() - started)
    return rate, torch.cuda.max_memory_allocated() / 1e9 if is_gpu else 0.0


def main() -> None:
    """Print a line for each training and preset."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--only", type=lambda text: text.split(","), help="such as sdas-paper,cyclegan-paper")
    chosen = parser.parse_args()
    images = load(chosen.data, chosen.size).train
    for kind, (build, settings) in TRAININGS.items():
        for preset in settings.presets:
            if chosen.only and f"{kind}-{preset}" not in chosen.only:
                continue
            AcceleratorState._reset_state()  # of the preset before, which may have another precision
            task = build(preset, images)
            rate, memory = cost(task, chosen.seconds)
            steps = task.settings.steps
            where = task.accelerator.device.type
            print(
                f"{kind} {preset:7} {rate:7.2f} steps a second, {memory:5.1f} GB, "
                f"{steps} steps in {steps / rate / 3600:.1f} h ({where}, {task.accelerator.mixed_precision})",
                flush=True,
            )
            del task
            if torch.cuda.is_available():
                torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
