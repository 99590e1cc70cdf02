"""What a dataset's anomalies measure."""

import json

import numpy as np
import pytest
from made_dataset import made_rows, write_dataset

from anomgen.dataset.reader import Dataset
from anomgen.dataset.statistics import statistics


def test_statistics_count_and_measure_the_anomalies(tmp_path):
    rows = made_rows(20)
    result = statistics(Dataset(write_dataset(tmp_path / "d", rows)))
    areas = [row.area for row in rows if row.label]
    assert (result["rows"], result["normal"], result["anomaly"]) == (20, 10, 10)
    assert {name: part["count"] for name, part in result["by_type"].items()} == {"nsa": 5, "scar": 5}
    assert result["all"]["area"]["50"] == pytest.approx(np.median(areas))
    assert result["all"]["area"]["0"] == pytest.approx(min(areas))
    json.dumps(result, allow_nan=False)


def test_statistics_of_a_dataset_without_anomalies(tmp_path):
    rows = [row for row in made_rows() if not row.label]
    result = statistics(Dataset(write_dataset(tmp_path / "d", rows)))
    assert result["all"] == {"count": 0, "area": None, "severity": None, "detectability": None, "below": None}
