"""Write the pages of docs/ that follow from the program: command line, recipes, generators. A test compares them.

python tools/make_docs.py

The pictures are drawn by tools/pictures.py, the leaderboard is written by tools/make_leaderboard.py.
"""

from __future__ import annotations

from pathlib import Path

from command_line_page import command_line_page
from generator_pages import generator_pages
from recipes_page import recipes_page

REFERENCE = Path(__file__).parent.parent / "docs" / "reference"


def pages() -> dict[Path, str]:
    """Return file → what belongs there."""
    return {
        REFERENCE / "command-line.md": command_line_page(),
        REFERENCE / "recipes.md": recipes_page(),
        **{REFERENCE / "generators" / f"{kind}.md": text for kind, text in generator_pages().items()},
    }


def main() -> None:
    """Write them."""
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
