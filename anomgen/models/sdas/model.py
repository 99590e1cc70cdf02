"""Load a DDPM and draw SDAS images from it, one seeded CPU generator per image."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import DDPMScheduler, UNet2DModel
from safetensors import safe_open

from anomgen.errors import RecipeError, UsageError
from anomgen.files import file_digest, fingerprint_of, json_object
from anomgen.models.described import DESCRIPTION, kind_of, require_finite_weights
from anomgen.models.folder import recorded_data, require_finished
from anomgen.models.images import scaled
from anomgen.models.sdas.network import require_bounded
from anomgen.models.sdas.pipeline import TRANSFORM, PatchTransform, SDASPipeline
from anomgen.models.use import drawing_device, model_folder, stamps, threads_for
from anomgen.places import holds_file
from anomgen.sources.scan import files_fingerprint

BATCH, CPU_BATCH = 16, 4
"""Images drawn at once on an accelerator, and on the CPU by small networks: there a batch of four takes the time of 2.6
images. Smaller batches are filled up to it, so that nothing depends on the batch."""
SMALL = 64 * 64
"""Places of the network's images up to which it counts as small; larger ones gain nothing from a batch on the CPU."""

Steering = Callable[[Sequence[int], torch.Tensor, torch.Tensor], torch.Tensor]
"""Which of the images are drawn together, their x_t, and t → the gradient there; see `pipeline.Guide`."""
_SCHEDULE = (
    "num_train_timesteps",
    "beta_start",
    "beta_end",
    "beta_schedule",
    "trained_betas",
    "rescale_betas_zero_snr",
)


@dataclass(frozen=True)
class SDASModel:
    """A loaded model and what is known of it."""

    name: str
    pipeline: SDASPipeline
    categories: tuple[str, ...]
    """Names of the classes; one for a model that is not class-conditional."""
    fingerprint: str
    """Hash of all weights and configurations."""

    @property
    def inputs(self) -> tuple[int, int, int]:
        """Return (K, h, w) of what the U-Net sees: the pixels, or latents of them."""
        size = self.pipeline.unet.config.sample_size
        h, w = (size, size) if isinstance(size, int) else (size[0], size[1])
        return int(self.pipeline.unet.config.in_channels), h, w

    @property
    def shape(self) -> tuple[int, int, int]:
        """Return (H, W, C) of the images that it draws."""
        k, h, w = self.inputs
        transform = self.pipeline.transform
        return (h, w, k) if transform is None else (h * transform.patch, w * transform.patch, transform.channels)

    @property
    def space(self) -> str:
        """Return a hash of what makes a noised image of an image: the latent transform and the levels of noise."""
        transform, schedule = self.pipeline.transform, self.pipeline.scheduler.config
        filters = {} if transform is None else dict(transform.named_buffers())
        held = {name: file_digest(buffer.cpu().numpy().tobytes()) for name, buffer in filters.items()}
        return fingerprint_of({"transform": held, "schedule": {key: schedule.get(key) for key in _SCHEDULE}})

    @property
    def _is_small(self) -> bool:
        _, h, w = self.inputs
        return h * w <= SMALL

    def category(self, name: str | None) -> int | None:
        """Return the number of a category, None for a model of one. Raises UsageError for an unknown one."""
        if len(self.categories) == 1 and name in (None, *self.categories):
            return None
        if name not in self.categories:
            asked = "several categories, say which one" if name is None else f"no category {name!r}"
            raise UsageError(f"{self.name}: {asked} with category=…: {', '.join(self.categories)}")
        return self.categories.index(name)

    def draw(
        self,
        rngs: Sequence[np.random.Generator],
        strengths: Sequence[float],
        *,
        steps: int = 20,
        sampler: str = "ddpm",
        labels: Sequence[int | None] | None = None,
        images: Sequence[np.ndarray] | None = None,
        starts: Sequence[float] | None = None,
        guide: Steering | None = None,
    ) -> list[np.ndarray]:
        """Return SDAS images, float32 (H, W, C) in [−1, 1], one for each rng.

        strengths: s ≥ 0 of each. labels: numbers of the categories, None for a model of one. images, starts: normal
        images, uint8 or uint16 (H, W, C), and the share of the steps that each is carried through from there. guide:
        what the steps are guided by. Image k depends on entry k of every argument alone, whatever is drawn beside it.
        """
        seeds = [int(rng.integers(2**63)) for rng in rngs]
        drawn: list[np.ndarray | None] = [None] * len(rngs)
        with threads_for(self.pipeline.device):
            for members, start in self._batches(len(rngs), starts, steps):
                batch = None if images is None else torch.stack([_tensor(images[k]) for k in members])
                results = self.pipeline(
                    len(members),
                    [torch.Generator().manual_seed(seeds[k]) for k in members],
                    num_inference_steps=steps,
                    strength=[strengths[k] for k in members],
                    sampler=sampler,
                    class_labels=_numbers(labels, members),
                    images=batch,
                    start=start,
                    output_type="np",
                    guide=None if guide is None else partial(guide, members),
                ).images
                for k, result in zip(members, results, strict=True):
                    drawn[k] = result * 2 - 1
        return [result for result in drawn if result is not None]

    def _batches(self, count: int, starts: Sequence[float] | None, steps: int) -> Iterator[tuple[list[int], float]]:
        """Yield the images that are drawn together, and their start.

        Arithmetic depends on the size of a batch, so all have one size, filled up with their first image, which comes
        out the same again. On the CPU what starts from images, each at a step of its own, is drawn one by one.
        """
        groups: dict[int, list[int]] = {}
        for k in range(count):
            groups.setdefault(steps if starts is None else max(1, round(starts[k] * steps)), []).append(k)
        size = BATCH
        if self.pipeline.device.type == "cpu":
            size = CPU_BATCH if starts is None and self._is_small else 1
        for done, members in groups.items():
            for first in range(0, len(members), size):
                chosen = members[first : first + size]
                yield chosen + chosen[:1] * (size - len(chosen)), done / steps


def _numbers(labels: Sequence[int | None] | None, members: Sequence[int]) -> list[int] | None:
    found = [] if labels is None else [labels[k] for k in members]
    return [label for label in found if label is not None] or None


def _tensor(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(scaled(image).transpose(2, 0, 1).copy())


# --- loading --------------------------------------------------------------------------------------------------------

PIPELINES = ("DDPMPipeline", "DDIMPipeline", SDASPipeline.__name__)
WEIGHTS = "unet/diffusion_pytorch_model.safetensors"
FILES = ("model_index.json", "training.json", "scheduler/*.json", "unet/config.json", "unet/*.safetensors*", TRANSFORM)


def load_sdas(name: str) -> SDASModel:
    """Load a DDPM: a folder that `anomgen train sdas` or diffusers wrote, or a Hub id.

    Raises UsageError for what is missing, unfinished, no DDPM, or has its weights in another format than safetensors.
    """
    folder = model_folder(name, "train sdas", FILES)
    index = folder / "model_index.json"
    if not holds_file(index):
        require_finished(folder)
        if (folder / DESCRIPTION).is_file():
            raise UsageError(f"{name}: is a model of kind {kind_of(folder)!r}; here a diffusion model is needed")
        raise UsageError(f"{name}: no model: there is no model_index.json in it; `anomgen train sdas` makes one")
    return _load(name, folder, stamps(folder, FILES))


@lru_cache(maxsize=2)
def _load(name: str, folder: Path, stamps: tuple[int, ...]) -> SDASModel:  # noqa: ARG001 - what is changed is read anew
    _require_ddpm(name, folder)
    try:
        require_bounded(folder)
        unet, told = UNet2DModel.from_pretrained(
            folder / "unet", use_safetensors=True, local_files_only=True, output_loading_info=True
        )
        if without := told["missing_keys"]:  # diffusers would draw them at random
            raise ValueError(f"{len(without)} weights are missing, the first is {sorted(without)[0]}")
        _require_none_left("U-Net", told["unexpected_keys"])
        require_finite_weights(unet.state_dict())
        scheduler = DDPMScheduler.from_pretrained(folder / "scheduler", local_files_only=True)
        transform = PatchTransform.load(folder / TRANSFORM) if holds_file(folder / TRANSFORM) else None
        if transform is not None:
            with safe_open(folder / TRANSFORM, "pt") as file:
                _require_none_left("transform", set(file.keys()) - {name for name, _ in transform.named_buffers()})
    except MemoryError:
        raise
    except Exception as error:  # a library's own, of whatever kind, for figures that it did not expect
        raise UsageError(f"{name}: the model is damaged or half-written: {_first_line(error)}") from error
    _require_consistent(name, unet, transform)
    unet = unet.eval().requires_grad_(False).to(drawing_device(), memory_format=torch.channels_last)
    pipeline = SDASPipeline(unet, scheduler, transform)
    pipeline.set_progress_bar_config(disable=True)
    return SDASModel(name, pipeline, _categories(folder, unet), fingerprint(folder))


def _require_ddpm(name: str, folder: Path) -> None:
    """Refuse other models, half-written ones, and weights that loading could execute code from."""
    try:
        index = json_object(folder / "model_index.json")
    except (OSError, ValueError):
        raise UsageError(f"{name}: the model is damaged: its model_index.json cannot be read") from None
    parts = [index.get("_class_name"), *(_class_of(index.get(key)) for key in ("unet", "scheduler"))]
    if parts[0] not in PIPELINES or parts[1] != "UNet2DModel" or parts[2] not in ("DDPMScheduler", "DDIMScheduler"):
        raise UsageError(f"{name}: no DDPM, but {' with '.join(map(str, parts))}; SDAS needs a DDPMPipeline's parts")
    weights = {file.suffix for file in (folder / "unet").glob("diffusion_pytorch_model*")}
    if weights and ".safetensors" not in weights:
        raise UsageError(
            f"{name}: the weights are a pickle, which could execute code; only safetensors are read ({WEIGHTS})"
        )
    needed = ["unet/config.json", "scheduler/scheduler_config.json"]
    needed += [TRANSFORM] if parts[0] == SDASPipeline.__name__ else []
    missing = [file for file in needed if not holds_file(folder / file)] + ([] if weights else [WEIGHTS])
    if missing:
        raise UsageError(f"{name}: the model is half-written: {', '.join(missing)} missing")


def _require_none_left(part: str, names: Collection[str]) -> None:
    """Raise ValueError for weights that have no place: they are another model's, or somebody hides something."""
    if names:
        raise ValueError(f"{len(names)} weights have no place in the {part}, the first is {min(names)[:200]}")


def _class_of(part: Any) -> Any:
    """Return the class that an entry of model_index.json, ``[library, class]``, names; None where it names none."""
    return part[1] if isinstance(part, list) and len(part) == 2 else None


def _require_consistent(name: str, unet: UNet2DModel, transform: PatchTransform | None) -> None:
    if transform is not None and not transform.is_sound:
        raise UsageError(f"{name}: the transform's filters do not belong together; copy the model again, whole")
    if transform is not None and transform.encode_weight.shape[0] != unet.config.in_channels:
        raise UsageError(f"{name}: the transform and the U-Net belong to different models")
    if transform is None and unet.config.in_channels not in (1, 3):
        raise UsageError(f"{name}: draws {unet.config.in_channels} channels; grey images have 1, colour ones 3")


def _categories(folder: Path, unet: UNet2DModel) -> tuple[str, ...]:
    count = unet.config.num_class_embeds or 1
    names = tuple(part["category"] for part in recorded_data(folder)) or tuple(str(k) for k in range(count))
    if len(names) != count:
        raise UsageError(
            f"{folder}: the U-Net knows {count} categories, training.json {len(names)}; copy it anew, whole"
        )
    return names


def fingerprint(folder: Path) -> str:
    """Return the hash of everything that decides what a model draws."""
    names = [file.relative_to(folder).as_posix() for pattern in FILES[2:] for file in folder.glob(pattern)]
    return files_fingerprint(folder, sorted(names))


def _first_line(error: Exception) -> str:
    if isinstance(error, RecipeError):
        return error.first
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
