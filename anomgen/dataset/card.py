"""The dataset card: what a dataset is, how it was made, under which licence, and how to load it.

Everything in it follows from the dataset's own records, so the same dataset gives the same card: no time, no path.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from anomgen.cards import TAGS, as_code, as_yaml, bibtex_of, papers_of, render_template
from anomgen.dataset.columns import Columns
from anomgen.dataset.reader import Dataset
from anomgen.dataset.row import LABELS, NORMAL
from anomgen.dataset.statistics import statistics
from anomgen.files import fingerprint_of, holds, note_kept, replacing
from anomgen.licenses import inherited

TASKS = ("image-segmentation", "image-classification")


HERE = "path/to/this/folder"
"""What the card's example loads, as long as nobody knows where the dataset is published."""

LISTED_SKIPPED = 20
"""How many left-out files the card names."""


def write_card(out: Path, provenance: Mapping[str, Any], recipe: Mapping[str, Any], stats: Mapping[str, Any]) -> None:
    """Write ``out/README.md``, the card of the dataset in `out`.

    provenance, recipe: what is written beside it, without paths of the machine. stats: of
    `anomgen.dataset.statistics`. Raises AnomgenError when the file cannot be written.
    """
    text = render_card(Dataset(out, partial=True), provenance, recipe, stats)
    with replacing(out / "README.md") as file:
        file.write(text.encode())


def complete_card(
    out: Path,
    provenance: Mapping[str, Any],
    recipe: Mapping[str, Any],
    stats: Mapping[str, Any],
    before: tuple[Mapping[str, Any] | None, Mapping[str, Any] | None],
) -> None:
    """Write the card as `write_card` does, unless somebody has edited the one that is there: it stays, as a note says.

    before: the provenance and the recipe, where there were any, by which that one may have been written.
    """
    card, dataset = out / "README.md", Dataset(out, partial=True)
    ways = product(filter(None, (provenance, before[0])), filter(None, (recipe, before[1])))
    if not card.exists() or any(holds(card, render_card(dataset, *way, stats).encode()) for way in ways):
        write_card(out, provenance, recipe, stats)
    else:
        note_kept(card)


def is_as_rendered(dataset: Dataset) -> bool:
    """Return whether a finished dataset has its card, and nobody has edited it."""
    card = dataset.path / "README.md"
    text = render_card(dataset, dataset.provenance, dataset.recipe, statistics(dataset)) if card.is_file() else ""
    return bool(text) and holds(card, text.encode())


def render_card(
    dataset: Dataset, provenance: Mapping[str, Any], recipe: Mapping[str, Any], stats: Mapping[str, Any]
) -> str:
    """Return the card as Markdown with the Hub's YAML in front."""
    values = _values(dataset, provenance, recipe, stats)
    return render_template("dataset.md", front_matter(dataset, provenance, recipe, stats), values)


def front_matter(
    dataset: Dataset, provenance: Mapping[str, Any], recipe: Mapping[str, Any], stats: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the card's metadata in the Hub's terms."""
    dataset_id = provenance["source"].get("dataset")
    size = sum(shard.stat().st_size for shard in dataset.shards)
    return {
        "license": license_of(provenance, recipe) or "unknown",
        "pretty_name": _pretty_name(provenance, recipe),
        "tags": list(TAGS),
        "task_categories": list(TASKS),
        "annotations_creators": ["machine-generated"],
        **({"source_datasets": [dataset_id]} if dataset_id else {}),
        "size_categories": [size_category(stats["rows"])],
        "configs": [
            {
                "config_name": "default",
                "description": f"content {fingerprint_of(provenance)}",  # `datasets` knows what it has cached by it
                "data_files": [{"split": split, "path": f"data/{split}-*"} for split in dataset.splits],
            }
        ],
        "dataset_info": {
            "features": yaml_features(dataset.columns),
            "splits": [_split(dataset, name) for name in dataset.splits],
            "download_size": size,
            "dataset_size": size,
        },
    }


def _split(dataset: Dataset, name: str) -> dict[str, Any]:
    files = dataset.splits[name]
    return {
        "name": name,
        "num_bytes": sum(file.stat().st_size for file in files),
        "num_examples": dataset.rows_in(files),
    }


def yaml_features(columns: Columns) -> list[dict[str, Any]]:
    """Return the features in the form that they have in a card, which differs from their JSON."""
    return [{"name": name, **_yaml_feature(feature)} for name, feature in columns.features.items()]


def _yaml_feature(feature: Mapping[str, Any]) -> dict[str, Any]:
    kind = feature["_type"]
    if kind == "ClassLabel":
        return {"dtype": {"class_label": {"names": {str(k): name for k, name in enumerate(feature["names"])}}}}
    if kind == "List":
        inner = _yaml_feature(feature["feature"])
        length = {"length": feature["length"]} if "length" in feature else {}
        return {"list": inner["dtype"] if list(inner) == ["dtype"] else inner, **length}
    return {"dtype": feature.get("dtype", "image")}


# --- what the template is told --------------------------------------------------------------------------------------


def _values(
    dataset: Dataset, provenance: Mapping[str, Any], recipe: Mapping[str, Any], stats: Mapping[str, Any]
) -> dict[str, Any]:
    source, resolved = provenance["source"], provenance["resolved"]
    first = next(dataset.rows(["image", "soft_mask"]))
    license = license_of(provenance, recipe)
    versions = provenance["versions"] | {"anomgen": provenance["anomgen"]}
    papers = papers_of(_kinds(resolved["generator"]))
    return {
        "pretty_name": _pretty_name(provenance, recipe),
        "here": HERE,
        "rows": {**provenance["rows"], "all": stats["rows"]},
        "splits": {name: dataset.rows_in(files) for name, files in dataset.splits.items()},
        "left_out": len(dataset.left_out),
        "thrown_out": len(provenance.get("left_out", ())),
        "source": source,
        "source_name": _source_name(provenance, recipe),
        "skipped": _skipped(source["skipped"]),
        "skipped_count": len(source["skipped"]),
        "notes": source.get("notes", ()),
        "images": _about_images(first["image"], provenance["source"], recipe),
        "wide_colour": first["image"].dtype == np.uint16 and first["image"].shape[2] == 3,
        "soft_masks": _has_soft_masks(dataset),
        "keep_normal": dataset.columns.keep_normal,
        "defect_types": (LABELS[NORMAL], *dataset.columns.defect_types),
        "quantiles": list(_quantiles(stats)),
        "with_detectability": dataset.columns.with_detectability,
        "detectability": list(_detectability(stats)),
        "rejects": provenance["rejects"],
        "foreground": _foreground(resolved["foreground"]),
        "generator": as_yaml(resolved["generator"]),
        "versions": ", ".join(f"{name} {number}" for name, number in sorted(versions.items())),
        "command": _command(recipe, source["kind"]),
        "made_with": provenance["anomgen"],
        "recipe_fingerprint": provenance["recipe_fingerprint"],
        "license": license,
        "inherited": license is not None and license == source["license"],
        "papers": papers,
        "bibtex": bibtex_of(papers),
    }


def license_of(provenance: Mapping[str, Any], recipe: Mapping[str, Any]) -> str | None:
    """Return the licence that a dataset's records give it, None for an unknown one."""
    return recipe.get("license") or inherited(provenance["source"].get("license"), provenance.get("licenses", ()))


def _pretty_name(provenance: Mapping[str, Any], recipe: Mapping[str, Any]) -> str:
    name = _source_name(provenance, recipe) if recipe["source"]["kind"] != "folder" else ""
    return f"Synthetic anomalies: {recipe['name']}" + (f" on {name}" if name else "")


def _source_name(provenance: Mapping[str, Any], recipe: Mapping[str, Any]) -> str:
    """Return which images: the id on the Hub that they were read from, else what the category or the folder is called.

    How a folder is laid out or called says nothing of whose images it holds, so no published dataset is named for it.
    """
    source = recipe["source"]
    if source["kind"] == "folder":
        return str(source["path"])
    known = provenance["source"].get("dataset") or source.get("category")
    return str(known or (Path(source["path"]).name if source.get("path") else source.get("name", "")))


def size_category(rows: int) -> str:
    """Return the Hub's category of a dataset with so many rows, such as ``1K<n<10K``."""
    bounds = [("1K", 10**3), ("10K", 10**4), ("100K", 10**5), ("1M", 10**6), ("10M", 10**7), ("100M", 10**8)]
    below = None
    for name, bound in bounds:
        if rows < bound:
            return f"{below}<n<{name}" if below else f"n<{name}"
        below = name
    return "100M<n<1B" if rows < 10**9 else "n>1B"


def _about_images(image: np.ndarray, source: Mapping[str, Any], recipe: Mapping[str, Any]) -> str:
    height, width, channels = image.shape
    kind = f"{'RGB' if channels == 3 else 'Grayscale'}, {8 * image.dtype.itemsize} bits a channel"
    if recipe["source"].get("size", 0) is None:
        return f"{kind}, in the sizes of the source."
    if "shape" in source and source["shape"] is None and source["kind"] != "builtin":
        return f"{kind}, of several sizes, the longer side {max(width, height)} pixels."
    return f"{kind}, {width} pixels wide and {height} high."


def _has_soft_masks(dataset: Dataset) -> bool:
    return any(row["soft_mask"] is not None for row in _some_rows(dataset))


def _some_rows(dataset: Dataset) -> Iterator[dict[str, Any]]:
    """Yield the soft masks of the first rows: the normal ones have one too where the generator makes any."""
    for number, row in enumerate(dataset.stored_rows(["soft_mask"])):
        if number == 64:
            return
        yield row


def _skipped(names: list[str]) -> list[str]:
    listed = [as_code(name) for name in names[:LISTED_SKIPPED]]
    return listed + ([f"and {len(names) - LISTED_SKIPPED} more"] if len(names) > LISTED_SKIPPED else [])


def _quantiles(stats: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    parts = {"all": stats["all"], **(stats["by_type"] if len(stats["by_type"]) > 1 else {})}
    for measure in ("area", "severity"):
        for name, part in parts.items():
            values = part[measure]
            if values is not None:
                label = measure if name == "all" else f"{measure}, {as_code(name)}"
                shares = [f"{100 * value:.2f} %" for value in values.values()]
                yield {"name": label, "heads": [_head(key) for key in values], "shares": shares}


def _detectability(stats: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    parts = {"all": stats["all"], **(stats["by_type"] if len(stats["by_type"]) > 1 else {})}
    for name, part in parts.items():
        if part["detectability"] is not None:
            shown = [*(f"{r:.2f}" for r in part["detectability"].values()), f"{100 * part['below']:.0f} %"]
            yield {"name": name if name == "all" else as_code(name), "values": shown}


def _head(per_cent: str) -> str:
    return {"0": "least", "50": "median", "100": "most"}.get(per_cent, f"{per_cent} %")


def _foreground(resolved: Mapping[str, Any]) -> str:
    settings = {key: value for key, value in resolved.items() if key != "method" and value is not None}
    if resolved.get("method") in (None, "none"):
        return "none, the anomaly may lie anywhere"
    listed = ", ".join(f"{key} {value}" for key, value in settings.items())
    return as_code(resolved["method"]) + (f" ({listed})" if listed else "")


def _command(recipe: Mapping[str, Any], kind: str) -> str:
    needs_path = bool(recipe["source"].get("path")) and kind != "hub"
    source = "--source FOLDER_OF_THE_NORMAL_IMAGES " if needs_path else ""
    return f"anomgen make --recipe recipe.yaml {source}-o OUT"


def _kinds(generator: Mapping[str, Any]) -> list[str]:
    """Return the kinds of a generator and of its parts, each once."""
    kinds = [generator["kind"]]
    for part in generator.get("parts") or ():
        kinds += _kinds(part)
    return list(dict.fromkeys(kinds))
