"""What this machine and this installation are, for those who ask for help; without a network."""

from __future__ import annotations

import platform
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import NamedTuple

from anomgen.places import cache_folder
from anomgen.versions import cores, memory, versions, versions_text

OWN_EXTRAS = ("all", "dev", "test", "check", "docs")
"""Extras that no command needs …"""
EXTRAS = ("hub", "noise", "diffusion", "ray", "score", "onnx", "adapters", "studio")
"""… and those that the code knows, whatever the installation does."""
FREE = 1 << 30
"""Bytes of disk below which a dataset soon does not fit."""


class Checked(NamedTuple):
    """One thing that was looked at. good: None where it is neither good nor bad."""

    name: str
    good: bool | None
    text: str


def doctor() -> list[Checked]:
    """Return what is installed, what the machine has, and whether drawing works, as `anomgen doctor` prints it."""
    return list(_examined())


def _examined() -> Iterator[Checked]:
    """Look at one thing after the other."""
    yield Checked("python", True, f"{platform.python_version()} in {sys.prefix}")
    yield Checked("versions", True, versions_text(versions()))
    yield from _extras()
    yield Checked("machine", None, f"{platform.system()} {platform.machine()}, {cores()} cores{_memory()}")
    yield _gpu()
    yield from (_disk("here", Path.cwd()), _disk("temporary files", Path(tempfile.gettempdir())))
    yield _cache()
    yield _drawing()


def _extras() -> Iterator[Checked]:
    """Yield each extra and what of it is missing."""
    try:
        wanted = requires("anomgen") or []
    except PackageNotFoundError:
        yield Checked("extras", None, "not known: anomgen is not installed, it runs from a checkout")
        return
    needed: dict[str, list[str]] = {}
    for line in wanted:
        name, part = re.match(r"[A-Za-z0-9._-]+", line), re.search(r"extra == ['\"]([^'\"]+)", line)
        if name and part and name[0] != "anomgen" and part[1] not in OWN_EXTRAS:
            needed.setdefault(part[1], []).append(name[0])
    if unlisted := [extra for extra in EXTRAS if extra not in needed]:
        text = f"{', '.join(unlisted)}: not known to the installation, which is older than the code: pip install again"
        yield Checked("extras", None, text)
    for extra, names in needed.items():
        missing = [name for name in names if not _is_installed(name)]
        hint = f'pip install ".[{extra}]" in a checkout'
        text = f"missing {', '.join(missing)}: {hint}" if missing else ", ".join(names)
        yield Checked(f"extra {extra}", None if missing else True, text)


def _is_installed(name: str) -> bool:
    try:
        return bool(version(name))
    except PackageNotFoundError:
        return False


def _memory() -> str:
    known = memory()
    return "" if known is None else f", {known / 2**30:.1f} GB of memory"


def _gpu() -> Checked:
    if not _is_installed("torch"):
        return Checked("GPU", None, "not looked for: torch is not installed, and only networks use one")
    import torch

    if torch.cuda.is_available():
        return Checked("GPU", True, f"{torch.cuda.get_device_name()} (torch {torch.__version__})")
    return Checked("GPU", None, f"none that torch {torch.__version__} can use; drawing needs none")


def _disk(name: str, folder: Path) -> Checked:
    try:
        free = shutil.disk_usage(folder).free
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        return Checked(name, False, f"{folder}: cannot be written: {error.strerror or error}")
    return Checked(name, free > FREE, f"{folder}: {free / 2**30:.1f} GB free")


def _cache() -> Checked:
    """Find the notes of where sources were."""
    try:
        folder = cache_folder()
    except OSError as error:
        return Checked("cache", None, f"none: {error}")
    sizes = [file.stat().st_size for file in folder.rglob("*") if file.is_file()]
    return Checked("cache", None, f"{folder}: {len(sizes)} files, {sum(sizes) / 1e6:.1f} MB; it may be removed")


def _drawing() -> Checked:
    """Draw one row from a built-in texture."""
    started = time.perf_counter()
    try:
        from anomgen.making.recipe import load_recipe  # here, for what cannot be imported is found, too

        row = load_recipe("perlin", size=64, overrides={"source.count": 2, "anomaly_ratio": 1.0}).sample(0)
    except Exception as error:  # whatever it is, it is what is looked for
        return Checked("drawing", False, f"{type(error).__name__}: {error}")
    return Checked("drawing", bool(row.mask.any()), f"a row of perlin in {time.perf_counter() - started:.1f} s")
