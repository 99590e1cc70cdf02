"""How well foregrounds find objects: overlap with outlines that were drawn by hand, holes bitten and shadows taken.

    python benchmarks/foreground.py DATA [--size 256] [--methods] [--light] [--sheets FOLDER]

DATA holds mvtec_screw_eq, mvtec_bottle, mvtec_hazelnut_mini, coffee_leaf, magnetic_tile and, for textures,
kolektor_sdd, paper_a and dagm_class8_mini, each with train/good. outlines.json has a polygon for each image by the
SHA-256 of its file, (x, y) in pixels of the image at 512 × 512. Coins are cut out of a photograph of scikit-image,
discs are the source `builtin`, whose outline is known; of textures the whole image is right. With --light, photographs
of objects are shown in light that comes from one side, another for each image, and falls to about half across it.

Writes a Markdown table, a line for each product. IoU: pixels in both over pixels in either. Left out: share of the
object that the foreground lacks. Taken in: pixels beyond the object, as a share of the object's.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from anomgen.sources.builtin import DISC, Builtin
from anomgen.sources.folder import Folder
from anomgen.sources.foreground import LOOKED_AT, Foreground, parse_foreground
from anomgen.sources.pool import Pool, SmallImages

OUTLINES = Path(__file__).with_name("outlines.json")
DRAWN_AT = 512
COIN_MARGIN = 6
"""Pixels of background around a coin's box."""
DISCS = ("brick", "grass", "gravel", "immunohistochemistry")
TEXTURES = ("kolektor_sdd", "paper_a", "dagm_class8_mini")
EACH = 6
"""Images of each disc and texture."""
METHODS = ("otsu", "triangle", "background_color")


class Figures(NamedTuple):
    """How a foreground compares with an outline."""

    iou: float
    left_out: float
    """Share of the object that the foreground lacks."""
    taken_in: float
    """Pixels of the foreground beyond the object, as a share of the object's."""


class Product(NamedTuple):
    """Images of one product: all that `auto` may look at, and some with the object's pixels, bool (H, W)."""

    name: str
    pool: Sequence[np.ndarray]
    drawn: list[tuple[np.ndarray, np.ndarray]]


def figures(found: np.ndarray | None, wanted: np.ndarray) -> Figures:
    """Compare a foreground, bool (H, W), None for the whole image, with an object, bool (H, W), not empty."""
    found = np.ones_like(wanted) if found is None else found
    both, drawn = np.count_nonzero(found & wanted), np.count_nonzero(wanted)
    beyond = np.count_nonzero(found & ~wanted)
    return Figures(both / (drawn + beyond), 1 - both / drawn, beyond / drawn)


def filled(polygon: Sequence[Sequence[float]], drawn_at: tuple[int, int], size: int) -> np.ndarray:
    """Return the inside of a polygon, bool (size, size). drawn_at: height and width where it was drawn."""
    drawn = np.zeros(drawn_at, np.uint8)
    cv2.fillPoly(drawn, [np.rint(np.array(polygon)).astype(np.int32)], 255)
    return cv2.resize(drawn, (size, size), interpolation=cv2.INTER_AREA) > 127


def products(root: Path, size: int) -> Iterator[Product]:
    """Yield the products with an object, then textures; a folder that DATA lacks is left out."""
    for name, entry in json.loads(OUTLINES.read_text()).items():
        if "folder" not in entry:
            yield _coins(name, entry["outlines"], size)
        elif (folder := root / entry["folder"] / "train" / "good").is_dir():
            yield _photographs(name, folder, entry["outlines"], size)
    for texture in DISCS:
        source = Builtin(name=texture, form="disc", count=EACH, size=size).open()
        middle = (size - 1) / 2
        y, x = np.mgrid[:size, :size] - middle
        inside = np.hypot(y, x) <= DISC * size
        yield Product(f"disc of {texture}", Pool(source), [(source[k], inside) for k in range(EACH)])
    for texture in TEXTURES:
        if (folder := root / texture / "train" / "good").is_dir():
            pool = _pool(folder, size)
            picked = [round(k) for k in np.linspace(0, len(pool) - 1, EACH)]
            yield Product(f"{texture}, whole image", pool, [(pool[k], np.ones((size, size), bool)) for k in picked])


@lru_cache(maxsize=1)
def _pool(folder: Path, size: int) -> Pool:
    return Pool(Folder(path=str(folder), size=size, fit="stretch").open())


def _photographs(name: str, folder: Path, outlines: dict[str, list[list[int]]], size: int) -> Product:
    pool, drawn = _pool(folder, size), []
    for index in range(len(pool)):
        polygon = outlines.get(hashlib.sha256((folder / pool.source.id(index)).read_bytes()).hexdigest())
        if polygon is not None:
            drawn.append((pool[index], filled(polygon, (DRAWN_AT, DRAWN_AT), size)))
    assert len(drawn) == len(outlines), f"{folder} lacks images of {name}"
    return Product(name, pool, drawn)


def _coins(name: str, outlines: list[list[list[float]]], size: int) -> Product:
    from skimage import data

    photograph, enlarged, drawn = data.coins(), 8, []
    for outline in outlines:
        polygon = np.array(outline)
        low, high = polygon.min(axis=0), polygon.max(axis=0)
        half = int(np.ceil((high - low).max() / 2)) + COIN_MARGIN
        left, top = np.rint((low + high) / 2).astype(int) - half
        crop = photograph[max(top, 0) : top + 2 * half, max(left, 0) : left + 2 * half]
        image = cv2.resize(crop, (size, size), interpolation=cv2.INTER_CUBIC)[..., None]
        moved = (polygon - (max(left, 0), max(top, 0))) * enlarged - 0.5
        drawn.append((image, filled(moved, (crop.shape[0] * enlarged, crop.shape[1] * enlarged), size)))
    return Product(name, [image for image, _ in drawn], drawn)


def relit(product: Product) -> Product:
    """Return a product in light from one side; `auto` looks at 16 images of it."""
    looked = SmallImages(product.pool, LOOKED_AT)
    drawn = [(_lit(image, index), wanted) for index, (image, wanted) in enumerate(product.drawn)]
    return Product(f"{product.name}, light from one side", [_lit(image, k) for k, image in enumerate(looked)], drawn)


def _lit(image: np.ndarray, index: int) -> np.ndarray:
    height, width = image.shape[:2]
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    angle = 2.4 * index
    light = 0.725 + 0.275 * (x * np.cos(angle) + y * np.sin(angle)) / 2**0.5
    return np.rint(image * light[..., None]).astype(np.uint8)


def measured(product: Product, foreground: Foreground) -> list[Figures]:
    """Return the figures of each drawn image."""
    return [figures(foreground.mask(image), wanted) for image, wanted in product.drawn]


def _cells(found: list[Figures]) -> str:
    iou = [one.iou for one in found]
    left_out, taken_in = (float(np.mean([one[k] for one in found])) for k in (1, 2))
    return f"{np.mean(iou):.3f} | {min(iou):.3f} | {left_out:.1%} | {taken_in:.1%}"


def _side(product: Product, method: str) -> Foreground:
    """Return a method at its defaults, on the side that fits better where it has one."""
    if method == "background_color":
        return parse_foreground(method)
    sides = [Foreground.model_validate({"method": method, "side": side}) for side in ("bright", "dark")]
    return max(sides, key=lambda one: float(np.mean([found.iou for found in measured(product, one)])))


def _sheet(product: Product, foreground: Foreground) -> np.ndarray:
    """Return the drawn images side by side: what is found in magenta, what was drawn in green."""
    tiles = []
    for image, wanted in product.drawn:
        tile = np.broadcast_to(image, (*image.shape[:2], 3)).copy()
        for mask, colour in ((wanted, (0, 255, 0)), (foreground.mask(image), (255, 0, 255))):
            if mask is not None:
                lines = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)[0]
                cv2.drawContours(tile, lines, -1, colour, 1)
        tiles.append(tile)
    return np.hstack(tiles)[..., ::-1]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--methods", action="store_true", help=f"also {', '.join(METHODS)} at their defaults")
    parser.add_argument("--light", action="store_true", help="photographs of objects in light from one side, only")
    parser.add_argument("--sheets", type=Path, help="where to write pictures of the outlines")
    given = parser.parse_args()
    print("| product | images | method | mean IoU | worst | left out | taken in |")
    print("|---|---|---|---|---|---|---|")
    for product in products(given.data, given.size):
        if given.light:
            if product.name.startswith("disc") or product.name.endswith("whole image"):
                continue
            product = relit(product)
        auto = Foreground(method="auto").resolved(product.pool)
        tried = {f"auto: {auto.method}": auto}
        if auto.snap:
            tried["without snap"] = auto.model_copy(update={"snap": False})
        if given.methods:
            tried |= {method: _side(product, method) for method in METHODS}
        for name, foreground in tried.items():
            cells = _cells(measured(product, foreground))
            print(f"| {product.name} | {len(product.drawn)} | {name} | {cells} |", flush=True)
        if given.sheets:
            given.sheets.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(given.sheets / f"{product.name}.png"), _sheet(product, auto))


if __name__ == "__main__":
    main()
