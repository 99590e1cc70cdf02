"""The model card: what a model was trained on, under which licence, and how to use it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from anomgen.cards import TAGS, papers_of, render_template
from anomgen.files import replacing


def write_sdas_card(folder: Path, record: Mapping[str, Any], shape: tuple[int, ...], components: int) -> None:
    """Write the card of a DDPM. record: of its training; shape: (H, W, C); components: numbers per latent cell."""
    data, settings = record["data"], record["settings"]
    names = [part["category"] for part in data]
    license = common_license([part["license"] for part in data])
    front = {
        "license": license or "unknown",
        "library_name": "diffusers",
        "pipeline_tag": "unconditional-image-generation",
        "tags": [*TAGS, "ddpm", "sdas"],
    }
    values = {
        "subject": ", ".join(names),
        "images": sum(part["images"] for part in data),
        "height": shape[0],
        "width": shape[1],
        "channels": shape[2],
        "latent": settings["patch"] > 1,
        "patch": settings["patch"],
        "components": components,
        "classes": len(names),
        "categories": names,
        "steps": record["steps"],
        "verdict": record.get("verdict", ""),
        "settings": settings,
        "losses": ", ".join(f"{name} {value:.4g}" for name, value in record["losses"].items()),
        "init": (record["init"] or {}).get("name"),
        "recipe": yaml.safe_dump(settings, sort_keys=False, default_flow_style=None).rstrip("\n"),
        "paper": "".join(papers_of(["sdas"])),
        "licensed": license is not None,
    }
    with replacing(folder / "README.md") as file:
        file.write(render_template("sdas.md", front, values).encode())


def write_cyclegan_card(folder: Path, record: Mapping[str, Any], shape: tuple[int, ...], threshold: float) -> None:
    """Write the card of a Cycle-GAN. record: of its training; shape: (H, W, C); threshold: see `Description`."""
    normal, abnormal = record["data"]
    license = common_license([normal["license"], abnormal["license"]])
    front = {
        "license": license or "unknown",
        "library_name": "anomgen",
        "pipeline_tag": "image-to-image",
        "tags": [*TAGS, "cyclegan"],
    }
    values = {
        "height": shape[0],
        "width": shape[1],
        "channels": shape[2],
        "size": shape[0] if shape[0] == shape[1] else f"{shape[0]}x{shape[1]}",
        "normal": normal,
        "abnormal": abnormal,
        "threshold": f"{threshold:.2%}",
        "steps": record["steps"],
        "verdict": record.get("verdict", ""),
        "losses": ", ".join(f"{name} {value:.4g}" for name, value in record["losses"].items()),
        "settings": yaml.safe_dump(record["settings"], sort_keys=False, default_flow_style=None).rstrip("\n"),
        "paper": "".join(papers_of(["cyclegan"])),
    }
    with replacing(folder / "README.md") as file:
        file.write(render_template("cyclegan.md", front, values).encode())


def common_license(licenses: Sequence[str | None]) -> str | None:
    """Return the licence that all sources have, None when one is unknown or they differ."""
    return licenses[0] if len(set(licenses)) == 1 else None
