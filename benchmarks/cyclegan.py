"""What the preset `laptop` of `anomgen train cyclegan` costs: a training step and an anomaly of 256×256, one core.

python benchmarks/cyclegan.py
python benchmarks/cyclegan.py MODEL DATA       what the departures under `Note:` of the generator `cyclegan` come to

The second prints, over 40 normal images, what of the translations is left out: the change that is the same all over an
image, and the change outside of the mask; how much of the masks is the fading rim; and how alike the masks of one image
in two orientations are.
"""

from __future__ import annotations

import os
import sys
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from anomgen.generators.cyclegan import CycleGAN
from anomgen.models.cyclegan.model import Translator, load_translators, without_shift
from anomgen.models.cyclegan.training import CycleGANTask, TrainCycleGAN
from anomgen.models.device import accelerator_for
from anomgen.sources import detect
from anomgen.sources.base import build_source
from anomgen.sources.builtin import Builtin
from anomgen.synthesis.sample import Reject

IMAGES = 40


def costs(steps: int = 8) -> None:
    """Print CPU seconds; what the networks have learned does not change them."""
    settings = TrainCycleGAN(preset="laptop")
    sources = [Builtin(name="immunohistochemistry", count=40, seed=seed).open() for seed in (0, 1)]
    task = CycleGANTask(settings, accelerator_for(settings), *sources)
    task.step(0)
    started = time.process_time()
    for number in range(1, steps + 1):
        task.step(number)
    each = (time.process_time() - started) / steps
    print(f"training: {each:.2f} s a step; {settings.steps} steps take {each * settings.steps / 60:.0f} minutes")
    translator = Translator(task.to_abnormal.eval().requires_grad_(False), task.seen)
    image = sources[0][0]
    translator.change(image)
    started = time.process_time()
    for _ in range(20):
        translator.change(image)
    print(f"translating: {(time.process_time() - started) / 20 * 1e3:.0f} ms an image")


def notes(folder: str, path: str) -> None:
    """Print the figures."""
    translators = load_translators(folder)
    threshold, generator = translators.description.threshold, CycleGAN(model=folder)
    source = build_source({**detect(path), "size": list(translators.description.shape[:2])}).open()
    shifts, outside, rims, areas, alike = [], [], [], [], []
    rejected = {"as it is": 0, "with what is the same all over": 0}
    for k in np.unique(np.linspace(0, len(source) - 1, IMAGES).astype(int)):
        masks = []
        for way in range(min(2, translators.description.ways)):
            whole = translators.to_abnormal.change(source[int(k)], way)
            change = without_shift(whole)
            shifts.append(255 * float(np.abs(whole - change).mean()))
            for name, values in zip(rejected, (change, whole), strict=True):
                try:
                    weight = generator._weight(values, threshold)
                except Reject:
                    rejected[name] += 1
                    continue
                if values is change:
                    masks.append(weight > 0)
                    areas.append(float(masks[-1].mean()))
                    rims.append(float((weight[weight > 0] < 1).mean()))
                    outside.append(255 * float(np.abs(change[weight == 0]).mean()))
        if len(masks) == 2:
            alike.append(float((masks[0] & masks[1]).sum() / (masks[0] | masks[1]).sum()))
    print(f"left out: {np.mean(shifts):.2f} grey levels all over, {np.mean(outside):.2f} outside of the masks")
    print(f"masks: {np.mean(areas):.1%} of the image, of which {np.mean(rims):.1%} fade")
    print(f"drawn again: {', '.join(f'{count / len(shifts):.1%} {name}' for name, count in rejected.items())}")
    print(f"masks in two orientations: {np.mean(alike):.2f} of both in common")


if __name__ == "__main__":
    notes(*sys.argv[1:]) if sys.argv[1:] else costs()
