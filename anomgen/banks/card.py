"""The card of a bank: what is in it, where its masks come from, under which licence, and how to use it."""

from __future__ import annotations

from typing import Any

from anomgen.banks.folder import DATA, Bank, features
from anomgen.cards import TAG, render_template
from anomgen.files import replacing

HERE = "path/to/this/folder"
"""What the card's examples load, as long as nobody knows where the bank is published."""


def write_card(bank: Bank) -> None:
    """Write ``README.md`` into the folder of a bank."""
    with replacing(bank.path / "README.md") as file:
        file.write(render_card(bank).encode())


def render_card(bank: Bank, license: str | None = None) -> str:
    """Return the card as Markdown with the Hub's YAML in front. license: instead of the recorded one."""
    license = license or bank.license
    values = {
        "name": bank.record["name"],
        "count": len(bank),
        "types": bank.record["defect_types"],
        "proposed": len(bank.proposed),
        "by_difference": bank.record["masks"] == "difference",
        "notes": bank.record.get("notes", ()),
        "fingerprint": bank.fingerprint,
        "license": license,
        "here": HERE,
    }
    return render_template("bank.md", front_matter(bank, license), values)


def front_matter(bank: Bank, license: str | None = None) -> dict[str, Any]:
    """Return the card's metadata in the Hub's terms."""
    size = (bank.path / DATA).stat().st_size
    columns = []
    for name, feature in features(bank.defect_types).items():
        if feature["_type"] == "ClassLabel":
            kind: Any = {"class_label": {"names": {str(k): kind for k, kind in enumerate(feature["names"])}}}
        else:
            kind = feature.get("dtype", "image")
        columns.append({"name": name, "dtype": kind})
    return {
        "license": license or "unknown",
        "pretty_name": f"{bank.record['name']}: real defects",
        "tags": ["anomaly-detection", "defect-detection", TAG],
        "task_categories": ["image-segmentation"],
        "size_categories": ["n<1K"],
        "configs": [{"config_name": "default", "data_files": [{"split": "train", "path": "data/train-*"}]}],
        "dataset_info": {
            "features": columns,
            "splits": [{"name": "train", "num_bytes": size, "num_examples": len(bank)}],
            "download_size": size,
            "dataset_size": size,
        },
    }
