"""A whole run of `anomgen score` on a tiny data set: rows, cache, failures, what is refused."""

import json
import shutil
from dataclasses import replace

import cv2
import numpy as np
import pytest
from learned import tiny_sdas
from real_data import tiny_data
from scoring import QUICK, request, schedule_of
from scoring import here as here  # a fixture
from typer.testing import CliRunner

pytest.importorskip("timm", reason="scoring is an extra")

from anomgen import registry
from anomgen.cli.main import app
from anomgen.errors import Unwritable, UsageError
from anomgen.score import harness
from anomgen.score.cell import run
from anomgen.score.configuration import command_of
from anomgen.score.jobs import run_jobs
from anomgen.score.report.board import BoardTable, Line
from anomgen.score.request import Request
from anomgen.score.rows import RowFile, opened
from anomgen.score.run import score
from anomgen.score.schedule import scheduled

MODEL_HAS_SEEN = pytest.mark.filterwarnings("ignore:the model of sdas was trained on:anomgen.errors.AnomgenNote")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return tiny_data(tmp_path_factory.mktemp("real") / "part")


@pytest.fixture(scope="module")
def finished(data, tmp_path_factory):
    """Return the folder of a run of two recipes, one detector, two seeds, by a worker process."""
    out = tmp_path_factory.mktemp("run") / "run"
    harness.run(request(data, seeds=2), out, workers=1)
    return out


def test_a_run_writes_a_row_for_every_cell_and_the_report(finished):
    rows = [json.loads(line) for line in (finished / "rows.jsonl").read_text().splitlines()]
    assert {(row["entry"], row["detector"], row["seed"]) for row in rows} == {
        (entry, detector, seed)
        for entry, detector in (("none", "none"), ("boxes", "probe"), ("perlin", "probe"))
        for seed in (0, 1)
    }
    assert all(row["status"] == "done" for row in rows)
    for row in rows:
        assert set(row["replicates"]) == {"image_auroc", "image_ap", "pixel_auroc", "pixel_ap", "au_pro"}
        counts = {"train": 10, "validation": 2, "test_normal": 6, "test_anomalous": 8, "lost_masks": 0}
        assert {**row["counts"], "anomalous_pixels": 0} == {**counts, "anomalous_pixels": 0}
        assert 0.01 < row["counts"]["anomalous_pixels"] < 0.1 and len(row["examples"]["shown"]) == 10
        maps = finished / "maps" / row["key"]
        assert len(list(maps.glob("map-*.webp"))) == len(list(maps.glob("image-*.webp"))) == 10
        assert set(row["by_type"]) == {"bar", "spot"} and row["thresholds"]["max_fpr_5"]["test"]["fpr"] is not None
        assert (row["metrics"]["threshold_f1"] is None) == (row["entry"] == "none")
        assert (finished / "maps" / row["key"] / "best-0.webp").is_file()
    assert (finished / "report.html").is_file() and (finished / "results.json").is_file()
    assert "/tmp" not in (finished / "run.json").read_text()


def test_the_function_takes_the_command_s_options_as_values_or_as_texts(data, finished):
    before = (finished / "results.json").read_bytes()
    outcome = score(data, "perlin", out=finished, seeds=2, size="32", overrides=QUICK, workers=1, part="1/1")
    assert outcome.summary.done == 6 and (finished / "results.json").read_bytes() == before
    typed = Request.of("d", "a,b", detectors="all", size="32x64", ratios="0.5,1,0.5", sweeps=["k=[1, [2]]"])
    passed = Request.of(["d"], ["a", "b"], detectors=["all"], size=(32, 64), ratios=[0.5, 1], sweeps={"k": [1, [2]]})
    assert typed == passed and "probe" in typed.detectors
    for wrong in ({"seeds": 0}, {"counts": [0]}, {"size": 16}, {"anomalies": 1}, {"ratios": ["x"]}):
        with pytest.raises(UsageError, match=f"^--{next(iter(wrong))} "):
            Request.of("d", "a", **wrong)


def test_a_finished_run_trains_nothing_and_gives_the_same_report(data, finished, monkeypatch):
    before = {path.name: path.read_bytes() for path in finished.iterdir() if path.is_file()}
    monkeypatch.setattr("anomgen.score.jobs.Workers", lambda *_, **__: pytest.fail("a worker was started"))
    harness.run(request(data, seeds=2), finished, workers=1)
    assert {path.name: path.read_bytes() for path in finished.iterdir() if path.is_file()} == before


def test_a_name_in_a_damaged_row_steers_no_terminal(data, finished, tmp_path):
    out = shutil.copytree(finished, tmp_path / "run")
    text = (out / "rows.jsonl").read_text()
    (out / "rows.jsonl").write_text(text.replace('"entry": "boxes"', r'"entry": "b\u001b[2J\u202e"'))
    outcome = harness.run(request(data, seeds=2), out)
    assert r"b\x1b[2J\u202e" in "\n".join(outcome.lines)
    for shown in ("\n".join(outcome.lines), outcome._repr_html_(), (out / "report.md").read_text()):
        assert "\x1b" not in shown and "\u202e" not in shown


def test_limits_are_read_off_the_rows_and_train_nothing(data, finished, tmp_path, monkeypatch):
    out = shutil.copytree(finished, tmp_path / "run")
    monkeypatch.setattr("anomgen.score.jobs.Workers", lambda *_, **__: pytest.fail("a worker was started"))
    harness.run(replace(request(data, seeds=2), limits=("fn=0", "fpr=0.5")), out, workers=1)
    assert "--limit fn=0 --limit fpr=0.5" in (out / "report.md").read_text()
    cells = json.loads((out / "results.json").read_text())["cells"]
    cell = next(cell for cell in cells if (cell["entry"], cell["detector"]) == ("perlin", "probe"))
    rows = [row for row in RowFile(out).rows.values() if (row.entry, row.detector) == ("perlin", "probe")]
    reached = []
    for row in rows:  # counted, from what is written alone
        scores, anomalous = np.array(row.validation.scores), np.array(row.validation.anomalous)
        threshold = scores[anomalous].min()
        assert threshold == row.thresholds.zero_fn.threshold
        flagged, truth = np.array(row.scores) >= threshold, np.array(row.anomalous)
        reached.append([flagged[~truth].mean(), (~flagged[truth]).mean(), (flagged == truth).mean()])
    limits = cell["limits"]["fn=0"]
    assert [limits[key] for key in ("fpr", "fnr", "accuracy")] == pytest.approx(np.mean(reached, axis=0))
    assert cell["accuracy"]["zero_fn_accuracy"] == pytest.approx(limits["accuracy"])
    assert set(cell["limits"]) == {"fn=0", "fpr=0.5", "fn=0 and fpr=0.5"}
    with pytest.raises(UsageError, match="--limit fn=x"):
        Request.of("d", "a", limits="fn=x")


def test_another_image_score_is_another_cell_of_the_same_training(data, finished):
    schedule = schedule_of(data, finished.parent / "other", score="sum")
    stored = RowFile(finished).rows
    assert not stored.keys() & {cell.key for cell in schedule.cells}
    cell = next(cell for cell in schedule.cells if (cell.entry.name, cell.detector) == ("perlin", "probe"))
    (row,) = run(schedule.bench, [cell])
    (before,) = [r for r in stored.values() if (r.entry, r.detector, r.seed) == ("perlin", "probe", 0)]
    assert row.metrics["pixel_ap"] == before.metrics["pixel_ap"] and row.scores != before.scores
    assert row.pixel_f1 == before.pixel_f1 and max(f1 for _, f1 in row.pixel_f1) == row.metrics["pixel_f1_max"]


def test_one_cell_is_the_same_in_this_process_and_again(data, finished):
    schedule = schedule_of(data, finished.parent / "other")
    job = next(job for job in schedule.todo if job.cells[0].entry.name == "perlin")
    row = run(schedule.bench, job.cells)[0]
    stored = RowFile(finished).rows[row.key]
    for key in ("metrics", "scores", "replicates", "thresholds", "by_type"):
        assert getattr(row, key) == getattr(stored, key)


def test_another_setting_seed_or_image_is_another_cell(data, finished, tmp_path):
    def keys(**options):
        return {cell.key for cell in schedule_of(data, tmp_path, **options).cells}

    base = keys()
    assert keys() == base
    assert not base & keys(size=48)
    changed = keys(changes=(*QUICK, "recipe.perlin.generator.opacity_range=[0.5,1]"))
    assert len(base & changed) == len(base) - 1
    more = tiny_data(tmp_path / "part", train=13)
    assert not base & {cell.key for cell in schedule_of(more, tmp_path / "x").cells}


def test_a_failed_training_is_a_row_that_says_so_and_can_be_tried_again(data, tmp_path, monkeypatch):
    schedule = schedule_of(data, tmp_path)
    job = next(job for job in schedule.todo if job.cells[0].detector == "probe")

    def diverge(self, train, rng):
        raise ValueError("loss is nan")

    monkeypatch.setattr("anomgen.score.detectors.probe.Probe.fit", diverge)
    rows = RowFile(tmp_path)
    rows.append(run(schedule.bench, job.cells))
    row = rows.rows[job.cells[0].key]
    assert row.status == "failed" and "loss is nan" in row.error and row.metrics == {}
    todo = scheduled(request(data), tmp_path, rows).todo
    again = scheduled(request(data), tmp_path, rows, retry=True).todo
    assert len(again) == len(todo) + 1


def test_a_full_disk_is_no_failed_training(data, here, tmp_path):
    """Law: what cannot be written stops the run and leaves no row, so that the same command trains it again."""
    schedule = schedule_of(data, tmp_path)
    with opened(tmp_path) as rows:
        (tmp_path / "maps").touch()  # where a folder is to be made
        with pytest.raises(Unwritable, match=r"maps/.*: cannot be written"):
            run_jobs(schedule, rows, 1)
    assert not RowFile(tmp_path).rows


def test_a_worker_that_dies_gives_a_failed_row_and_the_run_goes_on(data, tmp_path, monkeypatch):
    (tmp_path / "mortal.py").write_text(MORTAL)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(registry.BUNDLED["detectors"], "mortal", "mortal:Mortal")
    out = tmp_path / "run"
    with opened(out) as rows:
        schedule = scheduled(request(data, detectors=("mortal",)), out, rows)
        jobs = {job.cells[0].entry.name: job for job in schedule.todo}
        run_jobs(replace(schedule, todo=[jobs["perlin"], jobs["none"]]), rows, 1)
    states = {row.entry: (row.status, row.error) for row in rows.rows.values()}
    assert states["none"] == ("done", None)
    assert states["perlin"][0] == "failed" and "the process died" in states["perlin"][1]


MORTAL = '''
import os
from typing import ClassVar
from anomgen.score.detectors.base import Detector

class Mortal(Detector):
    """Dies."""
    kind: ClassVar[str] = "mortal"
    def fit(self, train, rng):
        os._exit(9)
    def anomaly_maps(self, images):
        raise AssertionError
'''


def cli(*words):
    return CliRunner().invoke(app, ["score", *map(str, words)], catch_exceptions=True)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--recipes", "nsaa"], "did you mean 'nsa'"),
        (["--recipes", "nsa", "--detectors", "drem"], "did you mean 'draem'"),
        (["--recipes", "sdas"], "anomgen train sdas"),
        (["--recipes", "cyclegan"], "--set recipe.cyclegan.generator.model=MODEL"),
        (["--recipes", "realnet"], "--set recipe.realnet.generator.parts.0.model=MODEL"),
        (["--recipes", "nsa", "--budget", "soon"], "--budget soon"),
        (["--recipes", "nsa", "--size", "native"], "one size"),
        (["--recipes", "nsa", "--size", "16"], "32 pixels"),
        (["--recipes", "nsa", "--part", "3/2"], "--part 3/2"),
        (["--recipes", "nsa", "--ratios", "0.5,2"], "no share"),
        (["--recipes", "nsa", "--counts", "1000"], "1000"),
        (["--recipes", "nsa,"], "a name is empty"),
        (["--recipes", "nsa, perlin,nsa"], "--recipes 'nsa, perlin,nsa': nsa is there twice; name each once"),
        (["--recipes", "nsa", "--detectors", "probe,,unet"], "--detectors 'probe,,unet': a name is empty"),
        (["--recipes", "nsa", "--detectors", "probe,probe"], "probe is there twice"),
        (["--recipes", "nsa", "--set", "nsa.x=1"], "recipe.NAME.KEY"),
        (["--recipes", "nsa", "--set", "detector.draem.width=4"], "not asked for"),
        (["--recipes", "nsa", "--set", "detector.probe=3"], "--set detector.probe=3: name a key, as in"),
        (
            ["--recipes", "nsa", "--steps", "3", "--set", "detector.probe.steps=2"],
            "--steps 3 and --set detector.probe.steps=2: two values for one key; leave one out",
        ),
        (["--recipes", "nsa", "--preset", "papr"], "did you mean 'paper'"),
        (["--recipes", "nsa", "--sweep", "generator.blend"], "KEY=[VALUE"),
    ],
)
def test_wrong_requests_say_what_is_wrong(data, tmp_path, words, told):
    result = cli(data, *words, "-o", tmp_path / "run")
    assert isinstance(result.exception, UsageError), result
    assert told in str(result.exception)
    assert not (tmp_path / "run").exists()


def test_a_dry_run_writes_nothing_and_tells_the_plan(data, tmp_path):
    result = cli(data, "--recipes", "nsa", "--dry-run", "-o", tmp_path / "run", "--json")
    plan = json.loads(result.stdout)
    assert result.exit_code == 0 and plan["cells"] == 9 and len(plan["to_train"]) == 9 and plan["seconds"] > 0
    assert not (tmp_path / "run").exists()


def test_a_folder_of_something_else_is_refused(data, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="holds other files"):
        harness.run(request(data), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_data_without_masks_has_image_metrics_only(tmp_path):
    data = tiny_data(tmp_path / "part", masks=False)
    schedule = schedule_of(data, tmp_path / "run")
    row = run(schedule.bench, next(job for job in schedule.todo if job.cells[0].entry.name == "boxes").cells)[0]
    assert row.metrics["pixel_ap"] is None and "no masks" in row.undefined["pixel_ap"]
    assert row.metrics["image_auroc"] is not None and np.isfinite(row.metrics["image_ap"])
    with pytest.raises(UsageError, match="real: detector probe learns from masks, and this data has none"):
        schedule_of(data, tmp_path / "run", recipes=("real",))


def test_real_anomalies_without_masks_teach_a_detector_that_needs_none(tmp_path):
    data = tiny_data(tmp_path / "part", masks=False)
    small = [f"detector.cyclegan.{key}=4" for key in ("width", "discriminator_width")]
    options = {"recipes": ("real",), "detectors": ("cyclegan",), "steps": 2, "changes": tuple(small)}
    schedule = schedule_of(data, tmp_path / "run", **options)
    (cell,) = [cell for cell in schedule.cells if cell.entry.name == "real"]
    (row,) = run(schedule.bench, [cell])
    assert row.status == "done" and row.thresholds.f1.threshold is not None and row.thresholds.pixel_f1 is None
    assert row.counts.test_anomalous == 6 and sum(row.validation.anomalous) == 2


def test_one_class_in_the_test_set_makes_metrics_null_and_says_why(tmp_path):
    data = tiny_data(tmp_path / "part", good=0)
    schedule = schedule_of(data, tmp_path / "run")
    row = run(schedule.bench, next(job for job in schedule.todo if job.cells[0].entry.name == "boxes").cells)[0]
    assert row.metrics["image_auroc"] is None and "one class" in row.undefined["image_auroc"]


def test_images_16_bit_and_grey_go_through(tmp_path):

    data = tiny_data(tmp_path / "part")
    for path in data.rglob("*.png"):
        if "ground_truth" not in str(path):
            cv2.imwrite(str(path), cv2.imread(str(path), cv2.IMREAD_GRAYSCALE).astype(np.uint16) * 257)
    schedule = schedule_of(data, tmp_path / "run", recipes=("nsa",))
    row = run(schedule.bench, next(job for job in schedule.todo if job.cells[0].entry.name == "nsa").cells)[0]
    assert row.status == "done", row.error


def test_failures_end_in_rows_and_exit_code_1_and_the_report_is_there_all_the_same(data, here, tmp_path):
    recipe = tmp_path / "never.yaml"
    recipe.write_text(
        "anomgen: 1\nname: never\nsource: {kind: builtin}\ngenerator: {kind: perlin, threshold_range: [2.0, 2.0]}\n"
    )
    changes = [word for change in QUICK for word in ("--set", change)]
    words = ["--recipes", f"perlin,{recipe}", "--seeds", 1, "--size", 32, "-j", 1, *changes, "--set"]
    result = cli(data, *words, "recipe.perlin.generator.opacity_range=[0.5,1]", "-o", tmp_path / "run", "--json")
    assert result.exit_code == 1, result.output
    rows = RowFile(tmp_path / "run").rows.values()
    assert {row.entry: row.status for row in rows}["never"] == "failed"
    assert (tmp_path / "run" / "report.html").is_file()


def test_the_same_images_under_two_names_are_refused(data, tmp_path):
    copy = tiny_data(tmp_path / "copy")
    with pytest.raises(UsageError, match="same test images as part"):
        scheduled(Request((str(data), str(copy)), ("nsa",), size=32), tmp_path, RowFile(tmp_path))


def test_a_wrong_setting_that_shows_in_the_worker_is_a_failed_row(data, tmp_path):
    schedule = schedule_of(data, tmp_path, detectors=("realnet",), changes=("detector.realnet.ranked=1000",))
    row = run(schedule.bench, next(job for job in schedule.todo if job.cells[0].entry.name == "boxes").cells)[0]
    assert row.status == "failed" and "ranked=1000" in row.error


def test_the_recorded_command_has_no_path_of_the_machine(data):
    wanted = request(data, anomalies=16, changes=("recipe.sdas.generator.model=/home/me/model", *QUICK))
    assert "/home" not in command_of(wanted) and "model=model" in command_of(wanted)
    assert "--anomalies 16" in command_of(wanted) and str(data) not in command_of(wanted)


@MODEL_HAS_SEEN
def test_a_trained_model_draws_beforehand_and_the_estimate_knows(data, here, tmp_path):
    pytest.importorskip("diffusers", reason="training models is an extra")
    tiny_sdas(tmp_path / "model", folder=data / "train" / "good")
    wanted = request(
        data, recipes=("sdas",), anomalies=6, changes=(*QUICK, f"recipe.sdas.generator.model={tmp_path}/model")
    )
    schedule = scheduled(wanted, tmp_path / "run", RowFile(tmp_path / "run"))
    drawn = schedule.bench.drawn["part", "sdas"]
    assert schedule.undrawn() == [("part", "sdas")] and not drawn.exists()
    assert schedule.drawing_seconds() == pytest.approx([6 * 0.53 * 32**2 / 128**2], rel=0.02)
    told = []
    harness.run(wanted, tmp_path / "run", workers=2, progress=lambda *words: told.append(words[2]))
    assert "drew 6 anomalies of sdas on part" in told and drawn.is_file()
    assert {row.status for row in RowFile(tmp_path / "run").rows.values()} == {"done"}
    again = scheduled(wanted, tmp_path / "run", RowFile(tmp_path / "run"), retry=True)
    assert again.undrawn() == [] and again.seconds(1) == 0


@MODEL_HAS_SEEN
@pytest.mark.slow
def test_a_model_that_draws_nothing_gives_rows_that_say_so(data, here, tmp_path):
    pytest.importorskip("diffusers", reason="training models is an extra")
    tiny_sdas(tmp_path / "model", folder=data / "train" / "good")
    changes = (
        *QUICK,
        f"recipe.sdas.generator.model={tmp_path}/model",
        "recipe.sdas.generator.opacity_range=[0.001,0.001]",
        "recipe.sdas.generator.steps=2",
    )
    outcome = harness.run(request(data, recipes=("sdas",), anomalies=2, changes=changes), tmp_path / "run", workers=1)
    rows = {row.entry: row for row in RowFile(tmp_path / "run").rows.values()}
    assert outcome.summary.failed == 1 and rows["boxes"].status == "done"
    assert rows["sdas"].status == "failed" and rows["sdas"].error


@pytest.mark.parametrize(("mean", "failed", "shown"), [(0.25, 0, "0.250"), (None, 0, "no figure"), (None, 1, "failed")])
def test_a_line_without_a_mean_failed_only_if_its_training_did(mean, failed, shown):
    nothing = {
        "rank": None,
        "low": None,
        "high": None,
        "sd": None,
        "idle": 0,
        "incomplete": False,
        "undefined": 1,
        "against": {},
    }
    line = Line(entry="perlin", mean=mean, seeds=1, columns=1, failed=failed, **nothing)
    assert harness._lines(BoardTable(columns=1, of=1, over=[], seeds=1, lines=[line])) == [f"     perlin  {shown}"]


def test_an_output_inside_the_data_is_refused(data, tmp_path):
    shutil.copytree(data, tmp_path / "product")
    with pytest.raises(UsageError, match="lies inside the source"):
        harness.schedule_only(request(str(tmp_path / "product")), tmp_path / "product" / "look")
