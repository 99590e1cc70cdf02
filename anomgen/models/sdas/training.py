"""Train the diffusion model behind SDAS and SIA: a DDPM on normal images, in pixels or in a linear latent space.

Ho, Jain, Abbeel: Denoising diffusion probabilistic models, NeurIPS 2020, arXiv 2006.11239; learned variance after
Nichol, Dhariwal: Improved denoising diffusion probabilistic models, ICML 2021, arXiv 2102.09672; as RealNet uses it,
Zhang, Xu, Zhou, CVPR 2024, arXiv 2403.05897, with v-prediction (Salimans, Ho, ICLR 2022, arXiv 2202.00512) for small
budgets: an underfit model then blurs instead of leaving noise.

Note: new weights are averaged with a rising decay, the last layers of blocks do not begin at zero, and a batch in parts
is clipped once, as their mean: docs/how-to/sdas.md has the list, docs/reference/methods.md what each of these changes
(`python benchmarks/trainings.py sdas DATA`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from diffusers.training_utils import EMAModel

from anomgen.config import portable_path
from anomgen.errors import Progress, silent
from anomgen.files import drafting
from anomgen.models.checkpoint import load_optimiser, optimiser_tensors, weights_under
from anomgen.models.folder import data_record
from anomgen.models.images import unscaled
from anomgen.models.sdas.bound import variational_bound
from anomgen.models.sdas.guided import SUFFIXES, guided_file
from anomgen.models.sdas.latent import fit_transform
from anomgen.models.sdas.model import FILES, load_sdas
from anomgen.models.sdas.network import as_in, begun_unet, build_scheduler
from anomgen.models.sdas.noised import Category, NoisedImages, descend, noised
from anomgen.models.sdas.pipeline import SDASPipeline
from anomgen.models.sdas.settings import TrainSDAS
from anomgen.models.sheet import Sheet, likeness
from anomgen.models.training import Task, Trained, train
from anomgen.models.use import model_folder, model_licenses, why_unlicensed
from anomgen.rng import Stream, rng_for
from anomgen.sources.scan import files_fingerprint
from anomgen.versions import versions

if TYPE_CHECKING:
    from accelerate import Accelerator

SHEET_COLUMNS = 6
IGNORANT = 0.7
"""Loss of a step, in units of what is predicted, above which a new model knows too little to be looked at."""
SHEET_STRENGTHS = (0.0, 0.05, 0.1, 0.2, 0.3, 0.5)


# --- the training ---------------------------------------------------------------------------------------------------


class SDASTask(Task):
    """The training of one DDPM."""

    kind: ClassVar[str] = "sdas"
    settings: TrainSDAS

    def __init__(
        self,
        settings: TrainSDAS,
        accelerator: Accelerator,
        categories: Sequence[Category],
        init: SDASPipeline | Path | None = None,
    ):
        super().__init__(settings, accelerator)
        self.data = NoisedImages(categories, settings)
        self.images, shape = self.data.images, self.data.shape
        with torch.random.fork_rng():  # the initial weights are the one thing that torch draws by itself
            torch.manual_seed(int(rng_for(settings.seed, Stream.TRAINING).integers(2**63)))
            unet = begun_unet(init, settings, shape, len(categories))
        self.transform = init.transform if isinstance(init, SDASPipeline) else None
        if settings.patch > 1 and self.transform is None:
            self.transform = fit_transform(self.data.for_fitting, settings.patch, unet.config.in_channels)
        if self.transform is not None:
            self.transform.to(accelerator.device)
        self.scheduler = build_scheduler(settings)
        unet = unet.to(accelerator.device, memory_format=torch.channels_last)
        least = 0.0 if init is None else settings.ema
        self.is_new, self.loss = init is None and settings.min_snr is None, 0.0
        self.ema = EMAModel(unet.parameters(), decay=settings.ema, min_decay=least)
        self.ema.to(accelerator.device)
        optimiser = torch.optim.Adam(unet.parameters(), settings.learning_rate)
        self.net, self.optimiser = accelerator.prepare(unet, optimiser)
        self.noise_levels = self.scheduler.alphas_cumprod.to(accelerator.device)

    def step(self, number: int) -> dict[str, float]:
        """Do one optimiser step; see `Task.step`."""
        for group in self.optimiser.param_groups:
            group["lr"] = _learning_rate(self.settings, number)
        losses = descend(self, self.net, self.optimiser, number, self._losses)
        self.ema.step(self.net.parameters())
        self.loss = losses["loss"]
        return losses

    def _losses(self, part: range) -> dict[str, torch.Tensor]:
        """Return the loss terms of some of the drawn images."""
        clean, categories, t, noise = self.data.batch(part, self.transform, self.accelerator.device)
        level = self.noise_levels[t].view(-1, 1, 1, 1)
        noisy = noised(clean, noise, t, self.noise_levels)
        output = self.net(noisy, t, class_labels=categories if len(self.images) > 1 else None).sample
        targets: dict[str, Callable[[], torch.Tensor]] = {
            "epsilon": lambda: noise,
            "sample": lambda: clean,
            "v_prediction": lambda: level.sqrt() * noise - (1 - level).sqrt() * clean,
        }
        target = targets[self.settings.prediction]()
        channels = clean.shape[1]
        errors = ((output[:, :channels] - target).float() ** 2).mean((1, 2, 3))
        terms = {"loss": (errors * self._weights(t)).mean()}
        if self.settings.variance == "learned_range":
            mean_output = output[:, :channels].detach()
            bound = variational_bound(self.scheduler, clean, noisy, t, mean_output, output[:, channels:])
            terms["bound"] = bound.mean()
        return terms

    def _weights(self, t: torch.Tensor) -> torch.Tensor:
        """Return each image's loss weight: min(SNR, γ), in the units of what is predicted; 1 without γ."""
        if self.settings.min_snr is None:
            return torch.ones_like(self.noise_levels[t])
        snr = self.noise_levels[t] / (1 - self.noise_levels[t])
        per_unit = {"epsilon": snr, "sample": torch.ones_like(snr), "v_prediction": snr + 1}[self.settings.prediction]
        result: torch.Tensor = snr.clamp(max=self.settings.min_snr) / per_unit
        return result

    # --- state and results ------------------------------------------------------------------------------------------

    def tensors(self) -> dict[str, torch.Tensor]:
        """See `Task.tensors`."""
        net = self.accelerator.unwrap_model(self.net)
        found = {f"net.{name}": tensor for name, tensor in net.state_dict().items()}
        found |= {f"ema.{index}": tensor for index, tensor in enumerate(self.ema.shadow_params)}
        found |= {f"transform.{name}": buffer for name, buffer in self._buffers().items()}
        found["ema_step"] = torch.tensor(self.ema.optimization_step)
        return {**found, **optimiser_tensors("optimiser", self.optimiser.optimizer)}

    def _buffers(self) -> dict[str, torch.Tensor]:
        return {} if self.transform is None else dict(self.transform.named_buffers())

    def restore(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """See `Task.restore`."""
        self.accelerator.unwrap_model(self.net).load_state_dict(weights_under("net", tensors))
        averages = weights_under("ema", tensors)
        for index, average in enumerate(self.ema.shadow_params):
            average.copy_(averages[str(index)])
        self.ema.optimization_step = int(tensors["ema_step"])
        if self.transform is not None:
            self.transform.load_state_dict(weights_under("transform", tensors))
        load_optimiser("optimiser", self.optimiser.optimizer, tensors)

    def sheet(self) -> Sheet:
        """Return normal images, what the transform keeps of them, samples at s = 0, and one at rising strength."""
        count = min(SHEET_COLUMNS, *(len(images) for images in self.images))
        which = [divmod(k, len(self.images)) for k in range(count)]
        normal = [self.images[category].scaled(index) for index, category in which]
        rows = {"normal images": normal}
        if self.transform is not None:
            batch = torch.from_numpy(np.stack(normal)).permute(0, 3, 1, 2).to(self.accelerator.device)
            kept = self.transform.decode(self.transform.encode(batch)).permute(0, 2, 3, 1).cpu().numpy()
            rows["what the latent space keeps of them: no sample can be sharper"] = list(kept)
        labels = [category for _, category in which] if len(self.images) > 1 else None
        with self._averaged() as pipeline:
            strengths = SHEET_STRENGTHS[:count]
            rising = "one seed at strength s = " + ", ".join(f"{s:g}" for s in strengths)
            for caption, s in (("samples at strength s = 0: near-normal images", 0.0), (rising, strengths)):
                seeds = range(count) if s == 0.0 else [0] * count
                generators = [torch.Generator().manual_seed(seed) for seed in seeds]
                one = None if labels is None else labels if s == 0.0 else [labels[0]] * count
                drawn = pipeline(count, generators, strength=s, class_labels=one, output_type="np").images
                rows[caption] = list(drawn * 2 - 1)
        images = {caption: [unscaled(image, np.dtype(np.uint8)) for image in row] for caption, row in rows.items()}
        *_, samples, _ = images.values()
        findings = likeness(samples, images["normal images"])
        if self.is_new and self.loss > IGNORANT:
            findings = (
                f"Train on: the loss of the last step is {self.loss:.2f}; a model that knows nothing has about 1."
            )
        return Sheet(list(images.items()), findings)

    @contextmanager
    def _averaged(self) -> Iterator[SDASPipeline]:
        """Lend a pipeline with the averaged weights in the place of the trained ones."""
        net = self.accelerator.unwrap_model(self.net)
        self.ema.store(net.parameters())
        self.ema.copy_to(net.parameters())
        net.eval()
        pipeline = SDASPipeline(net, self.scheduler, self.transform)
        pipeline.set_progress_bar_config(disable=True)
        try:
            yield pipeline
        finally:
            self.ema.restore(net.parameters())

    def save(self, folder: Path, record: Mapping[str, Any]) -> None:
        """Write a diffusers pipeline folder with a card; see `SDASPipeline.save_pretrained`."""
        with self._averaged() as pipeline:
            from anomgen.models.sdas.card import write_sdas_card

            write_sdas_card(folder, record, self.images[0].shape, pipeline.unet.config.in_channels)
            with drafting(folder, "model_index.json") as draft:
                pipeline.save_pretrained(draft)


def _learning_rate(settings: TrainSDAS, number: int) -> float:
    """Return the rate of step `number`, counted from 0."""
    rise = min(1.0, (number + 1) / settings.warmup) if settings.warmup else 1.0
    if settings.schedule == "constant":
        return settings.learning_rate * rise
    fall = 0.525 + 0.475 * math.cos(math.pi * number / settings.steps)
    return settings.learning_rate * rise * fall


# --- from the command's words to a model ----------------------------------------------------------------------------


def train_sdas(
    categories: Sequence[Category],
    settings: TrainSDAS,
    out: Path,
    *,
    init: str | None = None,
    device: str = "auto",
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress = silent,
) -> Trained:
    """Train a DDPM on normal images and write it to `out` as a diffusers pipeline folder.

    categories: one, or several for a class-conditional model, with images of one size. init: whose weights to
    start from: a diffusers DDPM, by folder or Hub id, which decides the network and what it predicts, or a safetensors
    file of guided-diffusion's for the network of the settings. Raises UsageError for settings that do not fit,
    SourceError for unusable images, and what `anomgen.models.training.train` raises.
    """
    start, weights, licenses = _start(init)
    if isinstance(start, SDASPipeline):
        settings = as_in(start, settings)
    record = {
        "kind": SDASTask.kind,
        "anomgen": versions()["anomgen"],
        "settings": settings.model_dump(mode="json"),
        "init": None if init is None else {"name": portable_path(init), "weights": weights},
        "licenses": licenses,
        "data": [data_record(category.name, category.source) for category in categories],
    }
    return train(
        lambda accelerator: SDASTask(settings, accelerator, categories, start),
        settings,
        out,
        record,
        device=device,
        resume=resume,
        overwrite=overwrite,
        progress=progress,
    )


def _start(init: str | None) -> tuple[SDASPipeline | Path | None, str | None, list[str | None]]:
    """Return what a training starts from, the hash of its weights, and the licences that bind it, None for unknown."""
    if init is None:
        return None, None, []
    if init.endswith(SUFFIXES):
        file = guided_file(init)
        return file, files_fingerprint(file.parent, [file.name]), [None]
    model, folder = load_sdas(init), model_folder(init, "train sdas", FILES)
    return model.pipeline, model.fingerprint, [*model_licenses(folder), *([None] if why_unlicensed(folder) else [])]
