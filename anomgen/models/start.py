"""Starting a training as `anomgen train` does: the images and settings that are meant, and what to hear beforehand."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from anomgen.config import validated
from anomgen.config.text import Overrides, changed, refuse_two, size_of
from anomgen.errors import AnomgenNote, AnomgenWarning, Progress, UsageError, near_miss, silent
from anomgen.files import refuse_inside
from anomgen.models.device import require_device, require_diffusion
from anomgen.models.settings import TrainingSettings
from anomgen.models.training import Trained
from anomgen.places import local
from anomgen.sources import detect
from anomgen.sources.base import Source, SourceConfig, build_source, notes_of

if TYPE_CHECKING:
    from anomgen.models.sdas.noised import Category

MODELS = ("classifier", "cyclegan", "sdas")
FEW = 30
"""Abnormal images below which a Cycle-GAN learns little."""


def train(
    model: Literal["sdas", "cyclegan", "classifier"] | str,
    source: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    abnormal: str | Path | None = None,
    size: int | Sequence[int] | str | None = None,
    steps: int | None = None,
    preset: str | None = None,
    init: str | Path | None = None,
    guides: str | Path | None = None,
    seed: int | None = None,
    device: str = "auto",
    overrides: Overrides = (),
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress = silent,
) -> Trained:
    """Train the model of a learned generator; the options are those of `anomgen train`.

    model: ``sdas``, of the recipes sdas, sia and realnet, ``cyclegan``, or ``classifier``, which guides an sdas.
    source: normal images, as --source takes them; for sdas several, or the folder of all categories, for one
    class-conditional model, and for a classifier. out: folder for the model, its checkpoint and its sheets. abnormal:
    for cyclegan, a folder of abnormal images or a dataset that `make` wrote. size: one number, (height, width),
    "128x64" or "native", by default 256, for a classifier that of the model it guides. steps: of the optimiser, by
    default the preset's. preset: settings by name, by default what suits the device. init: for sdas, whose weights to
    start from. guides: for a classifier, the model that it is to guide. device: "auto" (a GPU where there is one),
    "cpu" or "gpu". overrides: what --set takes, ``learning_rate=1e-4``, ``source.fit=crop``.

    Warns of images that were left out, and of few. Raises UsageError for what does not fit together, SourceError for
    unusable images, AnomgenError when a training cannot go on.
    """
    if model not in MODELS:
        raise UsageError(f"there is no model {model!r} to train{near_miss(model, MODELS)} (known: {', '.join(MODELS)})")
    require_diffusion()
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads of torch that wait by spinning slow a busy machine
    normal = (str(source),) if isinstance(source, str | Path) else tuple(map(str, source))
    size = size_of(size)
    options: dict[str, tuple[str, Any]] = {
        "preset": ("--preset", preset),
        "steps": ("--steps", steps),
        "seed": ("--seed", seed),
    }
    options["source.size"] = ("--size", None if size == "native" else size)
    said = {key: (f"{option} {value}", value) for key, (option, value) in options.items() if value is not None}
    refuse_two(overrides, said, "learning_rate=1e-4")
    own = changed({}, overrides, "learning_rate=1e-4")
    of_source = own.pop("source", {})
    if not isinstance(of_source, Mapping):
        raise UsageError("--set source=…: name a key of the source, for instance --set source.fit=crop")
    if size is not None:
        of_source = {"size": None if size == "native" else size, **of_source}
    given = {"preset": preset, "steps": steps, "seed": seed, **own}
    where = require_device(device)
    given = {key: value for key, value in given.items() if value is not None}
    request = _Request(normal, local(out), of_source, where, given)
    how: dict[str, Any] = {"device": where, "resume": resume, "overwrite": overwrite, "progress": progress}
    if model != "cyclegan" and abnormal is not None:
        raise UsageError(f"abnormal: {model} learns from normal images alone; leave it out")
    if model != "sdas" and init is not None:
        raise UsageError(f"init: {model} starts from new weights; leave it out")
    if model != "classifier" and guides is not None:
        raise UsageError(f"guides: {model} guides no model; leave it out")
    if model == "sdas":
        return _train_sdas(request, None if init is None else str(init), how)
    if model == "classifier":
        if guides is None:
            raise UsageError(
                "guides: name the diffusion model that the classifier is to guide, of `anomgen train sdas`"
            )
        return _train_classifier(request, str(guides), how)
    if abnormal is None or len(normal) != 1:
        raise UsageError("cyclegan takes one source of normal images, and abnormal ones: name both")
    return _train_cyclegan(request, str(abnormal), how)


@dataclass(frozen=True)
class _Request:
    normal: tuple[str, ...]
    out: Path
    of_source: Mapping[str, Any]
    device: str
    given: Mapping[str, Any]
    """Settings that were given, of the training."""

    def source(self, path: str) -> SourceConfig:
        """Return the source of normal images that a path means, at 256 × 256 unless it was said otherwise."""
        return build_source({**detect(path), **self.of_source})

    def settings(self, model: type[TrainingSettings]) -> Any:
        """Return the settings, those of the preset that suits the device where none was named."""
        preset = model.on_accelerator if self.device == "gpu" else "laptop"
        return validated(model, {"preset": preset, **self.given})


def _train_sdas(request: _Request, init: str | None, how: Mapping[str, Any]) -> Trained:
    from anomgen.models.sdas.settings import TrainSDAS
    from anomgen.models.sdas.training import train_sdas

    settings = request.settings(TrainSDAS)
    named, categories = _categories(request)
    return replace(train_sdas(categories, settings, request.out, init=init, **how), categories=named)


def _train_classifier(request: _Request, guides: str, how: Mapping[str, Any]) -> Trained:
    from anomgen.models.classifier.settings import TrainClassifier
    from anomgen.models.classifier.training import train_classifier
    from anomgen.models.sdas.model import load_sdas

    settings = request.settings(TrainClassifier)
    guided = load_sdas(guides)
    named, categories = _categories(replace(request, of_source={"size": list(guided.shape[:2]), **request.of_source}))
    unknown = [name for name in guided.categories if name not in named]
    if unknown and len(guided.categories) > 1:  # a model of one is guided towards any that the classifier knows
        _warn(f"{guides} draws categories that the classifier will not know: {', '.join(unknown)}")
    done = train_classifier(categories, settings, request.out, guides=guides, **how)
    return replace(done, categories=named, size=guided.shape[:2])


def _categories(request: _Request) -> tuple[dict[str, str], list[Category]]:
    """Return name → path of each category that is meant, and their images."""
    from anomgen.models.sdas.noised import Category
    from anomgen.sources.detection import categories_of

    refuse_inside(request.out, *request.normal)
    named = categories_of(request.normal)
    categories = [Category(name, request.source(path).open()) for name, path in named.items()]
    _warn_of(*(category.source for category in categories))
    return named, categories


def _train_cyclegan(request: _Request, abnormal: str, how: Mapping[str, Any]) -> Trained:
    from anomgen.models.cyclegan.abnormal import Abnormal
    from anomgen.models.cyclegan.training import TrainCycleGAN, train_cyclegan

    settings = request.settings(TrainCycleGAN)
    config = request.source(request.normal[0])
    defects = Abnormal.beside(abnormal, config)
    refuse_inside(request.out, *request.normal, abnormal)
    normal_images, abnormal_images = config.open(), defects.open()
    _warn_of(normal_images, abnormal_images)
    if len(abnormal_images) < FEW:
        _warn(f"{len(abnormal_images)} abnormal images are few, {FEW} or more are better")
    return train_cyclegan(normal_images, abnormal_images, settings, request.out, **how)


def _warn_of(*sources: Source) -> None:
    names = [name for source in sources for name in source.skipped]
    if names:
        _warn(f"skipped source files: {len(names)}, the first is {names[0]}")
    for note in dict.fromkeys(note for source in sources for note in notes_of(source)):
        _warn(note, AnomgenNote)


def _warn(text: str, kind: type[AnomgenWarning] = AnomgenWarning) -> None:
    if os.environ.get("RANK", "0") == "0":  # `accelerate launch` runs one process a device; the first one tells
        warnings.warn(text, kind, stacklevel=5)
