"""Label Studio's tasks: brush strokes and polygons become masks.

The brush's run lengths are those of the package rle-pack (https://github.com/thi-ng/umbrella) over RGBA values.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np

from anomgen.errors import SourceError
from anomgen.sources.annotations.base import Annotation, Mark, Pictures, Shape, filled, image_marks
from anomgen.sources.verdicts import says_normal

_OWN = frozenset({"image", "created_at", "updated_at"})
"""Texts in a task of JSON-MIN that are no choices."""
_UNFIT = (KeyError, TypeError, ValueError, AttributeError, IndexError)


def is_labelstudio(content: Any) -> bool:
    """Return whether the contents of a JSON file are of this kind: tasks, or what JSON-MIN leaves of them."""
    first = content[0] if isinstance(content, list) and content else None
    return isinstance(first, Mapping) and (isinstance(first.get("data"), Mapping) or _is_least(first))


def _is_least(task: Mapping[str, Any]) -> bool:
    return "data" not in task and "annotator" in task and bool(_file(task))


def read_labelstudio(content: list[Any], path: Path, pictures: Pictures) -> list[Annotation]:
    """Return an annotation for each picture and label; boxes and ellipses are refused, as they are no masks.

    Raises SourceError, which names the file, for what is damaged.
    """
    shapes: dict[tuple[str, str], list[Shape]] = defaultdict(list)
    try:
        for called, kind, region in _regions(content):
            name = pictures.find(called, path.name)
            shapes[name, kind or "defect"].append(_shape(region, name, path.name))
    except _UNFIT as error:
        raise _damaged(path, error) from error
    return [Annotation(name, kind, own) for (name, kind), own in shapes.items()]


def labelstudio_marks(content: list[Any], path: Path) -> list[Mark]:
    """Return what the tasks mark in any way, choices included.

    Raises SourceError, which names the file, for what is damaged.
    """
    try:
        regions = [Mark(called, kind or "object") for called, kind, _ in _regions(content)]
        chosen = [
            (_file(data), str(kind))
            for data, result in _results(content)
            if result.get("type") == "choices"
            for kind in result["value"]["choices"]
        ]
        return regions + image_marks(chosen)
    except _UNFIT as error:
        raise _damaged(path, error) from error


def _regions(content: list[Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Yield the picture's path, the label and the region of each one."""
    for data, region in _results(content):
        if str(region.get("type", "")).endswith("labels"):
            kind = (region["value"].get(region["type"]) or [""])[0]
            yield _file(data), str(kind), region


def _results(content: list[Any]) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """Yield the data of the task and each result of its annotations."""
    for task in content:
        if _is_least(task):
            yield from ((task, result) for result in _least(task))
        for own in task.get("annotations") or ():
            yield from ((task["data"], result) for result in own.get("result") or ())


def _least(task: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the results of a task of JSON-MIN, whose keys are those of its fields: regions, a choice or several."""
    for key, value in task.items():
        if isinstance(value, list):
            for region in value:
                kind = next((own for own in region if own.endswith("labels")), "")
                yield {**region, "type": kind, "value": region}
        elif key not in _OWN and isinstance(value, str | Mapping):
            chosen = [value] if isinstance(value, str) else value.get("choices", ())
            yield {"type": "choices", "value": {"choices": [one for one in chosen if says_normal(one) is not None]}}


def _damaged(path: Path, error: Exception) -> SourceError:
    return SourceError(f"{path.name}: holds no tasks of Label Studio ({type(error).__name__}: {error})")


def _file(data: Mapping[str, Any]) -> str:
    """Return the picture's path in a task: the only value that is a path, a URL, or names a local file."""
    text = str(data.get("image") or _first_path(data))
    url = urlsplit(text)
    return unquote(parse_qs(url.query).get("d", [url.path])[0])


def _first_path(data: Mapping[str, Any]) -> str:
    return next((value for value in data.values() if isinstance(value, str) and "." in value), "")


def _shape(region: Mapping[str, Any], name: str, where: str) -> Shape:
    size = int(region["original_height"]), int(region["original_width"])
    value = region["value"]
    if region.get("image_rotation"):
        raise SourceError(f"{where}: {name} was turned while it was annotated; turn the picture itself instead")
    if region["type"] == "brushlabels" and value.get("format") == "rle":
        mask = unbrushed(bytes(value["rle"]), size)
    elif region["type"] == "polygonlabels":
        corners = np.array(value["points"], dtype=np.float64).reshape(-1, 2) / 100 * (size[1], size[0])
        return Shape(size, lambda _: filled([corners], size))
    else:
        raise SourceError(f"{where}: {name} has {region['type']}, which are no masks; use the brush or polygons")
    return Shape(size, lambda _: mask)


def unbrushed(data: bytes, size: tuple[int, int]) -> np.ndarray:
    """Return the mask, bool (H, W), that the editor's brush stored; any opacity counts.

    Number of values (32 bits), bits a value less 1 (5), bits of each of four sizes less 1 (4 each); then runs: a bit
    that says whether the value repeats, which size (2 bits), length less 1, and one value or as many as the length.
    """
    bits = _Bits(data)
    total = bits.take(32)
    if total != 4 * size[0] * size[1]:
        raise ValueError(f"a brush of {total} values on {size[0]} × {size[1]} pixels")
    width = bits.take(5) + 1
    sizes = [bits.take(4) + 1 for _ in range(4)]
    values = np.zeros(total, np.uint8)
    done = 0
    while done < total:
        repeats = bits.take(1)
        length = bits.take(sizes[bits.take(2)]) + 1
        end = min(done + length, total)
        if repeats:
            values[done:end] = min(bits.take(width), 255)
        else:
            values[done:end] = [min(bits.take(width), 255) for _ in range(end - done)]
        done = end
    return np.asarray(values[3::4].reshape(size) > 0)


class _Bits:
    """Reads a sequence of bits, the highest of each byte first."""

    def __init__(self, data: bytes):
        self._data, self._at = data, 0

    def take(self, count: int) -> int:
        """Return the next `count` bits as a number. Raises ValueError at the end."""
        first, last = self._at >> 3, (self._at + count + 7) >> 3
        if last > len(self._data):
            raise ValueError("the brush's run lengths end too early")
        chunk = int.from_bytes(self._data[first:last], "big")
        after = (last << 3) - self._at - count
        self._at += count
        return (chunk >> after) & ((1 << count) - 1)
