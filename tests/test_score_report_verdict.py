"""The report's first sentence: what to use, whether it beats using no anomalies, and which detectors do not count."""

import numpy as np
import pytest
from score_pages import made_rows, report

pytest.importorskip("matplotlib")


@pytest.mark.parametrize(
    ("none", "sentence"),
    [
        (0.1, "**Use nsa: pixel AP 0."),
        (0.405, "**No recipe clearly beats using no anomalies (none: 0."),
        (0.8, "**No recipe beats using no anomalies (none: 0."),
        (None, "**Use nsa, the best of 2 recipes: pixel AP 0."),
    ],
)
def test_the_first_sentence_says_whether_anything_beats_using_no_anomalies(tmp_path, none, sentence):
    means = {"nsa": 0.4, "perlin": 0.2, **({} if none is None else {"none": none})}
    _, markdown, results = report(tmp_path, made_rows(seeds=3, detectors=("probe",), means=means))
    assert markdown.split("\n")[2].startswith(sentence) and results["verdict"].startswith(sentence[2:])


def test_one_detector_that_gains_is_named_where_the_mean_does_not(tmp_path):
    rows = made_rows(seeds=3, detectors=("probe",), means={"nsa": 0.6, "none": 0.4})
    rows += made_rows(seeds=3, detectors=("draem",), means={"nsa": 0.1})
    lead = report(tmp_path, rows)[1].split("\n")[2]
    assert lead.startswith("**Use nsa with probe: pixel AP 0.") and "clearly more than without anomalies" in lead
    assert "Averaged over the detectors, no recipe clearly gains: nsa has 0.3" in lead


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
    assert both[2]["learned_nothing"] == [["tiles", "unet"]]
    assert both[2]["board"]["overall"]["lines"] == alone["board"]["overall"]["lines"]
    assert "Learned nothing, and left out of the means: unet on tiles." in both[1].split("## ")[0]


def test_a_detector_that_learned_from_one_entry_counts(tmp_path):
    rows = [at_chance(row) for row in made_rows(seeds=1, detectors=("unet",), means={"nsa": 0.02, "boxes": 0.03})]
    rows[1]["metrics"]["pixel_auroc"], rows[1]["replicates"]["pixel_auroc"] = 0.7, [0.69] * 200
    assert report(tmp_path, rows)[2]["learned_nothing"] == []


def test_where_no_detector_learned_anything_there_is_nothing_to_use(tmp_path):
    rows = [at_chance(row) for row in made_rows(seeds=1, detectors=("unet",), means={"nsa": 0.3, "boxes": 0.1})]
    lead = report(tmp_path, rows)[1].split("\n")[2]
    assert lead.startswith("**Nothing to choose by: no detector has learned anything")
