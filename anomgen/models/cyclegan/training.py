"""Train a Cycle-GAN between normal and abnormal images, which need not show the same objects.

Bougaham, Delchevalerie, El Adoui, Frénay: Industrial and medical anomaly detection through cycle-consistent
adversarial networks, Neurocomputing 614:128762, 2025, arXiv 2302.05154, after Zhu et al., ICCV 2017, arXiv 1703.10593.

Note: every draw follows from (seed, number of the image), there is no seed in the paper. Its code pairs the images
once and turns both of a pair alike; here abnormal image and orientations are drawn anew each time. A tenth of the
normal images is held back, for the threshold; biases begin at 0, theirs as torch draws them; the rate falls each step,
theirs each epoch (docs/reference/methods.md, `benchmarks/trainings.py`). The preset `paper` makes 20,000 steps; 200
epochs of nine orientations are 25,000 for MVTec AD's tiles, 44,000 for its hazelnuts: not measured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import nn

from anomgen.errors import Progress, SourceError, UsageError, silent
from anomgen.models.checkpoint import load_optimiser, optimiser_tensors, weights_under
from anomgen.models.cyclegan.abnormal import refuse_common_images
from anomgen.models.cyclegan.model import (
    SMALLEST,
    TO_ABNORMAL,
    TO_NORMAL,
    CycleGANDescription,
    Translator,
    as_seen,
    change_map,
    seen_shape,
    without_shift,
)
from anomgen.models.cyclegan.networks import (
    BUFFER,
    Buffer,
    build_networks,
    discriminator_loss,
    generator_losses,
    share_of_rate,
)
from anomgen.models.described import save_described
from anomgen.models.folder import data_record
from anomgen.models.images import WAYS, Augment, Images, require_square, turned, unscaled
from anomgen.models.settings import TrainingSettings
from anomgen.models.sheet import Sheet
from anomgen.models.training import Task, Trained, parts_of_batch, require_finite, train
from anomgen.rng import Stream, rng_for
from anomgen.sources.base import Source
from anomgen.versions import versions

if TYPE_CHECKING:
    from accelerate import Accelerator

MINIMUM_IMAGES = 10
"""Fewer images of either class are learned by heart."""
SMOOTHING = 0.008
"""Deviation of the Gaussian over the change, a share of the shorter side."""
QUANTILE = 0.98
"""Share of a typical held-out normal image whose change on translation to normal ones is below the threshold. What is
above are flaws of normal images that the network repairs, and in most images there are some."""
THRESHOLDS = (0.02, 0.15)
"""Least and greatest threshold: nobody sees a smaller change, everybody a greater one."""
SHEET_ROWS = 4
SHEET_CAPTIONS = (
    "normal images that were held out",
    "the same, made abnormal",
    "these, made normal again",
    "abnormal images",
    "the same, made normal",
)
CHANGED = 25
"""Levels of 255 from which a pixel of a sheet counts as changed …"""
FEWEST, MOST = 0.001, 0.3
"""… and shares of changed pixels outside of which a translation is no good."""
ARCHITECTURE = ("width", "blocks", "residual", "upsampling")
"""Settings that decide the generators' weights."""


class TrainCycleGAN(TrainingSettings):
    """Settings of `anomgen train cyclegan`. The defaults are the preset `laptop`; the paper's model is `paper`."""

    preset: str | None = None
    """Settings by name, `laptop` or `paper`; keys given beside it win."""
    steps: Annotated[int, Field(ge=1)] = 2000
    """Optimiser steps of the generators, and as many of the discriminators."""
    batch_size: Annotated[int, Field(ge=1)] = 1
    """Pairs of a normal and an abnormal image in one step, over all devices and accumulated parts."""
    learning_rate: Annotated[float, Field(gt=0)] = 2e-4
    """Of Adam with β = (0.5, 0.999); constant for the first 10 % of the steps, then falling to 0 on a line."""
    cycle: Annotated[float, Field(ge=0)] = 10.0
    """Weight of the mean absolute error after a translation there and back."""
    identity: Annotated[float, Field(ge=0)] = 5.0
    """Weight of the mean absolute change of an image that is of the target class already."""
    width: Annotated[int, Field(ge=4, le=256)] = 24
    """Features of a generator at full resolution."""
    blocks: Annotated[int, Field(ge=1, le=16)] = 4
    """Residual blocks of a generator."""
    discriminator_width: Annotated[int, Field(ge=4, le=256)] = 32
    """Features of a discriminator's first layer."""
    residual: bool = True
    """Whether a generator's output is added to the image. Small ones then need not learn the normal image first."""
    upsampling: Literal["nearest", "transposed"] = "nearest"
    """How a generator doubles its resolution: nearest neighbours and a convolution, or the paper's transposed one,
    which leaves a chequered pattern in small models."""
    resolution: Annotated[int, Field(ge=SMALLEST, le=4096)] | None = 128
    """Longest side, in pixels, that the networks see; larger images are shrunk, and the change is enlarged again."""
    augment: Augment = "rotations"
    """Mirrorings and quarter turns under which a normal image stays normal; `rotations` on square images only."""

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "laptop": {},
        "paper": {
            "steps": 20_000,
            "batch_size": 16,
            "width": 64,
            "blocks": 9,
            "discriminator_width": 64,
            "residual": False,
            "upsampling": "transposed",
            "resolution": None,
            "mixed_precision": "no",
            "checkpoint_every": 500,
        },
    }


# --- the training ---------------------------------------------------------------------------------------------------


class CycleGANTask(Task):
    """The training of two generators, G normal → abnormal and F back, and of their discriminators."""

    kind: ClassVar[str] = "cyclegan"
    settings: TrainCycleGAN

    def __init__(self, settings: TrainCycleGAN, accelerator: Accelerator, normal: Source, abnormal: Source):
        super().__init__(settings, accelerator)
        self.normal = Images(normal, 1)
        self.abnormal = Images(abnormal, 1, like=self.normal)
        _require_alike(self.normal, self.abnormal)
        self.shape = self.normal.shape
        self.seen = seen_shape(self.shape, settings.resolution)
        self._require_fitting()
        self.held_out, self.trained_on = _split(settings.seed, len(self.normal))
        architecture = {key: getattr(settings, key) for key in ARCHITECTURE}
        rng = rng_for(settings.seed, Stream.TRAINING, 0, 1)
        self.networks = build_networks(rng, self.shape[2], settings.discriminator_width, **architecture)
        for network in self.networks:
            network.to(accelerator.device)
        self.to_abnormal, self.to_normal, self.is_abnormal, self.is_normal = self.networks
        self.generator_optimiser = self._optimiser(self.to_abnormal, self.to_normal)
        self.discriminator_optimiser = self._optimiser(self.is_abnormal, self.is_normal)
        self.buffers = {"abnormal": Buffer(), "normal": Buffer()}

    def _require_fitting(self) -> None:
        h, w = self.seen
        if min(h, w) < SMALLEST:
            raise UsageError(
                f"the networks would see {h}×{w} pixels, at least {SMALLEST}×{SMALLEST} are needed: use larger images "
                "(--size) or a higher --set resolution=…"
            )
        require_square(self.settings.augment, self.shape)

    def _optimiser(self, *networks: nn.Module) -> torch.optim.Adam:
        parameters = [parameter for network in networks for parameter in network.parameters()]
        return torch.optim.Adam(parameters, self.settings.learning_rate, betas=(0.5, 0.999))

    # --- a step -----------------------------------------------------------------------------------------------------

    def step(self, number: int) -> dict[str, float]:
        """Do one step of the generators, then one of the discriminators; see `Task.step`."""
        parts = [self._drawn(part) for part in parts_of_batch(self, number)]
        for network in (self.is_abnormal, self.is_normal):
            network.requires_grad_(False)
        losses: dict[str, float] = {}
        made = [self._generators(normal, abnormal, losses) for normal, abnormal, _ in parts]
        self._update(self.generator_optimiser, number, losses)
        for network in (self.is_abnormal, self.is_normal):
            network.requires_grad_(True)
        for (normal, abnormal, rngs), (as_abnormal, as_normal) in zip(parts, made, strict=True):
            self._discriminators(abnormal, as_abnormal, normal, as_normal, rngs, losses)
        self._update(self.discriminator_optimiser, number, losses)
        return losses

    def _generators(
        self, normal: torch.Tensor, abnormal: torch.Tensor, losses: dict[str, float]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Add the gradient of the generators' losses; return what they made of the images."""
        with self.accelerator.autocast():
            terms, as_abnormal, as_normal = generator_losses(self.networks, normal, abnormal)
            total = terms["generators"] + self.settings.cycle * terms["cycle"]
            total = total + self.settings.identity * terms["identity"]
        self.accelerator.backward(total)
        self._count(terms, losses)
        return as_abnormal.detach().float(), as_normal.detach().float()

    def _discriminators(
        self,
        abnormal: torch.Tensor,
        as_abnormal: torch.Tensor,
        normal: torch.Tensor,
        as_normal: torch.Tensor,
        rngs: Sequence[np.random.Generator],
        losses: dict[str, float],
    ) -> None:
        """Add the gradient of the discriminators' losses, halved, on real images and on translations."""
        earlier = {
            f"as_{name}": torch.stack(
                [self.buffers[name].exchange(image, rng) for image, rng in zip(made, rngs, strict=True)]
            )
            for name, made in (("abnormal", as_abnormal), ("normal", as_normal))
        }
        with self.accelerator.autocast():
            terms = {"discriminators": discriminator_loss(self.networks, normal, abnormal, **earlier)}
        self.accelerator.backward(terms["discriminators"])
        self._count(terms, losses)

    def _count(self, terms: Mapping[str, torch.Tensor], losses: dict[str, float]) -> None:
        for name, term in terms.items():
            mean = self.accelerator.reduce(term.detach(), "mean").item()
            losses[name] = losses.get(name, 0.0) + mean / self.settings.accumulation

    def _update(self, optimiser: torch.optim.Adam, number: int, losses: Mapping[str, float]) -> None:
        """Step with the gradient, the mean over all processes, unless a loss is not a number."""
        require_finite(number, losses)
        parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
        if self.accelerator.num_processes > 1:
            for parameter in parameters:
                parameter.grad = self.accelerator.reduce(parameter.grad, "mean")
        if self.settings.gradient_clip:
            nn.utils.clip_grad_norm_(parameters, self.settings.gradient_clip)
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(self.settings, number)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)

    def _drawn(self, part: range) -> tuple[torch.Tensor, torch.Tensor, list[np.random.Generator]]:
        """Return normal and abnormal images (N, C, H, W), and the rng of each; all follow from their numbers."""
        rngs = [rng_for(self.settings.seed, Stream.TRAINING, number) for number in part]
        normal, abnormal = [], []
        for number, rng in zip(part, rngs, strict=True):
            ways = WAYS[self.settings.augment]
            epoch, position = divmod(number, len(self.trained_on))
            order = rng_for(self.settings.seed, Stream.ORDER, epoch).permutation(self.trained_on)
            normal.append(turned(self._seen(self.normal, int(order[position])), int(rng.integers(ways))))
            drawn = int(rng.integers(len(self.abnormal)))
            abnormal.append(turned(self._seen(self.abnormal, drawn), int(rng.integers(ways))))
        return self._batch(normal), self._batch(abnormal), rngs

    def _seen(self, images: Images, index: int) -> np.ndarray:
        return as_seen(images.scaled(index), self.seen)

    def _batch(self, images: Sequence[np.ndarray]) -> torch.Tensor:
        pixels = np.ascontiguousarray(np.stack(images).transpose(0, 3, 1, 2))
        return torch.from_numpy(pixels).to(self.accelerator.device)

    # --- state and results ------------------------------------------------------------------------------------------

    def tensors(self) -> dict[str, torch.Tensor]:
        """See `Task.tensors`."""
        found = {
            f"{name}.{key}": value
            for name, network in self._networks().items()
            for key, value in network.state_dict().items()
        }
        found |= {f"buffer.{name}": torch.stack(buffer.images) for name, buffer in self.buffers.items()}
        found |= optimiser_tensors("generator_optimiser", self.generator_optimiser)
        return found | optimiser_tensors("discriminator_optimiser", self.discriminator_optimiser)

    def restore(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """See `Task.restore`."""
        for name, network in self._networks().items():
            network.load_state_dict(weights_under(name, tensors))
        for name, buffer in self.buffers.items():
            images = tensors[f"buffer.{name}"]
            if images.shape[1:] != (self.shape[2], *self.seen) or not 0 < len(images) <= BUFFER:
                raise ValueError(f"buffer.{name}: does not hold images of this training")
            buffer.images = list(images.to(self.accelerator.device))
        load_optimiser("generator_optimiser", self.generator_optimiser, tensors)
        load_optimiser("discriminator_optimiser", self.discriminator_optimiser, tensors)

    def _networks(self) -> dict[str, nn.Module]:
        return self.networks._asdict()

    def sheet(self) -> Sheet:
        """Return rows of: normal images held out, made abnormal, back again; abnormal images, made normal."""
        rows: list[list[np.ndarray]] = []
        for normal, abnormal in zip(self.held_out[:SHEET_ROWS], range(len(self.abnormal)), strict=False):
            x, y = self._seen(self.normal, int(normal)), self._seen(self.abnormal, abnormal)
            with torch.inference_mode():
                as_abnormal = self.to_abnormal(self._batch([x]))
                made = [as_abnormal, self.to_normal(as_abnormal), self.to_normal(self._batch([y]))]
            there, back, normal_again = (image[0].permute(1, 2, 0).float().cpu().numpy() for image in made)
            rows.append([x, there, back, y, normal_again])
        shown = [[unscaled(image, np.dtype(np.uint8)) for image in row] for row in rows]
        return Sheet(list(zip(SHEET_CAPTIONS, zip(*shown, strict=True), strict=True)), _changes(shown))

    def identity_residuals(self) -> np.ndarray:
        """Return the change maps, (N, H, W), of held-out normal images that are translated to normal ones."""
        translator = Translator(self.to_normal.cpu().eval(), self.seen)
        images = [self.normal.pool[int(index)] for index in self.held_out]
        maps = np.stack([change_map(without_shift(translator.change(image)), SMOOTHING) for image in images])
        self.to_normal.to(self.accelerator.device).train()
        return maps

    def save(self, folder: Path, record: Mapping[str, Any]) -> None:
        """Write the model; see `save_described`."""
        kept = {key: getattr(self.settings, key) for key in ("resolution", "augment", *ARCHITECTURE)}
        typical = np.median(np.quantile(self.identity_residuals(), QUANTILE, axis=(1, 2)))
        threshold = float(np.clip(typical, *THRESHOLDS))
        h, w, c = self.shape
        description = CycleGANDescription(shape=(h, w, c), threshold=threshold, **kept)
        from anomgen.models.cyclegan.card import write_cyclegan_card

        write_cyclegan_card(folder, record, description.shape, threshold)
        networks = {TO_ABNORMAL: self.to_abnormal, TO_NORMAL: self.to_normal}
        save_described(folder, networks, description, {"trained": dict(record)})


def _changes(rows: Sequence[Sequence[np.ndarray]]) -> str:
    """Say in words whether normal images, the first of each row, are changed in places when made abnormal."""
    maps = [np.abs(row[1].astype(np.int16) - row[0]).max(axis=2) for row in rows]
    share = float(np.median([(values > CHANGED).mean() for values in maps]))
    if share < FEWEST:
        return "Train on: it changes next to nothing in normal images."
    if share > MOST:
        return f"Train on: it changes {share:.0%} of a normal image, not places; anomalies should be local."
    return f"It changes {share:.1%} of a normal image: see whether that looks like your anomalies."


def learning_rate(settings: TrainCycleGAN, number: int) -> float:
    """Return the rate of step `number`, counted from 0: constant for 10 % of the steps, then on a line to 0."""
    return settings.learning_rate * share_of_rate(settings.steps, number)


def _split(seed: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return which normal images are held out (a tenth, 2 to 32) and which are trained on."""
    order = rng_for(seed, Stream.TRAINING, 0, 2).permutation(count)
    held_out = min(max(2, round(count / 10)), 32)
    return order[:held_out], np.sort(order[held_out:])


def _require_alike(normal: Images, abnormal: Images) -> None:
    """Raise when there are too few images, or when the classes differ in more than the anomalies."""
    for images, word in ((normal, "normal"), (abnormal, "abnormal")):
        if len(images) < MINIMUM_IMAGES:
            raise SourceError(
                f"a Cycle-GAN needs at least {MINIMUM_IMAGES} {word} images, better 30 or more; there are "
                f"{len(images)}"
                + ("" if word == "normal" else " (another recipe's dataset can stand in for real ones)")
            )
    kinds = [f"{'×'.join(map(str, images.shape))} {images.pool[0].dtype}" for images in (normal, abnormal)]
    if kinds[0] != kinds[1]:
        raise SourceError(
            f"the normal images are {kinds[0]}, the abnormal ones {kinds[1]} (height, width, channels, depth): the "
            "networks would learn that difference; bring both to one size, to grey or colour, to 8 or 16 bit"
        )


# --- all of it ------------------------------------------------------------------------------------------------------


def train_cyclegan(
    normal: Source,
    abnormal: Source,
    settings: TrainCycleGAN,
    out: Path,
    *,
    device: str = "auto",
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress = silent,
) -> Trained:
    """Train both translators and write the model to `out`.

    normal, abnormal: images of one size, depth and channel count. Raises UsageError for settings that do not fit,
    SourceError for unusable images, and what `anomgen.models.training.train` raises.
    """
    refuse_common_images(normal, abnormal)
    record = {
        "kind": CycleGANTask.kind,
        "anomgen": versions()["anomgen"],
        "settings": settings.model_dump(mode="json"),
        "data": [data_record("normal", normal), data_record("abnormal", abnormal)],
    }
    return train(
        lambda accelerator: CycleGANTask(settings, accelerator, normal, abnormal),
        settings,
        out,
        record,
        device=device,
        resume=resume,
        overwrite=overwrite,
        progress=progress,
    )
