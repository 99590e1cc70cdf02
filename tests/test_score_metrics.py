"""The figures of maps and scores, against their definitions."""

import itertools
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from maps import KINDS, blobs, maps_of

from anomgen.errors import AnomgenError
from anomgen.score import metrics
from anomgen.score.bootstrap import replicates
from anomgen.score.metrics import Curve, au_pro, auroc, average_precision, by_type, f1_max, reduce_maps
from anomgen.score.result import ChosenF1, Rates, Thresholds, TypeFigures

TIED = st.lists(st.tuples(st.booleans(), st.integers(-3, 3)), min_size=1, max_size=30)


def brute_auroc(labels, scores):
    """The chance that an anomalous score beats a normal one; ties count half."""
    wins = [(a > n) + (a == n) / 2 for a in scores[labels] for n in scores[~labels]]
    return np.mean(wins)


def brute_precision_recall(labels, scores):
    for threshold in sorted(set(scores.tolist()), reverse=True):
        flagged = scores >= threshold
        yield (flagged & labels).sum() / flagged.sum(), (flagged & labels).sum() / labels.sum()


def components_of(mask):
    """Sets of pixels that touch by a side or a corner, by flooding."""
    left, found = {tuple(p) for p in np.argwhere(mask)}, []
    while left:
        edge, component = [left.pop()], set()
        while edge:
            y, x = edge.pop()
            component.add((y, x))
            near = {(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)} & left
            left -= near
            edge += near
        found.append(component)
    return found


def slow_au_pro(masks, maps, limit=0.3):
    """The definition word for word: every threshold, every component, trapezoids up to the limit."""
    regions = [(i, tuple(np.array(sorted(c)).T)) for i, mask in enumerate(masks) for c in components_of(mask)]
    points = [(0.0, 0.0)]
    for threshold in sorted(set(maps.ravel().tolist()), reverse=True):
        flagged = maps >= threshold
        points.append((flagged[~masks].mean(), np.mean([flagged[i][where].mean() for i, where in regions])))
    area = 0.0
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        if x1 > limit:
            y1 = y0 + (y1 - y0) * (limit - x0) / (x1 - x0)
            area += (limit - x0) * (y0 + y1) / 2
            break
        area += (x1 - x0) * (y0 + y1) / 2
    return area / limit


@given(TIED)
@settings(deadline=None, max_examples=150)
def test_figures_equal_brute_force_with_ties(pairs):
    labels, scores = np.array([p[0] for p in pairs]), np.array([p[1] for p in pairs], np.float32)
    if labels.all() or not labels.any():
        assert all(np.isnan(f(labels, scores)) for f in (auroc, average_precision, f1_max))
        return
    points = list(brute_precision_recall(labels, scores))
    recalls = [0.0, *(r for _, r in points)]
    assert auroc(labels, scores) == pytest.approx(brute_auroc(labels, scores), abs=1e-12)
    assert average_precision(labels, scores) == pytest.approx(
        sum((r - before) * p for (p, r), before in zip(points, recalls, strict=False)), abs=1e-12
    )
    assert f1_max(labels, scores) == pytest.approx(max(2 * p * r / (p + r) if p + r else 0 for p, r in points))


@pytest.mark.parametrize("decimals", [0, 1, 8])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
def test_figures_equal_scikit_learn(decimals, dtype):
    sklearn = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(decimals)
    labels = rng.random(3000) < 0.1
    scores = np.round(rng.normal(size=3000) + labels, decimals).astype(dtype)
    precision, recall, _ = sklearn.precision_recall_curve(labels, scores)
    assert auroc(labels, scores) == pytest.approx(sklearn.roc_auc_score(labels, scores), abs=1e-12)
    assert average_precision(labels, scores) == pytest.approx(
        sklearn.average_precision_score(labels, scores), abs=1e-12
    )
    assert f1_max(labels, scores) == pytest.approx(
        np.max(2 * precision * recall / np.maximum(precision + recall, 1e-300)), abs=1e-12
    )


@given(TIED, st.floats(0.1, 10), st.floats(-5, 5))
@settings(deadline=None, max_examples=50)
def test_figures_follow_ranks_alone_and_auroc_mirrors(pairs, factor, shift):
    labels, scores = np.array([p[0] for p in pairs]), np.array([p[1] for p in pairs], float)
    for figure in (auroc, average_precision, f1_max):
        np.testing.assert_equal(figure(labels, scores), figure(labels, scores * factor + shift))
    if labels.any() and not labels.all():
        assert auroc(labels, -scores) == pytest.approx(1 - auroc(labels, scores), abs=1e-12)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("limit", [0.05, 0.3, 1.0])
def test_au_pro_equals_its_definition(kind, limit):
    rng = np.random.default_rng(5)
    masks = blobs(rng)
    maps = maps_of(rng, masks, kind)
    assert au_pro(masks, maps, limit) == pytest.approx(slow_au_pro(masks, maps, limit), abs=1e-12)


@given(seed=st.integers(0, 2**32), levels=st.integers(1, 6), share=st.floats(0.02, 0.9))
@settings(deadline=None, max_examples=60)
def test_au_pro_equals_its_definition_on_random_masks(seed, levels, share):
    rng = np.random.default_rng(seed)
    masks = rng.random((3, 6, 7)) < share
    maps = rng.integers(0, levels, masks.shape).astype(np.float32)
    if masks.all() or not masks.any():
        assert np.isnan(au_pro(masks, maps))
    else:
        assert au_pro(masks, maps) == pytest.approx(slow_au_pro(masks, maps), abs=1e-12)


def test_au_pro_of_known_maps():
    rng = np.random.default_rng(0)
    masks = blobs(rng, count=12, size=64)
    assert au_pro(masks, masks * 1.0) == 1.0
    assert au_pro(masks, 1.0 - masks) == 0.0
    assert au_pro(masks, np.zeros(masks.shape)) == pytest.approx(0.15)  # one straight line from (0, 0) to (1, 1)
    assert au_pro(masks, rng.random(masks.shape)) == pytest.approx(0.15, abs=0.02)


def test_components_do_not_touch_across_images_but_across_corners():
    masks = np.zeros((2, 4, 4), bool)
    masks[0, 0, 0] = masks[0, 1, 1] = masks[1, 0, 0] = True  # two pixels by a corner; one in the next image
    shares = metrics.component_shares(masks)
    assert shares[0, 0, 0] == shares[0, 1, 1] == 0.5 and shares[1, 0, 0] == 1 and shares.sum() == 2


def test_large_components_weigh_as_much_as_small_ones():
    masks = np.zeros((1, 20, 20), bool)
    masks[0, :10, :10] = masks[0, 15, 15] = True
    maps = np.zeros(masks.shape)
    maps[0, :10, :10] = 1  # covers the large one, misses the small one of one pixel
    assert au_pro(masks, maps) == pytest.approx(0.5 + 0.5 * 0.15)


@pytest.mark.parametrize("limit", [0, -0.1, 1.5, np.nan])
def test_au_pro_refuses_other_limits(limit):
    masks = blobs(np.random.default_rng(0))
    with pytest.raises(AnomgenError, match="limit"):
        au_pro(masks, masks * 1.0, limit)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_maps_that_are_not_finite_are_an_error(bad):
    masks = blobs(np.random.default_rng(0))
    maps = masks * 1.0
    maps[3, 2, 2] = bad
    with pytest.raises(AnomgenError, match=r"1 of 6 anomaly maps .* image 3"):
        Curve.of_maps(masks, maps)
    with pytest.raises(AnomgenError, match="image 3"):
        replicates("x", masks.any((1, 2)), np.arange(6.0), masks, maps)
    with pytest.raises(AnomgenError, match="NaN or infinite"):
        auroc([True, False], np.array([bad, 1.0]))


def test_shapes_that_differ_are_an_error():
    with pytest.raises(AnomgenError, match="one shape"):
        auroc(np.ones(3), np.ones(4))
    with pytest.raises(AnomgenError, match="must be"):
        au_pro(np.ones((2, 4, 4)), np.ones((2, 4, 5)))


def test_image_score_is_the_highest_window_mean_inside_the_map():
    rng = np.random.default_rng(1)
    maps = rng.random((3, 40, 64)).astype(np.float32)  # the window is round(40 / 16) = 2 pixels wide
    windows = np.lib.stride_tricks.sliding_window_view(maps.astype(float), (2, 2), axis=(1, 2))
    np.testing.assert_allclose(reduce_maps(maps), windows.mean((-1, -2)).max((1, 2)), rtol=1e-12)
    maps = rng.random((2, 256, 256)).astype(np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(maps.astype(float), (16, 16), axis=(1, 2))
    np.testing.assert_allclose(reduce_maps(maps), windows.mean((-1, -2)).max((1, 2)), rtol=1e-9)


def test_image_score_depends_on_its_own_map_alone():
    maps = np.random.default_rng(1).random((5, 33, 32)).astype(np.float32)
    assert reduce_maps(maps)[3] == reduce_maps(maps[3:4])[0]
    assert reduce_maps(np.ones((1, 4, 4)))[0] == 1


def test_one_class_gives_no_figure_and_says_why():
    found = metrics.image_metrics(Curve.of(np.ones(3), np.arange(3.0)))
    assert found.metrics == dict.fromkeys(metrics.IMAGE_METRICS)
    assert found.undefined["image_auroc"] == "the test set holds one class only: every image is anomalous"
    maps = np.random.default_rng(0).random((2, 8, 8))
    assert "every pixel is normal" in metrics.pixel_metrics(Curve.of_maps(maps > 2, maps)).undefined["au_pro"]
    assert metrics.image_metrics(Curve.of([], [])).undefined["image_ap"] == "the test set holds no image"
    assert metrics.pixel_metrics(None).undefined == dict.fromkeys(metrics.PIXEL_METRICS, "the data has no masks")


def test_all_figures_come_from_one_curve():
    rng = np.random.default_rng(2)
    masks = blobs(rng)
    maps = maps_of(rng, masks, "good")
    found = metrics.pixel_metrics(Curve.of_maps(masks, maps))
    assert found.undefined == {}
    assert found.metrics == {
        "pixel_auroc": auroc(masks, maps),
        "pixel_ap": average_precision(masks, maps),
        "pixel_f1_max": f1_max(masks, maps),
        "au_pro": au_pro(masks, maps),
    }
    assert json.loads(json.dumps(found.metrics)) == found.metrics


@given(TIED, TIED, st.floats(0, 1))
@settings(deadline=None, max_examples=150)
def test_thresholds_keep_their_constraints_on_validation_data(validation, test, share):
    labels, scores = np.array([p[0] for p in validation]), np.array([p[1] for p in validation], float)
    curve = Curve.of(labels, scores)
    zero_fn, max_fpr = curve.zero_fn_threshold(), curve.max_fpr_threshold(share)
    if labels.any():
        assert (scores[labels] >= zero_fn).all() and zero_fn in scores[labels]
    else:
        assert zero_fn is None
    if labels.all():
        assert max_fpr is None
    else:
        assert (scores[~labels] >= max_fpr).mean() <= share
        lower = scores[scores < max_fpr]
        if len(lower):  # one score less, and the constraint would break
            assert (scores[~labels] >= lower.max()).mean() > share
    if labels.any() and not labels.all():
        best = curve.best_threshold()
        assert curve.f1_at(best) == f1_max(labels, scores)
    truth, found = np.array([p[0] for p in test]), np.array([p[1] for p in test], float)
    rates = Curve.of(truth, found).rates(0.5)
    assert rates.fpr == (pytest.approx((found[~truth] >= 0.5).mean()) if not truth.all() else None)
    assert rates.fnr == (pytest.approx((found[truth] < 0.5).mean()) if truth.any() else None)


@given(TIED, st.integers(2, 8))
@settings(deadline=None, max_examples=100)
def test_accuracy_and_points_of_f1_are_those_of_counting(rows, count):
    labels, scores = np.array([p[0] for p in rows]), np.array([p[1] for p in rows], float)
    curve = Curve.of(labels, scores)
    for place, threshold in enumerate(curve.thresholds):
        right = ((scores >= threshold) == labels).mean()
        assert curve.accuracy[place] == curve.accuracy_at(threshold) == pytest.approx(right)
    points = curve.f1_points(count)
    assert bool(points) == (labels.any() and not labels.all())
    for threshold, f1 in points:
        assert f1 == curve.f1_at(threshold) and np.isfinite(threshold)
    if points:
        assert max(f1 for _, f1 in points) == curve.f1_max and len(points) <= count + 1


def test_image_scores_by_maximum_and_sum():
    maps = np.random.default_rng(0).normal(size=(3, 20, 33)).astype(np.float32)
    np.testing.assert_array_equal(reduce_maps(maps, "max"), [values.max() for values in maps])
    np.testing.assert_allclose(reduce_maps(maps, "sum"), [values.astype(float).sum() for values in maps])


def test_max_fpr_is_exact_at_the_boundary():
    scores = np.arange(100.0)
    for flagged in (0, 5, 7, 29, 57, 100):
        threshold = Curve.of(np.zeros(100), scores).max_fpr_threshold(flagged / 100)
        assert (scores >= threshold).sum() == flagged
    assert (scores >= Curve.of(np.zeros(100), scores).max_fpr_threshold(0.0)).sum() == 0


def test_rows_of_thresholds():
    normal = [*np.linspace(0.1, 0.3, 18), 0.85, 0.9]
    validation = Curve.of([0] * 20 + [1, 1], np.array([*normal, 0.4, 0.8]))
    test = Curve.of([0, 0, 1, 1], np.array([0.35, 0.45, 0.2, 0.7]))
    found = metrics.thresholds(validation, test)
    assert found.f1.plain() == {"threshold": 0.4, "f1": 0.5, "best_f1": pytest.approx(2 / 3), "fpr": 0.5, "fnr": 0.5}
    assert found.zero_fn.plain() == {
        "threshold": 0.4,
        "validation": {"fpr": 0.1, "fnr": 0.0},
        "test": {"fpr": 0.5, "fnr": 0.5},
    }
    assert found.max_fpr_10.validation == Rates(fpr=0.1, fnr=0.0)
    assert found.max_fpr_10.threshold == np.nextafter(0.3, 1)
    assert found.max_fpr_5.validation == Rates(fpr=0.05, fnr=1.0) and found.max_fpr_5.threshold == np.nextafter(0.85, 1)
    assert found.max_fpr_1.validation == Rates(fpr=0.0, fnr=1.0)
    assert Thresholds.model_validate(json.loads(json.dumps(found.plain()))) == found


def test_thresholds_without_synthetic_anomalies():
    found = metrics.thresholds(Curve.of(np.zeros(4), np.arange(4.0)), Curve.of([0, 1], np.array([0.0, 1.0])))
    assert found.f1.plain() == {"threshold": None, "f1": None, "best_f1": 1.0, "fpr": None, "fnr": None}
    unknown = {"fpr": None, "fnr": None}
    assert found.zero_fn.plain() == {"threshold": None, "validation": unknown, "test": unknown}
    assert found.max_fpr_5.validation == Rates(fpr=0.0, fnr=None)


def test_pixel_thresholds_survive_the_way_through_json():
    rng = np.random.default_rng(3)
    masks = blobs(rng)
    curve = Curve.of_maps(masks, maps_of(rng, masks, "good"))
    chosen = ChosenF1.model_validate(json.loads(json.dumps(metrics.chosen_f1(curve, curve).plain())))
    assert chosen.f1 == chosen.best_f1 == curve.f1_at(chosen.threshold)


def test_recall_and_precision_by_type():
    masks = np.zeros((5, 8, 8), bool)
    masks[2, :4, :4] = masks[3, :2, :2] = True  # the last image lost its mask
    maps = masks * np.array([0, 0, 1, -1, 1])[:, None, None]
    types = ("normal", "normal", "crack", "crack", "blot")
    found = by_type(types, np.array([0.0, 0.1, 0.6, 0.2, 0.5]), 0.5, masks, maps)
    assert list(found) == ["blot", "crack"]
    assert found["blot"] == TypeFigures(images=1, recall=1.0, pixel_ap=None)
    precision = average_precision(masks[:4], maps[:4])
    assert found["crack"] == TypeFigures(images=2, recall=0.5, pixel_ap=precision)
    assert by_type(types, np.zeros(5), None)["crack"] == TypeFigures(images=2, recall=None, pixel_ap=None)


def test_recall_by_type_compares_float32_scores_exactly():
    scores = np.array([0.1, 0.1], np.float32)
    assert by_type(("a", "a"), scores, float(scores[0]))["a"].recall == 1
    assert by_type(("a", "a"), scores, float(np.nextafter(np.float64(scores[0]), 1)))["a"].recall == 0
