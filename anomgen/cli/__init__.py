"""The command line: parses, calls and prints; whatever decides something lies in the other folders."""

from anomgen.cli.main import app, main

__all__ = ["app", "main"]
