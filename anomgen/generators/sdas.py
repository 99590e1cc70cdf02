"""SDAS: images sampled from a diffusion model at a strength show through in Perlin regions, or stand as they are.

Zhang, Xu, Zhou: RealNet: A Feature Selection Network with Realistic Synthetic Anomaly for Anomaly Detection, CVPR 2024,
arXiv 2403.05897, sections 3.1 and 4.1.

Note: regions, opacity (0.5 to 1) and strength (0.1 to 0.2) are those of the official code, which samples all images
beforehand and keeps them as JPEG: that changes them by 1.8 grey levels of 255, and compressing again changes nothing
more, which tells them from any other image; here nothing is compressed. There one strength serves 16 images, here every
sample has its own from the same range: among 16, the change deviates by .40 of its mean instead of .37. There a region
without a pixel (5.5 % without a foreground) passes as an anomaly, here it is drawn again. There the mask is the whole
region, here what of it changed by more than a grey level, all but .9 %. `start_range` is ours, its default the paper's:
below 1, sampling starts from the image itself, partly noised, takes fewer steps and stays nearer to it, by 9.3 grey
levels from .45 on where the paper's are 21.5 away (benchmarks/sdas_notes.py; docs/reference/methods.md).

A classifier may guide the samples towards their category, as in the official code: Dhariwal, Nichol: Diffusion models
beat GANs on image synthesis, NeurIPS 2021, arXiv 2105.05233, algorithms 1 and 2. The last step is not guided here: with
Σ of at most 1e-4 there, a gradient of 1 moves a pixel of a model on pixels by .013 grey levels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import AfterValidator, Field, field_validator

from anomgen.config import PositiveRange, Range, ShareRange
from anomgen.errors import UsageError
from anomgen.generators.base import foreground_of
from anomgen.generators.perlin import PerlinRegion, lay_over
from anomgen.sources.base import Images, PathText
from anomgen.sources.pixels import to_channels, to_depth
from anomgen.synthesis.sample import TOLERANCE, Box, Reject, Sample, change_between, composite
from anomgen.synthesis.textures import ProceduralTextures, TextureField, Textures

if TYPE_CHECKING:
    from anomgen.models.classifier.model import Classifier
    from anomgen.models.sdas.model import SDASModel, Steering


STEP_COST = 1.6e-6
"""Seconds of one processor core per step of the sampler and pixel, measured on the laptop preset."""


def _not_negative(pair: tuple[float, float]) -> tuple[float, float]:
    if pair[0] < 0:
        raise ValueError("a strength is at least 0, which gives normal images")
    return pair


def _at_most_one(pair: tuple[float, float]) -> tuple[float, float]:
    if pair[1] > 1:
        raise ValueError("a share of the steps is at most 1")
    return pair


class SDAS(PerlinRegion):
    """Strength-controllable diffusion anomaly synthesis (arXiv 2403.05897)."""

    kind: ClassVar[str] = "sdas"
    paper: ClassVar[str] = (
        "Zhang, Xu, Zhou: RealNet: A Feature Selection Network with Realistic Synthetic Anomaly for Anomaly "
        "Detection, CVPR 2024, "
        "[arXiv 2403.05897](https://arxiv.org/abs/2403.05897)"
    )

    preset: str | None = None
    """`ddim`: the faster sampler, with strengths to match."""
    model: PathText | None = None
    """A folder that `anomgen train sdas` wrote, or the Hub id of a diffusers DDPM."""
    texture: TextureField | None = None
    """Images sampled beforehand, instead of a model: a finished dataset of the recipe `sia`, a dataset of the Hub, or a
    folder of them. In YAML: ``{kind: hub, path: …}`` for one of the Hub."""
    category: str | None = None
    """Which one to draw, for a model of several categories; `all` with `extent: whole` draws all of them alike. A model
    of one is guided towards whichever its classifier knows."""
    extent: Literal["perlin", "whole"] = "perlin"
    """`perlin`: local anomalies; `whole`: the sampled image as it is, as in the SIA data set."""
    opacity_range: ShareRange = (0.5, 1.0)
    """Weight of the sampled content, 0 to 1; 1 covers. The paper's 0.5 to 1."""
    strength_range: Annotated[Range, AfterValidator(_not_negative)] = (0.1, 0.2)
    """s: each step's variance is multiplied by 1 + s. What is visible depends on how well the model is trained."""
    steps: Annotated[int, Field(ge=1, le=1000)] = 20
    """Steps of the sampler, spread over the 1000 of the training."""
    sampler: Literal["ddpm", "ddim"] = "ddpm"
    """How the steps are taken; the paper samples with DDPM."""
    start_range: Annotated[PositiveRange, AfterValidator(_at_most_one)] = (1.0, 1.0)
    """Share of the steps that are done: 1 starts from pure noise, as the paper does, less from the noised image."""
    classifier: PathText | None = None
    """A folder that `anomgen train classifier` wrote for this model: it guides the samples towards their category."""
    guidance_scale: Annotated[float, Field(ge=0, le=1000)] = 1.0
    """How much the classifier guides: s of each step's shift by s · Σ · ∇ log p(category | x_t); 0 not at all."""
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "ddim": {"sampler": "ddim", "strength_range": (0.01, 0.03)},
    }

    @field_validator("texture")
    @classmethod
    def _pictures(cls, texture: Textures | None) -> Textures | None:
        if isinstance(texture, ProceduralTextures):
            raise ValueError(
                "sampled images lie in a folder or a dataset: kind folder or hub; for textures take perlin"
            )
        return texture

    @property
    def min_on_foreground(self) -> float:
        """Return 1, or 0 for whole images."""
        return 1.0 if self.extent == "perlin" else 0.0

    @property
    def uses_network(self) -> bool:
        """Return whether the content is sampled; see `Generator.uses_network`."""
        return self.model is not None

    def prepared(self, pool: Images) -> Self:
        """Open the model or the pictures and see that they fit the images. Raises UsageError or SourceError."""
        from anomgen.models.use import warn_of_other_values

        if (self.model is None) == (self.texture is None):
            raise UsageError(
                "generator.model: name the trained model, a folder or a Hub id (train one with `anomgen train sdas "
                "--source GOOD_IMAGES -o MODEL`, then --set generator.model=MODEL), or else generator.texture, images "
                "sampled beforehand with the recipe sia; one of the two"
            )
        if self.classifier is not None and self.texture is not None:
            raise UsageError(
                "generator.classifier: it guides a model, and texture takes images that are sampled already"
            )
        super().prepared(pool)
        shape = pool[0].shape if len(pool) else None
        if self.texture is not None:
            if self.extent == "whole":
                raise UsageError("generator.extent: whole images are sampled from a model, not taken from a texture")
            self.texture.check(shape)
            return self
        self._check_model(shape)
        warn_of_other_values(self._folder(str(self.model)), f"generator.model: {self.model}", pool)
        return self

    @property
    def _all_categories(self) -> bool:
        return self.category == "all" and self.extent == "whole"

    def _check_model(self, shape: tuple[int, ...] | None) -> None:
        model = self._loaded()
        takes = (model.shape, (*model.shape[:2], 1))  # grey images, which were shown in colour beside coloured ones
        if shape is not None and shape not in takes:
            h, w, c = model.shape
            fits = f"use --size {h}x{w}, or " if shape[2] == c else ""
            raise UsageError(
                f"generator.model: {self.model} draws {h}×{w} images with {_channels(c)}, the source gives "
                f"{shape[0]}×{shape[1]} with {_channels(shape[2])}: {fits}train a model on these images"
            )
        if not self._all_categories:
            try:
                self._number(model)
            except UsageError as error:
                raise UsageError(f"generator.category: {error}") from error
        if self.classifier is not None:
            self._check_classifier(model)

    def _check_classifier(self, model: SDASModel) -> None:
        classifier = self._guide()
        drawn = range(len(model.categories)) if self._all_categories else [self._number(model)]
        try:
            classifier.require(model)
            for label in drawn:
                classifier.number(self._goal(model, label))
        except UsageError as error:
            raise UsageError(f"generator.classifier: {error}") from error

    def resources(self) -> dict[str, str]:
        """Return the hash of the model's weights, or of the pictures."""
        if self.texture is not None:
            return self.texture.resources()
        from anomgen.models.classifier.model import classifier_fingerprint

        found = {} if self.model is None else {"model": self._loaded().fingerprint}
        return found | ({} if self.classifier is None else {"classifier": classifier_fingerprint(self.classifier)})

    def licenses(self) -> tuple[str, ...]:
        """See `Generator.licenses`."""
        if self.texture is not None:
            return self.texture.licenses()
        from anomgen.models.use import model_licenses

        return tuple(dict.fromkeys(name for folder in self._folders().values() for name in model_licenses(folder)))

    def unlicensed(self) -> dict[str, str]:
        """See `Generator.unlicensed`."""
        if self.texture is not None:
            return self.texture.unlicensed()
        from anomgen.models.use import why_unlicensed

        return {key: why for key, folder in self._folders().items() if (why := why_unlicensed(folder))}

    def trained_on(self) -> frozenset[str]:
        """See `Generator.trained_on`."""
        from anomgen.models.use import trained_on

        return frozenset().union(*map(trained_on, self._folders().values()))

    def cost(self, shape: tuple[int, ...]) -> float:
        """See `Generator.cost`; that of the model that `anomgen train sdas` makes by default."""
        share = sum(self.start_range) / 2
        return 0.0 if self.model is None else STEP_COST * share * self.steps * shape[0] * shape[1]

    def _folders(self) -> dict[str, Path]:
        """Return where the models lie that decide what is sampled, by their keys."""
        from anomgen.models.classifier.model import FILES, MAKER
        from anomgen.models.use import model_folder

        found = {} if self.model is None else {"model": self._folder(self.model)}
        if self.classifier is not None:
            found["classifier"] = model_folder(self.classifier, MAKER, FILES)
        return found

    def _folder(self, model: str) -> Path:
        from anomgen.models.sdas.model import FILES
        from anomgen.models.use import model_folder

        return model_folder(model, f"train {self.kind}", FILES)

    def sample_batch(
        self, rngs: Sequence[np.random.Generator], images: Sequence[np.ndarray], pool: Images
    ) -> list[Sample | Reject]:
        """Draw where each anomaly goes, sample all contents, lay each over its image."""
        results: list[Sample | Reject] = [Reject("not drawn")] * len(rngs)
        places: dict[int, tuple[np.ndarray | None, dict[str, Any]]] = {}
        for k, (rng, image) in enumerate(zip(rngs, images, strict=True)):
            try:
                places[k] = self._place(rng, image, pool)
            except Reject as reject:
                results[k] = reject
        contents = self._contents([rngs[k] for k in places], [images[k] for k in places])
        for (k, (region, params)), (content, said) in zip(places.items(), contents, strict=True):
            try:
                results[k] = self._laid(images[k], region, content, {**params, **said})
            except Reject as reject:
                results[k] = reject
        return results

    def _place(
        self, rng: np.random.Generator, image: np.ndarray, pool: Images
    ) -> tuple[np.ndarray | None, dict[str, Any]]:
        """Draw the region, None for the whole image, and the opacity."""
        if self.extent == "whole":
            return None, {}
        region, drawn = self.draw_region(rng, image.shape, foreground_of(pool, image))
        return region, {**drawn._asdict(), "opacity": float(rng.uniform(*self.opacity_range))}

    def _contents(
        self, rngs: Sequence[np.random.Generator], images: Sequence[np.ndarray]
    ) -> list[tuple[np.ndarray, dict[str, Any]]]:
        """Return an image for each, in its dtype, and what was drawn for it."""
        if self.texture is not None:
            drawn = [self.texture.draw(rng, image.shape) for rng, image in zip(rngs, images, strict=True)]
            return [
                (to_depth(texture, image.dtype), {"texture": name})
                for (texture, name), image in zip(drawn, images, strict=True)
            ]
        from anomgen.models.images import unscaled

        model = self._loaded()
        strengths = [float(rng.uniform(*self.strength_range)) for rng in rngs]
        starts = [float(rng.uniform(*self.start_range)) for rng in rngs]
        labels = [self._label(rng, model) for rng in rngs]
        noised = self.start_range != (1.0, 1.0)
        values = model.draw(
            rngs,
            strengths,
            steps=self.steps,
            sampler=self.sampler,
            labels=labels,
            images=[to_channels(image, model.shape[2]) for image in images] if noised else None,
            starts=starts if noised else None,
            guide=self._steering(model, labels),
        )
        said = [
            {"strength": strength, "start": start} | ({} if label is None else {"category": model.categories[label]})
            for strength, start, label in zip(strengths, starts, labels, strict=True)
        ]
        return [
            (to_channels(unscaled(value, image.dtype), image.shape[2]), words)
            for value, image, words in zip(values, images, said, strict=True)
        ]

    def _label(self, rng: np.random.Generator, model: SDASModel) -> int | None:
        if self._all_categories and len(model.categories) > 1:
            return int(rng.integers(len(model.categories)))
        return None if self._all_categories else self._number(model)

    def _number(self, model: SDASModel) -> int | None:
        """Return the number of the category to draw; a model of one category, if guided, is not asked for another."""
        return None if self.classifier is not None and len(model.categories) == 1 else model.category(self.category)

    def _goal(self, model: SDASModel, label: int | None) -> str:
        """Return the name of the category that a sample is guided towards."""
        if label is None and self.category is not None and not self._all_categories:
            return self.category
        return model.categories[label or 0]

    def _steering(self, model: SDASModel, labels: Sequence[int | None]) -> Steering | None:
        """Return what guides each image towards its category; None without a classifier."""
        if self.classifier is None or self.guidance_scale == 0:
            return None
        classifier = self._guide()
        return classifier.towards([classifier.number(self._goal(model, k)) for k in labels], self.guidance_scale)

    def _laid(
        self, image: np.ndarray, region: np.ndarray | None, content: np.ndarray, params: dict[str, Any]
    ) -> Sample:
        if region is None:
            if 2 * np.count_nonzero(change_between(image, content) > TOLERANCE) < image.shape[0] * image.shape[1]:
                raise Reject("nothing visible changed")
            return Sample(content, np.ones(image.shape[:2], dtype=bool), None, params, self.kind)
        box = Box.whole(image).around(region)
        drawn = lay_over(image, content[box.slices], region, box, params["opacity"])
        result = composite(image, drawn, region, box=box)
        return Sample(result.image, result.mask, None, params, self.kind)

    def _loaded(self) -> SDASModel:
        from anomgen.models.device import require_diffusion

        require_diffusion()
        from anomgen.models.sdas.model import load_sdas

        try:
            return load_sdas(str(self.model))
        except UsageError as error:
            raise UsageError(f"generator.model: {error}") from error

    def _guide(self) -> Classifier:
        from anomgen.models.classifier.model import load_classifier

        try:
            return load_classifier(str(self.classifier))
        except UsageError as error:
            raise UsageError(f"generator.classifier: {error}") from error


def _channels(count: int) -> str:
    return "1 channel" if count == 1 else f"{count} channels"
