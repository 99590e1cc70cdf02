"""`anomgen doctor`: what this machine and this installation are; without a network."""

from __future__ import annotations

import typer

from anomgen.cli.talk import App
from anomgen.cli.terminal import JsonOption, print_json

app = App()


@app.command("doctor", epilog="Example: anomgen doctor --json")
def examine(as_json: JsonOption = False) -> None:
    """Say what is installed, what the machine has, and whether drawing works; exits with 1 when something does not."""
    from anomgen.making.doctor import doctor

    found = doctor()
    if as_json:
        print_json([one._asdict() for one in found])
    else:
        width = max(len(one.name) for one in found)
        for one in found:
            mark = {True: "ok", False: "BAD", None: "-"}[one.good]
            print(f"{mark:>3}  {one.name:<{width}}  {one.text}")
    if any(one.good is False for one in found):
        raise typer.Exit(1)
