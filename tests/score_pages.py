"""Reports of rows made for them, and how a page is read."""

import json
import re
from contextlib import contextmanager, nullcontext
from html import escape
from html.parser import HTMLParser

import numpy as np
import pytest
from score_rows import LIMIT, RATES, done_row, records

pytest.importorskip("matplotlib")

from anomgen.score.configuration import Configuration
from anomgen.score.report import charts
from anomgen.score.report.write import write_report

PIXELS = ("pixel_ap", "au_pro")
NONE = {"threshold": None, "validation": {"fpr": None, "fnr": None}, "test": {"fpr": None, "fnr": None}}
UNDEFINED = {"f1": {"threshold": None, "f1": None, "best_f1": 0.5}, "zero_fn": NONE, "max_fpr_5": NONE}
"""Thresholds without a synthetic anomaly to choose them with."""

MEANS = {"real": 0.6, "nsa": 0.4, "perlin": 0.395, "none": 0.3, "boxes": 0.1}


def made_row(entry="nsa", detector="probe", data="tiles", seed=0, value=0.4, *, masks=True, **changes):
    """Return a finished row whose metrics all follow from `value`."""
    names = ("image_ap", *PIXELS)
    metrics = {name: value if masks or name not in PIXELS else None for name in names} | {"threshold_f1": 0.8 * value}
    spread = np.round(np.random.default_rng([seed, len(data)]).normal(0, 0.01, 200), 4)
    figures = {
        "key": re.sub(r"[^\w-]", "_", f"{entry}-{detector}-{data}-{seed}"),
        "counts": {"train": 20, "validation": 5, "test_normal": 6, "test_anomalous": 8, "lost_masks": 0},
        "metrics": metrics,
        "undefined": {} if masks else dict.fromkeys(PIXELS, "the data has no masks"),
        "replicates": {name: (found + spread).tolist() for name, found in metrics.items() if found is not None},
        "scores": [0.5] * 14,
        "thresholds": {
            "f1": {"threshold": 0.5, "f1": 0.8 * value, "best_f1": value, **RATES},
            "zero_fn": LIMIT,
            "max_fpr_5": LIMIT,
        },
        "by_type": {
            "crack": {"images": 5, "recall": value, "pixel_ap": value},
            "spot": {"images": 3, "recall": 0.1, "pixel_ap": value},
        },
        "examples": {"best": ["test/crack/1.png"], "worst": ["test/spot/2.png"]},
    }
    return done_row(entry, detector, data, seed, **{**figures, **changes})


def made_rows(seeds=2, detectors=("draem", "probe"), data=("tiles",), means=MEANS, **changes):
    """Return the rows of a whole board. Seeds shift neighbouring entries in opposite directions."""
    return [
        made_row(entry, detector, name, seed, mean - 0.05 * k + (0.02 if (seed + place) % 2 else -0.02), **changes)
        for name in data
        for place, (entry, mean) in enumerate(means.items())
        for k, detector in enumerate(detectors if entry != "none" else ("none",))
        for seed in range(seeds)
    ]


class Page(HTMLParser):
    """Reads a page strictly: every element that is opened is closed, in order."""

    VOID = ("meta", "img", "br", "input", "wbr")

    def __init__(self, text):
        super().__init__()
        self.source = text
        self.open, self.tags, self.attributes, self.text = [], [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def configured(**changes):
    """Return the configuration of a run."""
    plain = {
        "command": "anomgen score D --seeds 1 -o R",
        "data": ["D"],
        "recipes": ["nsa"],
        "baselines": ["none", "boxes"],
        "detectors": {},
        "seeds": 1,
        "size": [32, 32],
        "preset": "default",
        "ratios": [],
        "counts": [],
        "sweeps": {},
        "set": [],
        "anomalies": 256,
        "workers": 2,
        "protocol": 1,
        "versions": {},
    }
    return Configuration.model_validate({**plain, **changes})


@contextmanager
def without_charts():
    """Leave charts empty: drawing them is most of what a report takes."""

    def empty(_, path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(charts, "svg", lambda _, label: f'<svg aria-label="{escape(label, quote=True)}"></svg>')
        patched.setattr(charts, "write_png", empty)
        yield


def report(folder, rows, configuration=None, missing=None, figures=None, *, drawn=False):
    """Write a report, its charts empty unless `drawn`; return the page, the Markdown and the figures for machines."""
    with nullcontext() if drawn else without_charts():
        files = write_report(records(rows), folder, configuration, missing, figures)
    assert all(path.is_file() for path in files)
    page = Page((folder / "report.html").read_text())
    return page, (folder / "report.md").read_text(), json.loads((folder / "results.json").read_text())


def tables(markdown):
    """Return the tables as lists of lines of cells."""
    found, open_ = [], False
    for line in markdown.splitlines():
        if line.startswith("|"):
            cells = line.replace(r"\|", "¦").strip("|").split("|")
            found = [*found[:-1], [*found[-1], cells]] if open_ else [*found, [cells]]
        open_ = line.startswith("|")
    return found
