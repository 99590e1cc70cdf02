"""Charts of the report: what they show, and that their labels keep apart."""

import subprocess
import sys

import cv2
import numpy as np
import pytest
from score_pages import configured, made_row, made_rows, report, tables
from score_rows import done_row, records

pytest.importorskip("matplotlib")

from anomgen.errors import AnomgenError
from anomgen.score import metrics
from anomgen.score.report import charts
from anomgen.score.report.chance import chance
from anomgen.score.report.write import leaderboard_picture, write_report


@pytest.fixture(scope="module")
def usual(tmp_path_factory):
    """The report of a board of one detector and one seed: page, Markdown, figures."""
    return report(tmp_path_factory.mktemp("usual"), made_rows(seeds=1, detectors=("probe",)), configured(), drawn=True)


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


def test_charts_of_an_earlier_request_do_not_stay(tmp_path):
    rows = made_rows(seeds=1, detectors=("probe",))
    first = write_report(records(rows), tmp_path)
    own = tmp_path / "charts/mine.png"
    own.write_bytes(b"mine")
    masked = [path for path in first if path.parent.name == "charts"]
    second = write_report(records([{**row, "metrics": {}} for row in rows]), tmp_path)
    assert masked and set(tmp_path.glob("charts/*")) == {
        own,
        *(path for path in second if path.parent.name == "charts"),
    }
    assert own.read_bytes() == b"mine"


def test_charts_take_the_page_s_colour(usual):
    styles = " ".join(value for name, value in usual[0].attributes if name == "style")
    assert "currentColor" in styles and "#1d2125" not in styles


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
    page = report(tmp_path, rows, configured(sweeps={key: values}), drawn=True)[0]
    chart = next(given for given in drawn if given[2] == "opacity")
    lines = [f"{name} ({count} normal images)" for name in ("boxes", "perlin") for count in (4, 8)]
    assert list(next(iter(chart[0].values()))) == lines
    assert chart[1] == ["0.6 to 1", "0.2 to 0.4", "x"]
    assert "boxes (4 normal images, opacity x; baseline)" in page.text


@pytest.mark.parametrize("end", ["", "y" * 20, "y" * 60])
def test_labels_of_a_chart_are_apart(end):
    names = [f"perlin generator.opacity_range=[0.2, {value}] {end}" for value in (0.4, 0.8)] + ["nsa"]
    labels = charts._labels(names)
    assert len(set(labels)) == 3 and labels[2] == "nsa"
    assert max(len(line) for label in labels for line in label.splitlines()) <= 1.5 * charts.LONGEST


def test_picture_of_the_leaderboard(tmp_path):
    leaderboard_picture(records(made_rows(seeds=1, data=("tiles", "screws"))), tmp_path / "board.png")
    assert cv2.imread(str(tmp_path / "board.png")).shape[1] == 1800
    with pytest.raises(AnomgenError, match="finished training"):
        leaderboard_picture([], tmp_path / "none.png")


def test_importing_it_loads_no_matplotlib():
    code = "import sys, anomgen.score.report; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_chance_is_what_random_scores_reach(tmp_path):
    rng = np.random.default_rng(5)
    labels, masks = rng.random(400) < 0.3, rng.random((40, 24, 24)) < 0.04
    counts = {"train": 1, "validation": 1, "test_normal": int((~labels).sum()), "test_anomalous": int(labels.sum())}
    counts |= {"lost_masks": 0, "anomalous_pixels": float(masks.mean())}
    row = done_row(counts=counts, scores=[0.5] * 400)
    images = metrics.image_metrics(metrics.Curve.of(labels, rng.random(400))).metrics
    pixels = metrics.pixel_metrics(metrics.Curve.of_maps(masks, rng.random(masks.shape, np.float32))).metrics
    for name, measured in (images | pixels).items():
        assert chance(records([row]), name) == pytest.approx(measured, abs=0.06), name


def test_chance_is_drawn_where_it_is_known():
    dots = {"tiles": {("nsa", "probe"): charts.Dot(0.4, 0.3, 0.5)}}
    drawn = [charts.interval_chart(dots, ["nsa"], ["probe"], "AUROC", {"tiles": level}) for level in (0.25, None)]
    lines = [[line.get_xdata() for line in figure.axes[0].lines if len(set(line.get_xdata())) == 1] for figure in drawn]
    assert [0.25, 0.25] in [list(line) for line in lines[0]] and len(lines[0]) == len(lines[1]) + 1


def test_a_phone_has_one_panel_a_line():
    dots = {name: {("nsa", "probe"): charts.Dot(0.4, 0.3, 0.5)} for name in "abc"}
    figure = charts.interval_chart(dots, ["nsa"], ["probe"], "AUROC", {}, charts.NARROW)
    places = [axes.get_subplotspec().colspan.start for axes in figure.axes]
    assert places == [0, 0, 0] and figure.get_size_inches()[0] < 5
