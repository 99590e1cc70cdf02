"""Rows of other channels or depth than the first, as in two datasets put together: sound one by one, not as a whole."""

import numpy as np
import pytest
from made_dataset import made_rows, write_dataset

from anomgen.dataset.origin import Damaged
from anomgen.dataset.reader import Dataset
from anomgen.exporters.export import export
from anomgen.making.check import check_dataset

KINDS = [((48, 40, 1), np.uint8, "grey uint8"), ((48, 40, 3), np.uint16, "colour uint16")]


@pytest.fixture(params=KINDS, ids=lambda kind: kind[2])
def mixed(request, tmp_path):
    """A dataset of colour pictures of 8 bits whose last four are others, and what those are."""
    shape, dtype, told = request.param
    rows = [*made_rows(8), *made_rows(4, shape=shape, dtype=dtype, start=8)]
    return Dataset(write_dataset(tmp_path / "d", rows, keep_normal=True)), told


def test_check_reports_each(mixed):
    dataset, told = mixed
    (violation,) = check_dataset(dataset).violations
    assert (violation.rule, violation.count) == ("shape", 4)
    assert violation.examples[0] == f"row 8: its image is {told}, that of the dataset's first row colour uint8"


def test_readers_take_the_rows_before_and_refuse_the_first(mixed):
    dataset, told = mixed
    records = dataset.records()
    assert [next(records).index for _ in range(8)] == list(range(8))
    with pytest.raises(Damaged, match=f"row 8: its image is {told}"):
        next(records)


def test_exports_refuse_it_and_leave_nothing(mixed, tmp_path):
    with pytest.raises(Damaged, match="row 8"):
        export(mixed[0], "folder", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["d"]
