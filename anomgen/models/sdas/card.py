"""The card of a diffusion model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from anomgen.cards import as_yaml
from anomgen.models.card import write_card


def write_sdas_card(folder: Path, record: Mapping[str, Any], shape: tuple[int, ...], components: int) -> None:
    """Write the card of a DDPM. record: of its training; shape: (H, W, C); components: numbers per latent cell."""
    data, settings = record["data"], record["settings"]
    names = [part["category"] for part in data]
    values = {
        "subject": ", ".join(names),
        "images": sum(part["images"] for part in data),
        "latent": settings["patch"] > 1,
        "patch": settings["patch"],
        "components": components,
        "classes": len(names),
        "categories": names,
        "settings": settings,
        "init": (record["init"] or {}).get("name"),
        "recipe": as_yaml(settings, width=80, flow=None),
    }
    front = {"library_name": "diffusers", "pipeline_tag": "unconditional-image-generation", "tags": ["ddpm", "sdas"]}
    write_card(folder, "sdas", record, shape, values, **front)
