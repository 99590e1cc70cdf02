"""Reading: what was written comes back, and what is no dataset is named."""

import json
import os
import struct
import subprocess
import sys
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from made_dataset import made_rows, write_dataset

from anomgen.dataset.columns import Columns
from anomgen.dataset.reader import Dataset
from anomgen.dataset.row import Row
from anomgen.dataset.writer import Encoder, shard_name, write_shard
from anomgen.errors import AnomgenError, UsageError

# --------------------------------------------------------------------------------------------------- reading


def assert_same(row: Row, read: dict, *, soft: bool, keep_normal: bool):
    np.testing.assert_array_equal(read["image"], row.image)
    assert read["image"].dtype == row.image.dtype
    np.testing.assert_array_equal(read["mask"], row.mask)
    assert read["mask"].dtype == bool
    if soft:
        np.testing.assert_allclose(read["soft_mask"], row.soft_mask, atol=0.5 / 255 + 1e-6)
    else:
        assert read["soft_mask"] is None
    if keep_normal:
        np.testing.assert_array_equal(read["normal"], row.normal)
    for name in ("index", "seed", "attempt", "source_id", "label", "defect_type", "params", "boxes"):
        assert read[name] == getattr(row, name)
    assert (read["severity"], read["area"]) == (row.severity, row.area)


@pytest.mark.parametrize("shape", [(48, 40, 3), (48, 40, 1)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize(("soft", "keep_normal"), [(True, False), (False, True)])
def test_what_is_written_comes_back(tmp_path, shape, dtype, soft, keep_normal):
    rows = made_rows(6, soft=soft, shape=shape, dtype=dtype)
    dataset = Dataset(write_dataset(tmp_path / "d", rows, keep_normal=keep_normal))
    assert len(dataset) == len(rows)
    for row, streamed in zip(rows, dataset.rows(), strict=True):
        assert_same(row, streamed, soft=soft, keep_normal=keep_normal)
        assert_same(row, dataset.row(row.index), soft=soft, keep_normal=keep_normal)


def test_the_cells_of_a_row_are_what_the_encoder_made(tmp_path):
    rows = made_rows()
    dataset = Dataset(write_dataset(tmp_path / "d", rows))
    encoder = Encoder(dataset.columns)
    for row in rows:
        stored = dataset.cells(row.index)
        assert stored == encoder.cells(row)
        assert list(stored) == list(dataset.columns.names)


def test_normal_rows_have_an_empty_mask_and_no_severity(tmp_path):
    dataset = Dataset(write_dataset(tmp_path / "d"))
    for row in dataset.rows():
        if row["label"] == 0:
            assert not row["mask"].any() and not row["soft_mask"].any()
            assert (row["severity"], row["area"], row["boxes"], row["params"]) == (0, 0, [], {})
            assert row["defect_type"] == "normal"


def test_only_the_columns_asked_for_are_read(tmp_path):
    dataset = Dataset(write_dataset(tmp_path / "d"))
    assert list(dataset.row(3, ["label", "area"])) == ["label", "area"]
    assert list(next(dataset.rows(["mask"]))) == ["mask"]
    with pytest.raises(UsageError, match="did you mean 'severity'"):
        dataset.row(3, ["severty"])


def test_row_groups_are_found_by_index(tmp_path, monkeypatch):
    monkeypatch.setattr("anomgen.dataset.writer.ROW_GROUP_BYTES", 20_000)
    rows = made_rows(20)
    dataset = Dataset(write_dataset(tmp_path / "d", rows, shards=3))
    assert all(pq.read_metadata(shard).num_row_groups > 1 for shard in dataset.shards)
    assert [dataset.row(i, ["index"])["index"] for i in (19, 0, 7, 13)] == [19, 0, 7, 13]


def test_shards_are_read_in_the_order_of_their_numbers(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "recipe.yaml").write_text("name: x\nsource: {kind: folder}\n")
    for number in (100_000, 2, 10):
        row = made_rows(1, start=number)
        write_shard(tmp_path / "data" / shard_name(number, 100_001), row, Columns(("nsa", "scar")), {})
    dataset = Dataset(tmp_path, partial=True)
    assert [row["index"] for row in dataset.rows(["index"])] == [2, 10, 100_000]
    assert dataset.row(100_000, ["index"]) == {"index": 100_000}


def test_streaming_holds_a_row_group_and_not_the_dataset(tmp_path, monkeypatch):
    monkeypatch.setattr("anomgen.dataset.writer.ROW_GROUP_BYTES", 200_000)
    folder = write_dataset(tmp_path / "d", made_rows(60, shape=(128, 128, 3)))
    size = sum(shard.stat().st_size for shard in (folder / "data").iterdir())
    dataset = Dataset(folder)
    tracemalloc.start()
    assert sum(1 for _ in dataset.stored_rows()) == 60
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert size > 2_000_000 and peak < 700_000


@pytest.mark.parametrize("index", [-1, 12, 10**9])
def test_an_index_out_of_range_says_how_many_rows_there_are(tmp_path, index):
    dataset = Dataset(write_dataset(tmp_path / "d"))
    with pytest.raises(UsageError, match=f"no row {index}; it has 12 rows"):
        dataset.row(index)


# ---------------------------------------------------------------------------------------- what is no dataset


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(UsageError, match="no such folder"):
        Dataset(tmp_path / "nowhere")


def test_a_file_is_not_a_dataset(tmp_path):
    (tmp_path / "x").write_text("")
    with pytest.raises(UsageError, match="a file"):
        Dataset(tmp_path / "x")


def test_a_folder_of_something_else(tmp_path):
    with pytest.raises(UsageError, match="not an anomgen dataset"):
        Dataset(tmp_path)


def test_an_unfinished_run_says_how_to_finish_it(tmp_path):
    folder = write_dataset(tmp_path / "my data")
    (folder / "provenance.json").unlink()
    with pytest.raises(UsageError, match=r"unfinished \(2 shards so far.* -o '.*/my data' --resume`"):
        Dataset(folder)
    assert len(Dataset(folder, partial=True)) == 12


def test_no_shards_at_all(tmp_path):
    folder = write_dataset(tmp_path / "d")
    for shard in (folder / "data").iterdir():
        shard.unlink()
    with pytest.raises(UsageError, match="no data/train"):
        Dataset(folder)


FILES = (f"data/{shard_name(1, 2)}", "recipe.yaml", "provenance.json", "left-out.json")


FOREIGN = Path(__file__).absolute()


def moved(file, to):
    """Put a link in the place of a file, which lies elsewhere then."""
    to.parent.mkdir(parents=True, exist_ok=True)
    file.rename(to)
    file.symlink_to(os.path.relpath(to, file.parent))


@pytest.fixture
def whole(tmp_path):
    folder = write_dataset(tmp_path / "d")
    (folder / "left-out.json").write_text('{"anomgen_left_out": 1, "rows": [3]}')
    return folder


@pytest.mark.parametrize("name", FILES)
def test_no_file_is_read_through_a_link_that_leads_out_of_the_folder(whole, name):
    moved(whole / name, whole.parent / "elsewhere" / "file")
    with pytest.raises(UsageError, match=rf"{name}: a link leads out of the folder; put a copy"):
        Dataset(whole)


def test_no_shard_is_read_in_a_linked_folder_nor_a_preview_through_a_link(whole):
    (whole / "preview.png").symlink_to(FOREIGN)
    with pytest.raises(UsageError, match=r"no picture .*a link leads out"):
        Dataset(whole).picture()
    moved(whole / "data", whole.parent / "elsewhere")
    with pytest.raises(UsageError, match="a link leads out"):
        Dataset(whole)


@pytest.mark.parametrize("name", FILES)
def test_links_within_the_folder_and_to_the_whole_folder_are_followed(whole, name):
    moved(whole / name, whole / "kept" / "file")
    (whole.parent / "link").symlink_to("d")
    assert len(list(Dataset(whole.parent / "link").rows())) == 12


def snapshot(whole, repository):
    """Store the dataset as the Hub's library does: a snapshot of links to blobs, named by their contents."""
    inside = repository / "snapshots" / ("f" * 40) / "nsa"
    for number, name in enumerate((*FILES, f"data/{shard_name(0, 2)}")):
        place = inside / name
        place.parent.mkdir(parents=True, exist_ok=True)
        (whole / name).rename(place)
        moved(place, repository / "blobs" / str(number))
    return inside


def test_a_snapshot_of_the_hubs_cache_is_read_and_no_link_that_leads_out_of_its_blobs(whole, tmp_path):
    folder = snapshot(whole, tmp_path / "hub" / "datasets--me--screws")
    assert len(list(Dataset(folder).rows())) == 12 and Dataset(folder).left_out == {3}
    (tmp_path / "cache").symlink_to("hub")
    linked = tmp_path / "cache" / folder.relative_to(tmp_path / "hub")
    assert len(Dataset(linked)) == 12
    blobs = tmp_path / "hub" / "datasets--me--screws" / "blobs"
    moved(blobs / "1", tmp_path / "secret")
    with pytest.raises(UsageError, match="a link leads out"):
        Dataset(folder)


def test_a_link_is_not_led_out_by_a_link_in_the_place_of_the_blobs(whole, tmp_path):
    folder = snapshot(whole, tmp_path / "hub" / "datasets--me--screws")
    moved(tmp_path / "hub" / "datasets--me--screws" / "blobs", tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="a link leads out"):
        Dataset(folder)


@pytest.mark.parametrize(("rows", "told"), [([2, 12], "there is no row 12"), (list(range(12)), "no row is left")])
def test_what_is_thrown_out_must_be_there_and_not_all(whole, rows, told):
    (whole / "left-out.json").write_text(json.dumps({"rows": rows}))
    with pytest.raises(UsageError, match=rf"left-out\.json: damaged \({told}\); remove it"):
        Dataset(whole)


@pytest.mark.parametrize("damage", ["empty", "truncated", "text"])
def test_a_damaged_shard_is_named(tmp_path, damage):
    folder = write_dataset(tmp_path / "d")
    shard = folder / "data" / shard_name(1, 2)
    content = shard.read_bytes()
    shard.write_bytes({"empty": b"", "truncated": content[: len(content) // 2], "text": b"hello" * 99}[damage])
    with pytest.raises(UsageError, match=shard.name):
        Dataset(folder)


def test_a_flipped_bit_in_the_file_is_noticed_and_the_shard_named(tmp_path):
    folder = write_dataset(tmp_path / "d")
    shard = folder / "data" / shard_name(0, 2)
    content = bytearray(shard.read_bytes())
    content[2000] ^= 1
    shard.write_bytes(content)
    with pytest.raises(UsageError, match=shard.name):
        list(Dataset(folder).rows())


@pytest.mark.parametrize("content", ["{", "[1]"])
def test_a_damaged_provenance_is_named(tmp_path, content):
    folder = write_dataset(tmp_path / "d")
    (folder / "provenance.json").write_text(content)
    with pytest.raises(UsageError, match=r"provenance\.json"):
        Dataset(folder)


@pytest.mark.parametrize("content", ["a: [", "- 1"])
def test_a_damaged_recipe_is_named(tmp_path, content):
    folder = write_dataset(tmp_path / "d")
    (folder / "recipe.yaml").write_text(content)
    with pytest.raises(UsageError, match=r"recipe\.yaml"):
        Dataset(folder)


def test_shards_of_two_runs_do_not_mix(tmp_path):
    folder = write_dataset(tmp_path / "d")
    write_shard(folder / "data" / shard_name(1, 2), made_rows(2), Columns(("scar", "nsa")), {})
    with pytest.raises(UsageError, match="differ"):
        Dataset(folder)


# --------------------------------------------------------------------------------------------------- datasets

LOAD = """
import os, sys, numpy as np
from datasets import load_dataset, ClassLabel, Image, List, Value
for folder, mode in zip(sys.argv[1::2], sys.argv[2::2]):
    for streaming in (False, True):
        data = load_dataset(folder, split="train", streaming=streaming)
        f = data.features
        assert isinstance(f["image"], Image) and isinstance(f["mask"], Image) and isinstance(f["soft_mask"], Image), f
        assert f["label"].names == ["normal", "anomaly"], f
        assert f["defect_type"].names[0] == "normal" and {"nsa", "scar"} <= set(f["defect_type"].names), f
        assert f["boxes"] == List(List(Value("int32"), length=4)), f
        assert f["severity"] == Value("float32") and f["index"] == Value("int64"), f
        rows = list(data)
        assert [row["index"] for row in rows] == list(range(12))
        for row in rows:
            assert row["image"].mode == mode and row["mask"].mode == "L" and row["image"].size == (40, 48)
            assert set(np.unique(row["mask"])) <= {0, 255}
            assert bool(np.any(row["mask"])) == bool(row["label"]) == bool(row["boxes"])
        if not streaming:
            kinds = data.cast_column("image", Image(decode=False))
            assert kinds[3]["image"]["path"] == "000003.png"
    print("loaded", len(rows), mode, flush=True)
os._exit(0)  # threads of datasets that are still reading ahead may abort an interpreter that winds down
"""


def test_load_dataset_works_offline_and_streaming(tmp_path):
    pytest.importorskip("datasets")
    words = []
    for mode, channels, dtype in (("RGB", 3, np.uint8), ("L", 1, np.uint8), ("I;16", 1, np.uint16)):
        rows = made_rows(shape=(48, 40, channels), dtype=dtype)
        words += [str(write_dataset(tmp_path / mode[0], rows)), mode]
    offline = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "cache")}
    command = [sys.executable, "-c", LOAD, *words]
    result = subprocess.run(command, env={**os.environ, **offline}, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-3:] == ["loaded 12 RGB", "loaded 12 L", "loaded 12 I;16"]


def test_records_hold_what_rows_hold_and_name_the_row_that_is_damaged(tmp_path, monkeypatch):
    """Exporters and scores read one checked record of a row, not cells by name."""
    write_dataset(tmp_path, made_rows())
    dataset = Dataset(tmp_path)
    for record, row in zip(dataset.records(), dataset.rows(), strict=True):
        assert (record.index, record.defect_type, record.label) == (row["index"], row["defect_type"], row["label"])
        np.testing.assert_array_equal(record.image_pixels, row["image"])
        np.testing.assert_array_equal(record.mask_pixels, row["mask"])
    cells = next(dataset.stored_rows())
    for change, fault in (({"seed": None}, "it has no seed"), ({"defect_type": 99}, "there is no defect type 99")):
        monkeypatch.setattr(dataset, "stored_rows", lambda change=change: [{**cells, **change}])
        with pytest.raises(UsageError, match=f"row 0 is damaged: {fault}"):
            next(dataset.records())
    with pytest.raises(AnomgenError, match="row 0 is damaged: its mask: its PNG cannot be decoded"):
        _ = replace(next(Dataset.of(dataset.path).records()), mask=b"no PNG").mask_pixels


def test_a_record_of_pictures_or_boxes_that_do_not_go_together_is_refused_undecoded(tmp_path, monkeypatch):
    write_dataset(tmp_path, made_rows())
    dataset = Dataset(tmp_path)
    cells = next(dataset.stored_rows())
    huge = cells["image"]["bytes"][:16] + struct.pack(">II", 60_000, 60_000) + cells["image"]["bytes"][24:]
    for change, fault in (
        ({"image": {"bytes": b"garbage"}}, "its image: its PNG cannot be decoded"),
        ({"image": {"bytes": huge}}, "its image: its PNG claims 60000 × 60000 pixels"),
        ({"image": cells["mask"]}, None),  # a grey image with its mask is a row
        ({"mask": cells["image"]}, "its mask is 48×40×3 uint8, the image 48×40×3 uint8"),
        ({"boxes": [[0, 0, 10**6, 10**6]]}, "its box .* does not lie in the image of 48×40 pixels"),
        ({"source_id": "x" * 10**5}, "its source_id has 100000 characters"),
    ):
        monkeypatch.setattr(dataset, "stored_rows", lambda change=change: [{**cells, **change}])
        if fault is None:
            assert next(dataset.records()).index == 0
            continue
        with pytest.raises(UsageError, match=f"row 0 is damaged: {fault}"):
            next(dataset.records())
