"""Annotations in XML: Pascal VOC, a file for each picture (Everingham et al., IJCV 2010), and CVAT, one for many."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from anomgen.errors import SourceError
from anomgen.sources.annotations.base import Mark, image_marks

_SHAPES = frozenset({"box", "cuboid", "ellipse", "mask", "points", "polygon", "polyline", "skeleton"})


def xml_marks(text: str, path: Path) -> list[Mark] | None:
    """Return what objects, shapes and tags of whole images mark; None for XML of other kinds.

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
        found = [
            (image.get("name", ""), own.get("label", "object"), own.tag)
            for image in root.findall("image")
            for own in image
        ]
        shapes = [Mark(name, kind) for name, kind, tag in found if tag in _SHAPES]
        return shapes + image_marks([(name, kind) for name, kind, tag in found if tag == "tag"])
    return None
