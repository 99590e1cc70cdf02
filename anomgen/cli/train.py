"""`anomgen train`: the commands that train the models of the learned generators."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from anomgen.cli.talk import App, print_hint
from anomgen.cli.terminal import JsonOption, print_json, progress_of
from anomgen.errors import Interrupted
from anomgen.places import local

if TYPE_CHECKING:
    from anomgen.models.training import Trained

app = App(
    name="train",
    help="Train the model of a learned generator.",
    no_args_is_help=True,
    epilog="Example: anomgen train sdas -s photos -o model",
    context_settings={"help_option_names": ["-h", "--help"]},
)


OutOption = Annotated[
    Path,
    typer.Option(
        "--out", "-o", parser=local, metavar="PATH", help="Folder for the model, its checkpoint and its sheets."
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
DeviceOption = Annotated[str, typer.Option(help="Where to train: auto (a GPU where there is one), cpu or gpu.")]
ResumeOption = Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint.")]
OverwriteOption = Annotated[bool, typer.Option("--overwrite", help="Replace the training in the output folder.")]


@app.command(epilog="Example: anomgen train sdas -s photos -o model")
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
    device: DeviceOption = "auto",
    changes: TrainSetOption = None,
    resume: ResumeOption = False,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Train the diffusion model (DDPM) of the recipes sdas, sia and realnet on normal images."""
    settings = {"size": size, "steps": steps, "preset": preset, "init": init, "seed": seed, "device": device}
    result = trained("sdas", source, out, changes, **settings, resume=resume, overwrite=overwrite)
    name, place = next(iter(result.categories.items()))
    chosen = ["--set", f"generator.category={name}"] if len(result.categories) > 1 else []
    report(result, following("sdas", place, size, out, *chosen), as_json=as_json)


@app.command(epilog="Example: anomgen train classifier -s data/mvtec --guides model -o classifier")
def classifier(
    source: Annotated[
        list[str],
        typer.Option(
            "--source",
            "-s",
            help="Normal images of two categories or more: repeat it, or name the folder of all categories.",
        ),
    ],
    guides: Annotated[
        str,
        typer.Option(
            metavar="MODEL",
            help="The diffusion model that it is to guide, of `anomgen train sdas`: it says at which size, in which "
            "space and through which noise images are seen.",
        ),
    ],
    out: OutOption,
    steps: StepsOption = None,
    preset: PresetOption = None,
    seed: TrainSeedOption = None,
    device: DeviceOption = "auto",
    changes: TrainSetOption = None,
    resume: ResumeOption = False,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Train a classifier of noised images, which guides the recipes sdas, sia and realnet towards a category."""
    settings = {"guides": guides, "steps": steps, "preset": preset, "seed": seed, "device": device}
    result = trained("classifier", source, out, changes, **settings, resume=resume, overwrite=overwrite)
    name, place = next(iter(result.categories.items()))
    more = ["--set", f"generator.classifier={out}", "--set", f"generator.category={name}"]
    report(result, following("sdas", place, _written(result.size), Path(guides), *more), as_json=as_json)


@app.command(epilog="Example: anomgen train cyclegan -s photos --abnormal defects -o model")
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
    device: DeviceOption = "auto",
    changes: TrainSetOption = None,
    resume: ResumeOption = False,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Train the networks of the recipe cyclegan: normal to abnormal images, and back."""
    settings = {"size": size, "steps": steps, "preset": preset, "seed": seed, "device": device}
    result = trained(
        "cyclegan", source, out, changes, **settings, abnormal=abnormal, resume=resume, overwrite=overwrite
    )
    report(result, following("cyclegan", source, size, out), as_json=as_json)


# --- what the commands share ----------------------------------------------------------------------------------------


def _written(size: tuple[int, int] | None) -> str | None:
    return None if size is None else f"{size[0]}x{size[1]}"


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


def trained(model: str, source: str | list[str], out: Path, changes: list[str] | None, **options: Any) -> Trained:
    """Train with the progress shown. changes: what --set takes; options: the others of `anomgen.train`."""
    try:
        with progress_of("training") as progress:
            from anomgen.models.start import train

            return train(model, source, out, overrides=changes, progress=progress, **options)
    except KeyboardInterrupt:
        raise Interrupted("interrupted; go on from the last checkpoint with --resume") from None


def report(result: Trained, after: str, *, as_json: bool) -> None:
    """Print what came of a training, and the command that comes next."""
    if os.environ.get("RANK", "0") != "0":  # `accelerate launch` runs one process a device; the first one reports
        return
    summary = {
        "path": str(result.path),
        "steps": result.steps,
        "made": result.made,
        "losses": {name: round(loss, 5) for name, loss in result.losses.items()},
        "seconds": round(result.seconds, 1),
        "findings": result.findings,
    }
    if as_json:
        print_json(summary)
        return
    losses = ", ".join(f"{name} {loss:.4g}" for name, loss in result.losses.items())
    print(f"{result.path}: {result.steps} steps ({result.made} now) in {result.seconds:.0f} s; {losses}")
    if result.findings:
        print(result.findings)
    print_hint(f"look:  {result.path / 'sheets'}")
    print_hint(f"next:  {after}")
