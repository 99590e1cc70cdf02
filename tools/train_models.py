"""Train the models behind the pictures of the learned generators, on the materials that their pages show.

python tools/train_models.py MODELS               about an hour and a half on one CPU core
python tools/pictures.py --models MODELS sdas cyclegan

A Cycle-GAN's abnormal images are the normal ones with dark stains, drawn by tools/materials.py.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import materials
import numpy as np
from pictures import BUILT_IN, SHOWN, SIDE

from anomgen.sources.base import build_source

NORMAL, ABNORMAL = 200, 60
STEPS = {"sdas": 3000, "cyclegan": 1000}


def main(models: Path) -> None:
    """Train what is not there yet."""
    for material in SHOWN:
        source = models / material / "normal"
        defects = models / material / "abnormal"
        if not defects.exists():
            pictures = list(_pictures(material))
            materials.write(pictures[:NORMAL], source)
            spoilt = (materials.stained(np.random.default_rng(k), p) for k, p in enumerate(pictures[NORMAL:]))
            materials.write(spoilt, defects)
        for kind, steps in STEPS.items():
            out = models / material / kind
            extra = ["--abnormal", str(defects)] if kind == "cyclegan" else []
            options = ["--source", str(source), "-o", str(out), "--size", str(SIDE), "--steps", str(steps), *extra]
            resume = ["--resume"] if out.exists() else []
            subprocess.run([sys.executable, "-m", "anomgen", "train", kind, *options, *resume], check=True)


def _pictures(material: str) -> list[np.ndarray]:
    count = NORMAL + ABNORMAL
    if material not in BUILT_IN:
        return list(materials.specimens(material, count, SIDE))
    source = build_source({"kind": "builtin", "name": material, "count": count, "size": SIDE}).open()
    return [np.repeat(image, 3 // image.shape[2], axis=2) for image in (source[k] for k in range(count))]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
