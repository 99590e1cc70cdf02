"""A score's result as typed records: what a cell came to, from the worker that trains it to the report."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, model_validator

SCHEMA: Literal[1] = 1
"""Version of the rows' keys."""
REPLICATES = 200
"""Bootstrap replicates of each metric in a row."""
ROUNDING = 1e-6

Count = Annotated[int, Field(ge=0)]
Metric = Annotated[float, Field(ge=-ROUNDING, le=1 + ROUNDING)]
"""From 0 to 1, but for rounding."""
Time = Annotated[float, Field(ge=0, le=1e10)]
"""Seconds."""
Replicates = Annotated[list[float], Field(min_length=REPLICATES, max_length=REPLICATES)]


class JsonRecord(BaseModel):
    """Base of the records: frozen and strictly typed. Keys that it does not know, as of a later version, it drops.

    An alias is the key in JSON where the code has another word.
    """

    model_config = ConfigDict(
        frozen=True, strict=True, allow_inf_nan=False, validate_by_name=True, validate_by_alias=True
    )

    def plain(self) -> dict[str, Any]:
        """Return the record as plain JSON, without the keys that it was not given."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True)


class Counts(JsonRecord):
    """Images of a data set. lost_masks: anomalous test images whose mask has no pixel left at this size.

    anomalous_pixels: share of the test pixels that are anomalous; None without masks, and in older rows.
    """

    train: Count
    validation: Count
    test_normal: Count
    test_anomalous: Count
    lost_masks: Count
    anomalous_pixels: Metric | None = None


class Rates(JsonRecord):
    """What a threshold does: share of normal ones flagged, share of anomalous ones missed; None: there are none."""

    fpr: Metric | None
    fnr: Metric | None


class Limit(JsonRecord):
    """A threshold under a constraint, and what it reaches."""

    threshold: float | None
    validation: Rates
    test: Rates


class ChosenF1(JsonRecord):
    """The threshold of the best F1 on validation data, and F1 on the test data: there, and the best possible."""

    threshold: float | None
    f1: Metric | None
    best_f1: Metric | None
    fpr: Metric | None = None
    fnr: Metric | None = None


class Thresholds(JsonRecord):
    """Thresholds that validation data gives; that on pixels is there where the data has masks."""

    f1: ChosenF1
    zero_fn: Limit
    max_fpr_1: Limit | None = None
    max_fpr_5: Limit
    max_fpr_10: Limit | None = None
    pixel_f1: ChosenF1 | None = None


class TypeFigures(JsonRecord):
    """A type of real defect: its test images, the share of them that is found, pixel AP with all normal images."""

    images: Count
    recall: Metric | None
    pixel_ap: Metric | None


class Shown(JsonRecord):
    """A test image of which every training keeps its map: its id, its type of defect, its score in this training."""

    image: str
    defect_type: str
    score: float


class Examples(JsonRecord):
    """Ids of the anomalous test images with the highest and the lowest scores, and images that all trainings show."""

    best: list[str] = []
    worst: list[str] = []
    shown: list[Shown] = []


class Scored(JsonRecord):
    """Scores of images, and which of the images are anomalous."""

    scores: list[float]
    anomalous: list[bool]

    @model_validator(mode="after")
    def _has_a_label_for_every_score(self) -> Self:
        if len(self.scores) != len(self.anomalous):
            raise ValueError(f"there are {len(self.scores)} scores for {len(self.anomalous)} labels")
        return self


class Perturbed(JsonRecord):
    """What a threshold that unchanged validation images chose reaches on changed test images.

    It is that of the best F1; without anomalies to choose it on, the lowest that flags no normal image.
    """

    kind: str
    strength: float
    fpr: Metric | None
    fnr: Metric | None
    f1: Metric | None
    best_f1: Metric | None
    image_auroc: Metric | None


class Seconds(JsonRecord):
    """Where the time went; waiting: part of fit; synthesis: beside it."""

    fit: Time = 0.0
    waiting: Time = 0.0
    synthesis: Time = 0.0
    predict: Time = 0.0
    metrics: Time = 0.0


class Started(JsonRecord):
    """What every row holds, failed or done. docs/how-to/compare.md explains the keys."""

    schema_version: Literal[1] = Field(SCHEMA, alias="schema")
    key: Annotated[str, Field(pattern=r"^[\w-]+$")]
    """What decides the cell; also the name of a folder."""
    data: str
    data_fingerprint: str = ""
    entry: str = Field(validation_alias=AliasChoices("entry", "variant"))
    """Rows of older runs call it variant."""
    recipe: str
    variation: dict[str, Any]
    detector: str
    settings: dict[str, Any] = {}
    seed: int
    size: Annotated[list[int], Field(min_length=2, max_length=2)]
    """Height and width of the images."""
    counts: Counts
    versions: dict[str, str | None] = {}
    status: Literal["done", "failed"]
    error: str | None = None
    metrics: dict[str, Metric | None]


class Failed(Started):
    """The row of a training that failed."""

    status: Literal["failed"]
    finished: str = ""


class Done(Started):
    """The row of a finished training."""

    status: Literal["done"]
    undefined: dict[str, str] = {}
    """Metric → why it has no value."""
    replicates: dict[str, Replicates]
    scores: list[float]
    """Of the test images, in the order of their ids."""
    anomalous: list[bool] = []
    """Which of these are."""
    validation: Scored | None = None
    """Of the images that thresholds are chosen on."""
    pixel_f1: list[Annotated[tuple[float, Metric], Field(strict=False)]] = []
    """Points of the curve of F1 over the test pixels against the threshold on the maps."""
    perturbed: list[Perturbed] = []
    """One for each perturbation of the test images that was asked for."""
    thresholds: Thresholds
    by_type: dict[str, TypeFigures]
    examples: Examples = Examples()
    seconds: Seconds
    finished: str = ""

    @model_validator(mode="after")
    def _has_a_score_for_every_image(self) -> Self:
        tested = self.counts.test_normal + self.counts.test_anomalous
        if len(self.scores) != tested:
            raise ValueError(f"scores: there are {len(self.scores)} for {tested} test images")
        if self.anomalous and len(self.anomalous) != tested:
            raise ValueError(f"anomalous: there are {len(self.anomalous)} for {tested} test images")
        return self


Result = Done | Failed
"""One row: the result of one data set, entry, detector and seed."""
