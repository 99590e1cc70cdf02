"""Mix: each sample comes from one of several generators, chosen by weight."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Annotated, Any, ClassVar, Self

import numpy as np
from pydantic import Field, SerializeAsAny, model_serializer, model_validator

from anomgen.config import Config
from anomgen.errors import RecipeError, SourceError, UsageError
from anomgen.generators.base import Generator
from anomgen.sources.base import Images
from anomgen.synthesis.sample import Reject, Sample


class Weighted(Config):
    """A generator and its weight; in a recipe one flat mapping ``{weight: 0.5, kind: nsa, …}``."""

    generator: SerializeAsAny[Generator]
    """What draws; in a recipe its `kind` and keys stand beside the weight."""
    weight: Annotated[float, Field(gt=0)] = 1.0
    """How often it is chosen, relative to the other parts' weights; above 0."""

    @model_validator(mode="before")
    @classmethod
    def _from_flat(cls, values: Any) -> Any:
        from anomgen.generators.base import build_generator

        if not isinstance(values, Mapping) or isinstance(values.get("generator"), Generator):
            return values
        rest = {key: value for key, value in values.items() if key != "weight"}
        weight = {"weight": values["weight"]} if "weight" in values else {}
        return {**weight, "generator": build_generator(rest)}

    @model_serializer
    def _to_flat(self) -> dict[str, Any]:
        return {"weight": self.weight, **self.generator.config()}

    def canonical(self) -> dict[str, Any]:
        """See `Config.canonical`; flat, as in a recipe."""
        return {"weight": self.weight, **self.generator.canonical()}

    def relocated(self, change: Callable[[str, str], str], before: str = "") -> Self:
        """See `Config.relocated`; its keys are flat, as in a recipe."""
        return self.model_copy(update={"generator": self.generator.relocated(change, before)})


class Mix(Generator):
    """A weighted mixture; a part keeps its own name as the defect type."""

    kind: ClassVar[str] = "mix"

    parts: Annotated[tuple[Weighted, ...], Field(strict=False, min_length=1)]
    """The generators: each a mapping with `kind`, its keys, and `weight`."""

    @model_validator(mode="before")
    @classmethod
    def _name_the_part(cls, values: Any) -> Any:
        """Build the parts one by one, so that an error says which of them is wrong."""
        if not isinstance(values, dict) or not isinstance(values.get("parts"), (list, tuple)):
            return values
        from anomgen.config import validated

        built = []
        for number, part in enumerate(values["parts"]):
            try:
                built.append(validated(Weighted, part) if isinstance(part, Mapping) else part)
            except RecipeError as error:
                raise error.inside(f"parts.{number}") from None
        return {**values, "parts": tuple(built)}

    @property
    def defect_types(self) -> tuple[str, ...]:
        """Return the defect types of all parts, each once."""
        return tuple(dict.fromkeys(name for part in self.parts for name in part.generator.defect_types))

    @property
    def min_on_foreground(self) -> float:
        """Return the least of the parts'."""
        return min(part.generator.min_on_foreground for part in self.parts)

    @property
    def has_soft_mask(self) -> bool:
        """Return whether any part has soft masks; those of the other parts are then their masks."""
        return any(part.generator.has_soft_mask for part in self.parts)

    @property
    def uses_network(self) -> bool:
        """Return whether any part does."""
        return any(part.generator.uses_network for part in self.parts)

    def prepared(self, pool: Images) -> Self:
        """Prepare every part on the same pool; an error names the key of the part, generator.parts.0.model."""
        return self._with_each(lambda generator: generator.prepared(pool))

    def drafted(self, pool: Images) -> Self:
        """See `Generator.drafted`, for every part."""
        return self._with_each(lambda generator: generator.drafted(pool))

    def _with_each(self, ready: Callable[[Generator], Generator]) -> Self:
        prepared = []
        for number, part in enumerate(self.parts):
            with _told_of(number):
                try:
                    prepared.append(ready(part.generator))
                except SourceError as error:
                    raise SourceError(f"{error}; {self._without(number)}") from error
        return self._with(prepared)

    def _without(self, number: int) -> str:
        """Return what to do about a part that cannot draw on the images at hand."""
        kind = self.parts[number].generator.kind
        others = [part.generator.kind for k, part in enumerate(self.parts) if k != number]
        if not others:
            return f"{kind} is the only part of this mixture: choose another recipe"
        return (
            f"or leave {kind} out, as the other parts ({', '.join(others)}) may draw on these images: write the recipe "
            f"with `anomgen show RECIPE > mine.yaml`, remove generator.parts.{number} there, and use -r mine.yaml"
        )

    def plug_ins(self) -> tuple[str, ...]:
        """Return those of all parts, each once."""
        return tuple(dict.fromkeys(name for part in self.parts for name in part.generator.plug_ins()))

    def resources(self) -> dict[str, str]:
        """Return the hashes of every part, under ``parts.N``."""
        found: dict[str, str] = {}
        for number, part in enumerate(self.parts):
            with _told_of(number):
                found |= {f"parts.{number}.{key}": value for key, value in part.generator.resources().items()}
        return found

    def licenses(self) -> tuple[str, ...]:
        """Return those of all parts, each once."""
        return tuple(dict.fromkeys(name for part in self.parts for name in part.generator.licenses()))

    def unlicensed(self) -> dict[str, str]:
        """Return those of all parts, under ``parts.N``."""
        told = ((number, part.generator.unlicensed()) for number, part in enumerate(self.parts))
        return {f"parts.{number}.{key}": why for number, found in told for key, why in found.items()}

    def trained_on(self) -> frozenset[str]:
        """Return those of all parts."""
        return frozenset().union(*(part.generator.trained_on() for part in self.parts))

    def cost(self, shape: tuple[int, ...]) -> float:
        """Return the mean over the parts by their weights."""
        total = sum(part.weight for part in self.parts)
        return sum(part.weight / total * part.generator.cost(shape) for part in self.parts)

    def _with(self, generators: Sequence[Generator]) -> Self:
        parts = zip(self.parts, generators, strict=True)
        return self.model_copy(
            update={"parts": tuple(part.model_copy(update={"generator": generator}) for part, generator in parts)}
        )

    def sample_batch(
        self, rngs: Sequence[np.random.Generator], images: Sequence[np.ndarray], pool: Images
    ) -> list[Sample | Reject]:
        """Choose a part for each image, then let each part draw its own as one batch."""
        bounds = np.cumsum([part.weight for part in self.parts])
        chosen = [int(np.searchsorted(bounds, rng.random() * bounds[-1], side="right")) for rng in rngs]
        results: list[Sample | Reject] = [Reject("not drawn")] * len(rngs)
        for number, part in enumerate(self.parts):
            members = [k for k, choice in enumerate(chosen) if choice == number]
            drawn = part.generator.sample_batch([rngs[k] for k in members], [images[k] for k in members], pool)
            for k, result in zip(members, drawn, strict=True):
                results[k] = result if isinstance(result, Reject) else self._marked(result, number)
        return results

    def _marked(self, sample: Sample, number: int) -> Sample:
        """Return the sample with the number of its part, and a soft mask if any part has one."""
        soft = sample.soft_mask
        if soft is None and self.has_soft_mask:
            soft = sample.mask.astype(np.float32)
        params = {"part": number, "drawn": sample.params}
        return Sample(sample.image, sample.mask, soft, params, sample.defect_type)


@contextmanager
def _told_of(number: int) -> Iterator[None]:
    """Let a UsageError name the keys of a part, generator.parts.0.model."""
    try:
        yield
    except UsageError as error:
        raise UsageError(str(error).replace("generator.", f"generator.parts.{number}.")) from error
