"""The model card: what every model's says, and its licence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from anomgen.cards import TAGS, papers_of, render_template
from anomgen.files import replacing


def write_card(
    folder: Path, kind: str, record: Mapping[str, Any], shape: tuple[int, ...], values: Mapping[str, Any], **front: Any
) -> None:
    """Write the card of a model from the template that is called as its generator, `kind`.

    record: of its training; what it began with counts for the licence, too. shape: (H, W, C). values: what the template
    needs of the model's own. front: the Hub's metadata, beside the licence; `tags` are those that other models do not
    have.
    """
    license = common_license([*(part["license"] for part in record["data"]), *record.get("licenses", ())])
    front = {"license": license or "unknown", **front, "tags": [*TAGS, *front["tags"]]}
    shared = {
        "height": shape[0],
        "width": shape[1],
        "channels": shape[2],
        "steps": record["steps"],
        "findings": record.get("findings", record.get("verdict", "")),  # its name in earlier records
        "losses": ", ".join(f"{name} {value:.4g}" for name, value in record["losses"].items()),
        "paper": "".join(papers_of([kind])),
        "licensed": license is not None,
    }
    with replacing(folder / "README.md") as file:
        file.write(render_template(f"{kind}.md", front, {**shared, **values}).encode())


def common_license(licenses: Sequence[str | None]) -> str | None:
    """Return the licence that all sources have, None when one is unknown or they differ."""
    return licenses[0] if len(set(licenses)) == 1 else None
