"""The report: true to the rows, whole without a network, the same for the same rows, and unbroken by odd input."""

import json
import random

import pytest
from score_pages import MEANS, UNDEFINED, configured, made_row, made_rows, report, tables
from score_rows import failed_row, records

pytest.importorskip("matplotlib")

from anomgen.score.report.board import Difference
from anomgen.score.report.ranking import board
from anomgen.score.report.summary import gap
from anomgen.score.report.write import leaderboard_markdown, write_report


@pytest.fixture(scope="module")
def usual(tmp_path_factory):
    """The report of a board of one detector and one seed: page, Markdown, figures."""
    return report(tmp_path_factory.mktemp("usual"), made_rows(seeds=1, detectors=("probe",)), configured(), drawn=True)


def test_says_which_recipe_is_best_and_whether_that_is_clear(tmp_path):
    _, markdown, results = report(tmp_path, made_rows(seeds=3, detectors=("probe",)))
    lead, rest = markdown.split("## Leaderboard")
    assert "Use nsa: pixel AP 0.407" in lead and "clearly more than without anomalies (none: 0.307)" in lead
    assert "Not clearly apart from nsa: perlin." in lead and "A first look" not in lead
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
    why = next(table for table in tables(markdown) if table[0][-2].strip() == "why" or table[0][-1].strip() == "why")
    assert "with fn=0 at least 1 of 2 normal images are flagged" in "".join(map("".join, why))
    cell = next(cell for cell in results["cells"] if cell["entry"] == "nsa")
    assert cell["accuracy"]["best_accuracy"] == 1.0 == cell["accuracy"]["best_zero_fn_accuracy"]
    assert cell["limits"]["fn=0 and fp=0"] is None
    assert (tmp_path / "charts" / "f1_curves.png").is_file()


def test_limits_on_false_alarms_need_normal_images_alone(tmp_path):
    validation = {"scores": [0.2, 0.4], "anomalous": [False, False]}
    known = {"scores": [0.1 * k for k in range(14)], "anomalous": [k >= 6 for k in range(14)], "validation": validation}
    rows = made_rows(seeds=1, detectors=("probe",), **known)
    _, markdown, results = report(tmp_path, rows, configured(limits=("fn=0", "fpr=0")))
    cell = next(cell for cell in results["cells"] if cell["entry"] == "nsa")
    assert cell["limits"]["fn=0"] is None and cell["limits"]["fpr=0"]["fpr"] == pytest.approx(1 / 6)
    assert "fn=0: there is no anomalous image to choose the threshold on" in markdown


def test_same_rows_give_the_same_bytes_in_any_order(tmp_path):
    rows = made_rows(seeds=1, detectors=("probe",))
    first = write_report(records(rows), tmp_path / "a", configured())
    random.Random(1).shuffle(rows)
    second = write_report(records(rows), tmp_path / "b", configured())
    assert [path.name for path in first] == [path.name for path in second]
    assert all(a.read_bytes() == b.read_bytes() for a, b in zip(first, second, strict=True))


def test_page_needs_nothing_from_elsewhere(usual):
    page = usual[0]
    assert page.tags.count("script") == 1 and "link" not in page.tags and "svg" in page.tags
    assert "default-src 'none'" in page.source and "fetch" not in page.source and "XMLHttp" not in page.source
    for name, value in page.attributes:
        if name in ("src", "href", "xlink:href", "action", "data"):
            assert value.startswith(("#", "data:image/"))
    assert "@import" not in "".join(page.text) and "url(http" not in "".join(page.text)


def test_odd_names_are_text_everywhere(tmp_path):
    odd = "<b>|x`$a$[l](u)*&"
    rows = made_rows(
        seeds=1, detectors=("probe", "<i>d|"), data=("<u>|$1$",), means={odd: 0.5, "boxes": 0.2, "欠陥" * 30: 0.3}
    )
    rows.append(
        failed_row(made_row("nsa", data="<u>|$1$"), "RuntimeError: <script>alert(1)</script> | `x` _a_\nsecond line")
    )
    page, markdown, results = report(tmp_path, rows, configured(data=["<u>"], set=["```\n</pre>"]), drawn=True)
    assert not {"b", "i", "u"} & set(page.tags) and page.tags.count("script") == 1
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
    _, markdown, _ = report(tmp_path, rows, drawn=True)
    assert markdown.startswith("# Which anomalies are useful")
    leaderboard_markdown(records(rows))


def test_data_without_masks_is_ranked_by_images_and_says_why(tmp_path):
    _, markdown, results = report(tmp_path, made_rows(seeds=1, masks=False))
    assert "Use nsa: image AP" in markdown
    assert "the data has no masks" in markdown
    assert results["board"]["metrics"] == {"tiles": "image_ap"}
    assert not (tmp_path / "charts" / "pixel_ap.png").exists()


def test_the_first_line_says_over_what_the_means_are(tmp_path):
    rows = made_rows(detectors=("probe",), data=("tiles", "wood"))
    whole = report(tmp_path / "whole", rows)[1]
    gone = [failed_row(row, "no anomaly") if (row["data"], row["entry"]) == ("wood", "nsa") else row for row in rows]
    part = report(tmp_path / "part", gone)[1]
    assert "over 2 data sets, 1 detector, 2 seeds" in whole
    assert "over 1 of 2 data sets, 1 detector, 2 seeds" in part
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
    values = {"a": {"nsa": 0.9, "perlin": 0.4, "boxes": 0.2}, "b": {"nsa": 0.3, "perlin": 0.5, "boxes": 0.2}}
    rows = [made_row(name, data=data, value=x) for data, means in values.items() for name, x in means.items()]
    markdown = report(tmp_path, rows, configured(data=["x/b", "a"]))[1]
    marked = [[line[0].strip() for line in table if "**" in line[2]] for table in tables(markdown)[:3]]
    assert marked == [["nsa"], ["perlin"], ["nsa"]] and "**0.600" in markdown
    assert markdown.index("On b alone") < markdown.index("On a alone")


def test_detectors_stand_in_the_order_of_the_request(tmp_path):
    configuration = configured(detectors={"probe": {}, "draem": {}, "none": {}})
    head = tables(report(tmp_path, made_rows(), configuration)[1])[0][0]
    assert [cell.strip() for cell in head][-2:] == ["probe", "draem"]


def test_thresholds_state_the_achieved_rates(usual):
    table = next(table for table in tables(usual[1]) if "best image F1" in " ".join(table[0]))
    expected = ["real (ceiling)", "probe", "0.464", "0.580", "25 %", "10 %", "25 %", "10 %"]
    assert [cell.strip() for cell in table[2]] == expected


def test_board_of_detectors_that_ignore_the_recipe_is_about_thresholds(tmp_path):
    rows = [
        made_row(name, "autoencoder", seed=seed, value=0.6) for name in ("nsa", "perlin", "boxes") for seed in (0, 1, 2)
    ]
    for row in rows:
        row["metrics"]["threshold_f1"] = {"nsa": 0.3, "perlin": 0.5, "boxes": 0.4}[row["entry"]] + 0.01 * row["seed"]
    rows.append(made_row("none", "none", metrics={"pixel_ap": 0.9, "threshold_f1": None}, thresholds=UNDEFINED))
    markdown, results = report(tmp_path, rows)[1:]
    lead = markdown.split("## Leaderboard")[0]
    assert "No recipe is the best by its maps" in lead and "Use " not in lead
    assert "perlin 0.510 of 0.600, boxes 0.410 of 0.600, nsa 0.310 of 0.600" in lead
    table = tables(markdown)[0]
    assert "best F1 of any threshold" in " ".join(table[0]) and table[2][0].strip() == "perlin"
    assert results["best"] is None and results["board"]["metrics"] == {"tiles": "threshold_f1"}


def test_figures_of_images_stand_beside_their_correlation(tmp_path):
    pytest.importorskip("torch")
    names = ("nsa", "perlin", "boxes", "real")
    figures = {"tiles": {name: {"area": 0.1 * MEANS[name], "kid_lite0": None} for name in names}}
    _, markdown, results = report(tmp_path, made_rows(), figures=figures)
    assert results["correlations"] == {"tiles": {"area": {"rho": 1.0, "n": 3}, "kid_lite0": {"rho": None, "n": 0}}}
    table = next(table for table in tables(markdown) if "distance to real ones (KID)" in " ".join(table[0]))
    assert [cell.strip() for cell in table[-1]] == ["Spearman's ρ with usefulness", "", "+1.000 (3)", "–"]
    assert [cell.strip() for cell in table[2]][2:] == ["6.00 %", "–"]
    few = {"tiles": {name: {"area": 0.1 * MEANS[name]} for name in ("nsa", "boxes")}}
    markdown = report(tmp_path, made_rows(), figures=few)[1]
    assert "ρ" not in markdown and "How they go with usefulness cannot be said" in markdown


def test_leaderboard_markdown_is_the_report_s(usual):
    rows = made_rows(seeds=1, detectors=("probe",))
    assert tables(leaderboard_markdown(records(rows)))[0] == tables(usual[1])[0]
