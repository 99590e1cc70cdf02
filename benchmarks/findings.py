"""How often the findings of a training sheet are right, on samples of which it is known whether they are good.

python benchmarks/findings.py ROOT     (the folder that holds mvtec_bottle, coffee_leaf, …, each with train/good)

Six samples against six normal images, as on a sheet, drawn anew TRIES times, in colour where the images have it and in
grey. Good samples are other normal images, near ones these with grain of two grey levels or blurred by a third of a
pixel. Right is `Looks trained` for those, `Train on` for all others.

In grey, on eight sets at 64, 128 and 256 pixels: pure noise, grain of 25 levels and blur of 3 pixels 1.00 in each;
good samples 1.00 on the mean (.90 at the least), near ones with grain .95 (.00 on a set that was enlarged twice and so
has no grain), blur of 1.5 pixels .92, half as bright .95, half noise .88 (.10 on two sets that look like noise at 64
pixels). Noise of the images' own spectrum is told apart in .39: what is a texture without edges is just that.
In colour, on coffee_leaf, mvtec_bottle, mvtec_hazelnut_mini and paper_a, with 4 tries: pure noise and grain 1.00, good
samples 1.00. By the mean of the channels alone, pure noise had .10 on paper_a at 64 pixels, grain .00 on mvtec_bottle.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from anomgen.models.sheet import likeness
from anomgen.sources.folder import Folder

SIZES = (64, 128, 256)
COLUMNS = 6
TRIES = 10

Change = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def stored(values: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def grained(sigma: float) -> Change:
    return lambda image, rng: stored(image + rng.normal(0, sigma, image.shape))


def blurred(sigma: float) -> Change:
    return lambda image, _: cv2.GaussianBlur(image, (0, 0), sigma).reshape(image.shape)


def blurred_at_128(sigma: float) -> Change:
    """Blur as by `sigma` pixels of an image that is 128 high."""
    return lambda image, rng: blurred(sigma * image.shape[0] / 128)(image, rng)


def noise(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """White noise of the image's level and contrast in each channel."""
    return stored(rng.normal(image.mean((0, 1)), image.std((0, 1)), image.shape))


def smooth_noise(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Noise of the image's level, contrast and spectrum, as of a model that knows no more than these."""
    planes = []
    for plane in np.moveaxis(image.astype(float), 2, 0):
        amplitude = np.abs(np.fft.fft2(plane - plane.mean()))
        phase = np.fft.fft2(rng.normal(size=plane.shape))
        planes.append(plane.mean() + np.fft.ifft2(amplitude * phase / np.abs(phase)).real)
    return stored(np.stack(planes, axis=2))


KINDS: dict[str, tuple[Change, str]] = {
    "good": (lambda image, _: image, "Looks trained"),
    "near: grain": (grained(2), "Looks trained"),
    "near: blur": (blurred(1 / 3), "Looks trained"),
    "pure noise": (noise, "Train on"),
    "noise of their spectrum": (smooth_noise, "Train on"),
    "half noise": (lambda image, rng: stored((image.astype(float) + noise(image, rng)) / 2), "Train on"),
    "grain of 25": (grained(25), "Train on"),
    "blur of 1.5": (blurred_at_128(1.5), "Train on"),
    "blur of 3": (blurred_at_128(3), "Train on"),
    "half as bright": (lambda image, _: stored(image / 2.0), "Train on"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path)
    parser.add_argument("--words", action="store_true", help="print the findings of each")
    parser.add_argument("--sets", help="these alone, comma-separated")
    options = parser.parse_args()
    names = sorted(path.parent.parent.name for path in options.root.glob("*/train/good"))
    names = options.sets.split(",") if options.sets else names
    print(f"{'share of right findings':<32}" + "".join(f"{kind.split(':')[-1][-9:]:>10}" for kind in KINDS))
    every = []
    for name in names:
        for size in SIZES:
            images = images_of(options.root / name / "train" / "good", size)
            for channels in sorted({images[0].shape[2], 1}):
                shown = [np.rint(image.mean(axis=2, keepdims=True)).astype(np.uint8) for image in images]
                right = rights(images if channels == images[0].shape[2] else shown, words=options.words)
                every.append(right)
                label = f"{name}, {size}, {'grey' if channels == 1 else 'colour'}"
                print(f"{label:<32}" + "".join(f"{share:>10.2f}" for share in right), flush=True)
    print(f"{'mean':<32}" + "".join(f"{share:>10.3f}" for share in np.mean(every, axis=0)))
    print(f"{'least':<32}" + "".join(f"{share:>10.2f}" for share in np.min(every, axis=0)))


def images_of(folder: Path, size: int) -> list[np.ndarray]:
    source = Folder(path=str(folder), size=size, fit="stretch").open()
    rng = np.random.default_rng(0)
    return [source[int(index)] for index in rng.permutation(len(source))[: 2 * COLUMNS * 5]]


def rights(images: list[np.ndarray], *, words: bool) -> list[float]:
    """Return, for each kind, the share of right findings."""
    found = []
    for kind, (change, wanted) in KINDS.items():
        rng = np.random.default_rng(1)
        said = []
        for _ in range(TRIES):
            order = rng.permutation(len(images))[: 2 * COLUMNS]
            normal, other = np.split(order, [COLUMNS])
            said.append(likeness([change(images[k], rng) for k in other], [images[k] for k in normal]))
        found.append(float(np.mean([text.startswith(wanted) for text in said])))
        for text in sorted(set(said)) if words else ():
            print(f"    {kind}: {text}")
    return found


if __name__ == "__main__":
    main()
