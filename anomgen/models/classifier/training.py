"""Train the classifier that guides a diffusion model: cross-entropy over categories of noised images.

Dhariwal, Nichol: Diffusion models beat GANs on image synthesis, NeurIPS 2021, arXiv 2105.05233, section 4, as RealNet
uses it (Zhang, Xu, Zhou, CVPR 2024, arXiv 2403.05897).

Note: RealNet begins with OpenAI's classifier of ImageNet, ours with new weights, and with the last layers of blocks at
random where OpenAI's begin at zero. Its paper does not say for how long it is trained; its configuration for MVTec AD
samples with the checkpoint of 428 epochs: 39,000 steps of twice 20 images. The presets `laptop` and `gpu` let weights
decay and show categories equally often. docs/reference/methods.md has what each of these changes (`python
benchmarks/trainings.py classifier DATA DATA…`), but for ImageNet's weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F

from anomgen.config import portable_path
from anomgen.errors import Progress, UsageError, silent
from anomgen.models.checkpoint import load_optimiser, optimiser_tensors, weights_under
from anomgen.models.classifier.model import ClassifierDescription, save_classifier
from anomgen.models.classifier.network import NoisyClassifier
from anomgen.models.classifier.settings import TrainClassifier
from anomgen.models.folder import data_record
from anomgen.models.images import unscaled
from anomgen.models.sdas.model import SDASModel, load_sdas
from anomgen.models.sdas.noised import Category, NoisedImages, descend, noised
from anomgen.models.sdas.settings import NetworkSettings
from anomgen.models.sheet import Sheet
from anomgen.models.training import Task, Trained, train
from anomgen.rng import Stream, rng_for
from anomgen.versions import versions

if TYPE_CHECKING:
    from accelerate import Accelerator

SHEET_COLUMNS = 6
SHEET_TIMES = (0.05, 0.25, 0.5, 0.75)
"""Shares of the time steps at which the sheet shows images and counts."""
COUNTED = 32
"""Images that the sheet counts at least."""
TRAINED = 0.9
"""Share of lightly noised training images, told apart, from which a classifier looks trained."""


class ClassifierTask(Task):
    """The training of one classifier."""

    kind: ClassVar[str] = "classifier"
    settings: TrainClassifier

    def __init__(
        self, settings: TrainClassifier, accelerator: Accelerator, categories: Sequence[Category], guided: SDASModel
    ):
        super().__init__(settings, accelerator)
        self.guided, self.names = guided, tuple(category.name for category in categories)
        self.transform = guided.pipeline.transform
        if self.transform is not None:
            self.transform.to(accelerator.device)
        self.levels = guided.pipeline.scheduler.alphas_cumprod.to(accelerator.device)
        self.data = NoisedImages(categories, settings, len(self.levels), guided.shape[2])
        if self.data.shape != guided.shape:
            sizes = ["×".join(map(str, shape)) for shape in (self.data.shape, guided.shape)]
            raise UsageError(f"the images are {sizes[0]}, {guided.name} draws {sizes[1]}: give it the same images")
        with torch.random.fork_rng():  # the initial weights are the one thing that torch draws by itself
            torch.manual_seed(int(rng_for(settings.seed, Stream.TRAINING).integers(2**63)))
            net = NoisyClassifier(settings, guided.inputs, len(categories))
        net = net.to(accelerator.device).to(memory_format=torch.channels_last)
        optimiser = torch.optim.AdamW(net.parameters(), settings.learning_rate, weight_decay=settings.weight_decay)
        self.net, self.optimiser = accelerator.prepare(net, optimiser)

    def step(self, number: int) -> dict[str, float]:
        """Do one optimiser step; see `Task.step`."""
        for group in self.optimiser.param_groups:
            group["lr"] = self.settings.learning_rate  # which may be another one than that of the checkpoint
        return descend(self, self.net, self.optimiser, number, self._losses)

    def _losses(self, part: range) -> dict[str, torch.Tensor]:
        """Return the cross-entropy, and the share of wrong answers, which has no gradient."""
        clean, categories, t, noise = self.data.batch(part, self.transform, self.accelerator.device)
        logits = self.net(noised(clean, noise, t, self.levels), t).float()
        wrong = (logits.argmax(1) != categories).float().mean()
        return {"loss": F.cross_entropy(logits, categories), "wrong": wrong}

    # --- state and results ------------------------------------------------------------------------------------------

    def tensors(self) -> dict[str, torch.Tensor]:
        """See `Task.tensors`."""
        found = {f"net.{name}": tensor for name, tensor in self._own().state_dict().items()}
        return {**found, **optimiser_tensors("optimiser", self.optimiser.optimizer)}

    def restore(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """See `Task.restore`."""
        self._own().load_state_dict(weights_under("net", tensors))
        load_optimiser("optimiser", self.optimiser.optimizer, tensors)

    def _own(self) -> NoisyClassifier:
        net: NoisyClassifier = self.accelerator.unwrap_model(self.net)
        return net

    @torch.no_grad()
    def sheet(self) -> Sheet:
        """Return training images at rising noise, and how many of them are told apart."""
        sets, device = self.data.images, self.accelerator.device
        which = [(k % len(sets), k // len(sets)) for k in range(max(COUNTED, len(sets)))]
        pixels = np.stack([sets[category].scaled(index % len(sets[category])) for category, index in which])
        clean = torch.from_numpy(pixels).permute(0, 3, 1, 2).to(device)
        clean = clean if self.transform is None else self.transform.encode(clean)
        categories = torch.tensor([category for category, _ in which], device=device)
        rng = rng_for(self.settings.seed, Stream.TRAINING, 0, 2)
        noise = torch.from_numpy(rng.standard_normal(clean.shape, dtype=np.float32)).to(device)
        rows, shares, net = [], [], self._own().eval()
        for share in SHEET_TIMES:
            t = torch.full((len(which),), round(share * (len(self.levels) - 1)), device=device)
            seen = noised(clean, noise, t, self.levels)
            right = int((net(seen, t).argmax(1) == categories).sum())
            shares.append(right / len(which))
            shown = seen[:SHEET_COLUMNS] if self.transform is None else self.transform.decode(seen[:SHEET_COLUMNS])
            pictures = [unscaled(image, np.dtype(np.uint8)) for image in shown.permute(0, 2, 3, 1).cpu().numpy()]
            rows.append((f"noised to t = {int(t[0])}: {right} of {len(which)} training images told apart", pictures))
        return Sheet(rows, _findings(shares[0], len(sets)))

    def save(self, folder: Path, record: Mapping[str, Any]) -> None:
        """Write the classifier with a card."""
        from anomgen.models.classifier.card import write_classifier_card

        network = {key: getattr(self.settings, key) for key in NetworkSettings.model_fields}
        description = ClassifierDescription(
            categories=self.names,
            shape=self.guided.shape,
            inputs=self.guided.inputs,
            space=self.guided.space,
            **network,
        )
        write_classifier_card(folder, record, self.guided.shape)
        save_classifier(folder, self._own(), description, {})


def _findings(share: float, categories: int) -> str:
    told = f"{share:.0%} of lightly noised training images are told apart, by chance {1 / categories:.0%} would be."
    return f"Looks trained: {told}" if share >= TRAINED else f"Train on: {told}"


# --- from the command's words to a model ----------------------------------------------------------------------------


def train_classifier(
    categories: Sequence[Category],
    settings: TrainClassifier,
    out: Path,
    *,
    guides: str,
    device: str = "auto",
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress = silent,
) -> Trained:
    """Train a classifier of noised images and write it to `out`.

    categories: two or more, with images of the size of the model to guide. guides: that model, by folder or Hub id; the
    classifier sees what its U-Net sees, latents or pixels with its noise. Raises UsageError for what does not fit
    together, SourceError for unusable images, and what `anomgen.models.training.train` raises.
    """
    if len(categories) < 2:
        raise UsageError(
            "a classifier tells categories apart: repeat --source, or name the folder of all categories; a model of "
            "one category needs no guide"
        )
    guided = load_sdas(guides)
    record = {
        "kind": ClassifierTask.kind,
        "anomgen": versions()["anomgen"],
        "settings": settings.model_dump(mode="json"),
        "guides": {"name": portable_path(guides), "weights": guided.fingerprint},
        "space": guided.space,
        "data": [data_record(category.name, category.source) for category in categories],
    }
    return train(
        lambda accelerator: ClassifierTask(settings, accelerator, categories, guided),
        settings,
        out,
        record,
        device=device,
        resume=resume,
        overwrite=overwrite,
        progress=progress,
    )
