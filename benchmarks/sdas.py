"""How good and how fast a DDPM of `anomgen train sdas` is: distances to normal images, a strength sweep, times.

python benchmarks/sdas.py --model MODEL --source TRAINED_ON --held-out OTHER_NORMALS [--picture docs/images/sdas.png]
python benchmarks/sdas.py --speed          training and sampling of the preset `laptop`, on all cores
python benchmarks/sdas.py --ddim           the steps of DDIM against a plain statement of RealNet's code

pip install ".[diffusion,score]"
"""

from __future__ import annotations

import argparse
import os
import time

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import cv2
import numpy as np
import torch
from diffusers import DDIMScheduler

from anomgen.models.device import accelerator_for
from anomgen.models.images import scaled, unscaled
from anomgen.models.sdas.model import SDASModel, load_sdas
from anomgen.models.sdas.noised import Category
from anomgen.models.sdas.pipeline import SDASDDIMScheduler
from anomgen.models.sdas.settings import TrainSDAS
from anomgen.models.sdas.training import SDASTask
from anomgen.rng import Stream, rng_for
from anomgen.sources import detect
from anomgen.sources.base import build_source
from anomgen.sources.builtin import Builtin

STRENGTHS = (0.0, 0.1, 0.2, 0.5, 1.0, 2.0)
COLUMNS = 4


def drawn(model: SDASModel, strength: float, count: int) -> list[np.ndarray]:
    """Return images at one strength; the noise is the same at every strength."""
    values = model.draw([rng_for(0, Stream.SAMPLE, k) for k in range(count)], [strength] * count)
    return [unscaled(value, np.dtype(np.uint8)) for value in values]


def opened(path: str, shape: tuple[int, ...], count: int) -> list[np.ndarray]:
    """Return images of a source at the model's size, evenly spaced."""
    kind, _, options = path.partition("?")
    extra = dict(part.split("=") for part in options.split("&")) if options else {}
    values = {**detect(kind), **{key: int(value) for key, value in extra.items()}, "size": shape[:2]}
    source = build_source(values).open()
    return [source[int(k)] for k in np.unique(np.linspace(0, len(source) - 1, count).astype(int))]


def quality(model: SDASModel, source: str, held_out: str, count: int) -> dict[float, float]:
    """Print the distances to held-out normal images; return the mean change against s = 0 by strength."""
    from anomgen.score.backbone import pooled_features
    from anomgen.score.intrinsic import kid_lite0

    trained, others = (opened(path, model.shape, count) for path in (source, held_out))
    reference = pooled_features(others)
    half = len(reference) // 2
    print(f"kid_lite0 to {len(others)} held-out normal images:")
    print(f"  {len(trained)} training images      {kid_lite0(pooled_features(trained), reference):.4f}")
    print(f"  the two halves of them   {kid_lite0(reference[:half], reference[half:]):.4f}")
    if model.pipeline.transform is not None:
        kept = [_through(model, image) for image in trained]
        print(f"  training images through the transform {kid_lite0(pooled_features(kept), reference):.4f}")
    base, changes = drawn(model, 0.0, count), {}
    for strength in STRENGTHS:
        images = drawn(model, strength, count)
        changes[strength] = float(np.mean([np.mean(cv2.absdiff(a, b)) for a, b in zip(images, base, strict=True)]))
        far = kid_lite0(pooled_features(images), reference)
        print(
            f"  samples at s = {strength:<4}      {far:.4f}   mean change against s = 0: {changes[strength]:.2f} of 255"
        )
    return changes


def _through(model: SDASModel, image: np.ndarray) -> np.ndarray:
    transform = model.pipeline.transform
    values = torch.from_numpy(scaled(image).transpose(2, 0, 1)[None].copy())
    with torch.no_grad():
        return unscaled(transform.decode(transform.encode(values))[0].permute(1, 2, 0).numpy(), np.dtype(np.uint8))


def picture(model: SDASModel, source: str, changes: dict[float, float], path: str) -> None:
    """Write normal images beside samples at each strength, and the curve of the change."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    rows = [opened(source, model.shape, COLUMNS), *(drawn(model, s, COLUMNS) for s in STRENGTHS)]
    framed = [
        [cv2.copyMakeBorder(image, 3, 3, 3, 3, cv2.BORDER_CONSTANT, value=(255,) * 3) for image in row] for row in rows
    ]
    sheet = np.vstack([np.hstack([image.reshape(*image.shape[:2], -1) for image in row]) for row in framed])
    sheet = np.repeat(sheet, 3, axis=2) if sheet.shape[2] == 1 else sheet
    figure, (left, right) = plt.subplots(1, 2, figsize=(14, 13), width_ratios=[5, 3])
    left.imshow(sheet)
    h = model.shape[0] + 6
    left.set_yticks([h * (k + 0.5) for k in range(len(rows))], ["normal", *(f"s = {s:g}" for s in STRENGTHS)])
    left.set_xticks([])
    right.plot(list(changes), list(changes.values()), "o-")
    right.set(xlabel="strength s", ylabel="mean change against s = 0, grey levels of 255", ylim=0, box_aspect=1)
    right.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(path, dpi=75)


def speed(steps: int = 20) -> None:
    """Print what a training step and a sample of the default preset cost on all cores, wall-clock."""
    settings = TrainSDAS(preset="laptop")
    source = Builtin(name="immunohistochemistry", count=200).open()
    task = SDASTask(settings, accelerator_for(settings), [Category("tissue", source)])
    task.step(0)
    started = time.perf_counter()
    for number in range(1, steps + 1):
        task.step(number)
    each = (time.perf_counter() - started) / steps
    threads = torch.get_num_threads()
    print(
        f"training: {each:.3f} s a step of {settings.batch_size} images on {threads} threads; "
        f"{settings.steps} steps take {each * settings.steps / 60:.1f} minutes"
    )
    with task._averaged() as pipeline:
        model = SDASModel("benchmark", pipeline, ("tissue",), "")
        drawn(model, 0.1, 1)
        started = time.perf_counter()
        drawn(model, 0.1, 8)
    print(f"sampling: {(time.perf_counter() - started) / 8:.3f} s an image of 256×256 at 20 steps on one thread")


def ddim() -> None:
    """Print how far images of 20 steps at strength 0 lie from those of a plain statement, where images are clipped."""

    def noise_in(x: torch.Tensor) -> torch.Tensor:  # an imperfect denoiser, which sees less noise than there is
        return 0.7 * x

    start = torch.randn((4, 3, 64, 64), generator=torch.Generator().manual_seed(0))
    levels = torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64), 0)
    x = start.double()
    for t in range(950, -1, -50):
        level, before = levels[t], levels[t - 50] if t else torch.ones(())
        image = ((x - (1 - level).sqrt() * noise_in(x)) / level.sqrt()).clamp(-1, 1)
        noise = (x - level.sqrt() * image) / (1 - level).sqrt()
        x = before.sqrt() * image + (1 - before).sqrt() * noise
    for name, scheduler in (("ours", SDASDDIMScheduler()), ("diffusers as it is", DDIMScheduler())):
        scheduler.set_timesteps(20)
        drawn = start
        for t in scheduler.timesteps:
            drawn = scheduler.step(noise_in(drawn), t, drawn).prev_sample
        apart = (drawn.double() - x).abs() * 127.5
        print(f"{name}: {apart.mean():.2g} grey levels of 255 in the mean, {apart.max():.2g} at most")


def main() -> None:
    """Read the options and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model")
    parser.add_argument("--source", help="the normal images that it was trained on; builtin:brick?count=200")
    parser.add_argument("--held-out", help="normal images that it was not trained on")
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--picture", help="PNG with samples at each strength and the curve of the change")
    parser.add_argument("--speed", action="store_true")
    parser.add_argument("--ddim", action="store_true")
    chosen = parser.parse_args()
    if chosen.ddim:
        ddim()
        return
    if chosen.speed:
        speed()
        return
    model = load_sdas(chosen.model)
    changes = quality(model, chosen.source, chosen.held_out, chosen.count)
    if chosen.picture:
        picture(model, chosen.source, changes, chosen.picture)


if __name__ == "__main__":
    main()
