"""The row file: appended, read back, mended after kills and damage."""

import json

import pytest

from anomgen.score.rows import RowFile

RATES = {"fpr": 0.1, "fnr": None}
LIMIT = {"threshold": 0.5, "validation": RATES, "test": RATES}
THRESHOLDS = {"f1": {"threshold": None, "f1": 0.4, "best_f1": 0.5}, "zero_fn": LIMIT, "max_fpr_5": LIMIT}


def row(key, **more):
    basis = {"schema": 1, "key": key, "data": "d", "variant": "nsa", "detector": "probe", "seed": 0, "status": "done"}
    figures = {"metrics": {"pixel_ap": 0.5, "image_ap": None}, "replicates": {"pixel_ap": [0.5] * 200}, "scores": [0.1]}
    rest = {"counts": {"test_normal": 0, "test_anomalous": 1}, "by_type": {}, "thresholds": THRESHOLDS}
    return {**basis, **figures, **rest, "seconds": {"fit": 1.0}, "size": [32, 32], **more}


def test_rows_are_appended_and_read_back_and_the_later_one_counts(tmp_path):
    rows = RowFile(tmp_path)
    rows.append([row("a"), row("b")])
    rows.append([row("a", status="failed")])
    again = RowFile(tmp_path)
    assert list(again.rows) == ["a", "b"] and again.rows["a"]["status"] == "failed" and not again.bad
    assert len((tmp_path / "rows.jsonl").read_text().splitlines()) == 3


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ('{"schema": 1, "key": "c", "da', "no JSON"),
        ("[1, 2]", "no JSON object"),
        ('{"schema": 1, "key": "c"}', "data: Field required"),
        (json.dumps(row("c") | {"schema": 7}), "schema: Input should be 1"),
        (json.dumps(row("c") | {"metrics": None}), "metrics: Input should be a valid dictionary"),
        (json.dumps(row("c") | {"metrics": {"pixel_ap": "high"}}), "metrics.pixel_ap"),
        (json.dumps(row("c") | {"metrics": {"pixel_ap": float("nan")}}), "NaN is no number"),
        (json.dumps(row("c") | {"seconds": None}), "seconds"),
        (json.dumps(row("c") | {"status": "weird"}), "status"),
        (json.dumps(row("c") | {"replicates": {"pixel_ap": [0.5] * 50}}), "replicates.pixel_ap"),
        (json.dumps(row("c") | {"scores": [0.1, 0.2]}), "scores: there are 2 for 1"),
        (json.dumps({k: v for k, v in row("c").items() if k != "size"}), "size: Field required"),
        (json.dumps(row("c") | {"thresholds": {"f1": {}}}), "thresholds.f1"),
        (json.dumps(row("c") | {"thresholds": {**THRESHOLDS, "zero_fn": 3}}), "thresholds.zero_fn"),
        (json.dumps(row("c") | {"by_type": {"crack": {"recall": 0.5}}}), "by_type.crack.images"),
        (json.dumps(row("c") | {"versions": ["torch"]}), "versions"),
        (json.dumps(row("c") | {"undefined": "pixel_ap"}), "undefined"),
        (b"\xff\xfe\x00", "no JSON"),
    ],
)
def test_a_line_that_is_no_row_is_set_aside_with_its_fault(tmp_path, line, fault):
    damaged = line if isinstance(line, bytes) else line.encode()
    (tmp_path / "rows.jsonl").write_bytes(
        json.dumps(row("a")).encode() + b"\n" + damaged + b"\n" + json.dumps(row("b")).encode() + b"\n"
    )
    rows = RowFile(tmp_path)
    assert list(rows.rows) == ["a", "b"]
    ((number, _, told),) = rows.bad
    assert number == 2 and fault in told
    rows.mend()
    assert [json.loads(text)["key"] for text in (tmp_path / "rows.jsonl").read_text().splitlines()] == ["a", "b"]
    assert len((tmp_path / "rows.set-aside.jsonl").read_text().splitlines()) == 1
    assert not RowFile(tmp_path).bad


def test_a_line_cut_off_by_a_kill_does_not_swallow_the_next_row(tmp_path):
    text = json.dumps(row("a")) + "\n" + json.dumps(row("b"))[:25]
    (tmp_path / "rows.jsonl").write_text(text)
    rows = RowFile(tmp_path)
    rows.mend()
    rows.append([row("c")])
    assert list(RowFile(tmp_path).rows) == ["a", "c"]


def test_a_good_last_line_without_its_newline_is_kept(tmp_path):
    (tmp_path / "rows.jsonl").write_text(json.dumps(row("a")))
    rows = RowFile(tmp_path)
    rows.mend()
    rows.append([row("b")])
    assert list(RowFile(tmp_path).rows) == ["a", "b"]
