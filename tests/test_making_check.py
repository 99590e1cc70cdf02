"""Each rule of `anomgen check`: a sound dataset passes, and each kind of damage is named."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from made_dataset import MadePool, made_rows, write_dataset

from anomgen.dataset import writer
from anomgen.dataset.png import decode_png, encode_png
from anomgen.dataset.reader import Dataset
from anomgen.dataset.writer import shard_name
from anomgen.errors import RecipeError, UsageError
from anomgen.making.check import check, check_dataset
from anomgen.making.make import make
from anomgen.making.recipe import load_recipe
from anomgen.making.report import RULES


def edited(folder, edit):
    """Write the rows of a dataset again after `edit` has changed the list of their cells."""
    dataset = Dataset(folder)
    rows = list(dataset.stored_rows())
    edit(rows)
    for shard in dataset.shards:
        size = pq.read_metadata(shard).num_rows
        part, rows = rows[:size], rows[size:]
        metadata = dataset.columns.schema.metadata
        table = writer._table(part, dataset.columns.schema).replace_schema_metadata(metadata)
        pq.write_table(table, shard)
    return Dataset(folder)


def broken(report):
    return {violation.rule for violation in report.violations}


def edit_image(rows, index, change, column="image"):
    array = decode_png(rows[index][column]["bytes"]).copy()
    changed = change(array)
    rows[index][column]["bytes"] = encode_png(array if changed is None else changed)


@pytest.fixture
def folder(tmp_path):
    return write_dataset(tmp_path / "d")


# ----------------------------------------------------------------------------------------------------- sound


@pytest.mark.parametrize("keep_normal", [False, True])
@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize(
    ("shape", "dtype"), [((48, 40, 3), np.uint8), ((48, 40, 1), np.uint16), ((33, 64, 3), np.uint16)]
)
def test_a_sound_dataset_passes(tmp_path, keep_normal, soft, shape, dtype):
    rows = made_rows(soft=soft, shape=shape, dtype=dtype)
    report = check_dataset(Dataset(write_dataset(tmp_path / "d", rows, keep_normal=keep_normal)))
    assert report.ok, report.render()
    assert (report.rows, report.normal, report.anomaly) == (12, 6, 6)
    assert (report.compared, report.not_compared, report.invisible) == (6, 0, 0.0)


def test_a_sound_dataset_passes_against_its_source(folder):
    report = check_dataset(Dataset(folder), MadePool(np.ones((48, 40), bool)))
    assert report.ok, report.render()
    assert report.on_foreground == 1.0


def test_a_dataset_of_normal_rows_alone_needs_no_normal_images(tmp_path):
    rows = [row for row in made_rows(6) if not row.label]
    for position, row in enumerate(rows):
        object.__setattr__(row, "index", position)
    assert check_dataset(Dataset(write_dataset(tmp_path / "d", rows))).ok


def test_progress_counts_every_row(folder):
    done = []
    check_dataset(Dataset(folder), progress=lambda *counts: done.append(counts))
    assert done == [(row, 12) for row in range(1, 13)]


# ----------------------------------------------------------------------------------------- damage to a row

ANOMALOUS = 5


def outside(array):
    array[-1, -1, 0] ^= 1


def inside(array):
    array[21, 20, 0] ^= 1


@pytest.mark.parametrize(
    ("change", "rules"),
    [
        (outside, {"leak"}),
        (inside, {"severity"}),
        (lambda array: array[:-1], {"shape"}),
        (lambda array: array[..., :1], {"shape"}),
        (lambda array: array.astype(np.uint16) * 257, {"shape"}),
        (np.zeros_like, {"leak", "severity"}),
    ],
)
def test_a_changed_image_is_caught(folder, change, rules):
    report = check_dataset(edited(folder, lambda rows: edit_image(rows, ANOMALOUS, change)))
    assert broken(report) == rules, report.render()
    assert all(f"row {ANOMALOUS}" in v.examples[0] for v in report.violations)


@pytest.mark.parametrize(
    ("change", "rules"),
    [
        (lambda mask: np.roll(mask, 1, axis=1), {"boxes", "leak", "severity", "soft mask"}),
        (np.zeros_like, {"mask", "leak", "severity", "area", "boxes", "soft mask"}),
        (lambda mask: np.full_like(mask, 255), {"invisible", "severity", "area", "boxes"}),
        (lambda mask: mask // 255, {"mask values", "mask", "leak", "severity", "area", "boxes", "soft mask"}),
        (lambda mask: mask - (mask == 255).astype(np.uint8), {"mask values"}),
        (lambda mask: np.repeat(mask, 3, axis=2), {"shape"}),
        (lambda mask: mask.astype(np.uint16), {"shape"}),
    ],
)
def test_a_changed_mask_is_caught(folder, change, rules):
    report = check_dataset(edited(folder, lambda rows: edit_image(rows, ANOMALOUS, change, "mask")))
    assert broken(report) == rules, report.render()


def test_a_soft_mask_outside_the_mask_is_caught(folder):
    report = check_dataset(edited(folder, lambda rows: edit_image(rows, ANOMALOUS, outside, "soft_mask")))
    assert broken(report) == {"soft mask"}


def test_a_soft_mask_missing_in_normal_rows_is_caught(folder):
    report = check_dataset(edited(folder, lambda rows: rows[4].update(soft_mask=None)))
    assert broken(report) == {"soft mask"}


@pytest.mark.parametrize(
    ("change", "rules"),
    [
        ({"severity": 0.3}, {"severity"}),
        ({"area": 0.3}, {"area"}),
        ({"boxes": []}, {"boxes"}),
        ({"boxes": [[3, 9, 11, 6]]}, {"boxes"}),
        ({"label": 0}, {"label", "mask", "severity", "source"}),
        ({"defect_type": 0}, {"label", "count"}),
        ({"defect_type": 9}, {"label", "count"}),
        ({"seed": 8}, {"label"}),
        ({"params": "{"}, {"label"}),
        ({"params": "[1]"}, {"label"}),
        ({"index": 4}, {"index", "name"}),
        ({"source_id": "part/000.png"}, {"leak", "severity"}),
    ],
)
def test_a_changed_record_is_caught(folder, change, rules):
    report = check_dataset(edited(folder, lambda rows: rows[ANOMALOUS].update(change)))
    assert rules <= broken(report), report.render()
    assert broken(report) - rules <= {"count"}


@pytest.mark.parametrize("factor", [1 + 1e-6, 1 - 1e-6])
def test_the_smallest_change_of_the_severity_is_caught(folder, factor):
    def change(rows):
        rows[ANOMALOUS]["severity"] *= factor

    assert broken(check_dataset(edited(folder, change))) == {"severity"}


def test_swapped_images_are_caught(folder):
    def swap(rows):
        rows[3]["image"], rows[5]["image"] = rows[5]["image"], rows[3]["image"]

    assert {"leak", "name"} <= broken(check_dataset(edited(folder, swap)))


def test_swapped_rows_are_caught(folder):
    def swap(rows):
        rows[3], rows[5] = rows[5], rows[3]

    report = check_dataset(edited(folder, swap))
    assert broken(report) == {"index"}
    assert report.violations[0].count == 2


def test_a_wrong_file_name_is_caught(folder):
    assert broken(check_dataset(edited(folder, lambda rows: rows[3]["mask"].update(path="3.png")))) == {"name"}


def test_an_undecodable_image_is_caught(folder):
    for column in ("image", "mask", "soft_mask"):

        def cut(rows, column=column):
            rows[ANOMALOUS][column]["bytes"] = rows[ANOMALOUS][column]["bytes"][:20]

        report = check_dataset(edited(folder, cut))
        assert broken(report) == {"image"}, report.render()
        folder = Dataset(folder).path


def test_a_changed_normal_row_is_caught_by_its_source_and_by_its_repetition(folder):
    """Rows 0 and 6 show the same source."""
    report = check_dataset(edited(folder, lambda rows: edit_image(rows, 6, outside)))
    assert broken(report) == {"source"}
    assert report.violations[0].examples == ["row 6: its normal image is not 'part/000.png' (1 pixels differ)"]
    edited(folder, lambda rows: edit_image(rows, 0, outside))
    assert "source" in broken(check_dataset(Dataset(folder), MadePool()))


def test_a_mask_on_a_normal_row_is_caught(folder):
    report = check_dataset(edited(folder, lambda rows: edit_image(rows, 4, lambda m: m + 255, "mask")))
    assert {"mask", "area", "boxes"} <= broken(report)


def test_a_changed_normal_image_is_caught(tmp_path):
    folder = write_dataset(tmp_path / "d", keep_normal=True)
    report = check_dataset(edited(folder, lambda rows: edit_image(rows, ANOMALOUS, outside, "normal")))
    assert broken(report) == {"leak", "source"}
    report = check_dataset(edited(folder, lambda rows: edit_image(rows, 4, outside, "normal")))
    assert "source" in broken(report)


# --------------------------------------------------------------------------------------- damage to the whole


def test_a_missing_shard_is_caught(tmp_path):
    folder = write_dataset(tmp_path / "d", shards=3)
    (folder / "data" / shard_name(2, 3)).unlink()
    report = check_dataset(Dataset(folder))
    assert broken(report) == {"shards", "count"}


def test_a_shard_too_many_is_caught(folder):
    provenance = json.loads((folder / "provenance.json").read_text())
    (folder / "provenance.json").write_text(json.dumps(provenance | {"shards": 3}))
    assert broken(check_dataset(Dataset(folder))) == {"shards"}


@pytest.mark.parametrize("change", [{"normal": 7}, {"anomaly": 1}, {"by_type": {"nsa": 6}}])
def test_counts_that_differ_from_the_provenance_are_caught(folder, change):
    provenance = json.loads((folder / "provenance.json").read_text())
    provenance["rows"] |= change
    (folder / "provenance.json").write_text(json.dumps(provenance))
    assert broken(check_dataset(Dataset(folder))) == {"count"}


def test_a_count_that_differs_from_the_recipe_is_caught(folder):
    recipe = yaml.safe_load((folder / "recipe.yaml").read_text())
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe | {"count": 13}))
    assert broken(check_dataset(Dataset(folder))) == {"count"}


def test_a_flipped_bit_in_a_file_is_caught_and_the_other_shards_are_still_checked(folder):
    shard = folder / "data" / shard_name(0, 2)
    content = bytearray(shard.read_bytes())
    content[2000] ^= 1
    shard.write_bytes(content)
    report = check_dataset(Dataset(folder))
    assert {"file", "count"} <= broken(report) and report.rows == 6
    assert shard.name in report.violations[0].examples[0]


def test_damage_in_a_small_column_is_reported_too(folder):
    shard = folder / "data" / shard_name(1, 2)
    group = pq.read_metadata(shard).row_group(0)
    leaf = next(group.column(i) for i in range(group.num_columns) if group.column(i).path_in_schema == "params")
    content = bytearray(shard.read_bytes())
    content[leaf.data_page_offset + leaf.total_compressed_size - 2] ^= 1
    shard.write_bytes(content)
    report = check_dataset(Dataset(folder))
    assert broken(report) == {"file"} and not report.ok
    assert shard.name in report.render()


# ------------------------------------------------------------------------------------------ normal images, foreground


def test_without_any_normal_image_the_report_asks_for_the_source(tmp_path):
    rows = [row for row in made_rows(12) if row.label]
    for position, row in enumerate(rows):
        object.__setattr__(row, "index", position)
    dataset = Dataset(write_dataset(tmp_path / "d", rows))
    report = check_dataset(dataset)
    assert broken(report) == {"normal image"} and report.not_compared == 6
    assert "--source" in report.render()
    assert check_dataset(dataset, MadePool()).ok


def test_a_source_without_the_images_is_reported(folder):
    report = check_dataset(Dataset(folder), MadePool(count=2))
    number, images = report.violations
    assert number.rule == "record" and "says 3 normal images, 2 are there" in number.examples[0]
    assert images.rule == "source" and "no image 'part/002.png'" in images.examples[0]


def test_a_mask_off_the_foreground_is_caught(folder):
    half = np.zeros((48, 40), bool)
    half[:, :12] = True
    report = check_dataset(Dataset(folder), MadePool(half))
    assert broken(report) == {"foreground"}
    assert 0 < report.on_foreground < 0.5


# ---------------------------------------------------------------------------------------------------- report


def test_the_report_is_json_and_text(folder):
    def damage(rows):
        for row in rows:
            row["area"] = 0.9

    report = check_dataset(edited(folder, damage))
    text, plain = report.render(), json.loads(json.dumps(report.as_dict(), allow_nan=False))
    assert plain["ok"] is False
    assert plain["violations"][0]["count"] == 12 and len(plain["violations"][0]["examples"]) == 5
    assert (
        "BROKEN area" in text and "and 7 more" in text and "row 0: recorded 0.9" in text.replace("0.899999976", "0.9")
    )
    assert "area, nsa" in text and "severity, all" in text


def test_how_visible_the_anomalies_are_is_told_and_measured_again(tmp_path):
    out = make(load_recipe("perlin", count=12, size=64, overrides=["source.count=6"]), tmp_path / "d").path
    report = check(out)
    r = np.array([row["detectability"] for row in Dataset(out).rows() if row["label"]])
    assert report.ok and len(r) == 6 and report.statistics["all"]["below"] == np.mean(r < 1)
    assert report.statistics["all"]["detectability"] == {
        name: pytest.approx(np.quantile(r, q)) for name, q in (("10", 0.1), ("50", 0.5), ("90", 0.9))
    }
    assert f"detectability, all{np.quantile(r, 0.1):15.2f}" in report.render()
    for edit in (lambda row: row["detectability"] * 1.01, lambda _: None):

        def change(rows, edit=edit):
            for row in rows:
                row["detectability"] = row["detectability"] and edit(row)

        assert broken(check(edited(out, change).path)) == {"detectability"}


def test_a_dataset_that_is_older_than_the_column_passes(tmp_path):
    old = Dataset(write_dataset(tmp_path / "d", with_detectability=False))
    report = check_dataset(old)
    assert "detectability" not in old.columns.names and "detectability" not in old.row(5)
    assert report.ok and report.statistics["all"]["detectability"] is None and "detectability" not in report.render()


def test_every_rule_has_a_sentence():
    assert all(sentence and not sentence.endswith(".") for sentence in RULES.values())


def test_images_that_are_not_at_hand_are_a_note_unless_they_were_named(photos, tmp_path):
    made = make(load_recipe("fpi", source=photos, size=48, count=6), tmp_path / "made").path
    report = check(made)
    assert report.ok and report.note == "" and "note" not in report.as_dict()
    photos.rename(tmp_path / "moved")
    lost = check(made)
    assert "--source" in lost.note and lost.as_dict()["note"] == lost.note
    assert lost.render().endswith(f"note: {lost.note}")
    found = check(Dataset(made), source=tmp_path / "moved")
    assert found.as_dict() == report.as_dict()
    with pytest.raises(UsageError, match="nowhere"):
        check(made, source=tmp_path / "nowhere")


@pytest.mark.parametrize("change", [("anomgen: 1", "anomgen: 2"), ("name: fpi", "name: ../x"), ("fpi", "fip")])
def test_a_broken_recipe_is_in_the_report_where_the_images_are_named_too(photos, tmp_path, change):
    made = make(load_recipe("fpi", source=photos, size=48, count=6), tmp_path / "made").path
    file = made / "recipe.yaml"
    file.write_text(file.read_text().replace(*change))
    report = check(made, source=photos)
    assert "record" in {each.rule for each in report.violations}
    assert any(change[1].split()[-1] in text for each in report.violations for text in each.examples)


def test_a_wrong_override_stays_an_error(photos, tmp_path):
    made = make(load_recipe("fpi", source=photos, size=48, count=6), tmp_path / "made").path
    with pytest.raises(RecipeError, match="tolerance"):
        check(made, source=photos, overrides=["foreground=auto", "foreground.tolerance=x"])


@pytest.mark.parametrize("value", [None, "/dev/zero", [[None]], 0, -1.0, float("inf")])
def test_a_normal_boundary_that_cannot_be_is_no_traceback(value):
    from anomgen.synthesis.detectability import Detectability

    whiten = [" ".join(["1"] * length) for length in range(12, 0, -1)]
    record = {"boundary": 2.0, "pixels": 9, "mean": "0 " * 12, "whiten": whiten}
    assert Detectability.of_record(record).boundary == 2
    with pytest.raises((TypeError, ValueError)):
        Detectability.of_record({**record, "boundary": value})
