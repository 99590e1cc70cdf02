"""Where a dataset lies: a local folder, or a URL of any file system that fsspec knows (s3://, gs://, hf://, …)."""

from __future__ import annotations

import errno
import json
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, NamedTuple

from anomgen.errors import AnomgenError, UsageError, near_miss, require

COMMON = ("s3", "gs", "abfs", "hf", "sftp", "webhdfs")
"""The schemes that an error names; fsspec knows some fifty."""

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)(?:::|://).*")


def is_url(where: str | Path) -> bool:
    """Return whether something is a URL, even one that `Path` has taken a slash from; ``C:/x`` is none."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]+:[:/]", str(where)) is not None


def home(where: str | Path) -> Path:
    """Return a path whose ``~`` is the home folder; the shell leaves it alone after ``--out=``."""
    try:
        str(where).encode()
        return Path(where).expanduser()
    except UnicodeEncodeError:
        raise UsageError(f"{where}: the name holds bytes that are no text; rename it, or give another") from None
    except RuntimeError as error:  # there is no home folder, or no such user
        raise UsageError(f"{where}: {error}; write the folder's full path") from None


def place(where: str | Path) -> Path:
    """Return where a dataset lies: a path, a URL as a `Remote`, which has of a path what datasets need.

    Raises UsageError for a URL whose scheme nobody knows or whose package is missing; it names the package.
    """
    if isinstance(where, Remote):
        return where  # type: ignore[return-value]
    match = _URL.fullmatch(str(where))
    if match is None:
        return home(where)
    if match[1] == "file":
        return Path(str(where).removeprefix("file://"))
    url = str(where).rstrip("/")
    _file_system(url, match[1])
    return Remote(url)  # type: ignore[return-value]  # quacks like a Path as far as datasets need it


def _file_system(url: str, scheme: str) -> tuple[Any, str]:
    require("ray", f"{url}: a URL", "fsspec")
    import fsspec

    try:
        result: tuple[Any, str] = fsspec.core.url_to_fs(url)
        return result
    except ImportError as error:
        missing = getattr(error, "name", None)
        advice = f" (pip install {missing})" if missing and "nstall" not in str(error) else ""
        raise UsageError(f"{url}: the package for {scheme}:// is not installed: {error}{advice}") from None
    except OSError as error:  # an archive that is not there
        raise UsageError(f"{url}: {error.strerror or error}") from None
    except ValueError as error:
        known = fsspec.available_protocols()
        if scheme in known:
            raise UsageError(f"{url}: {error}") from None
        nearest = near_miss(scheme, (name for name in known if abs(len(name) - len(scheme)) < 2), cutoff=0.7)
        others = f"; known are {', '.join(COMMON)} and what else fsspec.available_protocols() lists"
        raise UsageError(f"{url}: no file system is known for {scheme}://{nearest or others}") from None


class _Status(NamedTuple):
    st_size: int


@dataclass(frozen=True, order=True)
class Remote:
    """A file or a folder at a URL, with the part of `pathlib.Path` that datasets use.

    Object stores put a file in place whole; nothing locks a URL against a second run.

    Note: no `UPath` of universal_pathlib, which takes a lost connection for a free place and remembers listings that
    another process may have changed.
    """

    url: str

    def __str__(self) -> str:
        return self.url

    def __truediv__(self, name: str) -> Remote:
        return Remote(f"{self.url}/{name}")

    @property
    def name(self) -> str:
        """Return the last component."""
        return PurePosixPath(self.url).name

    @property
    def suffix(self) -> str:
        """Return the extension with its dot."""
        return PurePosixPath(self.url).suffix

    @property
    def parent(self) -> Remote:
        """Return the folder."""
        return Remote(self.url.rpartition("/")[0])

    def exists(self) -> bool:
        """Return whether there is such a file or folder."""
        return self._kind() is not None

    def is_dir(self) -> bool:
        """Return whether it is a folder."""
        return self._kind() == "directory"

    def is_file(self) -> bool:
        """Return whether it is a file."""
        return self._kind() == "file"

    def _kind(self) -> str | None:
        """Return what it is, None for nothing. A file system's own `exists` takes a lost connection for nothing."""
        with self._talking() as (fs, path):
            try:
                return str(fs.info(path)["type"])
            except (FileNotFoundError, NotADirectoryError):
                return None

    def iterdir(self) -> Iterator[Remote]:
        """Yield what the folder holds; nothing when it is not there."""
        with self._talking() as (fs, path):
            try:
                names = [PurePosixPath(found.rstrip("/")).name for found in fs.ls(path, detail=False)]
            except FileNotFoundError:
                return
        for name in names:
            yield self / name

    def glob(self, pattern: str) -> Iterator[Remote]:
        """Yield what of the folder's content matches a pattern of one level."""
        for found in self.iterdir():
            if PurePosixPath(found.name).match(pattern):
                yield found

    def open(self, mode: str = "rb") -> IO[bytes]:
        """Open the file for reading."""
        with self._talking() as (fs, path):
            file: IO[bytes] = fs.open(path, mode)
            return file

    def read_bytes(self) -> bytes:
        """Return the file's bytes. Raises FileNotFoundError."""
        with self._talking() as (fs, path):
            return bytes(fs.cat_file(path))

    def read_text(self, encoding: str = "utf-8") -> str:
        """Return the file's text. Raises FileNotFoundError."""
        return self.read_bytes().decode(encoding)

    def unlink(self, missing_ok: bool = False) -> None:
        """Remove the file."""
        with self._talking() as (fs, path):
            if not missing_ok or fs.exists(path):
                fs.rm_file(path)

    def stat(self) -> _Status:
        """Return the file's size."""
        with self._talking() as (fs, path):
            return _Status(int(fs.size(path)))

    @contextmanager
    def replacing(self) -> Iterator[IO[bytes]]:
        """Open a local temporary file that is uploaded when everything went well."""
        with temporary_folder() as folder, (folder / "upload").open("w+b") as file:
            yield file
            file.flush()
            with self._talking() as (fs, path):
                with suppress(Exception):  # not every file system has folders; what is wrong, the upload says
                    if fs.exists(path[: path.find("/", 1)]):  # never make a bucket of a mistyped name
                        fs.makedirs(path.rpartition("/")[0], exist_ok=True)
                try:
                    fs.put_file(file.name, path)
                except FileNotFoundError as error:
                    raise AnomgenError(f"{self.url}: there is no such bucket or repository: {error}") from error

    @contextmanager
    def _talking(self) -> Iterator[tuple[Any, str]]:
        """Give the file system, free of what it remembers, and the path in it; its errors name the URL."""
        fs, path = _file_system(self.url, self.url.partition(":")[0])
        fs.invalidate_cache()  # another process may have written since
        try:
            yield fs, path
        except (AnomgenError, FileNotFoundError):
            raise
        except Exception as error:  # each file system has errors of its own
            raise AnomgenError(f"{self.url}: {type(error).__name__}: {error}") from error


FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Errors of a system that has no room for a file."""


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Give a folder for files that nobody keeps. Raises AnomgenError where the system has no room for them."""
    import tempfile

    def told(error: OSError) -> AnomgenError:
        why = error.strerror or str(error)
        return AnomgenError(f"temporary files cannot be written ({why}); free some room, or name a folder in TMPDIR")

    try:
        made = tempfile.TemporaryDirectory(prefix="anomgen-", ignore_cleanup_errors=True)
    except OSError as error:
        raise told(error) from error
    with made as folder:
        try:
            yield Path(folder)
        except OSError as error:
            if error.errno in FULL and str(error.filename or folder).startswith(folder):
                raise told(error) from error
            raise


def refuse_lost(where: Path) -> None:
    """Raise UsageError for a place in this process's memory, for callers that end with the process."""
    if str(where).startswith("memory:"):
        raise UsageError(
            f"{where}: is lost when the command ends; give a folder, or a URL that lasts (s3://, hf://, …)"
        )


def load_line(where: Path) -> str:
    """Return the Python expression that loads the dataset there with the library datasets."""
    quoted = json.dumps(f"{where}/data/*.parquet" if isinstance(where, Remote) else str(where), ensure_ascii=False)
    if isinstance(where, Remote):
        return f'datasets.load_dataset("parquet", data_files={quoted})'
    return f"datasets.load_dataset({quoted})"


def regular(path: Path) -> Path:
    """Return the path of a regular file, or a URL. Raises OSError for anything else: reading it might never end."""
    if not isinstance(path, Remote):
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            kind = "a folder" if stat.S_ISDIR(mode) else "a device or a pipe"
            raise OSError(errno.EINVAL, f"is {kind}, not a file", str(path))
    return path


def read_within(path: Path, most: int) -> bytes:
    """Return the contents of a regular file, or of a URL.

    Raises OSError, FileNotFoundError among them, for what is none and for one of more than `most` bytes.
    """
    size = regular(path).stat().st_size
    if size <= most:
        if isinstance(path, Remote):
            return path.read_bytes()
        with path.open("rb") as file:
            data = file.read(most + 1)  # some files of a system say that they are empty
        size = len(data)
        if size <= most:
            return data
    raise OSError(errno.EINVAL, f"holds more than {most / 1e6:.3g} MB, too much for what it should be", str(path))


def readable(path: Path) -> Path | IO[bytes]:
    """Return what Parquet's reader takes: a path, or the opened file behind a URL. Raises OSError as `regular` does."""
    return path.open("rb") if isinstance(path, Remote) else regular(path)
