"""Pixels as people look at them: in 8 bits and in colour, with outlines; and what a notebook shows as a picture."""

from __future__ import annotations

from base64 import b64encode
from html import escape

import cv2
import numpy as np

from anomgen.sources.pixels import to_channels

OUTLINE = (255, 0, 160)
"""Colour of the line around a mask."""
FACTORS = (1, 2, 4, 8, 16)
"""What a faint difference may be multiplied by."""


class Pictured:
    """What has a picture, which `show` opens."""

    def picture(self) -> np.ndarray:
        """Return the picture, (H, W, 3) uint8."""
        raise NotImplementedError

    def show(self) -> None:
        """Open the picture in the system's viewer."""
        from PIL import Image

        Image.fromarray(self.picture()).show()


def page_of(title: str, text: str, picture: np.ndarray | None) -> str:
    """Return a title, a text and a picture, (H, W, 3) uint8 or None, as the HTML that a notebook shows."""
    shown = f"<p><strong>{escape(title)}</strong>: {escape(text)}</p>"
    if picture is None:
        return shown
    data = b64encode(encoded(picture, ".webp")).decode()
    return f'{shown}<img alt="samples" style="max-width: 100%" src="data:image/webp;base64,{data}">'


def encoded(picture: np.ndarray, ending: str) -> bytes:
    """Return an RGB picture, uint8 (H, W, 3), as .webp or .jpg."""
    quality = (cv2.IMWRITE_WEBP_QUALITY, 90) if ending == ".webp" else (cv2.IMWRITE_JPEG_QUALITY, 92)
    return cv2.imencode(ending, cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), quality)[1].tobytes()


def scale_of(*images: np.ndarray | None) -> float:
    """Return what a value is multiplied by to be shown: 8-bit values as they are, 16-bit ones up to their largest."""
    known = [image for image in images if image is not None]
    if known[0].dtype == np.uint8:
        return 1.0
    return 255 / max(int(image.max()) for image in known) if any(image.any() for image in known) else 1.0


def displayable(image: np.ndarray, scale: float) -> np.ndarray:
    """Return an image (H, W, C) as (H, W, 3) uint8, its values multiplied by `scale`."""
    shown = image if scale == 1.0 and image.dtype == np.uint8 else np.rint(image * scale).astype(np.uint8)
    return to_channels(shown, 3)


def saturated(difference: np.ndarray) -> np.ndarray:
    """Return how many values of a difference, in levels of 255, are not 0, and how many each of `FACTORS` saturates."""
    changed = difference[difference > 0]
    return np.array([changed.size, *(np.count_nonzero(changed * factor > 255) for factor in FACTORS)])


def factor_of(counts: np.ndarray) -> int:
    """Return the largest factor that saturates a tenth of the changed pixels at most.

    counts: what `saturated` returns, or the sum of several.
    """
    changed, few = counts[0], 0.1 * counts[0]
    fitting = (factor for factor, count in zip(FACTORS, counts[1:], strict=True) if count <= few)
    return max(fitting, default=1) if changed else 1


def grey(values: np.ndarray) -> np.ndarray:
    """Return values 0..255, (H, W), as RGB."""
    result: np.ndarray = cv2.cvtColor(np.rint(values).astype(np.uint8), cv2.COLOR_GRAY2RGB)
    return result


def coloured(values: np.ndarray) -> np.ndarray:
    """Return values 0..255 from black over red and orange to white, as RGB."""
    levels = np.minimum(values, 255).astype(np.uint8)
    result: np.ndarray = cv2.cvtColor(cv2.applyColorMap(levels, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB)
    return result


def outlined(picture: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return a picture, (H, W, 3) uint8, with a line on the rim of a mask, bool (H, W)."""
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    return cv2.drawContours(np.array(picture, order="C"), contours, -1, OUTLINE, 1)


def outline_of(mask: np.ndarray) -> str:
    """Return the outline of a mask, bool (H, W), as an SVG path in pixels, through the rim's middles."""
    contours, _ = cv2.findContours(mask.view(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    lines = (" ".join(f"{x}.5 {y}.5" for x, y in contour[:, 0]) for contour in contours)
    return "".join(f"M{line}Z" for line in lines)


def at_most(picture: np.ndarray, side: int | None) -> np.ndarray:
    """Return a picture, (H, W, C), whose longer side has at most so many pixels; None for as it is."""
    longest = max(picture.shape[:2])
    if side is None or longest <= side:
        return picture
    height, width = (max(round(length * side / longest), 1) for length in picture.shape[:2])
    return cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA).reshape(height, width, -1)
