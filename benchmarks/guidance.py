"""Whether guidance draws a category: the share of samples that a classifier trained on other images takes for it.

python benchmarks/guidance.py builtin:brick builtin:grass -o out          64×64 pixels, 600 steps
python benchmarks/guidance.py paper_a/train/good kolektor_sdd/train/good -o out

Half of the images train a diffusion model, once of each category and once without being told them, and its classifier;
the other half trains the judge, a classifier of pixels, which sees the samples without noise.

pip install ".[diffusion]"
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch

from anomgen.models.classifier.model import Classifier, load_classifier
from anomgen.models.sdas.model import SDASModel, load_sdas
from anomgen.models.start import train
from anomgen.rng import Stream, rng_for
from anomgen.sources import detect
from anomgen.sources.base import build_source
from anomgen.sources.pixels import to_channels

SCALES = (0.0, 1.0, 3.0, 10.0, 30.0)
STRENGTH = 0.15


def halves(path: str, out: Path, name: str, size: int, count: int) -> None:
    """Write images of a source, RGB, into ``out/HALF/NAME``: every other one for the models, the rest for the judge."""
    values = {**detect(path), "size": (size, size)}
    more = {"count": 2 * count} if values["kind"] == "builtin" else {"fit": "stretch"}
    source = build_source({**values, **more}).open()
    for k, index in enumerate(np.unique(np.linspace(0, len(source) - 1, 2 * count).astype(int))):
        folder = out / ("taught", "judged")[k % 2] / name
        folder.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / f"{index:05d}.png"), to_channels(source[int(index)], 3)[..., ::-1])


def judged(judge: Classifier, images: Sequence[np.ndarray], wanted: Sequence[int]) -> tuple[float, float]:
    """Return the share that the judge takes for what was wanted, and the mean of log p; images: in [−1, 1]."""
    with torch.no_grad():
        device = next(judge.network.parameters()).device
        pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float().to(device)
        times = torch.zeros(len(images), dtype=torch.long, device=device)
        likelihood = judge.network(pixels, times).log_softmax(1).cpu()
    chosen = torch.tensor(wanted)
    right = (likelihood.argmax(1) == chosen).float().mean().item()
    return right, likelihood[torch.arange(len(images)), chosen].mean().item()


def drawn(
    model: SDASModel, guide: Classifier, wanted: Sequence[int], scale: float, *, conditional: bool
) -> list[np.ndarray]:
    """Return a sample for each wanted category; the noise is the same at every scale."""
    rngs = [rng_for(0, Stream.SAMPLE, k) for k in range(len(wanted))]
    steering = guide.towards(wanted, scale) if scale else None
    labels = list(wanted) if conditional else None
    return model.draw(rngs, [STRENGTH] * len(wanted), labels=labels, guide=steering)


def main() -> None:
    """Train the models and the judge, or take those of an earlier run, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", nargs="+")
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--images", type=int, default=64, help="of each category, for each half")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--samples", type=int, default=32, help="of each category")
    options = parser.parse_args()
    out, names = options.out, [f"c{k}" for k in range(len(options.sources))]
    if not (out / "judged").is_dir():
        for name, path in zip(names, options.sources, strict=True):
            halves(path, out, name, options.size, options.images)
    taught, other = ([out / half / name for name in names] for half in ("taught", "judged"))

    def trained(model: str, source: Sequence[Path], name: str, steps: int, **more: object) -> str:
        where = {"size": options.size} if model == "sdas" else {}
        train(model, source, out / name, steps=steps, resume=(out / name).is_dir(), preset="laptop", **where, **more)
        return str(out / name)

    blank = trained("sdas", other, "blank", 1, overrides={"patch": 1, "channels": [32], "attention": [False]})
    quick = {"seed": 7, "overrides": {"batch_size": 16, "channels": [32, 32, 64], "sheet_every": 10_000}}
    judge = load_classifier(trained("classifier", other, "judge", options.steps // 2, guides=blank, **quick))
    for kind, source in (("one class", [out / "taught"]), ("class-conditional", taught)):
        model = load_sdas(trained("sdas", source, f"model-{len(source)}", options.steps))
        guide = load_classifier(
            trained("classifier", taught, f"guide-{len(source)}", options.steps // 2, guides=model.name)
        )
        wanted = [k % len(names) for k in range(len(names) * options.samples)]
        for scale in SCALES:
            images = drawn(model, guide, wanted, scale, conditional=len(source) > 1)
            right, likelihood = judged(judge, images, wanted)
            print(f"{kind:>18}, scale {scale:>4g}: {right:6.1%} judged right, mean log p {likelihood:7.3f}", flush=True)
    for name, folder, number in zip(names, taught, range(len(names)), strict=True):
        source = build_source({**detect(str(folder)), "size": options.size}).open()
        images = [source[k].astype(np.float32) / 127.5 - 1 for k in range(len(source))]
        right, _ = judged(judge, images, [number] * len(images))
        print(f"the judge takes {right:.1%} of the {len(images)} images of {name}, which it has not seen, for that")


if __name__ == "__main__":
    main()
