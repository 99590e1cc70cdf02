"""Write the boards of finished runs into the docs' leaderboard, between its markers, and the first one's picture.

python tools/make_leaderboard.py RUN [RUN …]

What stands outside the markers is written by hand and stays.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from anomgen.files import replacing
from anomgen.score.configuration import Configuration
from anomgen.score.report.summary import Run
from anomgen.score.report.write import leaderboard_markdown, leaderboard_picture, sorted_rows
from anomgen.score.result import Result
from anomgen.score.rows import RowFile

ROOT = Path(__file__).parent.parent
PAGE, PICTURE = ROOT / "docs" / "reference" / "leaderboard.md", ROOT / "docs" / "images" / "leaderboard.png"
MARKERS = re.compile(r"(<!-- boards -->\n).*?(<!-- end of boards -->)", re.DOTALL)


def main(folders: list[Path]) -> None:
    """Write the page and the picture."""
    boards = [_board(folder) for folder in folders]
    text = PAGE.read_text(encoding="utf-8")
    with replacing(PAGE) as file:
        file.write(MARKERS.sub(lambda found: found[1] + "\n\n".join(boards) + "\n\n" + found[2], text).encode())
    leaderboard_picture(sorted_rows(_rows(folders[0])), PICTURE)


def _board(folder: Path) -> str:
    configuration, rows = Configuration.read(folder), _rows(folder)
    run = Run(sorted_rows(rows))
    versions = ", ".join(f"{name} {number}" for name, number in configuration.versions.items())
    parts = [
        f"## {', '.join(run.data)}",
        f"<!-- not run: hours, and public data sets -->\n```bash\n{configuration.command}\n```",
        f"{len(run.done)} trainings, {configuration.size[0]}×{configuration.size[1]} pixels; {versions}.",
        leaderboard_markdown(sorted_rows(rows)).strip(),
    ]
    return "\n\n".join(parts)


def _rows(folder: Path) -> list[Result]:
    """Return the rows that the run's configuration speaks of; the file may hold others."""
    configuration = Configuration.read(folder)
    data = {Path(name).name for name in configuration.data}
    rows = RowFile(folder).rows.values()
    return [row for row in rows if row.data in data and row.detector in configuration.detectors]


if __name__ == "__main__":
    main([Path(name) for name in sys.argv[1:]])
