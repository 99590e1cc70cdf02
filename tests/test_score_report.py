"""The report: true to the rows, whole without a network, the same for the same rows, and unbroken by odd input."""

import json
import random
import re
import subprocess
import sys
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest
from score_rows import LIMIT, RATES, done_row, failed_row, records

pytest.importorskip("matplotlib")

from anomgen.errors import AnomgenError
from anomgen.score.configuration import Configuration, Missing
from anomgen.score.report import charts
from anomgen.score.report.board import Difference
from anomgen.score.report.ranking import board
from anomgen.score.report.summary import gap
from anomgen.score.report.write import leaderboard_markdown, leaderboard_picture, write_report

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

    VOID = ("meta", "img", "br")

    def __init__(self, text):
        super().__init__()
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


def report(folder, rows, configuration=None, missing=None, figures=None):
    """Write a report; return the page, the Markdown and the figures for machines."""
    files = write_report(records(rows), folder, configuration, missing, figures)
    assert all(path.is_file() for path in files)
    page = Page((folder / "report.html").read_text())
    return page, (folder / "report.md").read_text(), json.loads((folder / "results.json").read_text())


@pytest.fixture(scope="module")
def usual(tmp_path_factory):
    """The report of a board of one detector and one seed: page, Markdown, figures."""
    return report(tmp_path_factory.mktemp("usual"), made_rows(seeds=1, detectors=("probe",)), configured())


def tables(markdown):
    """Return the tables as lists of lines of cells."""
    found, open_ = [], False
    for line in markdown.splitlines():
        if line.startswith("|"):
            cells = line.replace(r"\|", "¦").strip("|").split("|")
            found = [*found[:-1], [*found[-1], cells]] if open_ else [*found, [cells]]
        open_ = line.startswith("|")
    return found


def test_says_which_recipe_is_best_and_whether_that_is_clear(tmp_path):
    _, markdown, results = report(tmp_path, made_rows(seeds=3, detectors=("probe",)))
    lead, rest = markdown.split("## Leaderboard")
    assert "nsa is the best recipe: pixel AP" in lead
    assert "not clearly apart from perlin" in lead and "A first look" not in lead
    assert "above flat rectangles (boxes)" in lead
    assert "below training on real anomalies (real)" in lead
    assert "a clear difference" in lead
    assert results["best"] == "nsa"
    board = tables(rest)[0][2:]
    assert [line[0].strip() for line in board] == [
        "real (ceiling)",
        "nsa",
        "perlin",
        "none (no anomalies)",
        "boxes (baseline)",
    ]
    assert [line[1].strip() for line in board] == ["–", "1", "1", "–", "3"]


def test_board_is_that_of_the_ranking(tmp_path):
    rows = made_rows(data=("tiles", "screws"))
    results = report(tmp_path, rows)[2]
    assert results["board"] == json.loads(json.dumps(board(records(rows)).plain()))
    cell = next(c for c in results["cells"] if (c["data"], c["entry"], c["detector"]) == ("tiles", "nsa", "draem"))
    line = next(
        line
        for table in results["board"]["by_cell"]
        if (table["data"], table["detector"]) == ("tiles", "draem")
        for line in table["lines"]
        if line["entry"] == "nsa"
    )
    assert cell["metrics"]["pixel_ap"]["mean"] == line["mean"]
    assert cell["thresholds"]["zero_fn"]["test"] == {"fpr": 0.1, "fnr": 0.25}


def test_operating_points_are_shown_where_rows_hold_labels(tmp_path):
    scores = [0.1 * k for k in range(14)]
    validation = {"scores": [0.2, 0.4, 0.3, 0.6], "anomalous": [False, False, True, True]}
    known = {"scores": scores, "anomalous": [k >= 6 for k in range(14)], "validation": validation}
    rows = made_rows(seeds=2, detectors=("probe",), pixel_f1=[(0.1, 0.2), (0.5, 0.9)], **known)
    _, markdown, results = report(tmp_path, rows, configured(limits=("fn=0", "fp=0")))
    table = next(table for table in tables(markdown) if "fn=0: missed" in "".join(table[0]))
    nsa = next(line for line in table if line[0].strip() == "nsa")
    # fn=0 is kept from 0.3 on: 3 of 6 normal ones are flagged; fp=0 above 0.4: one more normal one is
    assert [cell.strip() for cell in nsa[2:8]] == ["0 %", "50 %", "0.786", "0 %", "17 %", "0.929"]
    assert [cell.strip() for cell in nsa[8:11]] == ["none"] * 3
    cell = next(cell for cell in results["cells"] if cell["entry"] == "nsa")
    assert cell["accuracy"]["best_accuracy"] == 1.0 == cell["accuracy"]["best_zero_fn_accuracy"]
    assert cell["limits"]["fn=0 and fp=0"] is None
    assert (tmp_path / "charts" / "f1_curves.png").is_file()


def test_other_light_is_a_chart_and_a_table_of_each_kind(tmp_path):
    figures = {"fnr": 0.1, "best_f1": 0.9, "image_auroc": 0.8}
    found = [{"kind": "noise", "strength": s, "f1": 0.8 - s, "fpr": 2 * s, **figures} for s in (0.0, 0.1, 0.2)]
    rows = made_rows(seeds=2, detectors=("probe",), perturbed=found)
    _, markdown, results = report(tmp_path, rows, configured(perturb=("noise=0..0.2",)))
    table = next(table for table in tables(markdown) if "0.2: F1" in "".join(table[0]))
    nsa = next(line for line in table if line[0].strip() == "nsa")
    assert [cell.strip() for cell in nsa[2:8]] == ["0.800", "0 %", "0.700", "20 %", "0.600", "40 %"]
    cell = next(cell for cell in results["cells"] if cell["entry"] == "nsa")
    assert cell["perturbed"]["noise"]["0.2"] == pytest.approx({"fpr": 0.4, "fnr": 0.1, "f1": 0.6, "best_f1": 0.9})
    assert {"noise_f1.png", "noise_false_alarms.png"} <= {path.name for path in (tmp_path / "charts").iterdir()}


def test_same_rows_give_the_same_bytes_in_any_order(tmp_path):
    rows = made_rows(seeds=1, detectors=("probe",))
    first = write_report(records(rows), tmp_path / "a", configured())
    random.Random(1).shuffle(rows)
    second = write_report(records(rows), tmp_path / "b", configured())
    assert [path.name for path in first] == [path.name for path in second]
    assert all(a.read_bytes() == b.read_bytes() for a, b in zip(first, second, strict=True))


def test_charts_of_an_earlier_request_do_not_stay(tmp_path):
    rows = made_rows(seeds=1, detectors=("probe",))
    first = write_report(records(rows), tmp_path)
    masked = [path for path in first if path.parent.name == "charts"]
    second = write_report(records([{**row, "metrics": {}} for row in rows]), tmp_path)
    assert masked and set(tmp_path.glob("charts/*")) == {path for path in second if path.parent.name == "charts"}


def test_page_needs_nothing_from_elsewhere(usual):
    page = usual[0]
    assert "script" not in page.tags and "link" not in page.tags and "svg" in page.tags
    for name, value in page.attributes:
        if name in ("src", "href", "xlink:href", "action", "data"):
            assert value.startswith(("#", "data:image/png;base64,"))
    assert "@import" not in "".join(page.text) and "url(http" not in "".join(page.text)


def test_charts_take_the_page_s_colour(usual):
    styles = " ".join(value for name, value in usual[0].attributes if name == "style")
    assert "currentColor" in styles and "#1d2125" not in styles


def test_odd_names_are_text_everywhere(tmp_path):
    odd = "<b>|x`_$a$_[l](u)*&"
    rows = made_rows(
        seeds=1, detectors=("probe", "<i>d|"), data=("<u>|$1$",), means={odd: 0.5, "boxes": 0.2, "欠陥" * 30: 0.3}
    )
    rows.append(
        failed_row(made_row("nsa", data="<u>|$1$"), "RuntimeError: <script>alert(1)</script> | `x`\nsecond line")
    )
    page, markdown, results = report(tmp_path, rows, configured(data=["<u>"], set=["```\n</pre>"]))
    assert not {"b", "i", "u", "script"} & set(page.tags)
    assert odd in page.text
    assert results["best"] == odd
    for table in tables(markdown):
        assert len({len(line) for line in table}) == 1
    outside = markdown.split("````")[::2]
    assert not any(tag in part for part in outside for tag in ("<b>", "<i>", "<u>", "<script>"))


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [made_row()],
        [failed_row(made_row(), "AnomgenError: diverged")],
        [failed_row(row, "no memory") for row in made_rows(seeds=1)],
        [made_row("none", "none", thresholds=UNDEFINED, by_type={})],
        made_rows(seeds=1, means={"boxes": 0.2}),
        [
            made_row(
                metrics=dict.fromkeys(made_row()["metrics"]), replicates={}, undefined={"image_ap": "one class only"}
            )
        ],
    ],
    ids=["none", "one", "one-failed", "all-failed", "no-anomalies", "boxes", "undefined"],
)
def test_degenerate_runs_have_a_report(tmp_path, rows):
    _, markdown, _ = report(tmp_path, rows)
    assert markdown.startswith("# Which anomalies are useful")
    leaderboard_markdown(records(rows))


def test_data_without_masks_is_ranked_by_images_and_says_why(tmp_path):
    _, markdown, results = report(tmp_path, made_rows(seeds=1, masks=False))
    assert "nsa is the best recipe: image AP" in markdown
    assert "the data has no masks" in markdown
    assert results["board"]["metrics"] == {"tiles": "image_ap"}
    assert not (tmp_path / "charts" / "pixel_ap.png").exists()


def test_failed_trainings_are_listed_with_their_errors(tmp_path):
    rows = made_rows()
    rows[4] = failed_row(rows[4], "AnomgenError: the detector's training has diverged")
    page, markdown, results = report(tmp_path, rows)
    assert "1 of 18 trainings failed" in markdown and "training has diverged" in markdown
    assert "(1 failed)" in "".join(page.text)
    assert [cell["error"] for cell in results["failed"]] == [rows[4]["error"]]


def test_the_first_line_says_over_what_the_means_are(tmp_path):
    rows = made_rows(detectors=("probe",), data=("tiles", "wood"))
    whole = report(tmp_path / "whole", rows)[1]
    gone = [failed_row(row, "no anomaly") if (row["data"], row["entry"]) == ("wood", "nsa") else row for row in rows]
    part = report(tmp_path / "part", gone)[1]
    assert "over 2 data sets, 1 detector, 2 seeds.**" in whole
    assert "over 1 of 2 data sets, 1 detector, 2 seeds.**" in part
    assert "The means leave out wood with probe: not every line has a training there" in part


def test_detector_that_ignores_the_recipe_is_not_ranked(tmp_path):
    rows = made_rows(detectors=("probe",))
    rows += [
        made_row(name, "autoencoder", seed=seed, value=0.2) for name in ("nsa", "perlin", "boxes") for seed in (0, 1)
    ]
    _, markdown, results = report(tmp_path, rows)
    assert results["not_ranked"] == ["autoencoder"] and results["board"]["detectors"] == ["probe"]
    assert "autoencoder: trained on normal images only" in markdown
    assert any("autoencoder" in cell for table in tables(markdown) for line in table for cell in line)


def test_defect_types_that_nothing_teaches_are_named(tmp_path):
    markdown = report(tmp_path, made_rows(seeds=1, means={"nsa": 0.7, "boxes": 0.2}))[1]
    assert "No recipe teaches any detector: spot (at best 10 %, boxes 10 %)." in markdown
    found = [table for table in tables(markdown) if "crack (5)" in " ".join(table[0])]
    recall, precision = found[:2]
    assert [cell.strip() for cell in recall[2]] == ["nsa", "65 %", "10 %"]
    assert [cell.strip() for cell in precision[2]] == ["nsa", "0.655", "0.655"]


def test_a_type_is_taught_if_one_recipe_teaches_it_to_one_detector(tmp_path):
    types = {share: {"spot": {"images": 3, "recall": share, "pixel_ap": 0.5}} for share in (0.0, 0.1, 1.0)}
    recall = {("nsa", "probe"): 1.0, ("nsa", "draem"): 0.0, ("perlin", "probe"): 0.0, ("perlin", "draem"): 0.1}
    rows = [made_row(v, t, value=0.3 + share / 3, by_type=types[share]) for (v, t), share in recall.items()]
    rows += [made_row(v, "autoencoder", value=0.2, by_type=types[0.0]) for v in ("nsa", "perlin")]
    markdown = report(tmp_path, rows)[1]
    assert "Every type is found by some recipe with some detector" in markdown
    chapter = markdown.split("does not teach")[1].split("## ")[0]
    assert "autoencoder" not in chapter and "| nsa | 50 % |" in chapter


def test_differences_near_0_are_told_from_0():
    def shown(low, high, clear):
        return gap(Difference(a="a", b="b", difference=0.1, low=low, high=high, clear=clear, columns=1, trainings=1))

    assert shown(-0.0002, 1.2, clear=False) == "+0.100 (0.000 to +1.000)"
    assert shown(0.0002, 1.2, clear=True) == "+0.1000 (+0.0002 to +1.0000)"
    assert shown(-0.5, -0.004, clear=True) == "+0.100 (−0.500 to −0.004)"


def test_each_board_marks_its_own_best(tmp_path):
    rows = [
        made_row(v, data=d, value=x)
        for v, d, x in (("nsa", "a", 0.9), ("perlin", "a", 0.4), ("nsa", "b", 0.3), ("perlin", "b", 0.5))
    ]
    markdown = report(tmp_path, rows, configured(data=["x/b", "a"]))[1]
    marked = [[line[0].strip() for line in table if "**" in line[2]] for table in tables(markdown)[:3]]
    assert marked == [["nsa"], ["perlin"], ["nsa"]]
    assert markdown.index("On b alone") < markdown.index("On a alone")


def test_detectors_stand_in_the_order_of_the_request(tmp_path):
    configuration = configured(detectors={"probe": {}, "draem": {}, "none": {}})
    head = tables(report(tmp_path, made_rows(), configuration)[1])[0][0]
    assert [cell.strip() for cell in head][-2:] == ["probe", "draem"]


def test_thresholds_state_the_achieved_rates(usual):
    table = next(table for table in tables(usual[1]) if "best image F1" in " ".join(table[0]))
    expected = ["real (ceiling)", "probe", "0.464", "0.580", "25 %", "10 %", "25 %", "10 %"]
    assert [cell.strip() for cell in table[2]] == expected


def test_examples_are_inline_and_bounded(tmp_path):
    rows = made_rows()
    for row in rows:
        row["examples"] = {"best": ["test/crack/1.png"] * 9, "worst": ["test/spot/2.png"] * 9}
        (tmp_path / "maps" / row["key"]).mkdir(parents=True)
        for name in [f"{rank}-{k}.png" for rank in ("best", "worst") for k in range(9)]:
            cv2.imwrite(str(tmp_path / "maps" / row["key"] / name), np.zeros((8, 24, 3), np.uint8))
    page, markdown, _ = report(tmp_path, rows)
    pictures = [value for name, value in page.attributes if name == "src"]
    assert 0 < len(pictures) <= 48
    assert "highest score, found: test/crack/1.png" in page.text
    assert "lowest score, missed: test/spot/2.png" in page.text and "not in this folder" not in markdown
    shown = [line.split("](")[1].split(")")[0] for line in markdown.splitlines() if "](maps/" in line]
    assert len(shown) == len(pictures) and all((tmp_path / path).is_file() for path in shown)
    assert {path.split("/")[1].split("-")[0] for path in shown} == {"nsa", "boxes"}


def test_examples_that_are_elsewhere_are_said_to_be(tmp_path):
    markdown = report(tmp_path, made_rows())[1]
    assert "The example maps of 4 of 4 trainings that would be shown here are not in this folder" in markdown


def test_partial_board_says_so(tmp_path):
    missing = Missing(cells=2, of=18, groups=[("tiles", "draem", 1, ["nsa", "boxes"])])
    markdown, results = report(tmp_path, made_rows()[:-2], missing=missing)[1:]
    assert "2 of 18 trainings are not done yet" in markdown.split("## Leaderboard")[0]
    assert ["nsa, boxes", "draem", "tiles", "1"] in [[c.strip() for c in line] for line in tables(markdown)[0]]
    assert results["missing"] == {"cells": 2, "of": 18, "list": [["tiles", "draem", 1, ["nsa", "boxes"]]]}
    assert "not done yet" not in report(tmp_path, made_rows())[1]
    empty = report(tmp_path, [], missing=missing)[1]
    assert "No recipe has a figure: trainings are still to be done." in empty and "no rows" not in empty


def test_rows_of_several_versions_are_told(tmp_path):
    rows = made_rows(seeds=1)
    rows[0]["versions"] = {"anomgen": "0.2.0", "cv2": "4"}
    assert "several versions of anomgen (0.1.0, 0.2.0)" in report(tmp_path, rows)[1]


def test_board_of_detectors_that_ignore_the_recipe_is_about_thresholds(tmp_path):
    rows = [
        made_row(name, "autoencoder", seed=seed, value=0.6) for name in ("nsa", "perlin", "boxes") for seed in (0, 1, 2)
    ]
    for row in rows:
        row["metrics"]["threshold_f1"] = {"nsa": 0.3, "perlin": 0.5, "boxes": 0.4}[row["entry"]] + 0.01 * row["seed"]
    rows.append(made_row("none", "none", metrics={"pixel_ap": 0.9, "threshold_f1": None}, thresholds=UNDEFINED))
    markdown, results = report(tmp_path, rows)[1:]
    lead = markdown.split("## Leaderboard")[0]
    assert "No recipe is the best by its maps" in lead and "best recipe" not in lead
    assert "perlin 0.510 of 0.600, boxes 0.410 of 0.600, nsa 0.310 of 0.600" in lead
    table = tables(markdown)[0]
    assert "best F1 of any threshold" in " ".join(table[0]) and table[2][0].strip() == "perlin"
    assert results["best"] is None and results["board"]["metrics"] == {"tiles": "threshold_f1"}


def test_sweeps_have_a_chart_of_the_metric_against_the_value(tmp_path):
    rows = [
        {**made_row(f"{recipe} ratio={ratio}", seed=seed, value=0.3 + 0.1 * ratio), "variation": {"ratio": ratio}}
        for recipe in ("nsa", "perlin")
        for ratio in (0.1, 0.5, 0.9)
        for seed in (0, 1)
    ]
    rows += [{**row, "entry": "fpi x", "recipe": "fpi", "variation": {"area": [0.1, 0.2]}} for row in rows[:1]]
    files = [path.name for path in write_report(records(rows), tmp_path)]
    assert "sweep-ratio.png" in files and "sweep-area.png" not in files


def test_sweep_of_lists_keeps_its_order_and_its_lines_apart(monkeypatch, tmp_path):
    drawn, drawing = [], charts.sweep_chart
    monkeypatch.setattr(charts, "sweep_chart", lambda *given: drawn.append(given) or drawing(*given))
    values, key = [[0.6, 1], [0.2, 0.4], "x"], "generator.opacity_range"
    rows = [
        made_row(f"{name} count={count} {value}", value=0.5, recipe=name, variation={"count": count, key: value})
        for name in ("perlin", "boxes")
        for count in (4, 8)
        for value in values
    ]
    page = report(tmp_path, rows, configured(sweeps={key: values}))[0]
    chart = next(given for given in drawn if given[2] == key)
    assert list(next(iter(chart[0].values()))) == ["boxes count=4", "boxes count=8", "perlin count=4", "perlin count=8"]
    assert chart[1] == ["[0.6, 1]", "[0.2, 0.4]", "x"]
    assert "boxes count=4 x (baseline)" in page.text


@pytest.mark.parametrize("end", ["", "y" * 20, "y" * 60])
def test_labels_of_a_chart_are_apart(end):
    names = [f"perlin generator.opacity_range=[0.2, {value}] {end}" for value in (0.4, 0.8)] + ["nsa"]
    labels = charts._labels(names)
    assert len(set(labels)) == 3 and labels[2] == "nsa"
    assert max(len(line) for label in labels for line in label.splitlines()) <= 1.5 * charts.LONGEST


def test_figures_of_images_stand_beside_their_correlation(tmp_path):
    pytest.importorskip("torch")
    names = ("nsa", "perlin", "boxes", "real")
    figures = {"tiles": {name: {"area": 0.1 * MEANS[name], "kid_lite0": None} for name in names}}
    _, markdown, results = report(tmp_path, made_rows(), figures=figures)
    assert results["correlations"] == {"tiles": {"area": {"rho": 1.0, "n": 3}, "kid_lite0": {"rho": None, "n": 0}}}
    table = next(table for table in tables(markdown) if "kid lite0" in " ".join(table[0]))
    assert [cell.strip() for cell in table[-1]] == ["Spearman's ρ with usefulness", "", "+1.000 (3)", "–"]
    assert [cell.strip() for cell in table[2]][2:] == ["6.00 %", "–"]


def test_time_states_the_share_that_was_waited(usual):
    table = next(table for table in tables(usual[1]) if "trainings" in " ".join(table[0]))
    assert [cell.strip() for cell in table[2]][:4] == ["probe", "4", "40.0 s", "5 %"]


def test_configuration_and_command_are_shown(usual):
    page, markdown, results = usual
    assert "sized for two CPU cores" in markdown
    assert "anomgen score D --seeds 1 -o R" in page.text and "size:\n- 32" in markdown
    assert results["configuration"]["size"] == [32, 32]


def test_picture_of_the_leaderboard(tmp_path):
    leaderboard_picture(records(made_rows(seeds=1, data=("tiles", "screws"))), tmp_path / "board.png")
    assert cv2.imread(str(tmp_path / "board.png")).shape[1] == 1800
    with pytest.raises(AnomgenError, match="finished training"):
        leaderboard_picture([], tmp_path / "none.png")


def test_leaderboard_markdown_is_the_report_s(usual):
    rows = made_rows(seeds=1, detectors=("probe",))
    assert tables(leaderboard_markdown(records(rows)))[0] == tables(usual[1])[0]


def test_importing_it_loads_no_matplotlib():
    code = "import sys, anomgen.score.report; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
