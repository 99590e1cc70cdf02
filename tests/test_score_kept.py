"""`score --keep` keeps what `fit` keeps; a long training that was stopped goes on in both."""

import hashlib
import json
import warnings

import numpy as np
import pytest
from real_data import tiny_data
from scoring import here as here  # a fixture

pytest.importorskip("timm", reason="scoring is an extra")

from safetensors.numpy import load_file, save_file

import anomgen
from anomgen.errors import AnomgenNote, AnomgenWarning, UsageError
from anomgen.score import checkpoint
from anomgen.score.cell import kept_in, run
from anomgen.score.harness import run as run_score
from anomgen.score.kept.folder import DESCRIPTION, TRAINING, WEIGHTS
from anomgen.score.loader import Loader
from anomgen.score.request import Request
from anomgen.score.rows import RowFile
from anomgen.score.schedule import scheduled

CHANGES = ("detector.probe.batch_size=2",)
pytestmark = pytest.mark.filterwarnings("ignore::anomgen.errors.AnomgenNote")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return tiny_data(tmp_path_factory.mktemp("real") / "part")


def request(data, **options):
    return Request((str(data),), **{"recipes": ("boxes",), "seeds": 1, "size": 32, "steps": 2, **options})


def test_score_keeps_the_detector_that_fit_keeps(data, tmp_path):
    anomgen.fit(data, "boxes", tmp_path / "fit", size=32, steps=2, overrides=CHANGES)
    asked = request(data, changes=CHANGES, keep=True)
    schedule = scheduled(asked, tmp_path / "run", RowFile(tmp_path / "run"))
    (cell,) = [cell for cell in schedule.cells if cell.detector == "probe"]
    (row,) = run(schedule.bench, [cell])
    kept = kept_in(tmp_path / "run", cell)
    assert kept.name == f"part-boxes-probe-0-{cell.key[:6]}"
    assert (kept / WEIGHTS).read_bytes() == (tmp_path / "fit" / WEIGHTS).read_bytes()
    one, other = (anomgen.Inspector.load(folder).description for folder in (kept, tmp_path / "fit"))
    different = {"command", "seconds"}
    assert one.model_dump(exclude=different) == other.model_dump(exclude=different)
    assert one.command.startswith("anomgen score part") and one.command.endswith("--keep")
    assert one.threshold.score == row.thresholds.f1.threshold


def test_a_kept_detector_names_its_data_and_not_the_recipe_s_source(data, tmp_path):
    anomgen.fit(data, "perlin", tmp_path / "fit", size=32, steps=2, overrides=CHANGES)
    known = anomgen.Inspector.load(tmp_path / "fit").description
    assert known.recipe["generator"]["kind"] == "perlin" and "source" not in known.recipe
    assert [one.category for one in known.data] == ["part"]


def test_a_threshold_that_its_rule_does_not_choose_is_told(data, tmp_path):
    anomgen.fit(data, "boxes", tmp_path / "out", size=32, steps=2, overrides=CHANGES)
    file = tmp_path / "out" / DESCRIPTION
    values = json.loads(file.read_text())
    for own, told in {1e308: "nothing like them", -1.0: r"it flags (\d+) of these \1$"}.items():
        file.write_text(json.dumps({**values, "threshold": {**values["threshold"], "score": own}}))
        with pytest.warns(AnomgenWarning if own > 1 else AnomgenNote, match=told):
            assert anomgen.Inspector.load(tmp_path / "out").threshold == own
    with warnings.catch_warnings():
        warnings.simplefilter("error", AnomgenWarning)
        anomgen.Inspector.load(tmp_path / "out", limit="fn=0")
    known = anomgen.Inspector.load(tmp_path / "out", limit="fn=99").description  # every anomaly may be missed
    assert max(known.validation.scores) < known.threshold.score < np.inf
    assert (known.threshold.fpr, known.threshold.fnr, known.threshold.f1) == (0, 1, 0)


def test_a_threshold_for_pixels_is_a_number_and_told_where_it_marks_whole_images(data, tmp_path):
    anomgen.fit(data, "boxes", tmp_path / "out", size=32, steps=2, overrides=CHANGES)
    file = tmp_path / "out" / DESCRIPTION
    values = json.loads(file.read_text())
    for own in (float("nan"), float("-inf"), 1e308, -1e308, "0.5", True, []):
        file.write_text(json.dumps({**values, "pixel_threshold": own}))
        with pytest.raises(UsageError, match=r"is damaged(, pixel_threshold: | \((NaN|-Infinity) is no number)"):
            anomgen.Inspector.load(tmp_path / "out")
    file.write_text(json.dumps({**values, "pixel_threshold": -1.0}))
    for limit in ((), "fn=0"):
        with pytest.warns(AnomgenNote, match=r"the threshold for pixels, -1, is below zero, and no score"):
            inspector = anomgen.Inspector.load(tmp_path / "out", limit=limit)
        assert inspector.inspect(np.zeros((32, 32, 3), np.uint8)).area == 1


@pytest.mark.slow
def test_what_was_trained_without_keep_is_trained_again_and_nothing_twice(data, here, tmp_path):
    plain = request(data, changes=CHANGES)
    assert run_score(plain, tmp_path, figures=False).summary.kept == 0
    asked = request(data, changes=CHANGES, keep=True)
    assert len(scheduled(asked, tmp_path, RowFile(tmp_path)).todo) == 2
    before = RowFile(tmp_path).rows
    assert run_score(asked, tmp_path, figures=False).summary.kept == 2
    after = RowFile(tmp_path).rows
    assert {key: row.scores for key, row in before.items()} == {key: row.scores for key, row in after.items()}
    assert not scheduled(asked, tmp_path, RowFile(tmp_path)).todo
    none = next(folder for folder in (tmp_path / "inspectors").iterdir() if "-none-none-" in folder.name)
    assert anomgen.Inspector.load(none).description.threshold.rule == "fpr=0"
    arrays = {**load_file(none / WEIGHTS), "surplus": np.zeros(3, np.float32)}
    save_file(arrays, none / WEIGHTS)
    known = json.loads((none / DESCRIPTION).read_text())
    known["weights"] = hashlib.sha256((none / WEIGHTS).read_bytes()).hexdigest()
    (none / DESCRIPTION).write_text(json.dumps(known))
    with pytest.raises(UsageError, match="1 arrays have no place in it, the first is surplus"):
        anomgen.Inspector.load(none)


def test_a_detector_that_cannot_be_kept_is_refused_before_the_training(data, tmp_path, monkeypatch):
    from anomgen.score.detectors.base import Detector
    from anomgen.score.detectors.networks import NetworkDetector

    monkeypatch.setattr(NetworkDetector, "arrays", Detector.arrays)
    with pytest.raises(UsageError, match="--keep: detector probe cannot be kept"):
        scheduled(request(data, keep=True), tmp_path, RowFile(tmp_path))


# --- trainings that were stopped --------------------------------------------------------------------------------------


class Stopped(Exception):
    pass


@pytest.fixture
def stop_at(monkeypatch):
    """Write checkpoints at once, and stop a training after its second step, until `None` is given."""
    monkeypatch.setattr(checkpoint, "EVERY", 0.0)
    monkeypatch.setattr(checkpoint, "LONG", 0.0)
    steps, told = [2], Loader.progress

    def progress(self, done, total):
        told(self, done, total)
        if done == steps[0]:
            raise Stopped

    monkeypatch.setattr(Loader, "progress", progress)
    return steps


def test_fit_goes_on_with_the_same_weights_and_leaves_no_checkpoint(data, tmp_path, stop_at):
    options = {"size": 32, "steps": 4, "overrides": CHANGES}
    with pytest.raises(Stopped):
        anomgen.fit(data, "boxes", tmp_path / "stopped", **options)
    assert {path.name for path in (tmp_path / "stopped").iterdir() if path.suffix} == {TRAINING}
    stop_at[0] = None
    seen = []
    anomgen.fit(data, "boxes", tmp_path / "stopped", **options, progress=lambda done, total, note="": seen.append(done))
    anomgen.fit(data, "boxes", tmp_path / "whole", **options)
    assert seen[0] == 3
    assert (tmp_path / "stopped" / WEIGHTS).read_bytes() == (tmp_path / "whole" / WEIGHTS).read_bytes()
    assert not (tmp_path / "stopped" / TRAINING).exists()


def test_another_fit_in_that_folder_begins_anew(data, tmp_path, stop_at):
    with pytest.raises(Stopped):
        anomgen.fit(data, "boxes", tmp_path / "out", size=32, steps=4, overrides=CHANGES)
    stop_at[0] = None
    anomgen.fit(data, "boxes", tmp_path / "out", size=32, steps=3, overrides=CHANGES)
    anomgen.fit(data, "boxes", tmp_path / "whole", size=32, steps=3, overrides=CHANGES)
    assert (tmp_path / "out" / WEIGHTS).read_bytes() == (tmp_path / "whole" / WEIGHTS).read_bytes()


def test_a_cell_of_score_goes_on_with_the_same_scores(data, tmp_path, stop_at):
    def row_in(out):
        schedule = scheduled(request(data, steps=4, changes=CHANGES), out, RowFile(out))
        (cell,) = [cell for cell in schedule.cells if cell.detector == "probe"]
        return run(schedule.bench, [cell])[0]

    assert row_in(tmp_path / "a").status == "failed"  # a kill writes no row; what it leaves is the same
    assert len(list((tmp_path / "a" / "checkpoints").iterdir())) == 1
    stop_at[0] = None
    again, whole = row_in(tmp_path / "a"), row_in(tmp_path / "b")
    assert np.array_equal(again.scores, whole.scores) and again.metrics == whole.metrics


# --- the number of real anomalies -------------------------------------------------------------------------------------


def test_the_number_of_real_anomalies_is_swept_on_one_test_set(tmp_path):
    data = tiny_data(tmp_path / "part", bad=20, masks=False)
    small = tuple(f"detector.cyclegan.{key}=4" for key in ("width", "discriminator_width"))
    options = {"recipes": ("real",), "detectors": ("cyclegan",), "changes": small, "abnormal": (2, 5)}
    schedule = scheduled(request(data, **options), tmp_path / "run", RowFile(tmp_path / "run"))
    cells = {cell.entry.name: cell for cell in schedule.cells if cell.entry.kind == "real"}
    assert set(cells) == {"real abnormal=2", "real abnormal=5"}
    from anomgen.score.anomalies import anomalies_of

    opened = next(iter(schedule.bench.data.values()))
    few, more = (anomalies_of(opened, cells[f"real abnormal={count}"].entry) for count in (2, 5))
    names = [[row.source_id for row in bank.training] for bank in (few, more)]
    assert len(names[1]) == 5 and names[0] == names[1][:2]
    assert [row.source_id for row in few.validation] == [row.source_id for row in more.validation]
    assert len(opened.test) == 6 + 28
    (row,) = run(schedule.bench, [cells["real abnormal=5"]])
    assert row.status == "done" and row.variation == {"abnormal": 5}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"recipes": ("real",), "abnormal": (3,)}, "--abnormal 3: part sets 2 real anomalies aside, 1 to train"),
        ({"recipes": ("real",), "abnormal": "0"}, "--abnormal 0: 0 is below 1"),
        ({"recipes": ("nsa",), "abnormal": (3,)}, "--abnormal: is of the line real; add real to --recipes"),
        ({"recipes": ("nsa",), "real_share": 0.5}, "--real-share: is of the line real"),
        ({"recipes": ("real",), "real_share": 1.0}, "--real-share 1: must be above 0 and below 1"),
        ({"recipes": ("nsa",), "sweeps": {"abnormal": [1]}}, "--sweep abnormal: give the values to --abnormal"),
    ],
)
def test_what_cannot_be_swept_is_refused(data, tmp_path, options, message):
    with pytest.raises(UsageError, match=message):
        scheduled(Request.of(data, **{"seeds": 1, "size": 32, **options}), tmp_path, RowFile(tmp_path))


def test_a_larger_share_of_real_anomalies_is_trained_on(data, tmp_path):
    asked = Request.of(data, "real", seeds=1, size=32, real_share=0.5)
    opened = next(iter(scheduled(asked, tmp_path, RowFile(tmp_path)).bench.data.values()))
    assert (len(opened.real), int(opened.test.labels.sum())) == (4, 4)


def test_no_name_in_the_table_of_findings_steers_a_terminal():
    """Whoever looks at findings.csv with `cat` sees the name written out; findings.jsonl has it as it is."""
    from anomgen.score.inspector.findings import _cell

    assert _cell("a\x1b[31m\u202e.png") == r"a\x1b[31m\u202e.png" and _cell("größer.png") == "größer.png"
