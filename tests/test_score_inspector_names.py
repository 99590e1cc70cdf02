"""Findings on images whose names no file of ours could have."""

import pytest
from learned import pictures

pytest.importorskip("timm", reason="scoring is an extra")

import anomgen

pytestmark = pytest.mark.filterwarnings("ignore::anomgen.errors.AnomgenNote")


@pytest.fixture
def kept(tmp_path):
    pictures(tmp_path / "photos", 6)
    quick = {"steps": 2, "size": 32, "overrides": ["detector.probe.batch_size=2"]}
    return anomgen.fit(tmp_path / "photos", "boxes", tmp_path / "kept", **quick).path


def test_images_of_the_longest_names_keep_a_map_each(kept, tmp_path):
    for name, end in (("000.png", "a"), ("001.png", "b")):
        (tmp_path / "photos" / name).rename(tmp_path / "photos" / f"{'é' * 120}{end}.png")
    for _ in range(2):  # the second replaces all of the first
        assert anomgen.inspect(kept, tmp_path / "photos", tmp_path / "out", overwrite=True).images == 6
        assert len(list((tmp_path / "out" / "maps").iterdir())) == 6
