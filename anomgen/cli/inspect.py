"""`anomgen fit` and `anomgen inspect`: keep a trained detector, and look at new images with it."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from anomgen.cli.talk import App, print_hint
from anomgen.cli.terminal import JsonOption, print_json, progress_of
from anomgen.errors import Interrupted, in_one_block
from anomgen.places import local

if TYPE_CHECKING:
    from anomgen.score.inspector.findings import Findings
    from anomgen.score.inspector.fit import Fitted

app = App()
ANOMALOUS = 3
"""Exit status of `inspect --fail-on-anomaly` when an image is flagged."""

LimitOption = Annotated[
    list[str] | None,
    typer.Option(
        "--limit",
        metavar="KIND=NUMBER",
        help="Errors that the threshold may make on the validation images: fn=0 (missed anomalies), fpr=0.02 (share of "
        "false alarms), also fnr and fp; one of each, repeat it.",
        show_default="best F1",
    ),
]


@app.command(epilog="Example: anomgen fit photos -r defects -o detector --limit fpr=0.02")
def fit(
    data: Annotated[
        str,
        typer.Argument(metavar="DATA", help="A folder of normal images, or real data as `anomgen score` takes it."),
    ],
    recipe: Annotated[
        str,
        typer.Option(
            "--recipe", "-r", help="Recipe of the anomalies to train on; real, nsa+perlin and none as in `score`."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", parser=local, metavar="PATH", help="Folder for the detector.")],
    detector: Annotated[str, typer.Option("--detector", "-d", help="Which one (anomgen ls detectors).")] = "probe",
    size: Annotated[
        str | None, typer.Option(help="Size of the images: N or HxW.", show_default="128; with the preset paper 256")
    ] = None,
    preset: Annotated[str, typer.Option(help="Settings of the detector: default or paper.")] = "default",
    steps: Annotated[int | None, typer.Option(min=1, help="Optimiser steps.", show_default="the preset's")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the training.")] = 0,
    limit: LimitOption = None,
    threshold_on: Annotated[
        str,
        typer.Option(
            help="Images that the threshold is chosen on: recipe (held-out normal ones and the recipe's anomalies on "
            "them) or real (the data's own test images)."
        ),
    ] = "recipe",
    score: Annotated[str, typer.Option(help="How a map becomes a score: window, max or sum.")] = "window",
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Change the recipe or the detector: recipe.nsa.generator.blend=mixed, detector.probe.width=64. "
            "Repeatable.",
        ),
    ] = None,
    anomalies: Annotated[
        int, typer.Option(min=2, help="Anomalies that a generator with a trained model draws beforehand.")
    ] = 256,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the detector in the output folder.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Train one detector as `anomgen score` does, and keep it with its threshold: to inspect images, to publish."""
    from anomgen.score.inspector.fit import fit as fit_detector

    try:
        with progress_of("fitting") as progress:
            fitted = fit_detector(
                data,
                recipe,
                out,
                detector=detector,
                size=size,
                preset=preset,
                steps=steps,
                seed=seed,
                limit=limit or (),
                threshold_on=threshold_on,
                score=score,
                overrides=changes or (),
                anomalies=anomalies,
                overwrite=overwrite,
                progress=progress,
            )
    except KeyboardInterrupt:
        raise Interrupted(
            "interrupted; run the same command again, which goes on with a training of some minutes"
        ) from None
    _print_fitted(fitted, as_json=as_json)


@app.command(epilog="Example: anomgen inspect detector new-photos -o findings")
def inspect(
    detector: Annotated[
        str, typer.Argument(metavar="DETECTOR", help="Folder that `anomgen fit` wrote, or its id on the Hub.")
    ],
    images: Annotated[str, typer.Argument(metavar="IMAGES", help="Folder of images, at any depth, or one file.")],
    out: Annotated[Path, typer.Option("--out", "-o", parser=local, metavar="PATH", help="Folder for the findings.")],
    limit: LimitOption = None,
    maps: Annotated[bool, typer.Option(help="Write each image's anomaly map and mask.")] = True,
    skip_unreadable: Annotated[
        bool, typer.Option("--skip-unreadable", help="List images that cannot be used, instead of failing.")
    ] = False,
    fail_on_anomaly: Annotated[
        bool, typer.Option("--fail-on-anomaly", help="Exit with 3 when an image is flagged.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the findings in the output folder.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Inspect images with a kept detector: scores, flags, anomaly maps, masks and a sheet.

    Exits with 1 when images could not be used, whatever was found on the others; with 3, if asked to, when one is
    flagged. Another `--limit` than the detector's chooses the threshold anew, on the same validation images.
    """
    from anomgen.score.inspector.findings import inspect as inspect_images

    try:
        with progress_of("inspecting") as progress:
            found = inspect_images(
                detector,
                images,
                out,
                limit=limit or (),
                skip_unreadable=skip_unreadable,
                maps=maps,
                overwrite=overwrite,
                progress=progress,
            )
    except KeyboardInterrupt:
        held = f"{out} holds what was inspected until then" if out.exists() else "nothing was inspected yet"
        raise Interrupted(f"interrupted; {held}") from None
    _print_found(found, as_json=as_json)
    if fail_on_anomaly and found.anomalous:
        raise typer.Exit(ANOMALOUS)


def _print_fitted(fitted: Fitted, *, as_json: bool) -> None:
    from anomgen.score.kept.folder import rates_text

    known = fitted.description
    threshold, tested, curve = known.threshold, known.tested, known.validation.curve
    if as_json:
        print_json(
            {
                "path": str(fitted.path),
                "detector": known.detector["kind"],
                "threshold": threshold.plain(),
                "pixel_threshold": known.pixel_threshold,
                "validation": {
                    "on": known.validation.on,
                    "normal": int(curve.normal),
                    "anomalous": int(curve.anomalous),
                },
                "tested": None if tested is None else tested.plain(),
                "seconds": known.seconds,
            }
        )
        return
    print(f"{fitted.path}: {known.text} in {known.seconds:.0f} s")
    where = "real" if known.validation.on == "real" else "held-out"
    print(
        f"  flags from {threshold.score:.4g} ({threshold.rule}); on {curve.normal} normal and {curve.anomalous} "
        f"anomalous {where} images: {rates_text(threshold.fpr, threshold.fnr, threshold.f1)}"
    )
    if tested is not None:
        told = rates_text(tested.fpr, tested.fnr, tested.f1, tested.image_auroc)
        print(f"  on {tested.normal} normal and {tested.anomalous} anomalous test images: {told}")
    print_hint(f"next: {shlex.join(['anomgen', 'inspect', str(fitted.path)])} IMAGES -o findings")


def _print_found(found: Findings, *, as_json: bool) -> None:
    if as_json:
        values: dict[str, Any] = {**vars(found), "path": str(found.path), "images_per_second": round(found.rate, 1)}
        print_json({**values, "seconds": round(found.seconds, 2)})
        return
    print(
        f"{found.path}: {found.anomalous} of {found.images} images are anomalous, from a score of "
        f"{found.threshold:.4g} ({found.rule}); {found.rate:.0f} images a second"
    )
    for text in found.unreadable:
        print(in_one_block(f"  left out: {text}"))
    print_hint(f"look: {found.path / 'sheet.png'}")
