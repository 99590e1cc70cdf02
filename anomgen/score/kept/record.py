"""What a kept detector's ``anomgen_model.json`` says: how it was trained, on what, and when it flags an image."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from anomgen.score.limits import Bound, choose, rule_text
from anomgen.score.metrics import Curve, Reducer
from anomgen.score.result import Count, JsonRecord, Metric, Scored
from anomgen.sources.base import MAX_SIDE, MIN_SIDE
from anomgen.sources.value_range import ValueRange

VERSION: Literal[1] = 1
"""Version of the record's keys."""
Side = Annotated[int, Field(ge=MIN_SIDE, le=MAX_SIDE)]
Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]


LARGEST = 3.4e38
"""About the largest value that a map, float32, can hold."""
OfMap = Annotated[float, Field(ge=-LARGEST, le=LARGEST)]
On = Literal["recipe", "real"]
"""Images that a threshold is chosen on."""


def _increasing(pair: tuple[int, int]) -> tuple[int, int]:
    if not 0 <= pair[0] < pair[1] <= 65535:
        raise ValueError("a range is [low, high] with 0 ≤ low < high ≤ 65535")
    return pair


class Data(JsonRecord):
    """The normal images that it was trained on. files: a hash of each image's file, held-out ones included."""

    category: str
    images: Count
    held_out: Count
    fingerprint: str
    license: str | None = None
    files: tuple[Hash, ...] = ()


class Validation(Scored):
    """The images that the threshold is chosen on, by their scores.

    on: `recipe`, normal images that no training batch holds, and the recipe's anomalies on them; `real`, the data's own
    test images.
    """

    on: On

    @property
    def curve(self) -> Curve:
        """Return what every threshold would flag of them."""
        return Curve.scored(self)


class Threshold(JsonRecord):
    """The score from which an image is flagged, the rule that chose it, and its errors on the validation images."""

    rule: str
    score: float
    fpr: Metric | None
    fnr: Metric | None
    f1: Metric | None

    @classmethod
    def of(cls, validation: Validation, bounds: tuple[Bound, ...]) -> Threshold:
        """Return the threshold that keeps the limits; see `anomgen.score.limits.choose`."""
        curve = validation.curve
        score = choose(curve, bounds)
        rates = curve.rates(score)
        return cls(rule=rule_text(bounds), score=score, fpr=rates.fpr, fnr=rates.fnr, f1=curve.f1_at(score))


class Tested(JsonRecord):
    """How it does on the data's own real anomalies, where there are some. f1: at the threshold."""

    normal: Count
    anomalous: Count
    image_auroc: Metric | None
    f1: Metric | None
    best_f1: Metric | None
    fpr: Metric | None
    fnr: Metric | None


class Description(JsonRecord):
    """All that is known of a kept detector beside its weights."""

    kind: Literal["detector"] = "detector"
    schema_version: Literal[1] = Field(VERSION, alias="schema")
    detector: dict[str, Any]
    """Its whole configuration."""
    plugin: str | None = None
    """Distribution and version that it comes from; none for anomgen's own."""
    shape: tuple[Side, Side, Literal[1, 3]]
    """Height, width and channels of the images that it sees."""
    depth: Literal["uint8", "uint16"]
    """Of these images."""
    value_range: Annotated[tuple[int, int], AfterValidator(_increasing)] | None = None
    """Range of 16-bit values that is stretched to the whole depth."""
    score: Reducer = "window"
    """How a map becomes the image's score."""
    threshold: Threshold
    pixel_threshold: OfMap | None
    """Value of the map from which a pixel is anomalous: best F1 on the validation masks; none without these."""
    validation: Validation
    tested: Tested | None = None
    weights: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    """SHA-256 of the file of the weights."""
    recipe: dict[str, Any] | None = None
    """Of the anomalies that it was trained on, or its threshold was chosen on."""
    entry: str
    """What the recipe was called on the command line."""
    seed: Count
    data: list[Data]
    licenses: tuple[str | None, ...] = ()
    """Of what went into the anomalies that it was trained on, beside these images; None for an unknown one."""
    command: str
    """The command line that makes it again."""
    seconds: float
    """That the fit took."""
    versions: dict[str, str | None]

    @property
    def stretched_from(self) -> ValueRange | None:
        """Return the range of values that is stretched, None for the whole depth."""
        return None if self.value_range is None else ValueRange(*self.value_range)

    @property
    def text(self) -> str:
        """Return what it is, in a few words."""
        height, width, channels = self.shape
        colour = "grey" if channels == 1 else "colour"
        return f"{self.detector['kind']} trained on {self.entry} anomalies, {height}×{width} {colour}"
