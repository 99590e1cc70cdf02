"""SDAS sampling for diffusers: a scheduler step with a strength, a linear latent transform, and a pipeline of both.

Zhang, Xu, Zhou: RealNet – A feature selection network with realistic synthetic anomaly for anomaly detection, CVPR
2024, arXiv 2403.05897: x_{t−1} = μ + √(1 + s) · σ · z. A copy of this file lies beside every model with a
latent transform, so that plain diffusers loads it with ``custom_pipeline``; it needs torch, diffusers and safetensors.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import diffusers
import torch
import torch.nn.functional as F
from diffusers import DDIMScheduler, DDPMScheduler, DiffusionPipeline, ImagePipelineOutput, UNet2DModel
from diffusers.utils.torch_utils import randn_tensor
from safetensors.torch import load_file, save_file

TRANSFORM = "transform/diffusion_pytorch_model.safetensors"
"""Where the transform lies in a model: under a name that diffusers downloads with the rest."""

PARTS = ("encode_weight", "encode_bias", "decode_weight", "decode_bias")
"""Names of the transform's tensors."""

Strength = float | torch.Tensor
"""s ≥ 0: one number, or one per image, shape (N, 1, 1, 1)."""

Guide = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""x_t (N, C, H, W), in the network's space, and t → the gradient at x_t of what is to become likelier."""


class SDASScheduler(DDPMScheduler):
    """diffusers' DDPM step with the posterior variance times 1 + s; with s = 0 it is that step, bit for bit."""

    # No __init__: diffusers reads from its signature which parts of a stored configuration to pass on.
    _strength: Strength = 0.0

    def set_timesteps(self, *args: Any, **kwargs: Any) -> None:
        """See `DDPMScheduler.set_timesteps`. Raises ValueError for a variance that would become NaN."""
        if self.config.variance_type == "fixed_large_log":
            raise ValueError("variance_type 'fixed_large_log' takes the root of a negative number; use 'fixed_small'")
        super().set_timesteps(*args, **kwargs)

    def step(
        self,
        model_output: torch.Tensor,
        timestep: int,
        sample: torch.Tensor,
        *args: Any,
        strength: Strength = 0.0,
        gradient: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> Any:
        """See `DDPMScheduler.step`; strength: s, of the whole batch or of each image.

        gradient: g of a guide, as large as the sample: the mean is shifted by Σ · g, Σ the variance at s = 0 (Dhariwal,
        Nichol, NeurIPS 2021, arXiv 2105.05233, algorithm 1).
        """
        self._strength = strength
        result = super().step(model_output, timestep, sample, *args, **kwargs)
        if gradient is not None:
            shift = self._variance_of(timestep, model_output[:, sample.shape[1] :]) * gradient
            result.prev_sample = result.prev_sample + shift
        return result

    def _variance_of(self, timestep: int, output: torch.Tensor) -> torch.Tensor:
        """Return the variance of a step at s = 0; output: what the network says about it, where it was taught."""
        found: torch.Tensor = super()._get_variance(timestep, predicted_variance=output)
        if self.config.variance_type == "learned_range":  # its logarithm
            return found.exp()
        return found**2 if self.config.variance_type == "fixed_small_log" else found  # its root

    def _get_variance(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        variance: torch.Tensor = super()._get_variance(*args, **kwargs)
        s = self._strength
        if self.config.variance_type == "learned_range":  # its logarithm
            return variance + (torch.log1p(s.to(variance)) if isinstance(s, torch.Tensor) else math.log1p(s))
        if self.config.variance_type == "fixed_small_log":  # its root
            return variance * (1 + s) ** 0.5
        return variance * (1 + s)


class SDASDDIMScheduler(DDIMScheduler):
    """The deterministic DDIM step plus √s · σ · z, σ the deviation of the DDPM step.

    As in RealNet's code, the noise is derived anew from a clipped image: else the two would not belong together.
    """

    def step(
        self,
        model_output: torch.Tensor,
        timestep: int,
        sample: torch.Tensor,
        generator: Any = None,
        strength: Strength = 0.0,
        gradient: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> Any:
        """See `DDIMScheduler.step`; strength: s, of the whole batch or of each image.

        gradient: g of a guide, as large as the sample: √(1 − ᾱ) · g is taken off the noise that the network predicts
        (Dhariwal, Nichol, NeurIPS 2021, arXiv 2105.05233, algorithm 2), after the image was clipped, as in their code.
        """
        mean, variance = model_output[:, : sample.shape[1]], model_output[:, sample.shape[1] :]
        result = super().step(mean, timestep, sample, use_clipped_model_output=True, **kwargs)
        before = int(timestep) - self.config.num_train_timesteps // self.num_inference_steps
        if before >= 0:
            noise = randn_tensor(sample.shape, generator=generator, device=sample.device, dtype=sample.dtype)
            deviation = self._ddpm_variance(int(timestep), before, variance) ** 0.5
            result.prev_sample = result.prev_sample + strength**0.5 * deviation * noise
        if gradient is not None:
            level = self.alphas_cumprod[int(timestep)]
            level_before = self.alphas_cumprod[before] if before >= 0 else self.final_alpha_cumprod
            of_image = (level_before / level).sqrt() * (1 - level)
            of_noise = ((1 - level_before) * (1 - level)).sqrt()
            result.prev_sample = result.prev_sample + (of_image - of_noise) * gradient
        return result

    def _ddpm_variance(self, t: int, before: int, output: torch.Tensor) -> torch.Tensor:
        """Return the variance of the DDPM step from t; output: what the network says about it, where it was taught."""
        law = self.config.get("variance_type", "fixed_small")
        least: torch.Tensor = self._get_variance(t, before)
        largest: torch.Tensor = 1 - self.alphas_cumprod[t] / self.alphas_cumprod[before]
        if law == "learned_range":
            share = (output + 1) / 2
            return (share * largest.log() + (1 - share) * least.log()).exp()
        if law == "learned":
            return output
        return largest if law.startswith("fixed_large") else least


class PatchTransform(torch.nn.Module):
    """Linear map between pixels (N, C, H, W) in [−1, 1] and latents (N, K, H / p, W / p).

    encode: K filters of p × p pixels at a stride of p. decode: a 3 × 3 convolution of the latents gives the p × p
    pixels of each cell, so that neighbouring cells meet without an edge. Both are stored, nothing is recomputed.
    """

    def __init__(self, weights: dict[str, torch.Tensor]):
        super().__init__()
        for name in PARTS:
            self.register_buffer(name, weights[name])
        self.encode_weight: torch.Tensor
        self.encode_bias: torch.Tensor
        self.decode_weight: torch.Tensor
        self.decode_bias: torch.Tensor

    @property
    def device(self) -> torch.device:
        """Return where the transform is; diffusers asks all parts of a pipeline."""
        return self.encode_weight.device

    @property
    def dtype(self) -> torch.dtype:
        """Return the dtype of the filters."""
        return self.encode_weight.dtype

    @property
    def patch(self) -> int:
        """Return p, the pixels along one side of a cell."""
        return int(self.encode_weight.shape[-1])

    @property
    def channels(self) -> int:
        """Return C, the channels of the images."""
        return int(self.encode_weight.shape[1])

    @property
    def components(self) -> int:
        """Return K, the numbers of one cell."""
        return int(self.encode_weight.shape[0])

    @property
    def is_sound(self) -> bool:
        """Return whether the filters fit one another and all of their numbers are finite."""
        if self.encode_weight.ndim != 4:
            return False
        k, c, p = self.components, self.channels, self.patch
        cell = c * p**2
        shapes = ((k, c, p, p), (k,), (cell, k, 3, 3), (cell,))
        return c in (1, 3) and all(
            tuple(buffer.shape) == shape and bool(buffer.isfinite().all())
            for buffer, shape in zip(self.buffers(), shapes, strict=True)
        )

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """Return the latents of images."""
        return F.conv2d(images, self.encode_weight, self.encode_bias, stride=self.patch)

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Return the images of latents; values may leave [−1, 1]."""
        padded = F.pad(latents, (1, 1, 1, 1), mode="replicate")
        return F.pixel_shuffle(F.conv2d(padded, self.decode_weight, self.decode_bias), self.patch)

    def save(self, folder: str | Path) -> None:
        """Write the transform into a model's folder."""
        path = Path(folder) / TRANSFORM
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file({name: buffer.contiguous().cpu() for name, buffer in self.named_buffers()}, path)

    @classmethod
    def load(cls, path: str | Path) -> PatchTransform:
        """Read a transform from its file. Raises ValueError where a tensor is missing."""
        weights = load_file(path)
        if missing := [name for name in PARTS if name not in weights]:
            raise ValueError(f"the transform lacks {', '.join(missing)}")
        return cls(weights)


class SDASPipeline(DiffusionPipeline):
    """Samples of a DDPM at a strength s ≥ 0: near-normal images, the further from normal, the larger s."""

    _optional_components: ClassVar[list[str]] = ["transform"]

    def __init__(self, unet: UNet2DModel, scheduler: DDPMScheduler, transform: PatchTransform | None = None):
        super().__init__()
        self.register_modules(unet=unet, scheduler=scheduler, transform=None)
        # diffusers downloads the folder with the rest, and leaves reading what it does not know to us.
        beside = Path(str(unet.config.get("_name_or_path") or "")).parent / TRANSFORM
        self.transform = PatchTransform.load(beside) if transform is None and beside.is_file() else transform

    def save_pretrained(self, save_directory: str | Path, **options: Any) -> None:
        """Write the model: a stock `DDPMPipeline` in pixel space; with a transform, that and this file beside it."""
        folder = Path(save_directory)
        self.unet.save_pretrained(folder / "unet", **options)
        DDPMScheduler.from_config(self.scheduler.config).save_pretrained(folder / "scheduler")
        index: dict[str, Any] = {"_class_name": "DDPMPipeline", "_diffusers_version": diffusers.__version__}
        if self.transform is not None:
            self.transform.save(folder)
            (folder / "pipeline.py").write_text(Path(__file__).read_text(encoding="utf-8"), encoding="utf-8")
            index |= {"_class_name": type(self).__name__, "transform": [None, None]}
        index |= {"scheduler": ["diffusers", "DDPMScheduler"], "unet": ["diffusers", "UNet2DModel"]}
        unfinished = folder / ".model_index.tmp"
        unfinished.write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
        unfinished.replace(folder / "model_index.json")  # last: it says that the rest is complete

    @torch.no_grad()
    def __call__(
        self,
        batch_size: int = 1,
        generator: torch.Generator | list[torch.Generator] | None = None,
        num_inference_steps: int = 20,
        strength: float | Sequence[float] = 0.0,
        sampler: str = "ddpm",
        class_labels: Sequence[int] | None = None,
        images: torch.Tensor | None = None,
        start: float = 1.0,
        output_type: str = "pil",
        return_dict: bool = True,
        guide: Guide | None = None,
    ) -> Any:
        """Draw images.

        generator: one, or one per image, on the CPU for results that no device changes. strength: s, of all or one per
        image. sampler: ``ddpm``, or ``ddim`` (deterministic but for √s · σ · z). class_labels: for a model of several
        categories. images: (N, C, H, W) in [−1, 1], to start from instead of pure noise; start: the share of the steps
        that are done, from these images noised so far. output_type: ``pil``, ``np``, or ``pt`` (N, C, H, W in [0, 1]).
        guide: what every step but the last, which draws nothing, is guided by.
        """
        _check_request(batch_size, num_inference_steps, strength, images, start)
        device, dtype = self.unet.device, self.unet.dtype
        if self.transform is not None:
            self.transform.to(device, dtype)
        scheduler = self._scheduler(sampler, num_inference_steps)
        steps = scheduler.timesteps[len(scheduler.timesteps) - max(1, round(start * num_inference_steps)) :]
        shape = (batch_size, self.unet.config.in_channels, *self._latent_size())
        latents = randn_tensor(shape, generator=generator, device=device, dtype=dtype)
        if images is not None:
            clean = (
                images.to(device, dtype) if self.transform is None else self.transform.encode(images.to(device, dtype))
            )
            latents = scheduler.add_noise(clean, latents, steps[:1].expand(batch_size))
        s = torch.as_tensor(strength, dtype=dtype, device=device).reshape(-1, 1, 1, 1)
        labels = None if class_labels is None else torch.as_tensor(class_labels, device=device)
        for t in self.progress_bar(steps):
            output = self.unet(latents, t, class_labels=labels).sample
            gradient = None if guide is None or t == 0 else guide(latents, t)
            latents = scheduler.step(output, t, latents, generator=generator, strength=s, gradient=gradient).prev_sample
        pixels = latents if self.transform is None else self.transform.decode(latents)
        drawn: Any = (pixels / 2 + 0.5).clamp(0, 1)
        if output_type != "pt":
            drawn = drawn.float().cpu().permute(0, 2, 3, 1).numpy()
            drawn = self.numpy_to_pil(drawn) if output_type == "pil" else drawn
        return ImagePipelineOutput(images=drawn) if return_dict else (drawn,)

    def _scheduler(self, sampler: str, steps: int) -> SDASScheduler | SDASDDIMScheduler:
        classes: dict[str, Any] = {"ddpm": SDASScheduler, "ddim": SDASDDIMScheduler}
        if sampler not in classes:
            raise ValueError(f"unknown sampler {sampler!r}; it is 'ddpm' or 'ddim'")
        scheduler = classes[sampler].from_config(self.scheduler.config)
        scheduler.set_timesteps(steps)
        result: SDASScheduler | SDASDDIMScheduler = scheduler
        return result

    def _latent_size(self) -> tuple[int, int]:
        size = self.unet.config.sample_size
        return (size, size) if isinstance(size, int) else (size[0], size[1])


def _check_request(
    batch_size: int, steps: int, strength: float | Sequence[float], images: torch.Tensor | None, start: float
) -> None:
    strengths = [strength] if isinstance(strength, int | float) else list(strength)
    if len(strengths) not in (1, batch_size) or any(s < 0 for s in strengths):
        raise ValueError(f"strength is one number of at least 0, or one for each of {batch_size} images: {strength!r}")
    if steps < 1:
        raise ValueError(f"num_inference_steps is at least 1, not {steps}")
    if not 0 < start <= 1 or (images is None and start < 1):
        raise ValueError(f"start is above 0 and at most 1, and 1 without images to start from: {start!r}")
