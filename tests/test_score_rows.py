"""The row file: appended, read back, mended after kills and damage."""

import json
import os
import signal

import pytest
from score_rows import done_row, failed_row, records

from anomgen.errors import AnomgenError, Unwritable, UsageError
from anomgen.score.rows import RowFile, require_run_folder

MKFIFO = getattr(os, "mkfifo", None)


def row(key, **more):
    """Return a row in JSON whose metrics, replicates, scores and counts hold something."""
    counts = {"train": 10, "validation": 2, "test_normal": 0, "test_anomalous": 1, "lost_masks": 0}
    figures = {"metrics": {"pixel_ap": 0.5, "image_ap": None}, "replicates": {"pixel_ap": [0.5] * 200}}
    return {**done_row(key=key, counts=counts, scores=[0.1]), **figures, **more}


def test_rows_are_appended_and_read_back_and_the_later_one_counts(tmp_path):
    rows = RowFile(tmp_path)
    rows.append(records([row("a"), row("b")]))
    rows.append(records([failed_row(row("a"))]))
    again = RowFile(tmp_path)
    assert list(again.rows) == ["a", "b"] and again.rows["a"].status == "failed" and not again.bad
    assert again.rows == rows.rows
    assert len((tmp_path / "rows.jsonl").read_text().splitlines()) == 3


def test_the_file_holds_the_keys_that_a_row_was_given_in_their_order(tmp_path):
    rows = [row("a"), failed_row(row("b"))]
    RowFile(tmp_path).append(records(rows))
    assert (tmp_path / "rows.jsonl").read_text() == "".join(json.dumps(row) + "\n" for row in rows)


def test_keys_of_a_later_version_are_passed_over(tmp_path):
    (tmp_path / "rows.jsonl").write_text(json.dumps(row("a", humidity=0.4)) + "\n")
    assert not RowFile(tmp_path).bad


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
        (json.dumps(row("c") | {"thresholds": {**row("c")["thresholds"], "zero_fn": 3}}), "thresholds.zero_fn"),
        (json.dumps(row("c") | {"by_type": {"crack": {"recall": 0.5}}}), "by_type.crack.images"),
        (json.dumps(row("c") | {"versions": ["torch"]}), "versions"),
        (json.dumps(row("c") | {"undefined": "pixel_ap"}), "undefined"),
        (json.dumps(row("c") | {"recipe": 3}), "recipe: Input should be a valid string"),
        (json.dumps(row("c") | {"key": "../../c"}), "key: String should match pattern"),
        (json.dumps(row("c") | {"metrics": {"pixel_ap": 1.5}}), "metrics.pixel_ap: Input should be less than"),
        (json.dumps(row("c") | {"seconds": {"fit": -1}}), "seconds.fit"),
        (json.dumps(row("c") | {"counts": {"train": 1}}), "counts.validation: Field required"),
        (json.dumps(row("c") | {"examples": {"best": "a.png"}}), "examples.best"),
        (json.dumps(row("c") | {"variation": [1]}), "variation"),
        (json.dumps(row("c") | {"seed": True}), "seed: Input should be a valid integer"),
        (json.dumps(row("c") | {"status": ["done"]}), "status"),
        (json.dumps(row("c")).replace('"pixel_ap": 0.5', '"pixel_ap": 1e999'), "1e999 is no number"),
        ("[" * 100000, "nested too deeply"),
        ('{"seed": ' + "9" * 5000 + "}", "more than 100 digits"),
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
    rows.append(records([row("c")]))
    assert list(RowFile(tmp_path).rows) == ["a", "c"]


def test_a_disk_that_takes_half_of_a_row_is_full(tmp_path):
    """Law: what has no room is an error, and of its row nothing stays in the file."""
    resource = pytest.importorskip("resource", reason="the size of files is limited as POSIX does")
    rows, before = RowFile(tmp_path), resource.getrlimit(resource.RLIMIT_FSIZE)
    rows.append(records([row("a")]))
    size = (tmp_path / "rows.jsonl").stat().st_size
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 500, before[1]))
        with pytest.raises(Unwritable, match=r"rows\.jsonl: no space left"):
            rows.append(records([row("b")]))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert (tmp_path / "rows.jsonl").stat().st_size == size and list(rows.rows) == ["a"]


def test_a_good_last_line_without_its_newline_is_kept(tmp_path):
    (tmp_path / "rows.jsonl").write_text(json.dumps(row("a")))
    rows = RowFile(tmp_path)
    rows.mend()
    rows.append(records([row("b")]))
    assert list(RowFile(tmp_path).rows) == ["a", "b"]


def test_rows_that_call_their_entry_variant_are_read(tmp_path):
    """What older runs have trained is not trained again."""
    row = done_row()
    row["variant"] = row.pop("entry")
    (tmp_path / "rows.jsonl").write_text(json.dumps(row) + "\n")
    (read,) = RowFile(tmp_path).rows.values()
    assert (read.entry, read.plain()["entry"]) == ("nsa", "nsa")


@pytest.mark.skipif(MKFIFO is None, reason="the system has no pipes")
@pytest.mark.parametrize("make", [MKFIFO, lambda path: path.symlink_to("/dev/zero"), lambda path: path.mkdir()])
def test_only_a_regular_file_is_read_as_rows(tmp_path, make):
    make(tmp_path / "rows.jsonl")
    with pytest.raises(AnomgenError, match="cannot be read"):
        RowFile(tmp_path)


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.set-aside.jsonl"])
@pytest.mark.parametrize("link", ["symlink_to", "hardlink_to"])
def test_what_is_added_goes_through_no_link(tmp_path, name, link):
    victim, out = tmp_path / "victim", tmp_path / "out"
    out.mkdir()
    (out / "rows.jsonl").write_text(json.dumps(row("a")) + "\nno row\n")
    victim.write_bytes((out / "rows.jsonl").read_bytes())
    (out / name).unlink(missing_ok=True)
    getattr(out / name, link)(victim)
    before, rows = victim.read_bytes(), RowFile(out)
    with pytest.raises(UsageError, match=f"{name} is a link, and is added to"):
        rows.mend() if name != "rows.jsonl" else rows.append(records([row("b")]))
    assert victim.read_bytes() == before


def test_a_run_is_known_by_what_its_files_say(tmp_path):
    """Law: files of these names may be somebody else's, whose lines would be set aside."""
    (tmp_path / "rows.jsonl").write_text('{"my": "data"}\n')
    (tmp_path / "run.json").write_text('{"command": "mine"}')
    with pytest.raises(UsageError, match="holds other files and no run"):
        require_run_folder(tmp_path)
    (tmp_path / "run.json").write_text('{"command": "anomgen score", "protocol": 1}')
    require_run_folder(tmp_path)
    (tmp_path / "run.json").unlink()
    (tmp_path / "rows.jsonl").write_text('{"my": "data"}\n' + json.dumps(row("a")) + "\n")
    require_run_folder(tmp_path)
