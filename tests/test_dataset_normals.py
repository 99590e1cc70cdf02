"""Normal images of a dataset: where they are found, and how many are held."""

import numpy as np
from made_dataset import MadePool, made_rows, normal_image, write_dataset

from anomgen.dataset.normals import NormalImages
from anomgen.dataset.reader import Dataset


def test_normal_images_come_from_the_row_then_the_rows_then_the_pool(tmp_path):
    rows = made_rows()
    kept = Dataset(write_dataset(tmp_path / "kept", rows, keep_normal=True))
    plain = Dataset(write_dataset(tmp_path / "plain", rows))
    anomalies = [row for row in rows if row.label]
    alone = Dataset(write_dataset(tmp_path / "alone", anomalies))
    for dataset in (kept, plain):
        normals = NormalImages(dataset)
        for row in dataset.rows():
            np.testing.assert_array_equal(normals.of(row), rows[row["index"]].normal)
    pool = MadePool()
    for row in alone.rows():
        assert NormalImages(alone).of(row) is None
        assert NormalImages(alone, pool).of(row) is pool.images[int(row["source_id"][5:8])]


def test_normal_images_hold_no_more_than_they_may(tmp_path):
    dataset = Dataset(write_dataset(tmp_path / "d"))
    normals = NormalImages(dataset, cache_bytes=2 * 48 * 40 * 3)
    for _ in range(2):
        for number in range(3):
            np.testing.assert_array_equal(normals.in_rows(f"part/{number:03d}.png"), normal_image(number))
            assert len(normals._cache) <= 2
