"""Which kind of source a path given on the command line is."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from anomgen.errors import UsageError
from anomgen.places import home
from anomgen.sources.folder import missing_hint
from anomgen.sources.hub import HUB_ID
from anomgen.sources.layouts import BTAD, MVTecAD, VisA
from anomgen.sources.tree import no_image, tree_of


def categories_of(paths: Iterable[str]) -> dict[str, str]:
    """Return name → path of every category; the folder of a whole layout stands for all of its categories."""
    from anomgen.sources.layouts import BTAD, MVTecAD, VisA

    found: dict[str, str] = {}
    for path in paths:
        folder = home(path)
        layouts = (MVTecAD, BTAD, VisA) if folder.is_dir() else ()
        names = next(
            (names for layout in layouts if not layout.normal_folder(folder) and (names := layout.categories(folder))),
            None,
        )
        for name, place in [(name, str(folder / name)) for name in names] if names else [(_name_of(path), path)]:
            if name in found:
                raise UsageError(f"--source {place}: there are two categories called {name!r}; rename a folder")
            found[name] = place
    return found


def _name_of(path: str) -> str:
    """Return what a category is called: its folder, without the parts that every layout has."""
    parts = [part for part in Path(path).parts if part not in ("train", "good", "ok", ".", "/")]
    return parts[-1] if parts else "normal"


def detect(path: str) -> dict[str, str]:
    """Return the source's configuration, ``{"kind": …, "path": …}``, for what a user names as the source.

    Knows the layouts mvtec (MPDD has it, too), btad and visa (a category or the folder of all), datasets of Hugging
    Face (an id ``owner/name``, a folder of Parquet files, a saved one; each may end in ``:SPLIT``), a folder of images,
    and ``builtin`` or ``builtin:NAME``. Raises UsageError when it is none of these.
    """
    folder = home(path)
    if folder.is_dir():
        return {"kind": _kind_of_folder(folder, path), "path": path}
    if folder.exists():
        raise UsageError(f"{path}: is a file; give the folder that holds the normal images")
    kind, _, name = path.partition(":")
    if kind == "builtin":
        return {"kind": kind, "name": name} if name else {"kind": kind}
    before = path.partition(":")[0]
    is_id = HUB_ID.fullmatch(before) is not None
    if (path != before and home(before).is_dir()) or (is_id and not Path(before).parent.is_dir()):
        return {"kind": "hub", "path": path}
    raise UsageError(
        f"{path}: there is no such folder"
        + (" (if it is a dataset on the Hub, use kind: hub)" if is_id else ", nor is it an id OWNER/NAME of the Hub")
        + missing_hint(folder)
    )


def _kind_of_folder(folder: Path, path: str) -> str:
    if (folder / "dataset_dict.json").is_file() or (folder / "state.json").is_file():
        return "hub"
    layout = _layout(folder)
    if layout:
        return layout
    try:
        if any(next(folder.glob(pattern), None) for pattern in ("*.parquet", "*/*.parquet")):
            return "hub"
        files = tree_of(folder)
        if files.pictures:
            return "folder"
    except OSError as error:
        raise UsageError(f"{error.filename or path}: cannot be listed ({error.strerror or error})") from error
    raise no_image(path, files, "image and no Parquet file")


def _layout(folder: Path) -> str | None:
    """Return the layout of a category, or of a folder of categories; None when it is neither."""
    for layout in (MVTecAD, BTAD, VisA):
        if layout.normal_folder(folder) or layout.categories(folder):
            return layout.kind
    return None
