"""Mix: parts are drawn by their weights and keep what is theirs."""

import numpy as np
from drawn import draws

from anomgen.generators.conformance import TestPool


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
