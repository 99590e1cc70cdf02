"""Files that are put in place whole, output folders that one run holds at a time, and hashes of contents."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import secrets
import shutil
import stat
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path
from typing import IO, Any, NamedTuple

from anomgen.config.text import read_json
from anomgen.errors import AnomgenError, AnomgenNote, Unwritable, UsageError
from anomgen.places import FULL, Remote, home, read_within

MAX_RECORD = 1 << 26
"""Bytes of a record; one that names each of a million files has as many."""


class Earlier(NamedTuple):
    """What of ours an output folder holds already."""

    state: str
    """Such as ``an unfinished dataset``."""
    can_go_on: bool = True
    """Whether --resume goes on with it."""


def holds_earlier(
    out: Path,
    thing: str,
    earlier: Callable[[Path], Earlier | None],
    *,
    leftovers: Collection[str] = (),
    resume: bool = False,
    overwrite: bool = False,
) -> bool:
    """Return whether an output folder holds an earlier `thing`, to go on with or to replace.

    earlier: tells what of ours a folder holds, None when it is none of ours. leftovers: names that do not count, beside
    those of temporary files and locks. Raises UsageError where a run could lose or mix something: for a file, for a
    folder of other content, for an earlier `thing` when neither `resume` nor `overwrite` says what becomes of it, and
    for a folder in it that is a link.
    """
    if resume and overwrite:
        raise UsageError("--resume and --overwrite exclude each other")
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file; give a folder with -o")
    if not out.exists() or all(entry.name in leftovers or is_left_over(entry.name) for entry in out.iterdir()):
        refuse_linked(out)
        return False
    found = earlier(out)
    if found is None:
        raise UsageError(f"{out} holds other files and no {thing}; choose another folder with -o")
    if not resume and not overwrite:
        go_on = "go on with --resume, " if found.can_go_on else ""
        raise UsageError(
            f"{out} holds {found.state}; {go_on}replace it with --overwrite, or choose another folder with -o"
        )
    refuse_linked(out)
    return True


def refuse_taken(out: Path, advice: str, leftovers: Collection[str] = ()) -> None:
    """Raise UsageError, with advice, for an output folder that is a file or holds anything; leftovers do not count."""
    if out.exists() and (not out.is_dir() or any(entry.name not in leftovers for entry in out.iterdir())):
        raise UsageError(f"{out} is there already; {advice}")


LOCK = ".anomgen.lock"
"""The file by which a run holds its output folder; each part of an array job has one of its own, with a longer name."""

_LOCKS = re.compile(rf"{re.escape(LOCK)}(-[0-9a-f]{{8}})?")
_TEMPORARY = re.compile(r"\..+\.\d+-[0-9a-f]{8}\.tmp", re.DOTALL)
"""How `replacing` and `drafting` call what is not whole: nobody else's is called so."""


def is_left_over(name: str) -> bool:
    """Return whether a killed run may have left what is called so."""
    return _LOCKS.fullmatch(name) is not None or _TEMPORARY.fullmatch(name) is not None


def _temporary(path: Path) -> Path:
    """Return a name beside a path; process numbers repeat on the machines that share a folder."""
    return path.parent / f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp"


def lies_in(place: Path, folder: Path) -> bool:
    """Return whether a place is a folder or lies in it, links followed."""
    return place.resolve().is_relative_to(folder.resolve())


def refuse_inside(out: Path, *sources: str | None) -> None:
    """Raise UsageError when the output would lie inside a source's folder.

    sources: as they are given; None, and what is no folder of this machine, holds nothing.
    """
    if isinstance(out, Remote):
        return
    for source in filter(None, sources):
        folder = home(source)
        if folder.is_dir() and lies_in(out, folder):
            raise UsageError(
                f"the output {out} lies inside the source {folder}: its pictures would become normal images of the "
                "next run; choose another folder with -o"
            )


def holds(path: Path, data: bytes) -> bool:
    """Return whether a file holds these bytes and no others."""
    try:
        return read_within(path, len(data)) == data
    except OSError:
        return False


def note_kept(path: Path, advice: str = "; to have it written anew, remove it and use --resume") -> None:
    """Warn that a file of an output stays as somebody has changed it."""
    warnings.warn(f"{path} is not as it was written, so it stays{advice}", AnomgenNote, stacklevel=3)


def refuse_linked(out: Path, inner: str = "") -> None:
    """Raise UsageError for a folder below an output that is a link: what is replaced there is somebody else's.

    inner: a folder of the output, relative to it, where only that one and what leads to it matters.
    """
    if isinstance(out, Remote):
        return
    place = out / inner
    above = [folder for folder in (place, *place.parents) if folder != out and folder.is_relative_to(out)]
    below = (Path(top, name) for top, names, _ in os.walk(place) for name in names)
    for folder in (*above, *below):
        if folder.is_symlink():
            raise UsageError(
                f"{folder} is a link, and files are replaced and removed in it; put a folder in its place, or choose "
                "another one with -o"
            )


_PATIENCE = 2.0
"""Seconds that the parts of an array job wait for each other's look at a lock that a killed run has left."""


@contextmanager
def locked(out: Path, *, shared: bool = False, name: Path | None = None) -> Iterator[None]:
    """Hold the output folder: a second run on it stops with UsageError. Killed processes let go by themselves.

    shared: the parts of an array job hold it together. name: what errors call it. A URL cannot be held, nor a folder of
    a file system without locks.
    """
    name = name or out
    if isinstance(out, Remote):
        yield
        return
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise AnomgenError(f"{name}: cannot make the output folder: {error.strerror}") from None
    whole = out / LOCK
    with _held(out / f"{LOCK}-{secrets.token_hex(4)}" if shared else whole, name):
        # Everybody has put up a lock before looking for others', so of two at once at least one sees the other.
        for other in filter(Path.exists, [whole]) if shared else _locks_of_parts(out):
            with _held(other, name, _PATIENCE if shared else 0.0):
                pass
        yield


def _locks_of_parts(out: Path) -> list[Path]:
    return [file for file in out.glob(f"{LOCK}-*") if _LOCKS.fullmatch(file.name)]


@contextmanager
def _held(file: Path, name: Path, patience: float = 0.0) -> Iterator[None]:
    """Hold a lock and remove its file. Raises UsageError when, after `patience` seconds, another process has it."""
    from filelock import FileLock, Timeout

    with suppress(FileNotFoundError):
        if not stat.S_ISREG((there := file.lstat()).st_mode) or there.st_nlink > 1:
            raise UsageError(f"{file}: is a link, or no file, and a run holds {name} by a file of that name; remove it")
    lock = FileLock(file, mode=0o666, fallback_to_soft=False)  # open to all users of a shared folder
    try:
        lock.acquire(timeout=patience)
    except Timeout:
        raise UsageError(f"another run is writing to {name}; wait for it, or choose another folder with -o") from None
    except OSError as error:  # a file system without locks; what may not be written says so itself
        if not isinstance(error, PermissionError):
            with suppress(OSError):
                file.unlink()
    try:
        yield
    finally:
        if lock.is_locked:
            with suppress(OSError):  # while it is held, so that nobody can have taken it; Windows does so itself
                file.unlink()
            lock.release()


@contextmanager
def replacing(path: Path, *, sync: bool = True) -> Iterator[IO[bytes]]:
    """Open a temporary file beside `path`; on success it takes that name, on any failure it is removed.

    Of a link the name is taken, what it leads to stays. sync: whether it is on the disk at the end, or soon. For a URL
    the temporary file is here, and uploaded. Raises Unwritable, naming the file, when the disk is full or not writable.
    """
    if isinstance(path, Remote):
        with path.replacing() as file:
            yield file
        return
    temporary = _temporary(path)
    try:
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            file = temporary.open("xb")
        try:
            yield file
            with writing(path):
                file.flush()
                if sync:
                    os.fsync(file.fileno())
        except OSError as error:
            if error.errno not in FULL:
                raise
            raise Unwritable(f"{path}: {_advice(error)}") from error
        finally:
            with suppress(OSError):  # what could not be flushed was reported already
                file.close()
        with writing(path):
            temporary.replace(path)
            if sync:
                _sync_folder(path.parent)
    except BaseException:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


@contextmanager
def appending(path: Path) -> Iterator[Callable[[bytes], None]]:
    """Give what adds a line to a file, whole; of one that the disk takes a part of, nothing stays.

    Raises Unwritable for that, UsageError for a link: what it leads to is somebody else's.
    """

    def opened(name: str, flags: int) -> int:
        return os.open(name, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)

    def add(line: bytes) -> None:
        size, left = file.tell(), line
        try:
            while left:
                left = left[file.write(left) :]
        except OSError:
            with suppress(OSError):
                file.truncate(size)
            raise

    with writing(path):
        if path.is_symlink() or (path.is_file() and path.stat().st_nlink > 1):
            raise UsageError(f"{path} is a link, and is added to; put a copy in its place, or choose another with -o")
        with FileIO(path, "ab", opener=opened) as file:
            yield add


@contextmanager
def drafting(out: Path, last: str) -> Iterator[Path]:
    """Make a folder in `out` for other libraries to write to; on success its files take their places below `out`.

    Those whom the umask lets may read them. last: the file that comes last, and says that the others are there. The
    folder is removed; what a killed run leaves of it, `sweep` removes.
    """
    draft = _temporary(out / "draft")
    with writing(out):
        draft.mkdir(parents=True)
    try:
        yield draft
        mask = os.umask(0)
        os.umask(mask)
        names = [file.relative_to(draft) for file in draft.rglob("*") if file.is_file()]
        for name in sorted(names, key=lambda name: (name == Path(last), name)):
            with writing(out / name):
                (out / name).parent.mkdir(parents=True, exist_ok=True)
                (draft / name).chmod(0o666 & ~mask)  # safetensors writes files for their owner alone
                (draft / name).replace(out / name)
                _sync_folder((out / name).parent)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an operating system's error into Unwritable, which names the file and says what to do about it."""
    try:
        yield
    except OSError as error:
        raise Unwritable(f"{path}: {_advice(error)}") from error


def sweep(*folders: Path) -> None:
    """Remove the temporary files that killed runs and workers left; nobody else may be at work there."""
    for folder in folders:
        for leftover in folder.glob(".*.tmp"):
            if not _TEMPORARY.fullmatch(leftover.name):
                continue
            if not isinstance(leftover, Remote) and leftover.is_dir() and not leftover.is_symlink():
                shutil.rmtree(leftover, ignore_errors=True)
            else:
                remove(leftover)


def remove(path: Path) -> None:
    """Remove a file, if it is there. Raises Unwritable, naming the file, when it may not be removed."""
    with writing(path):
        path.unlink(missing_ok=True)


def remove_matching(out: Path, patterns: Iterable[str]) -> None:
    """Remove the files of an output that an earlier run wrote, and the folders that are empty then; all else stays.

    patterns: their names, relative to `out`, which may hold ``*`` and ``[…]``, in the order in which they go. Raises
    UsageError for a folder that is a link, Unwritable for a file that may not be removed.
    """
    refuse_linked(out)
    for pattern in patterns:
        for path in sorted(out.glob(pattern)):
            if path.is_file() or path.is_symlink():
                remove(path)
        folder = (out / pattern).parent
        if folder != out:
            with suppress(OSError):  # it is not empty, or not there
                folder.rmdir()


def _advice(error: OSError) -> str:
    again = "then run the same command again (make: with --resume; finished shards are kept)"
    if error.errno in FULL:
        return f"no space left to write it ({error.strerror}); free some, {again}"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"may not be written ({error.strerror}); allow it or choose another folder with -o, {again}"
    if error.errno == errno.EISDIR:
        return f"is a folder where a file belongs; remove it, {again}"
    return f"cannot be written ({error.strerror or error}); {again.removeprefix('then ')}"


def _sync_folder(folder: Path) -> None:
    """Make the new name durable, where the system can (not on Windows)."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def json_object(path: Path, most: int = MAX_RECORD) -> dict[str, Any]:
    """Return the JSON object in a file that anybody may have written, of at most `most` bytes.

    Raises FileNotFoundError where there is none, and ValueError, which says why, where it cannot be read.
    """
    try:
        content = read_json(read_within(path, most))
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ValueError(error.strerror or str(error)) from error
    if not isinstance(content, dict):
        raise ValueError("not an object")
    return content


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
