"""Misses: the real anomalies that most trainings of a recipe do not find, listed and kept as banks."""

import json

import pytest
from real_data import tiny_data
from score_pages import without_charts
from scoring import QUICK, in_this_process
from typer.testing import CliRunner

pytest.importorskip("timm", reason="scoring is an extra")

from anomgen.banks.folder import open_bank
from anomgen.cli.main import app
from anomgen.score.misses import write_misses
from anomgen.score.request import Request
from anomgen.score.result import Done
from anomgen.score.rows import RowFile
from anomgen.score.run import score
from anomgen.score.schedule import scheduled


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Return the data of a run, and its folder."""
    root = tmp_path_factory.mktemp("misses")
    data = tiny_data(root / "part")
    out = root / "run"
    with in_this_process():
        outcome = score(str(data), "perlin", out=out, size=32, seeds=2, overrides=QUICK, figures=False, misses=True)
    return data, out, outcome


def test_what_most_trainings_score_below_their_threshold_is_missed(run, tmp_path):
    data, out, _ = run
    request = Request.of(str(data), "perlin", size=32, seeds=2, changes=QUICK)
    schedule = scheduled(request, out, RowFile(out))
    rows = [row for row in RowFile(out).rows.values() if isinstance(row, Done)]
    test = schedule.bench.data["part"].test
    anomalous = [k for k in range(len(test)) if test.labels[k]]
    chosen = anomalous[:3]

    def judged(row, places):
        limit = row.thresholds.max_fpr_5.threshold
        scores = [limit - 1 if k in places else limit for k in range(len(test))]
        return row.model_copy(update={"scores": scores})

    own = [row for row in rows if row.entry == "perlin"]
    changed = [judged(own[0], chosen), judged(own[1], chosen[:2])]
    (missed,) = write_misses(schedule, changed, tmp_path)
    assert missed.images == [test.ids[k] for k in chosen[:2]] and missed.found == [0, 0]
    assert missed.of == len(anomalous) and missed.entry == "perlin" and missed.data == "part"
    bank = open_bank(tmp_path / missed.bank)
    for k, defect in zip(chosen, bank.defects(), strict=False):
        assert (defect.item, defect.defect_type, defect.digest) == (test.ids[k], test.defect_types[k], test.files[k])
        assert (defect.image == test.images[k]).all() and (defect.mask == test.masks[k]).all()
    assert json.loads((tmp_path / "misses.json").read_text())[0]["images"] == missed.images
    (none,) = write_misses(schedule, [judged(row, []) for row in own], tmp_path)
    assert none.images == [] and none.bank is None and not (tmp_path / "misses" / "part" / "perlin").exists()
    write_misses(schedule, changed, tmp_path)
    (tmp_path / missed.bank / "notes.txt").write_text("mine")
    write_misses(schedule, [judged(row, []) for row in own], tmp_path)
    assert [file.name for file in (tmp_path / missed.bank).iterdir()] == ["notes.txt"]


def test_the_command_lists_them_and_only_recipes_have_any(run):
    data, out, outcome = run
    (missed,) = outcome.misses
    assert missed.entry == "perlin"
    changes = [word for change in QUICK for word in ("--set", change)]
    words = ["score", str(data), "-r", "perlin", "-o", str(out), "--size", "32", "--seeds", "2", "-j", "1", *changes]
    with without_charts():
        result = CliRunner().invoke(app, [*words, "--no-figures", "--misses"])
    assert result.exit_code == 0
    assert f"part, perlin: {len(missed.images)} of 8 anomalies are not found" in result.output
    assert all(f"  {image} (" in result.output for image in missed.images)
