"""Limits on errors: which threshold keeps them, compared with trying every threshold."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anomgen.errors import UsageError
from anomgen.score.limits import Bound, Unreachable, bounds_of, choose
from anomgen.score.metrics import Curve

CURVE = Curve.of(np.array([0, 0, 0, 0, 1, 1, 1, 1]), np.array([0.1, 0.2, 0.5, 0.8, 0.4, 0.6, 0.7, 0.9]))


def errors(labels, scores, threshold):
    flagged = scores >= threshold
    return {
        "fn": int((labels & ~flagged).sum()),
        "fp": int((~labels & flagged).sum()),
        "fnr": (labels & ~flagged).sum() / max(labels.sum(), 1),
        "fpr": (~labels & flagged).sum() / max((~labels).sum(), 1),
    }


@pytest.mark.parametrize("text", ["fn=0", "fpr=0.02", " fp = 3 ", "fnr=1"])
def test_limits_are_read_and_written(text):
    assert str(Bound.parse(text)) == text.replace(" ", "")


@pytest.mark.parametrize("text", ["fn=1234567", "fn=1e99", "fpr=0.123456789"])
def test_what_is_written_is_read_as_the_same_limit(text):
    assert Bound.parse(str(Bound.parse(text))) == Bound.parse(text)


def test_numbers_are_those_of_yaml():
    assert Bound.parse("fpr=2e-2") == Bound("fpr", 0.02) and Bound.parse("fn=1e1") == Bound("fn", 10)


@pytest.mark.parametrize("text", ["", "fn", "fn=", "fn=-1", "tp=0", "fpr=1.5", "fn=.5", "fpr=2%", "fn=1e999", "fn=٣.٤"])
def test_what_is_no_limit_is_refused(text):
    with pytest.raises(UsageError, match="--limit"):
        Bound.parse(text)


def test_two_limits_on_the_same_errors_are_refused():
    with pytest.raises(UsageError, match=r"fnr=0\.1: fn=0 limits the same errors"):
        bounds_of(["fn=0", "fnr=0.1"])


def test_a_limit_on_misses_has_the_fewest_false_alarms_and_the_other_way_round():
    assert choose(CURVE, bounds_of(["fn=0"])) == 0.4
    assert choose(CURVE, bounds_of(["fn=1"])) == 0.6
    assert choose(CURVE, bounds_of(["fpr=0"])) == np.nextafter(0.8, 1)
    assert choose(CURVE, bounds_of(["fp=1"])) == choose(CURVE, bounds_of(["fpr=0.25"])) == np.nextafter(0.5, 1)
    assert choose(CURVE, ()) == CURVE.best_threshold()


@pytest.mark.parametrize("texts", [["fn=4"], ["fn=1e99"], ["fnr=1"]])
def test_a_limit_that_allows_every_miss_flags_nothing_from_a_finite_threshold(texts):
    assert choose(CURVE, bounds_of(texts)) == np.nextafter(0.9, 1)
    normal_is_highest = Curve.of(np.array([1, 0]), np.array([0.2, 0.5]))
    assert choose(normal_is_highest, bounds_of([*texts, "fp=0"])) == np.nextafter(0.5, 1)


def test_both_limits_take_the_best_f1_that_keeps_both():
    assert choose(CURVE, bounds_of(["fn=1", "fpr=0.5"])) == 0.4  # F1 .8, and .75 at 0.6
    assert choose(CURVE, bounds_of(["fn=1", "fpr=0.25"])) == 0.6


def test_limits_that_no_threshold_keeps_say_what_each_costs():
    with pytest.raises(Unreachable) as caught:
        choose(CURVE, bounds_of(["fn=0", "fpr=0.25"]))
    told = str(caught.value)
    assert "with fn=0 at least 2 of 4 normal images are flagged (fpr=0.5)" in told
    assert "with fpr=0.25 at least 1 of 4 anomalous ones are missed (fnr=0.25)" in told


@pytest.mark.parametrize(("labels", "limit"), [([0, 0], ["fn=0"]), ([1, 1], ["fpr=0.1"]), ([0, 0], []), ([1, 1], [])])
def test_a_limit_needs_the_images_that_it_counts(labels, limit):
    with pytest.raises(UsageError, match="there is no"):
        choose(Curve.of(np.array(labels), np.array([0.1, 0.2])), bounds_of(limit))


@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=2, max_size=14).filter(
        lambda rows: len({label for label, _ in rows}) == 2
    ),
    st.sampled_from(
        [(), ("fn=0",), ("fn=99",), ("fnr=0.3",), ("fp=1",), ("fpr=0.29",), ("fn=1", "fpr=0.3"), ("fnr=1", "fp=0")]
    ),
)
def test_the_threshold_keeps_its_limits_and_none_reaches_more(rows, texts):
    labels, scores = np.array([label for label, _ in rows]), np.array([score for _, score in rows], float)
    bounds = bounds_of(texts)
    every = [errors(labels, scores, t) for t in (*np.unique(scores), np.inf)]
    kept = [found for found in every if all(found[bound.kind] <= bound.most for bound in bounds)]
    try:
        reached = errors(labels, scores, choose(Curve.of(labels, scores), bounds))
    except Unreachable:
        assert not kept
        return
    assert np.isfinite(choose(Curve.of(labels, scores), bounds)) and reached in kept
    if len(bounds) == 1:
        other = "fp" if bounds[0].kind in ("fn", "fnr") else "fn"
        assert reached[other] == min(found[other] for found in kept)
