"""`anomgen studio`: recipes, looked at and set on a page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from anomgen.cli.talk import App, print_hint
from anomgen.cli.terminal import print_as_is
from anomgen.places import home, local

app = App()


@app.command(epilog="Example: anomgen studio photos")
def studio(
    photos: Annotated[
        str | None,
        typer.Argument(
            metavar="[PHOTOS]", help="Folder of normal images, or what else --source takes; default: built-in textures."
        ),
    ] = None,
    out: Annotated[
        Path,
        typer.Option(
            "--out", "-o", parser=local, metavar="PATH", help="Where recipes, masks and datasets are written."
        ),
    ] = Path("anomgen-out"),
    opened: Annotated[
        list[Path] | None,
        typer.Option(
            "--open", metavar="PATH", help="Another folder that recipes may read: textures, models. Repeatable."
        ),
    ] = None,
    host: Annotated[
        str, typer.Option(help="Address to listen on; other than 127.0.0.1, others can reach it.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 0,
    public: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Ask for no token: for a container that holds nothing else, reached under this name, as in a Space.",
        ),
    ] = None,
    space: Annotated[
        Path | None,
        typer.Option(
            parser=home,
            metavar="DIR",
            help="Write what a Space of Hugging Face needs to show the studio, instead of opening it.",
        ),
    ] = None,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page in a browser.")] = True,
) -> None:
    """Open a page in the browser: look at recipes on your photos, set them, draw, make datasets, inspect images."""
    from anomgen.studio.serve import studio as open_studio

    written = open_studio(
        photos,
        out=out,
        opened=opened or (),
        host=host,
        port=port,
        public=public,
        space=space,
        browser=browser,
        tell=_tell,
    )
    if written is not None:
        print(f"{space}: {', '.join(file.name for file in written)}")
        print_hint(f"next: create a Space of the kind Docker on huggingface.co, and push {space} to it with git")


def _tell(address: str) -> None:
    print_as_is(f"studio: {address}")
    print_hint("stop it with Ctrl-C, and with it what is being made; Resume goes on with that another time")
