"""PNG encoders at 256×256, one core: milliseconds and kilobytes an image, of ours, of OpenCV's, and of other deflates.

python benchmarks/png.py FOLDER…       photographs to encode; without a folder, built-in images
pip install deflate isal               compared as well, where they are installed
"""

from __future__ import annotations

import sys
import time
import zlib
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import cv2
import numpy as np

from anomgen.dataset import png
from anomgen.sources.base import build_source
from anomgen.sources.images import read_image
from anomgen.sources.tree import image_files

IMAGES, SIDE = 12, 256
BUILT_IN = ("brick", "immunohistochemistry")
Encode = Callable[[np.ndarray], bytes]


def main() -> None:
    folders = {Path(name).parent.parent.name or name: _images(Path(name)) for name in sys.argv[1:]}
    data = folders or {name: _built_in(name) for name in BUILT_IN}
    print(f"{'':<28}" + "".join(f"{name[:17]:>18}" for name in data))
    for name, encode in _encoders().items():
        cells = []
        for images in data.values():
            encoded, seconds = [], []
            for _ in range(5):
                started = time.process_time()
                encoded = [encode(image) for image in images]
                seconds.append(time.process_time() - started)
            for image, stored in zip(images, encoded, strict=True):
                assert np.array_equal(png.decode_png(stored), image), name
            cells.append(f"{min(seconds) / len(images) * 1e3:7.2f}{np.mean([len(s) for s in encoded]) / 1e3:9.1f} k")
        print(f"{name:<28}" + "".join(cells), flush=True)


def _built_in(name: str) -> list[np.ndarray]:
    source = build_source({"kind": "builtin", "name": name, "size": SIDE}).open()
    return [source[k] for k in range(min(len(source), IMAGES))]


def _images(folder: Path) -> list[np.ndarray]:
    names = image_files(folder)
    names = names[:: max(len(names) // IMAGES, 1)][:IMAGES]
    pictures = [read_image(folder / name, name) for name in names]
    resized = [cv2.resize(picture, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for picture in pictures]
    return [np.atleast_3d(picture) for picture in resized]


def _encoders() -> dict[str, Encode]:
    runs = (cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE)
    up = (cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_UP)
    found: dict[str, Encode] = {
        "ours": png.encode_png,
        "OpenCV, lines above, runs": lambda image: _opencv(image, cv2.IMWRITE_PNG_COMPRESSION, 1, *runs, *up),
        "OpenCV, level 1": lambda image: _opencv(image, cv2.IMWRITE_PNG_COMPRESSION, 1),
        "OpenCV, level 6": lambda image: _opencv(image, cv2.IMWRITE_PNG_COMPRESSION, 6),
        "zlib, runs": lambda image: _ours(image, lambda lines: _strategy(zlib, lines, zlib.Z_RLE)),
        "zlib-ng, Huffman only": lambda image: _ours(image, lambda lines: _strategy(png.zlib_ng, lines, 2)),
        "zlib-ng, runs": lambda image: _ours(image, lambda lines: _strategy(png.zlib_ng, lines, 3)),
        "zlib-ng, level 1": lambda image: _ours(image, lambda lines: png.zlib_ng.compress(lines, 1)),
    }
    for name, module, levels in (("libdeflate", "deflate", (1, 3)), ("ISA-L", "isal.isal_zlib", (0, 1))):
        try:
            library = import_module(module)
        except ImportError:
            continue
        compress = getattr(library, "zlib_compress", None) or library.compress
        for level in levels:
            found[f"{name}, level {level}"] = _of_library(compress, level)
    return found


def _of_library(compress: Callable[[np.ndarray, int], bytes], level: int) -> Encode:
    return lambda image: _ours(image, lambda lines: bytes(compress(lines, level)))


def _opencv(image: np.ndarray, *settings: int) -> bytes:
    array = cv2.cvtColor(image, cv2.COLOR_RGB2BGR) if image.shape[2] == 3 else image
    return cv2.imencode(".png", array, settings)[1].tobytes()


def _strategy(library, lines: np.ndarray, strategy: int) -> bytes:
    stream = library.compressobj(1, zlib.DEFLATED, 15, 9, strategy)
    return stream.compress(lines) + stream.flush()


def _ours(image: np.ndarray, deflate: Callable[[np.ndarray], bytes]) -> bytes:
    """Encode as `encode_png` does, with another deflate."""
    usual = png._deflated
    png._deflated = lambda lines: deflate(lines.reshape(-1))
    try:
        return png.encode_png(image)
    finally:
        png._deflated = usual


if __name__ == "__main__":
    main()
