"""The report's first sentence: what to use, whether it beats using no anomalies, and which detectors do not count."""

import re

import numpy as np
import pytest
from score_pages import made_rows, report, tables
from score_rows import records

pytest.importorskip("matplotlib")

from anomgen.score.report.ranking import board
from anomgen.score.report.summary import Run
from anomgen.score.report.write import sorted_rows


@pytest.mark.parametrize(
    ("none", "sentence"),
    [
        (0.1, "**Use nsa: pixel AP 0."),
        (0.405, "**No recipe clearly beats using no anomalies (none: 0."),
        (0.8, "**No recipe beats using no anomalies (none: 0."),
        (None, "**Nothing shows that a recipe helps: neither no anomalies nor flat rectangles (boxes) have a figure"),
    ],
)
def test_the_first_sentence_says_whether_anything_beats_using_no_anomalies(tmp_path, none, sentence):
    means = {"nsa": 0.4, "perlin": 0.2, **({} if none is None else {"none": none})}
    _, markdown, results = report(tmp_path, made_rows(seeds=3, detectors=("probe",), means=means))
    assert markdown.split("\n")[2].startswith(sentence) and results["findings"].startswith(sentence[2:])
    bold = [cell for table in tables(markdown)[:2] for line in table for cell in line if "**" in cell]
    assert all(" **+" in cell or sentence.startswith("**Use") for cell in bold)  # a mean is recommended, a gap gained
    assert ("Bold: clearly more" in markdown) == sentence.startswith("**Use")


@pytest.mark.parametrize(
    ("boxes", "none", "sentence"),
    [
        (0.1, None, "**Use nsa, the best of 2 recipes: pixel AP 0."),
        (0.395, None, "**No recipe clearly beats flat rectangles (boxes: 0."),
        (0.6, 0.1, "**No recipe beats flat rectangles (boxes: 0."),
        (0.395, 0.1, "**No recipe clearly beats flat rectangles (boxes: 0."),
    ],
)
def test_what_does_not_beat_flat_rectangles_is_not_advised(tmp_path, boxes, none, sentence):
    means = {"nsa": 0.4, "boxes": boxes, "perlin": 0.2, **({} if none is None else {"none": none})}
    lead = report(tmp_path, made_rows(seeds=3, detectors=("probe",), means=means))[1].split("\n")[2]
    assert lead.startswith(sentence)
    assert ("without anomalies (none: 0." in lead) == (none is not None)


def test_one_detector_that_gains_is_named_where_the_mean_does_not(tmp_path):
    rows = made_rows(seeds=3, detectors=("probe",), means={"nsa": 0.6, "none": 0.4})
    rows += made_rows(seeds=3, detectors=("draem",), means={"nsa": 0.1})
    markdown = report(tmp_path, rows)[1]
    lead, line = markdown.split("\n")[2], next(line for line in tables(markdown)[0] if line[0].strip() == "nsa")
    assert ["**" in cell for cell in line] == [False, False, False, False, False, True]
    assert lead.startswith("**Use nsa with probe: pixel AP 0.") and "clearly more than without anomalies" in lead
    assert re.search("Averaged over the detectors, no recipe clearly gains: nsa has 0.3.., none 0.4..", lead)


def at_chance(row):
    """Return a row whose AUROCs are those of guessing."""
    names = ("image_auroc", "pixel_auroc")
    around = (0.5 + np.random.default_rng(row["seed"]).normal(0, 0.02, 200)).tolist()
    metrics = {**row["metrics"], **dict.fromkeys(names, 0.5)}
    return {**row, "metrics": metrics, "replicates": {**row["replicates"], **dict.fromkeys(names, around)}}


def test_a_detector_that_learned_nothing_is_told_and_counts_in_no_mean(tmp_path):
    good = made_rows(seeds=2, detectors=("probe",))
    idle = [at_chance(row) for row in made_rows(seeds=2, detectors=("unet",), means={"nsa": 0.02, "boxes": 0.03})]
    alone, both = report(tmp_path / "a", good)[2], report(tmp_path / "b", good + idle)
    assert both[2]["learned_nothing"] == [["tiles", "boxes", "unet"], ["tiles", "nsa", "unet"]]
    assert both[2]["board"]["overall"]["lines"] == alone["board"]["overall"]["lines"]
    assert "Learned nothing, and left out of the means: unet on tiles." in both[1].split("## ")[0]


def test_a_detector_that_learned_from_one_entry_counts(tmp_path):
    rows = [at_chance(row) for row in made_rows(seeds=1, detectors=("unet",), means={"nsa": 0.02, "boxes": 0.03})]
    rows[1]["metrics"]["pixel_auroc"], rows[1]["replicates"]["pixel_auroc"] = 0.7, [0.69] * 200
    assert report(tmp_path, rows)[2]["learned_nothing"] == [["tiles", "nsa", "unet"]]


def test_an_entry_from_which_nothing_was_learned_is_told_and_held_against_nothing(tmp_path):
    means = {"nsa": 0.4, "perlin": 0.2, "none": 0.1}
    rows = made_rows(seeds=3, detectors=("probe",), means=means)
    alone = report(tmp_path / "a", rows)[2]["board"]
    rows += [at_chance(row) for row in made_rows(seeds=3, detectors=("probe",), means={"boxes": 0.05})]
    _, markdown, results = report(tmp_path / "b", rows)
    lead, rest = markdown.split("## Leaderboard")
    assert "Learned nothing, and left out of means, ranks and differences: probe on tiles from boxes." in lead
    assert "flat rectangles" not in lead and results["best"] == "nsa"
    *lines, boxes = results["board"]["overall"]["lines"]
    assert lines == alone["overall"]["lines"] and results["board"]["pairs"] == alone["pairs"]
    assert (boxes["entry"], boxes["mean"], boxes["rank"], boxes["idle"]) == ("boxes", None, None, 1)
    line = next(line for line in tables(rest)[0] if line[0].strip() == "boxes (baseline)")
    assert [cell.strip() for cell in line[1:]] == ["–", "learned nothing", "–", "learned nothing"]


@pytest.mark.parametrize(
    ("detectors", "kept", "columns"),
    [
        (("probe", "draem"), ["boxes", "perlin"], 2),  # one of an entry's two columns, one of a column's three entries
        (("probe", "unet", "draem"), ["boxes", "nsa", "perlin"], 2),  # a third and a third
        (("draem",), ["boxes", "perlin"], 1),
    ],
)
def test_of_an_entry_and_a_column_that_learned_nothing_goes_the_one_with_the_larger_share(detectors, kept, columns):
    rows = made_rows(seeds=2, detectors=detectors, means={"nsa": 0.4, "perlin": 0.2, "boxes": 0.15})
    table = board(records(rows), idle=[("tiles", "nsa", "draem")]).overall
    assert sorted(line.entry for line in table.lines if line.mean is not None) == kept
    assert table.columns == columns


def test_a_figure_that_stands_twice_is_the_same_figure(tmp_path):
    """Law: chart, results.json and board agree on a data set with a detector, whatever else the run holds."""
    means = {"nsa": 0.4, "boxes": 0.2, "none": 0.3}
    rows = made_rows(seeds=3, detectors=("probe", "unet"), data=("a", "b"), means=means)
    rows += [at_chance(row) for row in made_rows(seeds=3, detectors=("draem",), data=("a",), means={"nsa": 0.1})]
    rows += [at_chance(row) for row in made_rows(seeds=1, detectors=("probe",), data=("a",), means={"fpi": 0.05})]
    run = Run(sorted_rows(records(rows)))
    charted = {(cell.data, cell.detector): cell for cell in run.by_metric["pixel_ap"]}
    learned = [(cell, line) for cell in run.board.by_cell for line in cell.lines if line.mean is not None]
    assert len(learned) == 12  # three entries, two data sets, two detectors
    for cell, line in learned:
        assert charted[cell.data, cell.detector].line(line.entry) == line
    assert charted["a", "probe"].line("fpi").mean is not None  # drawn faint
    _, markdown, results = report(tmp_path, rows)
    found = {(cell["data"], cell["entry"], cell["detector"]): cell["metrics"] for cell in results["cells"]}
    for cell, line in learned:
        told = found[cell.data, line.entry, "none" if line.entry == "none" else cell.detector]["pixel_ap"]
        assert told == line.model_dump(include={"mean", "low", "high", "sd"})
    (none,) = [
        line for line in tables(markdown.split("## Leaderboard")[1])[0] if line[0].strip() == "none (no anomalies)"
    ]
    of_detector = [run.board.by_detector[name].line("none").mean for name in run.board.detectors]
    assert [cell.strip() for cell in none[4:]] == [f"{mean:.3f}" for mean in of_detector]


def test_real_anomalies_below_a_recipe_are_no_ceiling(tmp_path):
    means = {"nsa": 0.4, "real": 0.3, "none": 0.2}
    _, markdown, _ = report(tmp_path, made_rows(seeds=2, detectors=("probe",), means=means))
    assert "real (real anomalies)" in markdown and "ceiling" not in markdown


def test_where_no_detector_learned_anything_there_is_nothing_to_use(tmp_path):
    rows = [at_chance(row) for row in made_rows(seeds=1, detectors=("unet",), means={"nsa": 0.3, "boxes": 0.1})]
    lead = report(tmp_path, rows)[1].split("\n")[2]
    assert lead.startswith("**Nothing to choose by: no detector has learned anything")
