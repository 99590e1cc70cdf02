"""Where the source of a dataset was on this machine: noted outside the dataset, for `check` and `replay`."""

from __future__ import annotations

from pathlib import Path

from anomgen.dataset.origin import is_fingerprint
from anomgen.errors import Unwritable
from anomgen.files import replacing
from anomgen.making.engine import Plan
from anomgen.places import cache_folder, read_within

MAX_PATH = 1 << 16
"""Bytes of a note."""


def _memory() -> Path:
    return cache_folder() / "sources"


def remember_source(plan: Plan) -> None:
    """Note, outside the dataset, where its source is on this machine, so that `replay` and `check` find it."""
    written = getattr(plan.recipe.source, "path", None)
    if written is None:
        return
    place, split = (written, "") if Path(written).exists() else written.rpartition(":")[::2]
    if not place or not Path(place).exists():
        return
    resolved = str(Path(place).resolve()) + (f":{split}" if split else "")
    fingerprint = plan.source.fingerprint()
    if not is_fingerprint(fingerprint):
        return
    try:
        folder = _memory()
        folder.mkdir(parents=True, exist_ok=True)
        for private in (folder.parent, folder):  # it says where things lie, which is nobody else's business
            if not private.is_symlink():
                private.chmod(0o700)
        with replacing(folder / fingerprint) as file:
            file.write(resolved.encode())
    except (OSError, ValueError, Unwritable):  # a read-only home folder: replay will ask for --source
        return


def recalled_source(fingerprint: str) -> str | None:
    """Return where a source of that fingerprint was on this machine, None if that is not known or gone."""
    if not is_fingerprint(fingerprint):  # a dataset may say anything
        return None
    try:
        path = read_within(_memory() / fingerprint, MAX_PATH).decode()
    except (OSError, UnicodeDecodeError):
        return None
    return path if Path(path).exists() or Path(path.rpartition(":")[0] or path).exists() else None
