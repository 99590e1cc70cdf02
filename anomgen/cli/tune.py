"""`anomgen tune`: a recipe for this product."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from anomgen.cli.talk import App, print_hint
from anomgen.cli.terminal import JsonOption, SetOption, SizeOption, print_json, print_next, progress_of
from anomgen.errors import Interrupted
from anomgen.places import home, local

if TYPE_CHECKING:
    from anomgen.tuning.tune import Tuned

app = App()


@app.command(epilog="Example: anomgen tune photos --defects bank --budget 1h -o tuned.yaml")
def tune(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE", help="Folder of normal images, category folder of a known layout, or Hub dataset id."
        ),
    ],
    defects: Annotated[
        str | None,
        typer.Option(help="Real defects of this product with masks: a bank (anomgen bank), or what a bank is made of."),
    ] = None,
    masks: Annotated[
        str | None, typer.Option(help="Their masks or annotations, where they do not lie beside the pictures.")
    ] = None,
    misses: Annotated[
        Path | None,
        typer.Option(
            parser=home,
            metavar="RUN",
            help="Folder of a run of anomgen score --misses: the kinds nearest to what it did not find are drawn more.",
        ),
    ] = None,
    unlabelled: Annotated[
        Path | None,
        typer.Option(
            parser=home,
            metavar="DIR",
            help="Images of which some may be anomalous: the kinds that come nearest to them are drawn more. The "
            "recipe is then transductive: it knows these images.",
        ),
    ] = None,
    item: Annotated[
        str | None,
        typer.Option(
            metavar="PATTERN",
            help="Regular expression whose first group names the physical item in a defect's name, such as "
            "'(part\\d+)_'; pictures of one item are never on both sides.",
        ),
    ] = None,
    budget: Annotated[
        str,
        typer.Option(metavar="TIME", help="It takes no longer: 5m, 1h. With 8 real defects recipes are compared."),
    ] = "10m",
    workers: Annotated[
        int | None,
        typer.Option("--workers", "-j", min=1, help="Trainings at once.", show_default="one a core; one with a GPU"),
    ] = None,
    out: Annotated[
        Path,
        typer.Option(
            "--out", "-o", parser=local, metavar="FILE", help="The recipe; the report stands beside it, as .html."
        ),
    ] = Path("tuned.yaml"),
    size: SizeOption = None,
    changes: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a recipe for this product, and a report of what was measured and chosen.

    Without real defects the recipe is `defects`, which measures contrast, colour, light and the normal boundary on the
    images by itself. With real defects it puts these on normal images and draws others like them; do not test on the
    same ones later. With 8 real defects or more, recipes are compared on defects that were left out: transplants with
    the usual drawn defects stay unless another is clearly better. After an interruption the same command goes on.
    """
    from anomgen.tuning.tune import tune as run_tune

    try:
        with progress_of("tuning", timed=False) as progress:
            tuned = run_tune(
                source,
                defects=defects,
                masks=masks,
                misses=misses,
                unlabelled=unlabelled,
                item=item,
                budget=budget,
                workers=workers,
                out=out,
                size=size,
                overrides=changes,
                progress=progress,
            )
    except KeyboardInterrupt:
        kept = (
            "what was measured is kept" if out.with_name(f"{out.stem}-tuning").exists() else "nothing was measured yet"
        )
        raise Interrupted(f"interrupted; {kept}: run the same command again") from None
    if as_json:
        likeness = {} if tuned.measured is None else tuned.measured.likeness
        compared = {} if tuned.comparison is None else {"comparison": tuned.comparison.plain()}
        files = {"recipe": str(tuned.path), "report": str(tuned.report), "record": str(tuned.record)}
        print_json({**files, "likeness": likeness, **compared})
        return
    _print(tuned)


def _print(tuned: Tuned) -> None:
    if tuned.measured is not None:
        ranked = sorted(tuned.measured.likeness.items(), key=lambda item: -item[1])
        kinds = ", ".join(f"{kind.replace('_', ' ')} {share:.0%}" for kind, share in ranked[:4])
        low, high = tuned.measured.tuned.severity
        print(f"{tuned.path}: {len(tuned.measured.r)} real defects are like {kinds}; severity {low:g} to {high:g}")
    elif not tuned.hints:
        print(f"{tuned.path}: the recipe defects as it is; without real defects nothing else can be known")
    for hint in tuned.hints:
        print(hint.text)
    for arm in tuned.comparison.arms if tuned.comparison else ():
        mark = "*" if tuned.comparison and arm.name == tuned.comparison.chosen else " "
        print(f"{mark} {arm.name:<17} {arm.mean:.3f}  {arm.difference:+.3f} [{arm.low:+.3f}, {arm.high:+.3f}]")
    if tuned.comparison is not None and tuned.comparison.note:
        print(tuned.comparison.note)
    print_hint(f"look: {tuned.report}")
    print_next("make", "--recipe", tuned.path)
