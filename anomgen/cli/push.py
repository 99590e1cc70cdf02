"""`anomgen push`: a dataset or a trained model on the Hugging Face Hub."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from anomgen.cli.talk import App, print_hint, print_remark
from anomgen.cli.terminal import JsonOption, print_json, progress_of

if TYPE_CHECKING:
    from anomgen.hub import Pushed

LISTED = 20
"""Files that a dry run names at most."""

app = App()


@app.command(epilog="Example: anomgen push made me/made --private")
def push(
    folder: Annotated[
        str, typer.Argument(metavar="FOLDER", help="Dataset of `anomgen make`, bank of `bank`, or model of `train`.")
    ],
    repo_id: Annotated[
        str, typer.Argument(metavar="REPO_ID", help="OWNER/NAME on the Hub; made when it is not there.")
    ],
    config: Annotated[
        str | None, typer.Option("--config", help="Name of the dataset's configuration; by default the recipe's name.")
    ] = None,
    license: Annotated[
        str | None, typer.Option("--license", help="Licence, such as cc-by-4.0; by default that of the source images.")
    ] = None,
    private: Annotated[bool, typer.Option("--private", help="Make the repository private.")] = False,
    tag: Annotated[str | None, typer.Option("--revision-tag", help="Tag the commit, for instance v1.")] = None,
    create_pr: Annotated[
        bool, typer.Option("--create-pr", help="Open a pull request instead of committing to main.")
    ] = False,
    no_check: Annotated[
        bool, typer.Option("--no-check", help="Push without `anomgen check`, or although it fails.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace another dataset or model of the same name in the repository.")
    ] = False,
    adopt: Annotated[bool, typer.Option("--adopt", help="Add to a repository that anomgen did not make.")] = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Check everything, print files and card; send nothing. Needs no network."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Publish a dataset or a model on the Hugging Face Hub, in one commit with its card.

    Several datasets become configurations of one repository. What is there already is not sent again: after an
    interruption, run the same command again. The token is found as by `hf auth login`, or in HF_TOKEN.
    """
    from anomgen.hub import push as push_to_hub

    with progress_of("pushing") as progress:
        pushed = push_to_hub(
            folder,
            repo_id,
            config=config,
            license=license,
            private=private,
            revision_tag=tag,
            create_pr=create_pr,
            check=not no_check,
            overwrite=overwrite,
            adopt=adopt,
            dry_run=dry_run,
            progress=progress,
        )
    if as_json:
        print_json(pushed.as_dict())
    else:
        _print(pushed, folder, repo_id, dry_run=dry_run, is_private=private)


def _print(pushed: Pushed, folder: str, repo_id: str, *, dry_run: bool, is_private: bool) -> None:
    what = f"{pushed.kind} {pushed.name}" if pushed.kind == "dataset" else "model"
    if dry_run:
        print(f"README.md, the card:\n\n{pushed.card}\n")
    new = f" (new{', private' if is_private else ''})" if pushed.new else ""
    print(f"{pushed.url}{new}: {what}, {pushed.license}")
    print(
        f"  {'to push' if dry_run else 'pushed'}: {len(pushed.files) - len(pushed.arrived)} files, "
        f"{pushed.megabytes:g} MB; "
        + (f"sent before, by a push that was interrupted: {len(pushed.arrived)}; " if pushed.arrived else "")
        + f"unchanged: {pushed.unchanged}"
        + (f"; removed: {len(pushed.removed)} of an earlier push" if pushed.removed else "")
    )
    if dry_run:
        for file, size in list(zip(pushed.files, pushed.sizes, strict=True))[:LISTED]:
            print(f"    {file}, {size:,} bytes")
        if len(pushed.files) > LISTED:
            print(f"    and {len(pushed.files) - LISTED} more")
    for note in pushed.notes:
        print_remark(f"  note: {note}")
    if dry_run:
        print_hint("nothing was sent; leave out --dry-run to push it")
    elif pushed.pull_request:
        print(f"review: {pushed.pull_request}")
    else:
        print(f"commit: {pushed.commit}" + (f", tag {pushed.tag}" if pushed.tag else ""))
        revision = json.dumps(pushed.tag or pushed.commit)
        if pushed.kind == "dataset":
            print_hint(f'load: datasets.load_dataset("{repo_id}", "{pushed.name}", revision={revision})')
        else:
            print_hint(f"next: {_use_of(folder, repo_id)}")


def _use_of(folder: str, repo_id: str) -> str:
    """Return the command that uses a pushed model."""
    from anomgen.hub.upload import model_kind

    kind = model_kind(Path(folder))
    if kind == "detector":
        return f"anomgen inspect {repo_id} IMAGES -o findings"
    if kind == "classifier":
        return f"anomgen show sdas --set generator.model=MODEL --set generator.classifier={repo_id}"
    return f"anomgen show {kind} --set generator.model={repo_id}"
