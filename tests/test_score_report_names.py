"""Names in reports: data sets without underscores, sweeps in words, and figures for machines under the given names."""

import re

import pytest
from score_pages import configured, made_row, made_rows, report
from score_rows import records

from anomgen.score.configuration import Missing
from anomgen.score.report.names import Names, entry_name, key_name, value_name


def test_a_report_calls_data_and_entries_by_readable_names_and_its_figures_by_the_given_ones(tmp_path):
    rows = made_rows(seeds=1, detectors=("probe",), data=("z_screw_eq", "a_leaf"))
    varied = {"generator.opacity_range": [0.2, 0.5]}
    rows += [
        made_row("perlin opacity_range=[0.2,0.5]", data=data, value=0.7, variation=varied)
        for data in ("z_screw_eq", "a_leaf")
    ]
    page, markdown, results = report(tmp_path, rows, configured(data=["photos/z_screw_eq", "a_leaf"]), drawn=True)
    assert "Use perlin (opacity 0.2 to 0.5): pixel AP 0.700" in markdown
    assert "# Which anomalies are useful: z screw eq, a leaf" in markdown  # in the order of the request
    told = markdown.split("## How it was made")[0]
    assert "z screw eq" in told and "z_screw_eq" not in told and "opacity_range" not in told
    assert not any("opacity_range" in text or "a_leaf" in text for text in page.text if "photos/" not in text)
    assert results["best"] == "perlin opacity_range=[0.2,0.5]" and set(results["board"]["by_data"]) == {
        "z_screw_eq",
        "a_leaf",
    }


def test_names_that_would_become_one_stay_as_they_are():
    names = Names(records([made_row(data="a_b"), made_row(data="a b", seed=1), made_row(data="c_d", seed=2)]))
    assert [names.data(name) for name in ("a_b", "a b", "c_d", "other_one")] == ["a_b", "a b", "c d", "other_one"]


def test_what_is_missing_and_measured_goes_by_the_same_names():
    names = Names(records([made_row("my_set", data="a_b", recipe="my_set")]))
    missing = names.missing(Missing(cells=1, of=2, groups=[("a_b", "probe", 1, ["my_set"])]))
    assert missing.groups == [("a b", "probe", 1, ["my set"])] and (missing.cells, missing.of) == (1, 2)
    assert names.by_entry({"a_b": {"my_set": 1}}) == {"a b": {"my set": 1}} and names.by_entry(None) == {}


@pytest.mark.parametrize(
    ("variation", "name"),
    [
        ({}, "nsa"),
        ({"count": 80, "ratio": 0.3}, "nsa (80 normal images, 30 % anomalous)"),
        ({"abnormal": 8}, "nsa (8 real anomalies)"),
        ({"generator.blend": "mixed", "generator.resize": True}, "nsa (blend mixed, resize on)"),
        ({"generator.kinds": ["scratch", "broken_outline"]}, "nsa (kinds scratch and broken outline)"),
        ({"generator.parts.0.weight": 0.25, "generator.size": None}, "nsa (parts 0 weight 0.25, size usual)"),
    ],
)
def test_what_is_varied_is_said_in_words(variation, name):
    assert entry_name("nsa", variation) == name


def test_keys_and_values_are_said_as_one_says_them():
    assert key_name("generator.opacity_range") == "opacity" and key_name("ratio") == "share of anomalous images"
    assert value_name([0.1, 1]) == "0.1 to 1" and value_name({"a": 1}) == '{"a": 1}'


def test_a_name_in_a_damaged_row_steers_no_terminal(tmp_path):
    rows = [made_row(entry, data="a\x1b[2J\u202eb") for entry in ("nsa", "x\x1b[31m\u202ey")]
    report(tmp_path, rows, drawn=True)
    for name in ("report.md", "report.html"):
        text = (tmp_path / name).read_text(encoding="utf-8")
        assert not re.search("[\x1b\u202e]", text) and "u202e" in text
