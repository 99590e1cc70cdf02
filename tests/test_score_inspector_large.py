"""A kept detector that sees large images, as its record may say of any: few at a time, or a refusal."""

import json

import numpy as np
import pytest
from learned import pictures, quick_detector

pytest.importorskip("timm", reason="scoring is an extra")

import torch

import anomgen
from anomgen.errors import UsageError
from anomgen.score.detectors import networks
from anomgen.score.detectors.networks import in_parts
from anomgen.score.inspector import findings, inspector
from anomgen.score.kept.folder import DESCRIPTION

pytestmark = pytest.mark.filterwarnings("ignore::anomgen.errors.AnomgenNote")


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    return quick_detector(tmp_path_factory.mktemp("kept"))


def seeing(folder, side):
    """Let a detector's record say that it sees images of so many pixels a side."""
    known = json.loads((folder / DESCRIPTION).read_text())
    known["shape"][:2] = [side, side]
    (folder / DESCRIPTION).write_text(json.dumps(known))


def test_one_that_takes_more_memory_than_there_is_is_refused(kept, monkeypatch):
    monkeypatch.setattr(inspector, "memory", lambda: 8 << 30)
    monkeypatch.setattr(networks, "device", lambda: torch.device("cpu"))
    for side, told in ((16384, "about 121 GB of memory, and this machine has 8.59"), (4400, "about 8.71 GB")):
        seeing(kept, side)
        with pytest.raises(UsageError, match=f"sees images of {side}×{side} pixels, of which one takes {told}"):
            anomgen.Inspector.load(kept)
    seeing(kept, 4000)
    assert anomgen.Inspector.load(kept).description.shape == (4000, 4000, 3)
    seeing(kept, 32)


def test_large_images_are_computed_on_in_smaller_parts(monkeypatch):
    monkeypatch.setattr(networks, "PIXELS", 3000)
    monkeypatch.setattr(networks, "device", lambda: torch.device("cpu"))
    counts = []

    def run(images):
        counts.append(len(images))
        return images.mean(1)

    for side, parts in ((20, [7, 1]), (32, [2, 2, 2, 2]), (64, [1] * 8)):
        images = np.random.default_rng(0).integers(0, 255, (8, side, side, 3), dtype=np.uint8)
        np.testing.assert_allclose(in_parts(images, run), images.mean(3, dtype=np.float32) / 255, rtol=1e-5)
        assert counts == parts
        counts.clear()


def test_as_few_images_are_held_as_what_the_detector_sees_asks_for(kept, tmp_path, monkeypatch):
    monkeypatch.setattr(findings, "PIXELS_AT_ONCE", 2 * 64 * 64)
    pictures(tmp_path / "new", 6)
    seeing(kept, 64)
    seen, inspect_seen = [], anomgen.Inspector.inspect_seen

    def counted(self, images, shapes):
        seen.append(len(images))
        return inspect_seen(self, images, shapes)

    monkeypatch.setattr(anomgen.Inspector, "inspect_seen", counted)
    anomgen.inspect(kept, tmp_path / "new", tmp_path / "out")
    seeing(kept, 32)
    assert seen == [1, 2, 2, 1]
