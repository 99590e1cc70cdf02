"""Mix: parts are drawn by their weights and keep what is theirs."""

import cv2
import numpy as np
import pytest
from drawn import draws

from anomgen.errors import SourceError
from anomgen.generators.base import build_generator
from anomgen.generators.conformance import TestPool
from anomgen.sources.folder import Folder
from anomgen.sources.pool import Pool


def test_parts_are_drawn_by_their_weights():
    parts = [{"kind": "fpi", "weight": 1.0}, {"kind": "boxes", "weight": 3.0}]
    types = [sample.defect_type for sample in draws({"kind": "mix", "parts": parts}, TestPool((48, 48, 3)), 800)]
    assert abs(types.count("boxes") / len(types) - 0.75) < 0.05


def test_in_a_mixture_with_soft_masks_binary_parts_have_their_mask_as_one():
    parts = [{"kind": "nsa"}, {"kind": "cutpaste"}, {"kind": "mix", "parts": [{"kind": "fpi"}]}]
    samples = draws({"kind": "mix", "parts": parts}, TestPool((96, 96, 3)), 40)
    assert {sample.params["part"] for sample in samples} == {0, 1, 2}
    for sample in samples:
        if sample.defect_type == "cutpaste":
            assert np.array_equal(sample.soft_mask, sample.mask)
        if sample.params["part"] == 2:
            assert "weight" in sample.params["drawn"]["drawn"]


def test_a_part_that_cannot_draw_says_why_and_how_to_leave_it_out(tmp_path):
    """Nothing can be moved within images of one colour; rectangles can be drawn on them."""
    for k in range(3):
        cv2.imwrite(str(tmp_path / f"{k}.png"), np.full((64, 64, 3), 128, np.uint8))
    pool = Pool(Folder(path=str(tmp_path)).open())
    nsa = {"kind": "nsa"}
    with pytest.raises(SourceError) as told:
        build_generator({"kind": "mix", "parts": [{"kind": "boxes"}, nsa]}).prepared(pool)
    assert "3 of 3 images are of nearly one colour: 0.png, 1.png, 2.png" in str(told.value)
    assert "the other parts (boxes) may draw" in str(told.value) and "remove generator.parts.1 there" in str(told.value)
    with pytest.raises(SourceError, match="choose another recipe"):
        build_generator({"kind": "mix", "parts": [nsa]}).prepared(pool)
