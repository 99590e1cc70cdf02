"""`anomgen train`: the commands that train the models of the learned generators."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from anomgen.cli.terminal import JsonOption, print_json, progress_of
from anomgen.config.text import changed, size_of
from anomgen.errors import Interrupted, UsageError
from anomgen.files import refuse_inside
from anomgen.places import home

if TYPE_CHECKING:
    from anomgen.models.training import Trained
    from anomgen.sources.base import Source, SourceConfig

app = typer.Typer(
    name="train",
    help="Train the model of a learned generator.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def _settle() -> None:
    """Let threads of torch sleep while they wait: spinning, they slow a busy machine down ten times."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read once, when torch is imported


OutOption = Annotated[
    Path,
    typer.Option(
        "--out", "-o", parser=home, metavar="PATH", help="Folder for the model, its checkpoint and its sheets."
    ),
]
StepsOption = Annotated[int | None, typer.Option(min=1, help="Optimiser steps.", show_default="the preset's")]
PresetOption = Annotated[
    str | None,
    typer.Option(help="Settings by name: laptop, gpu or paper.", show_default="laptop without a GPU, else gpu"),
]
TrainSizeOption = Annotated[
    str | None, typer.Option("--size", help="Size of the images: N, HxW, or native.", show_default="256")
]
TrainSeedOption = Annotated[int | None, typer.Option("--seed", help="Seed of the weights, the order and the noise.")]
TrainSetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change any setting: learning_rate=1e-4, source.fit=crop."),
]
ResumeOption = Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint.")]
OverwriteOption = Annotated[bool, typer.Option("--overwrite", help="Replace the training in the output folder.")]


@app.command()
def sdas(
    source: Annotated[
        list[str],
        typer.Option(
            "--source",
            "-s",
            help="Normal images: a folder, a category folder of a known layout, a Hub dataset. Repeat it, or name the "
            "folder of all categories, for one class-conditional model.",
        ),
    ],
    out: OutOption,
    size: TrainSizeOption = None,
    steps: StepsOption = None,
    preset: PresetOption = None,
    init: Annotated[
        str | None,
        typer.Option(
            help="What to start from: a diffusers DDPM, by folder or Hub id, or OpenAI's guided-diffusion weights as a "
            "safetensors file, for the preset paper."
        ),
    ] = None,
    seed: TrainSeedOption = None,
    changes: TrainSetOption = None,
    resume: ResumeOption = False,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Train the diffusion model (DDPM) of the recipes sdas, sia and realnet on normal images."""
    from anomgen.models.device import has_accelerator, require_diffusion

    require_diffusion()
    from anomgen.config import validated
    from anomgen.models.sdas.settings import TrainSDAS
    from anomgen.models.sdas.training import Category, train_sdas
    from anomgen.sources.detection import categories_of

    refuse_inside(out, *source)
    own, of_source = _split(changes)
    chosen = preset or ("gpu" if has_accelerator() else "laptop")
    given = {"steps": steps, "seed": seed, "preset": chosen, **own}
    settings = validated(TrainSDAS, {key: value for key, value in given.items() if value is not None})
    named = categories_of(source)
    categories = [Category(name, open_source(path, size, of_source)) for name, path in named.items()]
    tell_skipped(*(category.source for category in categories))

    def run(progress: Any) -> Trained:
        return train_sdas(categories, settings, out, init=init, resume=resume, overwrite=overwrite, progress=progress)

    name, place = next(iter(named.items()))
    chosen_one = ["--set", f"generator.category={name}"] if len(named) > 1 else []
    report(run, as_json, following("sdas", place, size, out, *chosen_one))


@app.command()
def cyclegan(
    source: Annotated[str, typer.Option("--source", "-s", help="Normal images: a folder, a known layout, a dataset.")],
    abnormal: Annotated[
        str,
        typer.Option(
            "--abnormal",
            "-a",
            help="Abnormal images, 30 or more: a folder (subfolders of normal images and masks are left out), or a "
            "dataset that `anomgen make` wrote.",
        ),
    ],
    out: OutOption,
    size: TrainSizeOption = None,
    steps: StepsOption = None,
    preset: Annotated[
        str | None,
        typer.Option(help="Settings by name: laptop or paper.", show_default="laptop without a GPU, else paper"),
    ] = None,
    seed: TrainSeedOption = None,
    changes: TrainSetOption = None,
    resume: ResumeOption = False,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Train the networks of the recipe cyclegan: normal to abnormal images, and back."""
    from anomgen.models.device import has_accelerator, require_diffusion

    require_diffusion()
    from anomgen.config import validated
    from anomgen.models.cyclegan.abnormal import Abnormal
    from anomgen.models.cyclegan.training import TrainCycleGAN, train_cyclegan

    own, of_source = _split(changes)
    chosen = preset or ("paper" if has_accelerator() else "laptop")
    given = {"steps": steps, "seed": seed, "preset": chosen, **own}
    settings = validated(TrainCycleGAN, {key: value for key, value in given.items() if value is not None})
    config = source_config(source, size, of_source)
    defects = Abnormal.beside(abnormal, config)
    refuse_inside(out, source, abnormal)
    normal_images, abnormal_images = config.open(), defects.open()
    tell_skipped(normal_images, abnormal_images)
    if len(abnormal_images) < 30 and os.environ.get("RANK", "0") == "0":
        print(f"warning: {len(abnormal_images)} abnormal images are few, 30 or more are better", file=sys.stderr)

    def run(progress: Any) -> Trained:
        return train_cyclegan(
            normal_images, abnormal_images, settings, out, resume=resume, overwrite=overwrite, progress=progress
        )

    report(run, as_json, following("cyclegan", source, size, out))


# --- what the commands share ----------------------------------------------------------------------------------------


def _split(changes: list[str] | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the settings that --set names, those of the training and those of the source."""
    own = changed({}, changes or (), "learning_rate=1e-4")
    of_source = own.pop("source", {})
    if not isinstance(of_source, dict):
        raise UsageError("--set source=…: name a key of the source, for instance --set source.fit=crop")
    return own, of_source


def source_config(path: str, size: str | None, settings: dict[str, Any]) -> SourceConfig:
    """Return the source of normal images that the command line says, at 256 × 256 unless it says otherwise."""
    from anomgen.sources import detect
    from anomgen.sources.base import build_source

    sides = None if size is None else size_of(size)
    sized = {} if sides is None else {"size": None if sides == "native" else sides}
    return build_source({**detect(path), **sized, **settings})


def open_source(path: str, size: str | None, settings: dict[str, Any]) -> Source:
    """Open what `source_config` returns."""
    return source_config(path, size, settings).open()


def tell_skipped(*sources: Source) -> None:
    """Say on standard error what of the sources could not be used, was left out or changed."""
    from anomgen.sources.base import notes_of

    names = [name for source in sources for name in source.skipped]
    if names and os.environ.get("RANK", "0") == "0":
        print(f"warning: skipped source files: {len(names)}, the first is {names[0]}", file=sys.stderr)
    if os.environ.get("RANK", "0") == "0":
        for note in dict.fromkeys(note for source in sources for note in notes_of(source)):
            print(f"note: {note}", file=sys.stderr)


def following(recipe: str, source: str, size: str | None, out: Path, *more: str) -> str:
    """Return the command that uses the model."""
    sized = [] if size is None else ["--size", size]
    words = [
        "anomgen",
        "make",
        "--recipe",
        recipe,
        "--source",
        source,
        *sized,
        "--set",
        f"generator.model={out}",
        *more,
    ]
    return shlex.join(words)


def report(run: Callable[[Any], Trained], as_json: bool, after: str) -> None:
    """Run a training with its progress shown, and print what came of it and what to do next."""
    try:
        with progress_of("training") as progress:
            result = run(progress)
    except KeyboardInterrupt:
        raise Interrupted("interrupted; go on from the last checkpoint with --resume") from None
    summary = {
        "path": str(result.path),
        "steps": result.steps,
        "made": result.made,
        "losses": {name: round(loss, 5) for name, loss in result.losses.items()},
        "seconds": round(result.seconds, 1),
    }
    if os.environ.get("RANK", "0") != "0":  # `accelerate launch` runs one process a device; the first one reports
        return
    if as_json:
        print_json(summary)
        return
    losses = ", ".join(f"{name} {loss:.4g}" for name, loss in result.losses.items())
    print(f"{result.path}: {result.steps} steps ({result.made} now) in {result.seconds:.0f} s; {losses}")
    print(f"look:  {result.path / 'sheets'}")
    print(f"next:  {after}")
