"""A trained classifier of noised images on disk and in use: the gradient that makes a category likelier."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
import torch.nn.functional as F
from pydantic import ConfigDict, Field

from anomgen.errors import UsageError, near_miss
from anomgen.models.classifier.network import NoisyClassifier
from anomgen.models.described import DESCRIPTION, load_network, read_description, save_described
from anomgen.models.sdas.model import SDASModel, Steering
from anomgen.models.sdas.settings import NetworkSettings
from anomgen.models.use import model_folder, stamps
from anomgen.sources.base import Side
from anomgen.sources.scan import files_fingerprint

WEIGHTS = "classifier.safetensors"
FILES = (DESCRIPTION, WEIGHTS)
MAKER = "train classifier"
_Small = Annotated[int, Field(ge=1, le=8192)]
_Name = Annotated[str, Field(max_length=10_000)]


class ClassifierDescription(NetworkSettings):
    """What ``anomgen_model.json`` says of a classifier."""

    model_config = ConfigDict(extra="ignore")  # what is known about the training stands beside it

    kind: Literal["classifier"] = "classifier"
    """Which model the folder holds."""
    categories: Annotated[tuple[_Name, ...], Field(strict=False, min_length=2, max_length=10**5)]
    """Names of what it tells apart, in the order of its outputs."""
    shape: tuple[Side, Side, Annotated[int, Field(ge=1, le=4)]]
    """Height, width and channels of the images of the model that it was trained to guide."""
    inputs: tuple[_Small, _Small, _Small]
    """Channels, height and width of what it sees: pixels, or that model's latents."""
    space: _Name
    """Hash of that model's latent transform and levels of noise."""

    def network(self) -> NoisyClassifier:
        """Return the network, its weights not set."""
        return NoisyClassifier(self, self.inputs, len(self.categories))


@dataclass(frozen=True)
class Classifier:
    """A trained classifier and what is known about it."""

    name: str
    network: NoisyClassifier
    description: ClassifierDescription

    def require(self, model: SDASModel) -> None:
        """Raise UsageError for a model whose noised images are not what the classifier learnt from."""
        shape, inputs = self.description.shape, self.description.inputs
        again = f"train one for it with `anomgen {MAKER} --guides {model.name}`"
        if shape != model.shape:
            sizes = ["×".join(map(str, each)) for each in (shape, model.shape)]
            raise UsageError(f"{self.name}: knows images of {sizes[0]}, {model.name} draws {sizes[1]}; {again}")
        if inputs != model.inputs or self.description.space != model.space:
            raise UsageError(
                f"{self.name}: was trained in the latent space, or with the noise, of another model than {model.name}; "
                f"{again}"
            )

    def number(self, category: str) -> int:
        """Return the number of a category. Raises UsageError for one that it does not know."""
        known = self.description.categories
        if category not in known:
            listed = ", ".join(known[:20]) + (", …" if len(known) > 20 else "")
            raise UsageError(
                f"{self.name}: does not know the category {category!r}{near_miss(category, known)} (known: {listed})"
            )
        return known.index(category)

    def towards(self, numbers: Sequence[int], scale: float) -> Steering:
        """Return what guides image k towards category `numbers[k]`: scale · ∇ log p(category | x_t) at x_t."""
        device = next(self.network.parameters()).device

        def steer(members: Sequence[int], x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
            wanted = torch.tensor([numbers[k] for k in members], device=device)
            return scale * log_likelihood_gradient(self.network, x, t, wanted)

        return steer


def log_likelihood_gradient(
    network: torch.nn.Module, x: torch.Tensor, t: torch.Tensor, categories: torch.Tensor
) -> torch.Tensor:
    """Return ∇ log p(y | x_t), as large as x_t (N, K, h, w), of each image by itself.

    t: one time step of all. categories: y, (N,).
    """
    with torch.enable_grad():
        seen = x.detach().requires_grad_(True)
        logits = network(seen, t.to(x.device).expand(len(x)))
        likelihood = F.log_softmax(logits.float(), 1).gather(1, categories[:, None]).sum()
        (gradient,) = torch.autograd.grad(likelihood, seen)
    return gradient


# --- on disk --------------------------------------------------------------------------------------------------------


def save_classifier(
    folder: Path, network: NoisyClassifier, description: ClassifierDescription, values: Mapping[str, Any]
) -> None:
    """Write a classifier; values: what else is worth knowing, plain JSON."""
    save_described(folder, {WEIGHTS: network}, description, values)


def load_classifier(name: str) -> Classifier:
    """Load a classifier: a folder that `anomgen train classifier` wrote, or a Hub id.

    Raises UsageError when it is missing, unfinished, damaged, or another model.
    """
    folder = model_folder(name, MAKER, FILES)
    return _load(name, folder, stamps(folder, FILES))


@lru_cache(maxsize=2)
def _load(name: str, folder: Path, stamps: tuple[int, ...]) -> Classifier:  # noqa: ARG001 - what is changed is read anew
    description = read_description(folder, ClassifierDescription)
    return Classifier(name, load_network(folder / WEIGHTS, description.network), description)


def classifier_fingerprint(name: str) -> str:
    """Return a hash of a classifier's description and weights."""
    return files_fingerprint(model_folder(name, MAKER, FILES), FILES)
