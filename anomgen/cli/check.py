"""`anomgen check` and `anomgen replay`: a dataset against its own records."""

from __future__ import annotations

from typing import Annotated

import typer

from anomgen.cli.talk import App, print_remark
from anomgen.cli.terminal import (
    AgainOption,
    DatasetArgument,
    JsonOption,
    SetOption,
    print_json,
    print_next,
    progress_of,
)

app = App()


@app.command(epilog="Example: anomgen check made")
def check(
    dataset: DatasetArgument,
    source: AgainOption = None,
    changes: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Verify a dataset against its own records; exits with 1 and a report when something does not hold.

    It measures each row's image and masks, compares them with the normal images, and counts of rows, recipe, provenance
    and the card's metadata with one another. Not compared are a row's parameters, attempt and pixels with what the
    recipe draws: `anomgen replay DATASET INDEX` draws that row again.
    """
    from anomgen.making.check import check as verify

    with progress_of("checking") as progress:
        report = verify(dataset, source=source, overrides=changes or (), progress=progress)
    if as_json:
        print_json(report.as_dict())
    else:
        print(report.render())
        if report.ok:
            print_next("preview", dataset)
        elif report.normal or report.anomaly:  # some row was read, which can be drawn again
            print_next("replay", dataset, "INDEX")
    if not report.ok:
        raise typer.Exit(1)


@app.command(epilog="Example: anomgen replay made 7")
def replay(
    dataset: DatasetArgument,
    index: Annotated[int, typer.Argument(metavar="INDEX", help="Row to make again.")],
    source: AgainOption = None,
    changes: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make one sample again from the record alone and say whether it is bit-identical; exits with 1 if not."""
    from anomgen.making.replay import replay as replay_row

    with progress_of("making it again"):
        result = replay_row(dataset, index, source, changes or ())
    if as_json:
        lists = {"different": list(result.different), "notes": list(result.notes)}
        print_json({"index": index, "identical": result.identical, **lists})
    elif result.identical:
        print(f"{dataset} row {index}: bit-identical")
        print_next("check", dataset)
    else:
        print(f"{dataset} row {index}: different in {', '.join(result.different)}")
        for note in result.notes:
            print_remark(f"  {note}")
    if not result.identical:
        raise typer.Exit(1)
