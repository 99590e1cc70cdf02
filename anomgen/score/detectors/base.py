"""The contract of a detector: learns from normal images and synthetic anomalies, returns anomaly maps."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Protocol, Self, TypeVar

import numpy as np
from pydantic import Field

from anomgen.config import Preset
from anomgen.errors import UsageError
from anomgen.places import home
from anomgen.registry import build
from anomgen.sources.base import Images


def build_detector(values: Mapping[str, Any]) -> Detector:
    """Return the detector that ``{"kind": name, …}`` describes; the inverse of ``Detector.config``."""
    detector: Detector = build("detectors", values)
    return detector


T = TypeVar("T")


@dataclass(frozen=True)
class Batch:
    """Training images, some of them anomalous; all arrays are read-only.

    images: (N, H, W, C) uint8 or uint16, C 1 or 3. normals: the same without their anomalies; equal to `images` where
    there is none. masks: bool (N, H, W). soft_masks: float32 (N, H, W) in [0, 1], graded labels; the masks themselves
    where the generator grades nothing. defect_types: N names, "normal" for a normal image.
    """

    images: np.ndarray
    normals: np.ndarray
    masks: np.ndarray
    soft_masks: np.ndarray
    defect_types: tuple[str, ...]

    @property
    def labels(self) -> np.ndarray:
        """Return bool (N,): which images are anomalous."""
        return np.array([name != "normal" for name in self.defect_types])

    def __len__(self) -> int:
        return len(self.images)


class Training(Protocol):
    """What a detector may learn from. Nothing here comes from the test set."""

    normals: Images
    """The normal training images, each (H, W, C), all of one shape and dtype."""
    defect_types: tuple[str, ...]
    """Names that the synthetic anomalies' types can take."""
    label: str
    """What the soft masks hold: `binary`, `continuous`, or what the generator's setting `label` calls it."""
    graded: bool
    """Whether the generator's soft masks are grades rather than copies of the masks."""

    @property
    def validation(self) -> Batch:
        """Return normal images that are in no training batch, half of them with anomalies: for choosing thresholds."""

    def batches(
        self, count: int, batch_size: int, anomaly_ratio: float | None = None, *, first: int = 0
    ) -> Iterator[Batch]:
        """Yield `count` batches, always the same ones, drawn while the detector computes.

        anomaly_ratio: share of anomalous images; by default the recipe's. first: how many are left out at the
        beginning, by a training that goes on.
        """

    def progress(self, done: int, total: int) -> None:
        """Be told how far the fit is, in any unit."""


class Detector(Preset):
    """Base class of the detectors: a frozen, strictly validated configuration, and what was learnt.

    `fit` is called once, then `anomaly_maps` any number of times. Both are deterministic on the CPU: the same
    configuration, training and `rng` give the same maps, bit for bit. No global random state is touched. What was
    learnt belongs into private attributes (``_network: Any = PrivateAttr(None)``).
    """

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"default": {}, "paper": {}}
    """`default`: sized for two CPU cores. `paper`: the published sizes and schedule."""
    kind: ClassVar[str]
    """Name on the command line and in the registry."""
    paper: ClassVar[str] = ""
    """The paper, Markdown: authors, title, venue, year, a link; empty for no paper."""
    uses_anomalies: ClassVar[bool] = True
    """False: `fit` reads normal images only; it is then fitted once per seed and serves every recipe."""
    needs_masks: ClassVar[bool] = True
    """False: it can learn from images that are only said to be anomalous; the masks of its batches mean nothing."""
    rate: ClassVar[float] = 1.0
    """Seconds of one CPU core per million pixels shown in training: what `cost` is estimated from."""
    footprint: ClassVar[float] = 450.0
    """Bytes of memory that the map of an image takes for each of its pixels, about."""
    widths: ClassVar[tuple[str, ...]] = ()
    """Settings that say how many features the network has: what a step costs grows with them."""

    preset: str | None = None
    """Settings by name, `default` or `paper`; keys given beside it win."""
    steps: Annotated[int, Field(ge=1)] = 300
    """Optimiser steps."""
    batch_size: Annotated[int, Field(ge=1)] = 16
    """Images of one optimiser step."""

    @abstractmethod
    def fit(self, train: Training, rng: np.random.Generator) -> None:
        """Learn. All randomness (weights, order, dropout) comes from `rng`; see `networks.seeded` for torch's."""

    @abstractmethod
    def anomaly_maps(self, images: np.ndarray) -> np.ndarray:
        """Return the anomaly maps, float32 (N, H, W), finite, higher = more anomalous, of images (N, H, W, C).

        An image's map does not depend on the other images of the call (up to rounding).
        """

    def arrays(self) -> dict[str, np.ndarray]:
        """Return all that was learnt, by name: what a file must hold for `restore`.

        A class without it can be scored, but not kept: UsageError.
        """
        raise UsageError(f"detector {self.kind}: cannot be kept, as its class defines no `arrays` and `restore`")

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:  # noqa: ARG002
        """Learn what `arrays` returned: `anomaly_maps` then gives the same maps, bit for bit.

        Raises ValueError for arrays of other names or shapes.
        """
        raise UsageError(f"detector {self.kind}: cannot be restored, as its class defines no `arrays` and `restore`")

    def learnt(self, part: T | None) -> T:
        """Return `part`, something that `fit` stores. Raises UsageError when there is nothing yet."""
        if part is None:
            raise UsageError(
                f"detector {self.kind}: it has learnt nothing yet; call fit(train, rng) before anomaly_maps"
            )
        return part

    def cost(self, shape: tuple[int, int], normals: int) -> float:  # noqa: ARG002
        """Return an estimate of the seconds that `fit` takes on one CPU core.

        shape: height and width of the images. normals: how many normal training images there are.
        """
        shown = self.steps * self.batch_size * shape[0] * shape[1] / 1e6
        return shown * self.rate * self.growth

    @property
    def growth(self) -> float:
        """Return about how much more a step costs than with the default `widths`."""
        shares = [getattr(self, key) / type(self).model_fields[key].default for key in self.widths]
        return float(np.prod(shares) ** 1.5)

    def recorded(self) -> dict[str, Any]:
        """Return `config` without paths of the machine: what rows hold."""
        return self.portable().config()

    def keyed(self) -> dict[str, Any]:
        """Return `config` with hashes of the files that are declared as `PathText`: part of every cell's key.

        Raises UsageError where there is none: a detector that reads folders says here what they hold.
        """
        return self.relocated(self._digest).config()

    def _digest(self, key: str, path: str) -> str:
        file = home(path)
        if not file.is_file():
            raise UsageError(f"detector {self.kind}: {key}={path}: there is no such file")
        return hashlib.sha256(file.read_bytes()).hexdigest()

    def unfitted(self) -> Self:
        """Return a detector of the same configuration that has learnt nothing."""
        return type(self).model_validate(self.model_dump())


def stacked(images: Sequence[np.ndarray]) -> np.ndarray:
    """Return images (H, W, C) of one shape as one array (N, H, W, C)."""
    return np.stack(list(images))
