"""Defects: what inspectors name, drawn by formulas on normal images; no real defect and no training is needed.

Each kind is a shape with a soft edge and a change of the material that keeps its grain; how visible the change is, is
set in units of what the normal images themselves vary (`anomgen.synthesis.detectability`). Sizes, contrasts and edges
follow what was measured on public sets of real defects.
"""

from __future__ import annotations

import math
from collections.abc import MutableMapping
from typing import Annotated, Any, ClassVar, Literal, Self
from weakref import WeakKeyDictionary

import cv2
import numpy as np
from pydantic import AfterValidator, BeforeValidator, Field, PrivateAttr, WithJsonSchema

from anomgen.config import Range
from anomgen.errors import UsageError
from anomgen.files import file_digest
from anomgen.generators.base import Generator, Images, foreground_of
from anomgen.generators.defects.kinds import KINDS, KindName
from anomgen.generators.defects.laying import at_severity
from anomgen.generators.defects.material import measured
from anomgen.generators.defects.placing import Place, drawn_spot
from anomgen.generators.defects.scene import Layer, Material, Scene
from anomgen.places import home
from anomgen.sources.base import PathText
from anomgen.sources.images import read_bytes, read_image
from anomgen.sources.pixels import levels
from anomgen.sources.pool import Pool
from anomgen.synthesis.detectability import Detectability, detectability_of
from anomgen.synthesis.sample import Reject, Sample

KINDS_TRIED = 4
"""Kinds drawn for one sample before it is rejected: not every kind can be seen on every material."""
LOOKED_AT, MATERIAL_IMAGES = 60, 16
"""Normal images, evenly spaced, whose foregrounds are looked at, and of which the material is measured."""
SMALLEST = 3.0
"""Pixels; no piece is smaller."""


def _pair(value: Any) -> Any:
    """Take one number for a range that holds only it."""
    return [value, value] if isinstance(value, int | float) and not isinstance(value, bool) else value


def _size(pair: tuple[float, float]) -> tuple[float, float]:
    if not (pair[0] > 0 and pair[1] <= 1):
        raise ValueError("a size is a share of the image's side, above 0 and at most 1, or a range of two")
    return pair


def _severity(pair: tuple[float, float]) -> tuple[float, float]:
    if not (pair[0] >= 0.1 and pair[1] <= 20):
        raise ValueError("a severity is a number from 0.1 to 20, or a range of two; 1 is just detectable")
    return pair


def _number(pair: tuple[int, int]) -> tuple[int, int]:
    if not 1 <= pair[0] <= pair[1] <= 100:
        raise ValueError("a number of pieces is from 1 to 100, or a range of two")
    return pair


def _weighted(value: Any) -> Any:
    """Take a list of kinds for kinds with their usual weights."""
    if isinstance(value, str):
        value = [value]
    if isinstance(value, list | tuple) and all(isinstance(name, str) for name in value):
        return {name: KINDS[name].weight if name in KINDS else 1.0 for name in value}
    return value


def _one_or_two(kind: str) -> WithJsonSchema:
    """Return the schema of a number or a pair of them, for editors."""
    return WithJsonSchema(
        {"anyOf": [{"type": kind}, {"type": "array", "items": {"type": kind}, "minItems": 2, "maxItems": 2}]}
    )


Severity = Annotated[Range, BeforeValidator(_pair), AfterValidator(_severity), _one_or_two("number")]
Size = Annotated[Range, BeforeValidator(_pair), AfterValidator(_size), _one_or_two("number")]
Number = Annotated[
    tuple[int, int], Field(strict=False), BeforeValidator(_pair), AfterValidator(_number), _one_or_two("integer")
]
Kinds = Annotated[
    dict[KindName, Annotated[float, Field(gt=0)]],
    BeforeValidator(_weighted),
    Field(min_length=1),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "array", "items": {"enum": list(KINDS)}, "minItems": 1},
                {"type": "object", "propertyNames": {"enum": list(KINDS)}, "minProperties": 1},
            ]
        }
    ),
]


class Weights:
    """A picture of where defects may be, and the hash of its file: equal when its pixels are."""

    def __init__(self, values: np.ndarray, digest: str):
        self.values, self.digest = values, digest

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Weights) and np.array_equal(self.values, other.values)

    def __hash__(self) -> int:
        return hash(self.values.tobytes())

    def at(self, shape: tuple[int, ...]) -> np.ndarray:
        """Return the weights, float32 (H, W), at the height and width of an image."""
        if self.values.shape == tuple(shape[:2]):
            return self.values
        result: np.ndarray = cv2.resize(self.values, (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR)
        return result


class Defects(Generator):
    """Scratches, cracks, stains, dents and more, as visible as asked for, as far as the material lets them."""

    kind: ClassVar[str] = "defects"
    advice: ClassVar[str] = (
        "Look at the foreground with `anomgen preview --foreground`; choose other generator.kinds (a misprint cannot "
        "be seen on an even surface, a chipped edge needs an object with a background), or a lower generator.severity"
    )

    kinds: Kinds = Field(default_factory=lambda: {name: kind.weight for name, kind in KINDS.items()})
    """Which kinds are drawn. In YAML: a list, or a mapping of kinds to weights."""
    severity: Severity = (0.9, 8.0)
    """How visible: 1 is just detectable, as unusual as one normal pixel in a hundred; 5 is plain to see. Where the
    material cannot carry that, as visible as it can. In YAML: a number, or a range of which the logarithm is drawn
    evenly."""
    size: Size | None = None
    """Longest extent, a share of the image's side; null: what is usual for each kind. In YAML: a number or a range."""
    number: Number | None = None
    """Pieces in one image; null: what is usual for each kind. In YAML: a number or a range."""
    where: Place = "uniform"
    """Where on the object: `uniform`, near its `edge`, or in its `centre`."""
    weights: PathText | None = None
    """A picture of how often defects lie where: the whiter the more often, black for never."""
    light: Annotated[float, Field(ge=0, le=360)] | Literal["auto"] = "auto"
    """Where the light comes from, degrees: 0 from the right, 90 from the top. `auto`: estimated from the images."""
    deviation: Annotated[float, Field(gt=0)] | Literal["auto"] = "auto"
    """How rough the material looks: its local standard deviation, grey levels of 255. `auto`: measured."""
    softness: Annotated[float, Field(ge=0, le=10)] | Literal["auto"] = "auto"
    """How blurred the images are, so that no edge is drawn sharper: deviation, in pixels of an image of 256 × 256.
    `auto`: measured."""
    colourful: bool | Literal["auto"] = "auto"
    """Whether defects may have a colour of their own. `auto`: where the images are coloured."""
    dark: Annotated[float, Field(ge=0, le=1)] | None = None
    """Share of scratches, stains, discolourations and corrosion that are darker than the material; null: what is usual
    for each kind. On nearly black or white places the way with room is taken."""

    _detectability: Detectability | None = PrivateAttr(None)
    _weights: Weights | None = PrivateAttr(None)

    @property
    def defect_types(self) -> tuple[str, ...]:
        """Return the kinds."""
        return tuple(self.kinds)

    @property
    def min_on_foreground(self) -> float:
        """Return 0 where a kind changes the outline itself, and with it what lies beside the object; else 1."""
        return 0.0 if any(KINDS[name].changes_outline for name in self.kinds) else 1.0

    def prepared(self, pool: Images) -> Self:
        """Measure the material, its light and the normal boundary; read the picture of weights.

        Raises UsageError for a picture that cannot be used, or kinds that need an object where there is none.
        """
        count = len(pool)
        picked = sorted({round(k) for k in np.linspace(0, count - 1, min(LOOKED_AT, count))})
        seen = ((image, foreground_of(pool, image)) for image in map(pool.__getitem__, picked))  # large ones one by one
        if all(KINDS[name].on_outline for name in self.kinds) and all(shown is None for _, shown in seen):
            raise UsageError(
                f"generator.kinds: {', '.join(self.kinds)} lies on an object's outline, and the foreground is the "
                "whole image; set foreground (auto, a method, a folder of masks), or choose other kinds"
            )
        light = None if self.light == "auto" else self.light
        found = _material(pool, picked[:MATERIAL_IMAGES], light)
        ready = self.model_copy(
            update={
                "light": found.light,
                "deviation": found.deviation if self.deviation == "auto" else self.deviation,
                "softness": found.softness if self.softness == "auto" else self.softness,
                "colourful": found.colourful if self.colourful == "auto" else self.colourful,
            }
        )
        ready._detectability = detectability_of(pool)
        ready._weights = self._read_weights()
        return ready

    def resources(self) -> dict[str, str]:
        """See `Generator.resources`."""
        weights = self._weights or self._read_weights()  # whoever draws needs no file any more
        return {} if weights is None else {"weights": weights.digest}

    def sample(self, rng: np.random.Generator, image: np.ndarray, pool: Images) -> Sample:
        """Draw one anomaly; see `Generator.sample`."""
        ready = self if self._detectability is not None else self.prepared(pool)
        scene = ready._scene(image, foreground_of(pool, image))
        usable = [name for name in self.kinds if scene.foreground is not None or not KINDS[name].on_outline]
        if not usable:
            raise Reject("no outline: the foreground is the whole image")
        bounds = np.cumsum([self.kinds[name] for name in usable])
        reason, faint = "", None
        for _ in range(KINDS_TRIED):
            name = usable[int(np.searchsorted(bounds, rng.random() * bounds[-1], side="right"))]
            try:
                return ready._of_kind(rng, image, scene, name)
            except Reject as reject:
                reason, faint = reject.reason, reject.faint if reject.faint is not None else faint
        raise Reject(reason, faint)

    def _read_weights(self) -> Weights | None:
        if self.weights is None:
            return None
        path = home(self.weights)
        if not path.is_file():
            raise UsageError(f"generator.weights: {self.weights}: there is no such picture")
        data = read_bytes(path, path.name)
        picture = read_image(data, path.name)
        values: np.ndarray = picture.astype(np.float32).mean(axis=2)
        if not values.any():
            raise UsageError(f"generator.weights: {self.weights} is black all over; paint where defects may be")
        return Weights(values, file_digest(data))

    def _scene(self, image: np.ndarray, foreground: np.ndarray | None) -> Scene:
        assert not isinstance(self.deviation, str) and not isinstance(self.light, str)
        assert not isinstance(self.softness, str)
        material = Material(self.deviation, bool(self.colourful), self.light, self.softness, self.dark)
        return Scene(levels(image), foreground, material, float(np.sqrt(image.shape[0] * image.shape[1])) / 256)

    def _of_kind(self, rng: np.random.Generator, image: np.ndarray, scene: Scene, name: KindName) -> Sample:
        kind = KINDS[name]
        low, high = self.number or kind.number
        given = None if self._weights is None else self._weights.at(image.shape)
        layers: list[Layer] = []
        for _ in range(int(rng.integers(low, high + 1))):
            length = max(scene.side * _log_uniform(rng, self.size or kind.size), SMALLEST)
            spot = drawn_spot(rng, scene, self.where, given, on_outline=kind.on_outline)
            layers += kind.draw(rng, scene, spot, length)
        if not layers:
            raise Reject(f"{name} finds no place where it would show")
        severity = _log_uniform(rng, self.severity)
        assert self._detectability is not None
        laid = at_severity(image, scene, layers, severity, self._detectability)
        if laid.r < kind.faintest * self.severity[0]:
            raise Reject(f"{name} too faint on this material", laid.r)
        params = {"severity": severity, "reached": laid.r, "strength": laid.strength, "pieces": len(layers)}
        return Sample(laid.composite.image, laid.composite.mask, None, params, name, laid.r)


def _log_uniform(rng: np.random.Generator, pair: tuple[float, float]) -> float:
    return float(np.exp(rng.uniform(math.log(pair[0]), math.log(pair[1]))))


_materials: MutableMapping[Pool, dict[float | None, Material]] = WeakKeyDictionary()


def _material(pool: Images, picked: list[int], light: float | None) -> Material:
    """Return what `measured` does of some images of a pool; for each light a `Pool` is measured once."""
    known = _materials.setdefault(pool, {}) if isinstance(pool, Pool) else {}
    if light not in known:
        known[light] = measured(((pool[k], foreground_of(pool, pool[k])) for k in picked), light)
    return known[light]
