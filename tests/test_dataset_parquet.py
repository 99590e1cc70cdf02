"""Parquet files of a few kilobytes that stand for gigabytes: refused by name, before anything of it is written out."""

import json
import os
import shutil

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hub_fixtures import write_dataset
from learned import disc, pictures
from made_dataset import made_rows

from anomgen.banks.folder import Bank
from anomgen.banks.make import bank
from anomgen.dataset.origin import Damaged
from anomgen.dataset.reader import Dataset

resource = pytest.importorskip("resource", reason="the peak is asked for as POSIX does")
MEGABYTE = 1 << 20
MOST = 700 * MEGABYTE
LONG = "0" * (40 * MEGABYTE)
"""A text that takes a few kilobytes when compressed."""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("made") / "set", made_rows(64), shards=1)


def shard_of(folder):
    return next((folder / "data").glob("*.parquet"))


def rewritten(folder, **columns):
    """Write the shard of a folder anew with other columns, what repeats in them once."""
    table, metadata = pq.read_table(shard_of(folder)), pq.read_metadata(shard_of(folder)).metadata
    found = {name: columns.get(name, table[name]) for name in table.column_names}
    bomb = pa.table(found)
    options = {"compression": "zstd", "store_schema": False, "dictionary_pagesize_limit": 1 << 30}
    with pq.ParquetWriter(shard_of(folder), bomb.schema, **options) as writer:
        writer.write_table(bomb)
        writer.add_key_value_metadata(metadata)  # the schema as it was, too


def repeated(value, kind):
    return pa.DictionaryArray.from_arrays(pa.array([0] * 64, pa.int32()), pa.array([value], kind))


def pictures_of(data, path):
    return pa.StructArray.from_arrays([data, path], names=["bytes", "path"])


BYTES, NAMES = pa.array([b""] * 64, pa.binary()), pa.array([""] * 64, pa.string())
BOXES = pa.array([[[0, 0, 1, 1]] * 3_000_000] + [[]] * 63, pa.list_(pa.list_(pa.int32(), 4)))
BOMBS = {
    "a text": {"params": repeated(LONG, pa.string())},
    "a name": {"source_id": repeated(LONG, pa.string())},
    "a path": {"mask": pictures_of(BYTES, repeated(LONG, pa.string()))},
    "a picture": {"image": pictures_of(repeated(LONG.encode(), pa.binary()), NAMES)},
    "boxes": {"boxes": BOXES},
}
READ = {
    "rows": lambda dataset: list(dataset.rows()),
    "records": lambda dataset: list(dataset.records()),
    "a row": lambda dataset: dataset.row(1),
    "a column": lambda dataset: dataset.table(["source_id", "label"]),
}


def read_in_a_child(folder, read):
    """Return by how many bytes reading raised the most memory that the process held, and the error, if any."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        before, error = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, ""
        try:
            read(Dataset(folder))
        except Damaged as damaged:
            error = str(damaged)
        except BaseException as other:
            error = f"unexpected: {other!r}"[:500]
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        os.write(writer, json.dumps([(after - before) * 1024, error]).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as told:
        result = json.loads(told.read())
    os.waitpid(child, 0)
    return result


@pytest.mark.skipif(not hasattr(os, "fork"), reason="memory is measured in a child")
@pytest.mark.parametrize("bomb", BOMBS)
def test_what_repeats_is_not_written_out(made, tmp_path, bomb):
    """Law: each way to read takes little memory, and what would take more ends in an error that names the file."""
    folder = shutil.copytree(made, tmp_path / "set")
    rewritten(folder, **BOMBS[bomb])
    assert shard_of(folder).stat().st_size < 1.5 * MEGABYTE
    found = [read_in_a_child(folder, read) for read in READ.values()]
    assert max(peak for peak, _ in found) < MOST
    assert not [error for _, error in found if "unexpected" in error]
    assert any(f"{shard_of(folder)}: would take more than 268 MB of memory" in error for _, error in found)


def test_a_long_text_that_is_there_is_read(made, tmp_path):
    folder = shutil.copytree(made, tmp_path / "set")
    rewritten(folder, params=repeated(json.dumps({"long": "x" * 100_000}), pa.string()))
    assert [len(row["params"]["long"]) for row in Dataset(folder).rows()] == [100_000] * 64


def test_a_schema_without_a_bottom_is_refused(made, tmp_path):
    folder = shutil.copytree(made, tmp_path / "set")
    kind = pa.int64()
    for _ in range(90):
        kind = pa.struct([("a", kind)])
    pq.write_table(pa.table({"index": pa.array([None], kind)}), shard_of(folder))
    with pytest.raises(Damaged, match=r"\.parquet: not a file of anomgen"):
        Dataset(folder)


def test_a_file_of_row_groups_alone_is_refused(made, tmp_path, monkeypatch):
    monkeypatch.setattr("anomgen.dataset.parquet.MAX_PARTS", 30)
    folder = shutil.copytree(made, tmp_path / "set")
    table = pq.read_table(shard_of(folder))
    pq.write_table(table, shard_of(folder), row_group_size=2)
    with pytest.raises(Damaged, match=r"\.parquet: cannot be read as Parquet"):
        Dataset(folder)


def test_a_bank_is_read_within_the_same_bounds(tmp_path, monkeypatch):
    pictures(tmp_path / "bad", 2, seed=50, change=disc)
    (tmp_path / "masks").mkdir()
    marked = (disc(np.ones((32, 32, 1)))[..., 0] < 1).astype(np.uint8) * 255
    for number in range(2):
        cv2.imwrite(str(tmp_path / "masks" / f"{number:03d}.png"), marked)
    made = bank(tmp_path / "bad", tmp_path / "bank", masks=tmp_path / "masks").path
    table = pq.read_table(shard_of(made))
    monkeypatch.setattr("anomgen.dataset.parquet.MAX_SMALL", 8 * MEGABYTE)
    rows = [{**row, "image": {"bytes": bytes(9 * MEGABYTE), "path": "0.png"}} for row in table.to_pylist()]
    large = pa.Table.from_pylist(rows, schema=table.schema)
    pq.write_table(large, shard_of(made), row_group_size=1, compression="zstd")
    with pytest.raises(Damaged, match=r"\.parquet: would take more than 8\.39 MB of memory; make the bank again"):
        list(Bank(made).defects())
    file = shard_of(made)
    file.unlink()
    file.symlink_to("/dev/zero")
    with pytest.raises(Damaged, match="a link leads out of the folder"):
        list(Bank(made).defects())
