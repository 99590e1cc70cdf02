"""Files that are put in place whole, output folders that one run holds at a time, and hashes of contents."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib import resources
from pathlib import Path
from typing import IO, Any

from anomgen.errors import AnomgenError, UsageError
from anomgen.places import Remote


@contextmanager
def locked(out: Path, *, shared: bool = False, name: Path | None = None) -> Iterator[None]:
    """Hold the output folder: a second run on it stops with an error. Killed processes let go by themselves.

    shared: the parts of an array job hold it together. name: what errors call it. A URL cannot be held.
    """
    name = name or out
    if isinstance(out, Remote):
        yield
        return
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise AnomgenError(f"{name}: cannot make the output folder: {error.strerror}") from None
    try:
        import fcntl
    except ImportError:  # Windows has no advisory locks on folders
        yield
        return
    handle = os.open(out, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(
                f"another run is writing to {name}; wait for it, or choose another folder with -o"
            ) from None
        except OSError:  # some network file systems cannot lock a folder
            pass
        yield
    finally:
        os.close(handle)


def refuse_inside(out: Path, *sources: str) -> None:
    """Raise UsageError when the model would lie inside a source: its sheets would become images of the next run."""
    for source in sources:
        folder = Path(source).expanduser()
        if folder.is_dir() and out.resolve().is_relative_to(folder.resolve()):
            raise UsageError(f"the output {out} lies inside the source {folder}; choose another folder with -o")


FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Errors of a system that has no room for a file."""


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Open a temporary file beside `path`; on success it takes that name, on any failure it is removed.

    For a URL the temporary file is here, and uploaded. Raises AnomgenError, naming the file, when the disk is full or
    not writable.
    """
    if isinstance(path, Remote):
        with path.replacing() as file:
            yield file
        return
    # Process numbers repeat on the machines that share a folder.
    temporary = path.parent / f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp"
    try:
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            file = temporary.open("wb")
        try:
            yield file
            with writing(path):
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            if error.errno not in FULL:
                raise
            raise AnomgenError(f"{path}: {_advice(error)}") from error
        finally:
            with suppress(OSError):  # what could not be flushed was reported already
                file.close()
        with writing(path):
            temporary.replace(path)
            _sync_folder(path.parent)
    except BaseException:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an operating system's error into one that says what to do about it, and names the file."""
    try:
        yield
    except OSError as error:
        raise AnomgenError(f"{path}: {_advice(error)}") from error


def _advice(error: OSError) -> str:
    again = "then run the same command again (make: with --resume; finished shards are kept)"
    if error.errno in FULL:
        return f"no space left to write it ({error.strerror}); free some, {again}"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"may not be written ({error.strerror}); allow it or choose another folder with -o, {again}"
    return f"cannot be written ({error.strerror or error}); {again.removeprefix('then ')}"


def _sync_folder(folder: Path) -> None:
    """Make the new name durable, where the system can (not on Windows)."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def bundled(name: str, in_checkout: str | None = None) -> Path:
    """Return the folder of data files that comes with the package: inside it when installed, beside it in a checkout.

    in_checkout: its name at the top of a checkout, where that differs.
    """
    package = Path(str(resources.files("anomgen")))
    folders = (package / name, package.parent / (in_checkout or name))
    return next(folder for folder in folders if folder.is_dir())


def digest(data: bytes = b"") -> hashlib.blake2b:
    """Return the hash by which contents are known, of `data` so far."""
    return hashlib.blake2b(data, digest_size=16)


def file_digest(data: bytes) -> str:
    """Return a hash, 32 hexadecimal digits, of a file's contents."""
    return digest(data).hexdigest()


def fingerprint_of(
    content: Any,
    *,
    size: int = 16,
    separators: tuple[str, str] | None = None,
    default: Callable[[Any], Any] | None = None,
) -> str:
    """Return a hash, twice `size` hexadecimal digits, of JSON in which the order of keys does not count.

    Fingerprints are recorded, so each caller keeps its form. separators, default: of `json.dumps`.
    """
    text = json.dumps(content, sort_keys=True, separators=separators, default=default)
    return hashlib.blake2b(text.encode(), digest_size=size).hexdigest()
