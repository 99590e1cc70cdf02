"""How well anomaly maps and scores agree with the truth: exact figures and thresholds.

Everything is read off a `Curve`, one sort of all scores. A score at or above a threshold is flagged as anomalous.
AU-PRO: Bergmann et al., IJCV 2021 (MVTec AD), exact instead of over sampled thresholds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Self

import numpy as np
from scipy import ndimage

from anomgen.errors import AnomgenError
from anomgen.score.result import ChosenF1, Limit, Rates, Scored, Thresholds, TypeFigures

FPR_LIMIT = 0.3
"""AU-PRO integrates up to this share of anomaly-free pixels flagged."""
IMAGE_METRICS = ("image_auroc", "image_ap", "image_f1_max")
PIXEL_METRICS = ("pixel_auroc", "pixel_ap", "pixel_f1_max", "au_pro")
Reducer = Literal["window", "max", "sum"]
_NEIGHBOURS = np.stack([np.zeros((3, 3), bool), np.ones((3, 3), bool), np.zeros((3, 3), bool)])


@dataclass(frozen=True)
class Curve:
    """What every threshold would flag, from above all scores down to the lowest; the last axis counts thresholds.

    thresholds: float64 (T,), infinity and then the distinct scores in falling order. hits, false_alarms: how many
    anomalous and how many normal ones score at least that much, (T,), or (R, T) for R resamples. covered: the flagged
    share of each ground-truth component, summed over components; None for scores of images.

    The figures are NaN where only one class is there. None is ever flipped: an AUROC below 0.5 stays below 0.5.
    """

    thresholds: np.ndarray
    hits: np.ndarray
    false_alarms: np.ndarray
    covered: np.ndarray | None = None

    @classmethod
    def of(cls, labels: np.ndarray, scores: np.ndarray, shares: np.ndarray | None = None) -> Self:
        """Return the curve of `scores` (any real dtype), whose truth is `labels` (bool or 0/1), both of one shape.

        shares: float of that shape, what each adds to `covered`. AnomgenError: other shapes, or a score that is not
        finite.
        """
        labels, scores = np.asarray(labels), np.asarray(scores)
        if labels.shape != scores.shape:
            raise AnomgenError(f"{labels.shape} labels for {scores.shape} scores: both must have one shape")
        if not np.isfinite(scores).all():
            raise AnomgenError("a score is NaN or infinite: the detector's training has diverged")
        flat = scores.ravel()
        order = np.argsort(flat)[::-1]
        ranked = flat[order]
        # Tied scores are flagged together, so only the last of them is a point of the curve.
        last = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True)) if len(ranked) else np.zeros(0, np.intp)
        hits = np.cumsum(labels.ravel()[order] != 0)[last]
        return cls(
            thresholds=np.concatenate([[np.inf], ranked[last].astype(np.float64)]),
            hits=np.concatenate([[0], hits]),
            false_alarms=np.concatenate([[0], last + 1 - hits]),
            covered=None if shares is None else np.concatenate([[0.0], np.cumsum(shares.ravel()[order])[last]]),
        )

    @classmethod
    def of_maps(cls, masks: np.ndarray, maps: np.ndarray) -> Self:
        """Return the curve over all pixels of maps (N, H, W), whose truth is masks (N, H, W), `covered` included."""
        check_maps(masks, maps)
        return cls.of(masks, maps, component_shares(masks))

    @classmethod
    def scored(cls, images: Scored) -> Self:
        """Return the curve of recorded scores."""
        return cls.of(np.array(images.anomalous, bool), np.array(images.scores, np.float64))

    @property
    def anomalous(self) -> Any:
        """How many are anomalous."""
        return self.hits[..., -1]

    @property
    def normal(self) -> Any:
        """How many are normal."""
        return self.false_alarms[..., -1]

    @property
    def auroc(self) -> Any:
        """Area under the ROC curve; ties count half."""
        return self._area(self.hits, 1.0)

    @property
    def average_precision(self) -> Any:
        """Mean precision over the steps of recall, without interpolation: Σ (R_n - R_(n-1)) P_n."""
        precision = self.hits / np.maximum(self.hits + self.false_alarms, 1)
        return self._defined((np.diff(self.hits) * precision[..., 1:]).sum(-1) / np.maximum(self.anomalous, 1))

    @property
    def f1(self) -> np.ndarray:
        """F1 at each threshold."""
        flagged = self.hits + self.false_alarms
        result: np.ndarray = 2 * self.hits / np.maximum(flagged + self.anomalous[..., None], 1)
        return result

    @property
    def accuracy(self) -> np.ndarray:
        """Share that is told rightly at each threshold."""
        right = self.hits + self.normal[..., None] - self.false_alarms
        result: np.ndarray = right / np.maximum(self.anomalous + self.normal, 1)[..., None]
        return result

    @property
    def f1_max(self) -> Any:
        """The best F1 that any threshold reaches."""
        return self._defined(self.f1.max(-1))

    def au_pro(self, limit: float = FPR_LIMIT) -> Any:
        """Area under mean component coverage over the false positive rate up to `limit` in (0, 1], divided by it."""
        if self.covered is None:
            raise AnomgenError("AU-PRO needs ground-truth components: build the curve with `Curve.of_maps`")
        if not 0 < limit <= 1:
            raise AnomgenError(f"limit {limit} of the false positive rate: must lie in (0, 1]")
        return self._area(self.covered, limit)

    def best_threshold(self) -> float | None:
        """Return the threshold of the best F1, the highest of several; None if nothing is anomalous or normal."""
        return float(self.thresholds[self.f1.argmax()]) if self.anomalous and self.normal else None

    def zero_fn_threshold(self) -> float | None:
        """Return the highest threshold that misses nothing, the lowest anomalous score; None without anomalies."""
        return float(self.thresholds[np.searchsorted(self.hits, self.anomalous)]) if self.anomalous else None

    def max_fpr_threshold(self, share: float) -> float | None:
        """Return the lowest threshold that flags at most `share` of the normal ones; None without normal ones."""
        if not self.normal:
            return None
        # Rates are compared, not counts: 0.29 * 100 is less than 29 in floating point.
        beyond = int(np.searchsorted(self.false_alarms / self.normal, share, side="right"))
        if beyond == len(self.thresholds):
            return float(self.thresholds[-1])
        return float(np.nextafter(self.thresholds[beyond], np.inf))

    def rates(self, threshold: float) -> Rates:
        """Return the rates of errors at any threshold."""
        at = self._at(threshold)
        return Rates(
            fpr=float(self.false_alarms[at] / self.normal) if self.normal else None,
            fnr=float(1 - self.hits[at] / self.anomalous) if self.anomalous else None,
        )

    def f1_at(self, threshold: float) -> float | None:
        """Return F1 at any threshold; None if nothing is anomalous or normal."""
        return float(self.f1[self._at(threshold)]) if self.anomalous and self.normal else None

    def accuracy_at(self, threshold: float) -> float | None:
        """Return the accuracy at any threshold; None of nothing."""
        return float(self.accuracy[self._at(threshold)]) if self.anomalous or self.normal else None

    def f1_points(self, count: int) -> list[tuple[float, float]]:
        """Return (threshold, F1) of about `count` thresholds, evenly among those that flag ever more; best included."""
        if not (self.anomalous and self.normal) or len(self.thresholds) < 2:
            return []
        flagged = self.hits + self.false_alarms
        shares = np.linspace(0, 1, count) ** 2 * flagged[-1]  # closer where few are flagged, as there F1 is decided
        chosen = np.unique([*np.searchsorted(flagged, shares).clip(1), self.f1.argmax().clip(1)])
        return [(float(self.thresholds[k]), float(self.f1[k])) for k in chosen]

    def _at(self, threshold: float) -> int:
        return int(np.searchsorted(-self.thresholds, -threshold, side="right")) - 1

    def _area(self, height: np.ndarray, limit: float) -> Any:
        """Return the area under height over the false positive rate up to `limit`, scaled to 1 for a perfect curve."""
        width = np.diff(self.false_alarms)
        edge = limit * self.normal
        inside = np.diff(np.minimum(self.false_alarms, np.asarray(edge)[..., None]))
        # A segment that crosses the limit counts up to there, its height interpolated: `part` is the share that counts.
        part = inside / np.maximum(width, 1)
        area = (inside * (height[..., :-1] + part / 2 * np.diff(height))).sum(-1)
        return self._defined(area / np.maximum(edge * height[..., -1], np.finfo(float).tiny))

    def _defined(self, value: Any) -> Any:
        return np.where((self.anomalous > 0) & (self.normal > 0), value, np.nan)[()]


def auroc(labels: np.ndarray, scores: np.ndarray) -> float:
    """Return the area under the ROC curve, NaN with one class only; arrays of one shape, any length."""
    return float(Curve.of(labels, scores).auroc)


def average_precision(labels: np.ndarray, scores: np.ndarray) -> float:
    """Return the step-wise average precision, NaN with one class only; arrays of one shape, any length."""
    return float(Curve.of(labels, scores).average_precision)


def f1_max(labels: np.ndarray, scores: np.ndarray) -> float:
    """Return the best F1 over all thresholds, NaN with one class only; arrays of one shape, any length."""
    return float(Curve.of(labels, scores).f1_max)


def au_pro(masks: np.ndarray, maps: np.ndarray, limit: float = FPR_LIMIT) -> float:
    """Return the area under the per-region overlap of maps (N, H, W) with masks (N, H, W), NaN with one class only.

    Coverage is the mean over the 8-connected components of all masks, each of one weight; the false positive rate is
    over the anomaly-free pixels of all images. Trapezoids up to `limit` with linear interpolation there, divided by it.

    Note:
        Exact for every map. MVTec's and anomalib's definition with every distinct score as a threshold; anomalib
        divides by the last rate below the limit instead, which differs where few thresholds lie there.
    """
    return float(Curve.of_maps(masks, maps).au_pro(limit))


def reduce_maps(maps: np.ndarray, by: Reducer = "window") -> np.ndarray:
    """Return the image scores, float64 (N,), of anomaly maps (N, H, W): one rule for every detector.

    `window`: the highest mean over a square window whose side is 1/16 of the shorter side of the map (16 of 256
    pixels), at least 1; the window stays inside the map. `max`: the highest value. `sum`: of all values; of the maps of
    the detector `cyclegan` that is the score of its paper, the sum of squared differences.

    Note:
        `window` is RealNet's rule scaled to the size. DRAEM takes 21x21 of 256 with zeros around the map, NSA the mean
        of the map: fixed here, since the choice of reducer would otherwise be mixed with the choice of generator.
    """
    if by != "window":
        values = maps.reshape(len(maps), -1)
        found: np.ndarray = values.max(axis=1).astype(np.float64) if by == "max" else values.sum(axis=1, dtype=float)
        return found
    side = window_side(maps.shape[1:])
    means = maps.astype(np.float64)
    for axis in (1, 2):
        whole = np.arange(side // 2, side // 2 + maps.shape[axis] - side + 1)
        means = ndimage.uniform_filter1d(means, side, axis=axis).take(whole, axis=axis)
    result: np.ndarray = means.max(axis=(1, 2))
    return result


def window_side(shape: Sequence[int]) -> int:
    """Return the side of the window of `reduce_maps` in maps of `shape` (H, W)."""
    return max(1, round(min(shape) / 16))


class Metrics(NamedTuple):
    """Figures by name, None where one is not defined, and why not."""

    metrics: dict[str, float | None]
    undefined: dict[str, str]


def image_metrics(images: Curve) -> Metrics:
    """Return the `IMAGE_METRICS` of the curve of image scores."""
    values = (images.auroc, images.average_precision, images.f1_max)
    return _measured(IMAGE_METRICS, values, _one_class(images, "image"))


def pixel_metrics(pixels: Curve | None) -> Metrics:
    """Return the `PIXEL_METRICS` of the curve of all test pixels (`Curve.of_maps`); None: the data has no masks."""
    if pixels is None:
        return Metrics(dict.fromkeys(PIXEL_METRICS), dict.fromkeys(PIXEL_METRICS, "the data has no masks"))
    values = (pixels.auroc, pixels.average_precision, pixels.f1_max, pixels.au_pro())
    return _measured(PIXEL_METRICS, values, _one_class(pixels, "pixel"))


def chosen_f1(validation: Curve, test: Curve) -> ChosenF1:
    """Return what the threshold of the best F1 on validation data reaches on the test data, next to the best possible.

    For images or for pixels; all but best_f1 is None where the validation data holds one class only.
    """
    threshold = validation.best_threshold()
    best = float(test.f1_max) if test.anomalous and test.normal else None
    if threshold is None:
        return ChosenF1(threshold=None, f1=None, best_f1=best, fpr=None, fnr=None)
    rates = test.rates(threshold)
    return ChosenF1(threshold=threshold, f1=test.f1_at(threshold), best_f1=best, fpr=rates.fpr, fnr=rates.fnr)


def thresholds(validation: Curve, test: Curve) -> Thresholds:
    """Return thresholds on image scores, chosen on validation data alone, and the rates that they reach.

    `f1`: see `chosen_f1`. `zero_fn`: the lowest validation anomaly score. `max_fpr_5`: the lowest threshold that flags
    at most 5 % of the validation normals. A threshold that the validation data cannot give is None, and so are its
    rates.
    """

    def limit(threshold: float | None) -> Limit:
        rates = [Rates(fpr=None, fnr=None) if threshold is None else c.rates(threshold) for c in (validation, test)]
        return Limit(threshold=threshold, validation=rates[0], test=rates[1])

    return Thresholds(
        f1=chosen_f1(validation, test),
        zero_fn=limit(validation.zero_fn_threshold()),
        max_fpr_1=limit(validation.max_fpr_threshold(0.01)),
        max_fpr_5=limit(validation.max_fpr_threshold(0.05)),
        max_fpr_10=limit(validation.max_fpr_threshold(0.1)),
    )


def by_type(
    defect_types: Sequence[str],
    scores: np.ndarray,
    threshold: float | None,
    masks: np.ndarray | None = None,
    maps: np.ndarray | None = None,
) -> dict[str, TypeFigures]:
    """Return the figures of each defect type.

    defect_types: N names, "normal" for a normal image. recall: share of the type's images whose score (N,) is at least
    `threshold`; None without one. pixel_ap: over the pixels of the type's images and of all normal images; None
    without masks or where the type has none left.
    """
    names = np.asarray(defect_types, dtype=str)
    found: dict[str, TypeFigures] = {}
    for name in sorted(set(defect_types) - {"normal"}):
        of_type, kept = names == name, (names == name) | (names == "normal")
        recall = None if threshold is None else float((np.asarray(scores, np.float64)[of_type] >= threshold).mean())
        value = np.nan if masks is None or maps is None else average_precision(masks[kept], maps[kept])
        found[name] = TypeFigures(images=int(of_type.sum()), recall=recall, pixel_ap=_plain(value))
    return found


def component_shares(masks: np.ndarray) -> np.ndarray:
    """Return float64 (N, H, W): 1 / size of the pixel's 8-connected component within its image, 0 outside."""
    components, _ = ndimage.label(masks, structure=_NEIGHBOURS)
    share = 1 / np.maximum(np.bincount(components.ravel(), minlength=1), 1)
    share[0] = 0
    result: np.ndarray = share[components]
    return result


def check_maps(masks: np.ndarray, maps: np.ndarray) -> None:
    """Raise AnomgenError for maps (N, H, W) that are not finite or of another shape than their masks."""
    if maps.ndim != 3 or masks.shape != maps.shape:
        raise AnomgenError(f"anomaly maps {maps.shape} for masks {masks.shape}: both must be (N, H, W)")
    faulty = np.flatnonzero(~np.isfinite(maps).all(axis=(1, 2)))
    if len(faulty):
        lead = f"{len(faulty)} of {len(maps)} anomaly maps hold NaN or infinite values (the first: image {faulty[0]})"
        raise AnomgenError(f"{lead}: the detector's training has diverged")


def _measured(names: Sequence[str], values: Sequence[Any], why: str | None) -> Metrics:
    found: Mapping[str, Any] = dict(zip(names, values, strict=True))
    if why is None:
        return Metrics({name: float(value) for name, value in found.items()}, {})
    return Metrics(dict.fromkeys(names), dict.fromkeys(names, why))


def _one_class(curve: Curve, unit: str) -> str | None:
    if curve.anomalous and curve.normal:
        return None
    if not curve.anomalous and not curve.normal:
        return f"the test set holds no {unit}"
    return f"the test set holds one class only: every {unit} is {'anomalous' if curve.anomalous else 'normal'}"


def _plain(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
