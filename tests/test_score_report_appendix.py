"""What the report says at its end: examples, failures, times, versions, the command."""

import cv2
import numpy as np
import pytest
from score_pages import configured, made_rows, report, tables
from score_rows import failed_row

pytest.importorskip("matplotlib")

from anomgen.score.configuration import Missing


@pytest.fixture(scope="module")
def usual(tmp_path_factory):
    """The report of a board of one detector and one seed: page, Markdown, figures."""
    return report(tmp_path_factory.mktemp("usual"), made_rows(seeds=1, detectors=("probe",)), configured())


def test_failed_trainings_are_listed_with_their_errors(tmp_path):
    rows = made_rows()
    rows[4] = failed_row(rows[4], "AnomgenError: the detector's training has diverged")
    page, markdown, results = report(tmp_path, rows)
    assert "1 of 18 trainings failed" in markdown and "training has diverged" in markdown
    assert "(1 failed)" in "".join(page.text)
    assert [cell["error"] for cell in results["failed"]] == [rows[4]["error"]]


def test_examples_are_inline_and_bounded(tmp_path):
    rows = made_rows()
    for row in rows:
        row["examples"] = {"best": ["test/crack/1.png"] * 9, "worst": ["test/spot/2.png"] * 9}
        (tmp_path / "maps" / row["key"]).mkdir(parents=True)
        for name in [f"{rank}-{k}.webp" for rank in ("best", "worst") for k in range(9)]:
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


def test_time_states_the_share_that_was_waited(usual):
    table = next(table for table in tables(usual[1]) if "trainings" in " ".join(table[0]))
    assert [cell.strip() for cell in table[2]][:4] == ["probe", "4", "40.0 s", "5 %"]


def test_configuration_and_command_are_shown(usual):
    page, markdown, results = usual
    assert "sized for two CPU cores" in markdown
    assert "anomgen score D --seeds 1 -o R" in page.text and "size:\n- 32" in markdown
    assert results["configuration"]["size"] == [32, 32]
