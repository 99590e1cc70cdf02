"""A kept detector: the one of `score`, the same after its folder was read, and what is wrong with other folders."""

import csv
import json
import shutil
import subprocess
import sys
import tracemalloc

import cv2
import numpy as np
import pytest
from learned import pictures
from real_data import tiny_data
from typer.testing import CliRunner

pytest.importorskip("timm", reason="scoring is an extra")

import anomgen
from anomgen.cli.main import app
from anomgen.errors import AnomgenNote, SourceError, UsageError
from anomgen.hub import push
from anomgen.score.cell import run
from anomgen.score.kept.folder import DESCRIPTION, WEIGHTS
from anomgen.score.kept.record import Description
from anomgen.score.limits import Unreachable
from anomgen.score.metrics import reduce_maps
from anomgen.score.request import Request
from anomgen.score.rows import RowFile
from anomgen.score.schedule import scheduled

QUICK = {"steps": 2, "size": 32, "overrides": ["detector.probe.batch_size=2"]}
pytestmark = pytest.mark.filterwarnings("ignore::anomgen.errors.AnomgenNote")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return tiny_data(tmp_path_factory.mktemp("real") / "part")


@pytest.fixture(scope="module")
def kept(data, tmp_path_factory):
    """Return the folder of a probe that was trained for two steps."""
    return anomgen.fit(data, "boxes", tmp_path_factory.mktemp("kept") / "inspector", **QUICK).path


@pytest.fixture
def copied(kept, tmp_path):
    return shutil.copytree(kept, tmp_path / "copy")


def described(folder, **changes):
    """Change keys of a description; None removes one."""
    path = folder / DESCRIPTION
    values = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({key: value for key, value in values.items() if value is not None}))


def rows_of(out):
    return [json.loads(line) for line in (out / "findings.jsonl").read_text().splitlines()]


# --- fit ------------------------------------------------------------------------------------------------------------


def test_the_detector_is_that_of_the_row_of_score(data, kept, tmp_path):
    changes = ("detector.probe.batch_size=2",)
    request = Request((str(data),), ("boxes",), seeds=1, size=32, steps=2, changes=changes)
    schedule = scheduled(request, tmp_path, RowFile(tmp_path))
    (cell,) = [cell for cell in schedule.cells if (cell.entry.name, cell.detector) == ("boxes", "probe")]
    (row,) = run(schedule.bench, [cell])
    known = anomgen.Inspector.load(kept).description
    assert known.threshold.score == pytest.approx(row.thresholds.f1.threshold, rel=1e-6)
    assert known.tested.image_auroc == pytest.approx(row.metrics["image_auroc"], rel=1e-6)
    assert known.tested.f1 == pytest.approx(row.thresholds.f1.f1)
    assert known.data[0].fingerprint == row.data_fingerprint and known.detector == row.settings


def test_thresholds_follow_from_the_scores_that_are_kept(kept):
    known = anomgen.Inspector.load(kept, limit=["fn=0"]).description
    scores, anomalous = np.array(known.validation.scores), np.array(known.validation.anomalous)
    assert known.threshold.score == scores[anomalous].min() and known.threshold.rule == "fn=0"
    assert known.threshold.fpr == (scores[~anomalous] >= known.threshold.score).mean()


def test_a_folder_of_normal_images_alone_is_enough(tmp_path):
    pictures(tmp_path / "photos" / "monday", 4)
    pictures(tmp_path / "photos" / "tuesday", 4, seed=9)
    fitted = anomgen.fit(tmp_path / "photos", "boxes", tmp_path / "out", limit="fpr=0.5", **QUICK)
    known = fitted.description
    assert (known.data[0].images, known.data[0].held_out, known.tested) == (6, 2, None)
    assert known.validation.anomalous == [False, False, True, True] and known.threshold.fpr <= 0.5


def test_a_detector_of_normal_images_needs_no_recipe(tmp_path):
    pictures(tmp_path / "photos", 6)
    small = {"detector": "autoencoder", "size": 32, "steps": 1, "overrides": ["detector.autoencoder.width=4"]}
    known = anomgen.fit(tmp_path / "photos", "none", tmp_path / "out", limit="fpr=0", **small).description
    assert known.pixel_threshold is None and not any(known.validation.anomalous)
    found = anomgen.Inspector.load(tmp_path / "out").inspect(tmp_path / "photos" / "000.png")
    assert found.mask is None and found.area is None and found.map.shape == (32, 32)
    with pytest.raises(UsageError, match="no anomalies to choose the threshold on; give --limit fpr=SHARE"):
        anomgen.fit(tmp_path / "photos", "none", tmp_path / "other", **small)
    with pytest.raises(UsageError, match="detector probe learns from anomalies"):
        anomgen.fit(tmp_path / "photos", "none", tmp_path / "other", limit="fpr=0", **QUICK)
    assert not (tmp_path / "other").exists()


def test_the_threshold_can_be_chosen_on_real_images(data, tmp_path):
    known = anomgen.fit(data, "boxes", tmp_path / "out", threshold_on="real", limit="fn=0", **QUICK).description
    assert known.threshold.fnr == 0 == known.tested.fnr and known.tested.fpr == known.threshold.fpr
    assert (len(known.validation.scores), sum(known.validation.anomalous)) == (14, 8)
    pictures(tmp_path / "photos", 6)
    with pytest.raises(UsageError, match=r"--threshold-on real: .* has 0 anomalous"):
        anomgen.fit(tmp_path / "photos", "boxes", tmp_path / "other", threshold_on="real", **QUICK)


def test_limits_that_cannot_be_kept_lose_no_training(data, tmp_path):
    impossible = ["fn=0", "fp=0"]
    with pytest.raises(Unreachable, match=r"no threshold keeps fn=0 and fp=0.*is kept in .* best F1"):
        anomgen.fit(data, "boxes", tmp_path / "out", threshold_on="real", limit=impossible, **QUICK)
    assert anomgen.Inspector.load(tmp_path / "out").description.threshold.rule == "best F1"
    with pytest.raises(Unreachable, match="no threshold keeps"):
        anomgen.Inspector.load(tmp_path / "out", limit=impossible)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"limit": "fn=x"}, "--limit fn=x"),
        ({"threshold_on": "test"}, "--threshold-on test: write recipe or real"),
        ({"score": "mean"}, "--score mean: write window or max or sum"),
        ({"detector": "prob"}, "^--detector: unknown detector 'prob'; did you mean 'probe'"),
        ({"detector": "all"}, "^--detector 'all': name one; `anomgen ls detectors` lists them"),
        ({"detector": ""}, "^--detector '': name one"),
        ({"overrides": ["detector.draem.width=8"]}, "detector.draem: this detector is not asked for with --detector$"),
        ({"seed": -1}, "--seed -1"),
    ],
)
def test_a_wrong_request_is_refused_before_the_training(data, tmp_path, change, message):
    options = {**QUICK, "overrides": [], **change}
    with pytest.raises(UsageError, match=message):
        anomgen.fit(data, "boxes", tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_another_folder_is_not_written_into(data, kept, copied, tmp_path):
    with pytest.raises(UsageError, match=r"holds a detector; replace it with --overwrite"):
        anomgen.fit(data, "boxes", copied, **QUICK)
    with pytest.raises(UsageError, match="holds other files"):
        anomgen.fit(data, "boxes", data, **QUICK)
    assert anomgen.fit(data, "boxes", copied, overwrite=True, **QUICK).path == copied
    assert (copied / WEIGHTS).read_bytes() == (kept / WEIGHTS).read_bytes()


# --- the folder -----------------------------------------------------------------------------------------------------


def test_a_folder_is_json_and_safetensors_and_goes_to_the_hub(kept, hub):
    assert sorted(path.name for path in kept.iterdir()) == ["README.md", DESCRIPTION, WEIGHTS]
    pushed = push(kept, "me/inspector", license="cc-by-4.0")
    files = hub.repos["model", "me/inspector"].files
    assert pushed.kind == "model" and {DESCRIPTION, WEIGHTS} <= files.keys()
    card = files["README.md"].decode()
    assert "anomgen inspect me/inspector PHOTOS" in card and "license: cc-by-4.0" in card


def test_no_path_of_the_machine_is_kept(kept, data):
    text = (kept / DESCRIPTION).read_text() + (kept / "README.md").read_text()
    assert str(data.parent) not in text and "part" in text


def test_a_folder_of_another_version_is_refused(copied):
    described(copied, schema=2, versions={"anomgen": "7.0"})
    with pytest.raises(UsageError, match=r"another version of anomgen \(7\.0: schema 2, this one reads 1\)"):
        anomgen.Inspector.load(copied)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "cyclegan"}, "is a model of kind 'cyclegan'"),
        ({"threshold": None}, "is damaged, threshold: Field required"),
        ({"shape": [10**9, 32, 3]}, r"is damaged, shape.0: .* \(it is 1000000000\)"),
        ({"depth": "uint16", "value_range": [5, 5]}, r"value_range: a range is \[low, high\] with 0 ≤ low < high"),
        ({"detector": {"kind": "unknown"}, "plugin": "other 1.0"}, "unknown detector 'unknown'.*came from other 1.0"),
        ({"detector": {"kind": "probe", "width": 10**9}}, "weights do not fit detector probe"),
        ({"detector": {"kind": "unet"}}, "weights do not fit detector unet"),
        ({"validation": {"on": "real", "scores": [1.0], "anomalous": []}}, "1 scores for 0 labels"),
    ],
)
def test_a_damaged_description_says_where(copied, changes, message):
    described(copied, **changes)
    with pytest.raises(UsageError, match=message):
        anomgen.Inspector.load(copied)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"kind": "detector", "schema": NaN}', "[" * 100_000])
def test_a_description_that_is_no_record_is_refused(copied, text):
    (copied / DESCRIPTION).write_text(text)
    with pytest.raises(UsageError, match=r"damaged|kind None"):
        anomgen.Inspector.load(copied)


def test_weights_that_are_not_the_described_ones_are_refused(copied):
    whole = (copied / WEIGHTS).read_bytes()
    (copied / WEIGHTS).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UsageError, match="half-written or changed"):
        anomgen.Inspector.load(copied)
    (copied / WEIGHTS).unlink()
    with pytest.raises(UsageError, match="the weights are missing"):
        anomgen.Inspector.load(copied)


def test_half_a_folder_and_a_pickle_are_told_apart(copied):
    (copied / DESCRIPTION).unlink()
    with pytest.raises(UsageError, match="is half-written"):
        anomgen.Inspector.load(copied)
    (copied / WEIGHTS).rename(copied / "model.pt")
    with pytest.raises(UsageError, match=r"holds model\.pt, a pickle, which could run code"):
        anomgen.Inspector.load(copied)
    (copied / "model.pt").unlink()
    with pytest.raises(UsageError, match=r"holds no detector.*`anomgen fit` makes one"):
        anomgen.Inspector.load(copied)


def test_a_description_survives_json(kept):
    text = (kept / DESCRIPTION).read_text()
    known = Description.model_validate_json(text)
    assert json.loads(text) == known.model_dump(mode="json", by_alias=True)


# --- inspect --------------------------------------------------------------------------------------------------------


def test_one_image_gives_score_flag_map_and_mask(kept, data):
    inspector = anomgen.Inspector.load(kept)
    path = sorted((data / "test" / "spot").iterdir())[0]
    found = inspector.inspect(path)
    assert found.map.shape == found.mask.shape == (32, 32) and found.map.dtype == np.float32
    assert found.score == reduce_maps(found.map[None])[0]
    assert found.is_anomalous == (found.score >= inspector.threshold)
    assert np.array_equal(found.mask, found.map >= inspector.description.pixel_threshold)
    pixels = cv2.imread(str(path))[..., ::-1]
    assert inspector.inspect(pixels).score == found.score


def test_other_sizes_and_channels_are_brought_to_the_training_images_which_is_told_once(kept):
    inspector = anomgen.Inspector.load(kept)
    image = np.full((48, 80), 150, np.uint8)
    with pytest.warns(AnomgenNote) as told:
        found = inspector.inspect_all([image, image])
    notes = [str(note.message) for note in told]
    assert len(notes) == 2 and "48×80 pixels, for instance, to 32×32" in notes[0] and "grey images are made" in notes[1]
    assert found[0].mask.shape == (48, 80) and found[0].map.shape == (32, 32)
    with pytest.raises(SourceError, match="is 16-bit, and the detector was trained on 8-bit"):
        inspector.inspect(image.astype(np.uint16))
    with pytest.raises(SourceError, match=r"an image is an array .* not \(8, 8, 4\)"):
        inspector.inspect(np.zeros((8, 8, 4), np.uint8))


def test_a_folder_of_images_gives_a_line_a_map_and_a_mask_each(kept, data, tmp_path):
    found = anomgen.inspect(kept, data, tmp_path / "out")
    rows = rows_of(tmp_path / "out")
    assert found.images == len(rows) == 26 and not any("ground_truth" in row["image"] for row in rows)
    with (tmp_path / "out" / "findings.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    inspector = anomgen.Inspector.load(kept)
    for row, line in zip(rows, table, strict=True):
        assert (line["image"], float(line["score"])) == (row["image"], row["score"])
        assert (line["anomalous"] == "true") == row["anomalous"] == (row["score"] >= inspector.threshold)
        stem = row["image"].rpartition(".")[0]
        values = cv2.imread(str(tmp_path / "out" / "maps" / f"{stem}.tiff"), cv2.IMREAD_UNCHANGED)
        mask = cv2.imread(str(tmp_path / "out" / "masks" / f"{stem}.png"), cv2.IMREAD_UNCHANGED)
        assert values.dtype == np.float32 and reduce_maps(values[None])[0] == row["score"]
        assert np.array_equal(mask, 255 * (values >= inspector.description.pixel_threshold))
        assert row["area"] == pytest.approx((mask > 0).mean(), abs=1e-6)
    summary = json.loads((tmp_path / "out" / "inspection.json").read_text())
    assert summary["anomalous"] == found.anomalous == sum(row["anomalous"] for row in rows)
    assert cv2.imread(str(tmp_path / "out" / "sheet.png")) is not None


def test_images_that_differ_in_their_ending_alone_keep_a_map_each(kept, tmp_path):
    pictures(tmp_path / "photos", 1)
    cv2.imwrite(str(tmp_path / "photos/000.jpg"), cv2.imread(str(tmp_path / "photos/000.png")))
    anomgen.inspect(kept, tmp_path / "photos", tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out" / "maps").iterdir()) == ["000.jpg.tiff", "000.png.tiff"]


def test_unreadable_images_are_listed_and_left_out_only_when_asked(kept, tmp_path):
    pictures(tmp_path / "photos", 3)
    (tmp_path / "photos" / "broken.png").write_bytes(b"no picture")
    with pytest.raises(
        SourceError, match=r"1 of 4 images cannot be used:\n  broken\.png: is not a PNG(.|\n)*--skip-unr"
    ):
        anomgen.inspect(kept, tmp_path / "photos", tmp_path / "out")
    assert len(rows_of(tmp_path / "out")) == 3
    found = anomgen.inspect(kept, tmp_path / "photos", tmp_path / "out", skip_unreadable=True, overwrite=True)
    assert found.images == 3 and found.unreadable[0].startswith("broken.png")


def test_new_findings_replace_the_earlier_ones_and_nothing_else(kept, tmp_path):
    pictures(tmp_path / "photos", 2)
    cv2.imwrite(str(tmp_path / "photos/000.jpg"), cv2.imread(str(tmp_path / "photos/000.png")))
    out = tmp_path / "out"
    anomgen.inspect(kept, tmp_path / "photos", out)
    assert len(list((out / "maps").iterdir())) == 3
    own = [out / "maps/mine.tiff", out / "maps/001.png", out / "masks/deep/notes.txt", tmp_path / "victim/001.tiff"]
    for file in own:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("mine")
    (out / "maps/linked").symlink_to(tmp_path / "victim")
    with pytest.raises(UsageError, match="maps/linked is a link"):
        anomgen.inspect(kept, tmp_path / "photos", out, overwrite=True)
    (out / "maps/linked").unlink()
    with (out / "findings.jsonl").open("a") as lines:  # that anybody may have written
        lines.write('{"image": "linked/001.png"}\n{"image": "../../victim/001.png"}\n[]\nno JSON\n')
    anomgen.inspect(kept, tmp_path / "photos/001.png", out, maps=False, overwrite=True)
    (tmp_path / "photos/001.png").rename(tmp_path / "photos/mine.png")
    with pytest.raises(UsageError, match=r"maps/mine\.tiff is none of the earlier findings"):
        anomgen.inspect(kept, tmp_path / "photos/mine.png", out, overwrite=True)
    assert all(file.read_text() == "mine" for file in own)
    left = {path.relative_to(out).as_posix() for name in ("maps", "masks") for path in (out / name).rglob("*")}
    assert left == {"maps/mine.tiff", "maps/001.png", "masks/deep", "masks/deep/notes.txt"}


def test_a_folder_of_maps_that_is_a_link_is_refused(kept, tmp_path):
    pictures(tmp_path / "photos", 1)
    anomgen.inspect(kept, tmp_path / "photos", tmp_path / "out")
    (tmp_path / "out/maps").rename(tmp_path / "victim")
    (tmp_path / "out/maps").symlink_to(tmp_path / "victim")
    with pytest.raises(UsageError, match="maps is a link"):
        anomgen.inspect(kept, tmp_path / "photos", tmp_path / "out", overwrite=True)
    assert [path.name for path in (tmp_path / "victim").iterdir()] == ["000.tiff"]


def test_findings_do_not_mix_with_other_files(kept, data, tmp_path):
    image = sorted((data / "test" / "good").iterdir())[0]
    anomgen.inspect(kept, image, tmp_path / "out", maps=False)
    written = {"findings.csv", "findings.jsonl", "inspection.json", "sheet.png"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == written
    with pytest.raises(UsageError, match="holds findings; replace"):
        anomgen.inspect(kept, image, tmp_path / "out")
    with pytest.raises(UsageError, match="lies inside the source"):
        anomgen.inspect(kept, data, data / "out")
    with pytest.raises(UsageError, match="there is no such folder"):
        anomgen.inspect(kept, tmp_path / "none", tmp_path / "other")
    with pytest.raises(UsageError, match="holds other files"):
        anomgen.inspect(kept, image, data)
    (tmp_path / "mine").mkdir()
    for name in written:
        (tmp_path / "mine" / name).write_text('{"image": "a.png", "threshold": 1}')
    with pytest.raises(UsageError, match="holds other files and no findings"):
        anomgen.inspect(kept, image, tmp_path / "mine", overwrite=True)


def test_memory_does_not_grow_with_the_number_of_images(kept, tmp_path):
    pictures(tmp_path / "photos", 4, shape=(64, 64))
    for k in range(4, 130):
        shutil.copy(tmp_path / "photos" / f"{k % 4:03d}.png", tmp_path / "photos" / f"{k:03d}.png")
    inspector = anomgen.Inspector.load(kept)
    peaks = []

    def progress(done, total, note=""):
        if done in (30, 130):
            peaks.append(tracemalloc.get_traced_memory()[0])

    tracemalloc.start()
    anomgen.inspect(inspector, tmp_path / "photos", tmp_path / "out", maps=False, progress=progress)
    tracemalloc.stop()
    assert peaks[1] - peaks[0] < 200_000, peaks


def test_inspecting_imports_nothing_that_only_scoring_needs(data, kept):
    image = sorted((data / "test" / "spot").iterdir())[0]
    code = (
        "import anomgen, sys\n"
        f"anomgen.Inspector.load({str(kept)!r}).inspect({str(image)!r})\n"
        "assert not {'sklearn', 'matplotlib', 'skimage', 'datasets', 'pyarrow', 'pandas'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_commands_print_what_comes_next_and_exit_as_told(data, kept, tmp_path):
    words = ["fit", str(data), "-r", "boxes", "-o", str(tmp_path / "kept"), "--size", "32", "--steps", "2"]
    done = CliRunner().invoke(app, [*words, "--set", "detector.probe.batch_size=2", "--limit", "fn=0"])
    assert done.exit_code == 0, done.output
    assert "(fn=0)" in done.output and "0.0% of the anomalous ones missed" in done.output
    image = str(sorted((data / "test" / "spot").iterdir())[0])
    every = ["inspect", str(kept), image, "-o", str(tmp_path / "out"), "--fail-on-anomaly", "--overwrite", "--json"]
    done = CliRunner().invoke(app, [*every, "--limit", "fpr=1"])
    assert done.exit_code == 3 and json.loads(done.stdout)["anomalous"] == 1
    described(shutil.copytree(kept, tmp_path / "high"), threshold={**threshold_of(kept), "score": 9.0})
    every[1] = str(tmp_path / "high")
    done = CliRunner().invoke(app, every)
    assert done.exit_code == 0 and json.loads(done.stdout)["anomalous"] == 0 and "nothing like them" in done.stderr


def threshold_of(folder):
    return json.loads((folder / DESCRIPTION).read_text())["threshold"]
