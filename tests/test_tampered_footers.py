"""Parquet files whose footers lie about rows, types, offsets and sizes: read, or refused by name, in bounded room."""

import os
import shutil
from itertools import product

import pytest
from footers import numbers, read_footer, with_number, write_footer
from hub_fixtures import write_dataset
from learned import pictures
from made_dataset import made_rows
from tampered import at_most

from anomgen.dataset.origin import Damaged
from anomgen.dataset.reader import Dataset
from anomgen.errors import AnomgenError
from anomgen.exporters.export import export
from anomgen.making.check import check
from anomgen.making.make import make
from anomgen.making.preview import preview
from anomgen.making.recipe import load_recipe
from anomgen.making.replay import replay

HOSTILE = (-1, 0, 1, 7, 2**31 - 1, 2**31, 2**40, 2**62, -(2**63))
SHARD = "data/train-00000-of-00001.parquet"
READERS = {
    "rows": lambda folder, out: list(Dataset(folder).rows()),
    "a column": lambda folder, out: Dataset(folder).table(["source_id", "label"]),
    "check": lambda folder, out: check(folder).render(),
    "replay": lambda folder, out: replay(folder, 3),
    "preview": lambda folder, out: preview(folder, out=out / "sheet.png"),
    "export": lambda folder, out: export(folder, "folder", out / "files"),
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    place = tmp_path_factory.mktemp("made")
    pictures(place / "good", 3)
    overrides = {"source.size": 32, "keep_normal": True}
    make(load_recipe("perlin", source=str(place / "good"), count=4, overrides=overrides), place / "set")
    return place / "set"


def lies(file):
    """Return the body of a file, its footer, and each number's place with each hostile value."""
    body, footer = read_footer(file)
    return body, footer, [(p, n) for (p, held), n in product(numbers(footer), HOSTILE) if held != n]


def read_all(made, place, step, readers):
    body, footer, found = lies(made / SHARD)
    refused = 0
    for spot, number in found[::step]:
        folder = place / "copy"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(made, folder)
        write_footer(folder / SHARD, body, with_number(footer, spot, number))
        for name in readers:
            shutil.rmtree(place / "out", ignore_errors=True)
            try:
                with at_most(60):
                    READERS[name](folder, place / "out")
            except AnomgenError:
                refused += 1
            except Exception as error:
                raise AssertionError(f"{spot} = {number}, {name}: {type(error).__name__}: {error}"[:2000]) from error
    return refused


def test_a_footer_is_put_together_as_it_was(made, tmp_path):
    body, footer, _ = lies(made / SHARD)
    write_footer(tmp_path / "same", body, footer)
    assert (tmp_path / "same").read_bytes() == (made / SHARD).read_bytes()


def test_a_footer_that_lies_is_read_or_refused(made, tmp_path):
    """Law: whatever number a footer holds, each reader does its work or ends in an error of ours. Some must be."""
    assert read_all(made, tmp_path, 61, ("rows", "check")) > 20


@pytest.mark.slow
def test_every_reader_of_a_footer_that_lies_says_so(made, tmp_path):
    assert read_all(made, tmp_path, 1 if "ANOMGEN_EVERY_ACCESS" in os.environ else 7, READERS) > 500


ROWS, GROUP_ROWS, GROUP_BYTES = (3,), (4, 0, 3), (4, 0, 2)
COLUMN = (4, 0, 1, 6, 3)
"""The label, after three pictures of two columns each; its fields are those of parquet.thrift's ColumnMetaData."""
KIND, VALUES, LENGTH, OFFSET = ((*COLUMN, field) for field in (1, 5, 7, 9))
CLAIMS = [
    (ROWS, -1, "claims -1 rows in"),
    (ROWS, 2**40, f"claims {2**40} rows in"),
    (ROWS, 3, "claims 3 rows, its parts 4"),
    (GROUP_ROWS, -4, "claims 4 rows, its parts -4"),
    (GROUP_BYTES, 2**40, "would take more than 268 MB"),
    (KIND, 0, "claims another kind or number of values in label"),
    (VALUES, -1, "claims another kind or number of values in label"),
    (VALUES, 2**40, "would take more than 268 MB"),
    (LENGTH, -1, "claims values of label where it has none"),
    (LENGTH, 2**40, "claims values of label where it has none"),
    (OFFSET, -1, "claims values of label where it has none"),
    (OFFSET, 2**40, "claims values of label where it has none"),
]


@pytest.mark.parametrize(("spot", "number", "told"), CLAIMS)
def test_what_cannot_be_is_told_before_anything_is_read(tmp_path, spot, number, told):
    folder = write_dataset(tmp_path / "set", made_rows(4), shards=1)
    body, footer, _ = lies(folder / SHARD)
    write_footer(folder / SHARD, body, with_number(footer, spot, number))
    with pytest.raises(Damaged, match=told):
        Dataset(folder)
