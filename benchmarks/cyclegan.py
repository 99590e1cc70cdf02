"""What the preset `laptop` of `anomgen train cyclegan` costs: a training step and an anomaly of 256×256, one core.

python benchmarks/cyclegan.py
"""

from __future__ import annotations

import os
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

from anomgen.models.cyclegan.model import Translator
from anomgen.models.cyclegan.training import CycleGANTask, TrainCycleGAN
from anomgen.models.device import accelerator_for
from anomgen.sources.builtin import Builtin


def main(steps: int = 8) -> None:
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


if __name__ == "__main__":
    main()
