"""Resampled figures: stratified, the same for one data set, and as wide as the images differ."""

import numpy as np
import pytest
from maps import KINDS, blobs, maps_of

from anomgen.score import bootstrap
from anomgen.score.bootstrap import replicates
from anomgen.score.metrics import au_pro, auroc, average_precision


def test_resamples_are_stratified_and_the_same_for_one_data_set():
    strata = np.array([0] * 10 + [1] * 4 + [2])
    weights = bootstrap.resamples("data", strata, 50)
    assert weights.shape == (50, 15)
    for stratum, size in ((0, 10), (1, 4), (2, 1)):
        assert (weights[:, strata == stratum].sum(1) == size).all()
    np.testing.assert_array_equal(weights, bootstrap.resamples("data", strata, 50))
    assert (weights != bootstrap.resamples("other", strata, 50)).any()


def slow_replicates(fingerprint, labels, scores, masks, maps, count):
    weights = bootstrap.resamples(fingerprint, labels * (1 + masks.any((1, 2))), count)
    for weight in weights:
        drawn = np.repeat(np.arange(len(labels)), weight)
        truth, found = masks[drawn], maps[drawn]
        yield (
            auroc(labels[drawn], scores[drawn]),
            average_precision(labels[drawn], scores[drawn]),
            auroc(truth, found),
            average_precision(truth, found),
            au_pro(truth, found),
        )


@pytest.mark.parametrize("kind", KINDS)
def test_replicates_are_the_figures_of_the_resampled_images(kind):
    """The approximation by quantiles moves a replicate by less than 0.002, at prevalences from .1 % to 3 %."""
    rng = np.random.default_rng(7)
    masks = blobs(rng, count=30, size=64, normal=14)
    maps = maps_of(rng, masks, kind)
    labels = np.arange(30) >= 14
    scores = np.round(rng.normal(size=30) + labels, 1)
    found = replicates("data", labels, scores, masks, maps, count=8)
    assert tuple(found) == bootstrap.REPLICATED
    exact = np.array(list(slow_replicates("data", labels, scores, masks, maps, 8))).T
    error = np.abs(np.array(list(found.values())) - exact)
    assert error[:2].max() < 1e-6 and error[2:].max() < 0.002
    if kind not in ("random", "good"):  # few distinct scores: exact
        assert error.max() < 1e-6


def test_replicates_spread_around_the_figure_as_the_images_do():
    """The deviation of the mean of n draws is what the bootstrap of AUROC must show: sqrt(Var / n) for one class."""
    rng = np.random.default_rng(0)
    normal, anomalous = rng.normal(size=300), rng.normal(size=300) + 1
    labels, scores = np.arange(600) >= 300, np.concatenate([normal, anomalous])
    values = replicates("data", labels, scores, count=400)["image_auroc"]
    wins = anomalous[:, None] > normal
    expected = np.sqrt(wins.mean(0).var() / 300 + wins.mean(1).var() / 300)  # DeLong
    assert np.std(values) == pytest.approx(expected, rel=0.15)
    assert np.mean(values) == pytest.approx(auroc(labels, scores), abs=0.003)


def test_metrics_without_a_value_have_no_replicates():
    assert replicates("data", np.ones(4), np.arange(4.0)) == {}
    masks = np.zeros((4, 8, 8), bool)
    found = replicates("data", [0, 0, 1, 1], np.arange(4.0), masks, masks * 1.0)
    assert list(found) == ["image_auroc", "image_ap"]
