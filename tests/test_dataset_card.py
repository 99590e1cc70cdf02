"""The card: valid for the Hub, true to the dataset, and silent about the machine."""

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from made_dataset import made_rows, provenance_of, recipe_of, write_dataset

from anomgen import registry
from anomgen.cards import bibtex_of, papers_of
from anomgen.dataset.card import front_matter, write_card, yaml_features
from anomgen.dataset.columns import Columns
from anomgen.dataset.reader import Dataset
from anomgen.dataset.statistics import statistics
from anomgen.generators.base import Generator
from anomgen.licenses import license_of_card
from anomgen.registry import BUNDLED, load


def card_of(folder, rows=None, *, provenance=None, recipe=None, **options):
    """Write a dataset and its card; return the card's text."""
    rows = made_rows() if rows is None else rows
    write_dataset(folder, rows, **options)
    license = options.get("license", "cc-by-4.0")
    provenance = provenance_of(rows, 2, license) | (provenance or {})
    recipe = recipe_of(len(rows), license) | (recipe or {})
    write_card(folder, provenance, recipe, statistics(Dataset(folder)))
    return (folder / "README.md").read_text(encoding="utf-8")


def head(card):
    return yaml.safe_load(card.split("---\n")[1])


def body(card):
    return card.split("---\n", 2)[2]


# ------------------------------------------------------------------------------------------------- front matter


def test_the_front_matter_is_what_the_hub_asks_for(tmp_path):
    data = head(card_of(tmp_path / "d"))
    assert data["license"] == "cc-by-4.0"
    assert {"anomaly-detection", "synthetic", "defect-detection", "anomgen"} <= set(data["tags"])
    assert data["task_categories"][0] == "image-segmentation"
    assert data["annotations_creators"] == ["machine-generated"]
    assert data["size_categories"] == ["n<1K"]
    (config,) = data["configs"]
    assert config.pop("description").startswith("content ")
    assert config == {"config_name": "default", "data_files": [{"split": "train", "path": "data/train-*"}]}
    assert data["dataset_info"]["splits"][0]["num_examples"] == 12


def test_the_hubs_own_reader_accepts_it(tmp_path):
    hub = pytest.importorskip("huggingface_hub")
    card_of(tmp_path / "d")
    card = hub.DatasetCard.load(tmp_path / "d" / "README.md")
    assert card.data.license == "cc-by-4.0"
    assert card.data.pretty_name == "Synthetic anomalies: nsa"


@pytest.mark.parametrize("keep_normal", [False, True])
def test_its_features_are_those_that_datasets_would_write(keep_normal):
    datasets = pytest.importorskip("datasets")
    columns = Columns(("nsa", "scar"), keep_normal)
    assert yaml_features(columns) == datasets.Features.from_dict(columns.features)._to_yaml_list()


@pytest.mark.parametrize(
    ("rows", "category"),
    [(1, "n<1K"), (999, "n<1K"), (1000, "1K<n<10K"), (20_000, "10K<n<100K"), (10**8, "100M<n<1B"), (10**9, "n>1B")],
)
def test_the_size_category_is_the_hubs(tmp_path, rows, category):
    folder = write_dataset(tmp_path / "d")
    stats = statistics(Dataset(folder)) | {"rows": rows}
    data = front_matter(Dataset(folder), provenance_of(made_rows(), 2), recipe_of(12), stats)
    assert data["size_categories"] == [category]


@pytest.mark.parametrize(
    ("source", "dataset", "name"),
    [
        ({"kind": "mvtec", "path": "bottle"}, None, "on bottle"),
        ({"kind": "visa", "path": "x", "category": "candle"}, None, "on candle"),
        ({"kind": "hub", "path": "owner/set:train"}, "owner/set", "on owner/set"),
        ({"kind": "hub", "path": "owner/set", "name": "small"}, None, "on set"),
        ({"kind": "builtin", "name": "brick"}, None, "on brick"),
        ({"kind": "folder", "path": "good"}, None, "nsa"),
    ],
)
def test_a_dataset_is_named_as_the_source_only_where_the_images_were_read_from_it(tmp_path, source, dataset, name):
    provenance = {"source": provenance_of([], 2)["source"] | {"kind": source["kind"], "dataset": dataset}}
    card = card_of(tmp_path / "d", provenance=provenance, recipe={"source": source})
    data = head(card)
    assert data.get("source_datasets") == ([dataset] if dataset else None)
    assert data["pretty_name"].endswith(name)
    assert "MVTec" not in card and "VisA" not in card


def test_datasets_of_one_name_and_size_do_not_share_a_cache(tmp_path):
    """`datasets` finds what it has cached by the folder's name and these lines, not by the files."""
    first = head(card_of(tmp_path / "a" / "d"))
    other = head(card_of(tmp_path / "b" / "d", provenance={"recipe_fingerprint": "9" * 32}))
    assert first["dataset_info"] == other["dataset_info"] and first["configs"] != other["configs"]


# ---------------------------------------------------------------------------------------------------- licence


def test_a_licence_inherited_from_the_source_says_so(tmp_path):
    source = provenance_of(made_rows(), 2, "cc-by-4.0")["source"]
    noted = {"source": source | {"notes": ["licence cc-by-4.0, as LICENSE says: 'CC BY 4.0'"]}}
    card = card_of(tmp_path / "d", recipe={"license": None}, provenance=noted)
    assert "as LICENSE says" in card
    assert head(card)["license"] == license_of_card(card).license == "cc-by-4.0"
    assert "`cc-by-4.0`, inherited from the source images" in card


def test_an_unknown_licence_is_unknown_and_says_what_to_do(tmp_path):
    card = card_of(tmp_path / "d", license=None)
    assert head(card)["license"] == "unknown"
    assert "set `license:` in the recipe" in card and "before publishing" in card


def test_a_licence_of_the_recipe_wins_and_the_sources_is_told(tmp_path):
    card = card_of(tmp_path / "d", recipe={"license": "cc-by-nc-4.0"})
    assert head(card)["license"] == license_of_card(card).license == "cc-by-nc-4.0"
    assert "`cc-by-nc-4.0`; the source images are under `cc-by-4.0`." in card


# ------------------------------------------------------------------------------------------------------- body


def test_the_body_tells_counts_rejects_and_what_was_left_out(tmp_path):
    text = body(card_of(tmp_path / "d"))
    assert "12 images" in text and "6 normal ones" in text
    assert "| `nsa` | 3 |" in text and "| `scar` | 3 |" in text and "| normal | 6 |" in text
    assert "nothing visible changed (3)." in text
    assert "`broken.png`" in text
    assert "width_range" in text and "preview.png" in text
    assert "numpy 2.4.6" in text and "opencv-python 5.0.0" in text and "anomgen 0.1.0" in text
    assert "0123abcd" in text and "89ef" in text
    assert "arxiv.org/abs/2109.15222" in text


def test_the_quantiles_are_those_of_the_statistics(tmp_path):
    text = body(card_of(tmp_path / "d"))
    stats = statistics(Dataset(tmp_path / "d"))
    assert f"| {100 * stats['all']['area']['50']:.2f} % |" in text
    assert f"| {100 * stats['by_type']['scar']['severity']['95']:.2f} % |" in text


def test_the_card_tells_how_visible_the_anomalies_are_where_it_is_known(tmp_path):
    rows = [replace(row, detectability=0.5 + row.index / 10 if row.label else None) for row in made_rows()]
    text = body(card_of(tmp_path / "d", rows))
    assert "| all | 0.70 | 1.10 | 1.50 | 33 % |" in text and "| `detectability` | how visible" in text
    assert "| share below 1 |" not in body(card_of(tmp_path / "unknown"))


def test_tables_are_whole(tmp_path):
    for block in re.findall(r"(?:^\|.*\|\n)+", body(card_of(tmp_path / "d", keep_normal=True)), flags=re.MULTILINE):
        lines = block.splitlines()
        assert len({line.count("|") for line in lines}) == 1 and set(lines[1]) <= set("|-:")


def test_many_left_out_files_are_cut_short(tmp_path):
    source = provenance_of([], 2)["source"] | {"skipped": [f"{i}.png" for i in range(99)]}
    text = body(card_of(tmp_path / "d", provenance={"source": source}))
    assert "`19.png`, and 79 more" in text and "`20.png`" not in text


def test_a_name_steers_no_terminal(tmp_path):
    source = provenance_of([], 2)["source"] | {"skipped": ["a\x1b[2J\u202eb.png"]}
    text = card_of(tmp_path / "d", provenance={"source": source})
    assert r"`a\x1b[2J\u202eb.png`" in text and "\x1b" not in text and "\u202e" not in text


def test_a_mixture_cites_the_paper_of_each_part(tmp_path):
    parts = [{"weight": 0.5, "kind": "perlin"}, {"weight": 0.5, "kind": "mix", "parts": [{"kind": "cutpaste"}]}]
    resolved = {"generator": {"kind": "mix", "parts": parts}, "foreground": {"method": "otsu", "dilate": 3}}
    text = body(card_of(tmp_path / "d", provenance={"resolved": resolved}))
    assert "2108.07610" in text and "2104.04015" in text and "2109.15222" not in text
    assert "`otsu` (dilate 3)" in text


@pytest.mark.parametrize("group", ["generators", "detectors"])
def test_every_method_cites_the_paper_that_its_module_names(group):
    pytest.importorskip("torch" if group == "detectors" else "numpy")
    for kind in BUNDLED[group]:
        method = load(group, kind)
        identifiers = re.findall(r"arxiv\.org/abs/([0-9.]+)\)", method.paper)
        assert len(identifiers) == (kind not in ("boxes", "defects", "mix", "probe", "transplant")), kind
        assert all(
            f"arXiv {number}" in " ".join(sys.modules[method.__module__].__doc__.split()) for number in identifiers
        )


def test_a_third_partys_method_reaches_the_card_as_ours_do(tmp_path, monkeypatch):
    class Mine(Generator):
        kind = "mine"
        paper = "Me: Mine, 2026"

    resolved = {"generator": {"kind": "mine"}, "foreground": {"method": "none"}}
    text = body(card_of(tmp_path / "d", provenance={"resolved": resolved}))
    assert "kind: mine" in text and "The anomalies follow" not in text, "it is not installed"
    monkeypatch.setattr(
        registry, "_plugins", lambda group: {"mine": SimpleNamespace(load=lambda: Mine, value="mine:Mine")}
    )
    text = body(card_of(tmp_path / "e", provenance={"resolved": resolved}))
    assert "The anomalies follow" in text and "- Me: Mine, 2026" in text


@pytest.mark.parametrize(
    ("shape", "dtype", "says", "warns"),
    [
        ((48, 40, 3), np.uint8, "RGB, 8 bits a channel, 40 pixels wide and 48 high", False),
        ((48, 40, 1), np.uint16, "Grayscale, 16 bits a channel", False),
        ((48, 40, 3), np.uint16, "RGB, 16 bits a channel", True),
    ],
)
def test_the_kind_of_image_is_told(tmp_path, shape, dtype, says, warns):
    text = body(card_of(tmp_path / "d", made_rows(shape=shape, dtype=dtype)))
    assert says in text
    assert ("Pillow reads 16-bit colour as 8-bit" in text) == warns


def test_without_soft_masks_or_rejects_or_anomalies_it_says_so(tmp_path):
    text = body(card_of(tmp_path / "a", made_rows(soft=False), provenance={"rejects": {}}))
    assert "null: this generator makes none" in text and "none had to be repeated" in text
    normal = [row for row in made_rows() if not row.label]
    text = body(card_of(tmp_path / "b", normal))
    assert "Quantiles" not in text and "0 with a synthetic anomaly" in text


def test_names_cannot_break_the_markup(tmp_path):
    source = provenance_of([], 2)["source"] | {"skipped": ["a`b|c\nd.png"]}
    assert "`a'b¦c d.png`" in card_of(tmp_path / "d", provenance={"source": source})


# ------------------------------------------------------------------------------------------- reproducible, safe


def test_the_same_dataset_gives_the_same_card_wherever_it_is(tmp_path):
    assert card_of(tmp_path / "a") == card_of(tmp_path / "b")


def test_no_path_and_no_time_of_this_machine(tmp_path):
    card = card_of(tmp_path / "d")
    assert str(tmp_path) not in card and str(Path.home()) not in card and os.sep + "tmp" not in card
    assert not re.search(r"20\d\d-\d\d-\d\d|\d\d:\d\d", card)


def test_the_lines_that_load_it_work(tmp_path):
    """Run the card's own Python, and check that `datasets` agrees with the card's features and counts."""
    pytest.importorskip("datasets")
    card = card_of(tmp_path / "d")
    (tmp_path / "d" / "provenance.json").write_text(json.dumps(provenance_of(made_rows(), 2)))
    code = re.search(r"```python\n(.*?)```", card, flags=re.DOTALL)[1]
    assert len([line for line in code.splitlines() if line]) == 3
    code = code.replace("path/to/this/folder", str(tmp_path / "d"))
    env = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "cache")}
    result = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1] == "(40, 48) normal"


@pytest.mark.parametrize("kind", ["dataset", "bank", "detector", "sdas", "cyclegan"])
def test_every_kind_of_card_tells_limits_and_what_to_cite(kind):
    from anomgen.places import bundled

    text = (bundled("templates", "cards") / f"{kind}.md").read_text(encoding="utf-8")
    headings = [line for line in text.splitlines() if line.startswith("## ")]
    assert "## What it is for, and what not" in headings
    assert {"## Citation", "## Where it comes from"} & set(headings)


def test_every_paper_of_ours_is_cited_as_bibtex():
    papers = papers_of(BUNDLED["generators"])
    entries = bibtex_of(papers)
    assert len(papers) == len(entries) == 7
    for paper, entry in zip(papers, entries, strict=True):
        (number,) = re.findall(r"arxiv\.org/abs/([\d.]+)", paper)
        assert f"eprint = {{{number}}}" in entry and entry.count("{") == entry.count("}")
        authors = re.search(r"author = \{(.*)\},\n", entry)[1].replace("{", "").replace("}", "")
        assert paper.startswith(f"{', '.join(authors.split(' and '))}: ")
    assert bibtex_of(["Somebody: A thing, [here](https://example.com)"]) == []


def test_a_card_holds_the_bibtex_of_its_generator(tmp_path):
    text = card_of(tmp_path / "d")
    assert "```bibtex\n@misc{" in text.partition("## Citation")[2]
