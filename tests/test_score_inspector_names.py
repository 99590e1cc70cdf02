"""Findings on images whose names no file of ours could have."""

import pytest
from learned import quick_detector

pytest.importorskip("timm", reason="scoring is an extra")

import anomgen

pytestmark = pytest.mark.filterwarnings("ignore::anomgen.errors.AnomgenNote")


def test_images_of_the_longest_names_keep_a_map_each(tmp_path):
    kept = quick_detector(tmp_path)
    for name, end in (("000.png", "a"), ("001.png", "b")):
        (tmp_path / "photos" / name).rename(tmp_path / "photos" / f"{'é' * 120}{end}.png")
    for _ in range(2):  # the second replaces all of the first
        assert anomgen.inspect(kept, tmp_path / "photos", tmp_path / "out", overwrite=True).images == 6
        assert len(list((tmp_path / "out" / "maps").iterdir())) == 6
