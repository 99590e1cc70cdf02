"""Annotations in XML: Pascal VOC, a file for each picture (Everingham et al., IJCV 2010), and CVAT, one for many."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from anomgen.errors import SourceError
from anomgen.sources.annotations.base import Mark

_SHAPES = frozenset({"box", "cuboid", "ellipse", "mask", "points", "polygon", "polyline", "skeleton"})


def xml_marks(text: str, path: Path) -> list[Mark] | None:
    """Return what objects and shapes mark; None for XML of other kinds.

    Raises SourceError, which names the file, for what is damaged, and for entities, which may stand for gigabytes.
    """
    if "<!ENTITY" in text:
        raise SourceError(f"{path.name}: defines entities, which no annotation does")
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise SourceError(f"{path.name}: is no XML ({error})") from error
    if root.tag == "annotation":
        return [Mark(None, (own.findtext("name") or "").strip() or "object") for own in root.findall("object")]
    if root.tag == "annotations":
        shapes = ((image.get("name", ""), own) for image in root.findall("image") for own in image)
        return [Mark(name, own.get("label", "object")) for name, own in shapes if own.tag in _SHAPES]
    return None
