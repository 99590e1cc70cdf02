"""Where a dataset lies: a local folder, or a URL of any file system that fsspec knows (s3://, gs://, hf://, …)."""

from __future__ import annotations

import errno
import json
import os
import re
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import IO, TYPE_CHECKING

from anomgen.errors import AnomgenError, Unwritable, UsageError, near_miss, require

if TYPE_CHECKING:
    from upath import UPath
    from upath.types import StatResultType

COMMON = ("s3", "gs", "abfs", "hf", "sftp", "webhdfs")
"""The schemes that an error names; fsspec knows some fifty."""

CHUNK = 1 << 20
"""Bytes of a file that are read at once where its size is not what it says."""
MAX_FOLDERS = 250
"""Components of a path; `Path.mkdir` makes each by a call inside the one before."""

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)(?:::|://).*")


def is_url(where: str | Path) -> bool:
    """Return whether something is a URL, even one that `Path` has taken a slash from; ``C:/x`` is none."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]+:[:/]", str(where)) is not None


def home(where: str | Path) -> Path:
    """Return a path whose ``~`` is the home folder; the shell leaves it alone after ``--out=``.

    Raises UsageError for a text that is blank or ``-``, which elsewhere means standard output, for folders nested
    deeper than Python can make them, and for links that lead in a circle.
    """
    if isinstance(where, str) and where.strip() in ("", "-"):
        raise UsageError(f"{where!r} is no path: give the name of a file or folder (./- for one that is called -)")
    try:
        str(where).encode()
        path = Path(where).expanduser()
    except UnicodeEncodeError:
        raise UsageError(f"{where}: the name holds bytes that are no text; rename it, or give another") from None
    except RuntimeError as error:  # there is no home folder, or no such user
        raise UsageError(f"{where}: {error}; write the folder's full path") from None
    if len(path.parts) > MAX_FOLDERS:
        raise UsageError(f"{str(where)[:40]}…: more than {MAX_FOLDERS} folders inside one another; give another path")
    try:
        path.stat()
    except (OSError, ValueError) as error:  # most often it is not there
        if getattr(error, "errno", None) == errno.ELOOP:
            raise UsageError(f"{where}: links in it lead in a circle; give another path") from None
    return path


def local(where: str | Path) -> Path:
    """Return a path as `home` does, for what is written to this machine alone.

    Raises UsageError for a URL, and where what should be a folder on the way is a file.
    """
    if is_url(where):
        scheme = str(where).partition(":")[0]  # the rest may hold a password
        raise UsageError(f"{scheme}://…: this is written to this machine; give a path, and upload the result whole")
    path = home(where)
    above: Path | None = None
    with suppress(OSError):  # of a name that is too long; whoever writes there tells
        above = next((up for up in path.parents if up.exists() and not up.is_dir()), None)
    if above is not None:
        raise UsageError(f"{where}: {above} is a file, and no folder; choose another place")
    return path


def cache_folder() -> Path:
    """Return the folder of what is noted outside datasets. Raises OSError where there is no home folder."""
    try:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError as error:
        raise OSError(str(error)) from error
    return cache / "anomgen"


def bundled(name: str, in_checkout: str | None = None) -> Path:
    """Return the folder of data files that comes with the package: inside it when installed, beside it in a checkout.

    in_checkout: its name at the top of a checkout, where that differs.
    """
    package = Path(str(resources.files("anomgen")))
    folders = (package / name, package.parent / (in_checkout or name))
    return next(folder for folder in folders if folder.is_dir())


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
        return home(str(where).removeprefix("file://"))
    url = str(where).rstrip("/")
    _path_at(url, match[1])
    return Remote(url)  # type: ignore[return-value]  # quacks like a Path as far as datasets need it


def _path_at(url: str, scheme: str) -> UPath:
    """Return universal_pathlib's path of a URL, its file system made. Raises UsageError where that is not possible."""
    extra, needed = ("hub", ("huggingface_hub", "fsspec", "upath")) if scheme == "hf" else ("ray", ("fsspec", "upath"))
    require(extra, f"{url}: a URL", *needed)
    import fsspec
    from upath import UPath

    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "UPath .* filesystem not explicitly implemented")
            path = UPath(url)
        _ = path.fs  # makes it, or says why that is not possible
        return path
    except ImportError as error:
        missing = getattr(error, "name", None)
        advice = f" (pip install {missing})" if missing and "nstall" not in str(error) else ""
        raise UsageError(f"{url}: the package for {scheme}:// is not installed: {error}{advice}") from None
    except OSError as error:  # an archive that is not there
        raise UsageError(f"{url}: {_said(url, error)}") from None
    except (TypeError, ValueError) as error:
        known = fsspec.available_protocols()
        if scheme in known:
            raise UsageError(f"{url}: {_said(url, error)}") from None
        nearest = near_miss(scheme, (name for name in known if abs(len(name) - len(scheme)) < 2), cutoff=0.7)
        others = f"; known are {', '.join(COMMON)} and what else fsspec.available_protocols() lists"
        raise UsageError(f"{url}: no file system is known for {scheme}://{nearest or others}") from None


def _said(url: str, error: Exception) -> str:
    """Return what a file system's error says, unless it may quote what it took of a password for a port or a path."""
    login = url.rpartition("@")[0].rpartition("://")[2]
    if ":" in login.partition("/")[0] and any(mark in login for mark in "/?#"):
        return "it cannot be used; in a name or password write / as %2F, ? as %3F and # as %23"
    return getattr(error, "strerror", None) or str(error)


@dataclass(frozen=True, order=True)
class Remote:
    """A file or a folder at a URL, with the part of `pathlib.Path` that datasets use; a `UPath` does the work.

    Object stores put a file in place whole; nothing locks a URL against a second run.

    Note: a `UPath` in a shell, for it takes a lost connection for a free place, remembers listings that another process
    may have changed, and writes ``sftp://me@host/x`` as ``sftp:///x``.
    """

    url: str

    def __str__(self) -> str:
        return self.url

    def __truediv__(self, name: str) -> Remote:
        return Remote(f"{self.url}/{name}")

    @property
    def name(self) -> str:
        """Return the last component."""
        return self._path.name

    @property
    def suffix(self) -> str:
        """Return the extension with its dot."""
        return self._path.suffix

    @property
    def parent(self) -> Remote:
        """Return the folder."""
        return Remote(self.url.rpartition("/")[0])

    def exists(self) -> bool:
        """Return whether there is such a file or folder."""
        return self._mode() is not None

    def is_dir(self) -> bool:
        """Return whether it is a folder."""
        return stat.S_ISDIR(self._mode() or 0)

    def is_file(self) -> bool:
        """Return whether it is a file."""
        return stat.S_ISREG(self._mode() or 0)

    def _mode(self) -> int | None:
        """Return the mode, None where nothing is."""
        with suppress(FileNotFoundError, NotADirectoryError):
            return int(self.stat().st_mode)
        return None

    def iterdir(self) -> Iterator[Remote]:
        """Yield what the folder holds; nothing when it is not there."""
        if self.is_dir():
            with self._talking() as path:
                names = [found.name for found in path.iterdir()]
            for name in names:
                yield self / name

    def glob(self, pattern: str) -> Iterator[Remote]:
        """Yield what of the folder's content matches a pattern of one level."""
        for found in self.iterdir():
            if fnmatchcase(found.name, pattern):
                yield found

    def open(self, mode: str = "rb") -> IO[bytes]:
        """Open the file for reading."""
        with self._talking() as path:
            return path.open(mode)

    def read_bytes(self) -> bytes:
        """Return the file's bytes. Raises FileNotFoundError."""
        with self._talking() as path:
            return bytes(path.fs.cat_file(path.path))  # in one request

    def read_text(self, encoding: str = "utf-8") -> str:
        """Return the file's text. Raises FileNotFoundError."""
        return self.read_bytes().decode(encoding)

    def unlink(self, missing_ok: bool = False) -> None:
        """Remove the file."""
        if not missing_ok or self.exists():
            with self._talking() as path:
                path.unlink()

    def stat(self) -> StatResultType:
        """Return the file's size and mode. Raises FileNotFoundError."""
        with self._talking() as path:
            return path.stat()

    @contextmanager
    def replacing(self) -> Iterator[IO[bytes]]:
        """Open a local temporary file that is uploaded when everything went well."""
        with temporary_folder() as folder, (folder / "upload").open("w+b") as file:
            yield file
            file.flush()
            with self._talking() as path:
                with suppress(Exception):  # not every file system has folders; what is wrong, the upload says
                    if path.fs.exists(path.path[: path.path.find("/", 1)]):  # never make a bucket of a mistyped name
                        path.parent.mkdir(parents=True, exist_ok=True)
                try:
                    path.fs.put_file(file.name, path.path)
                except FileNotFoundError as error:
                    raise AnomgenError(
                        f"{self.url}: there is no such bucket or repository: {_said(self.url, error)}"
                    ) from error

    @cached_property
    def _path(self) -> UPath:
        return _path_at(self.url, self.url.partition(":")[0])

    @contextmanager
    def _talking(self) -> Iterator[UPath]:
        """Give the path, its file system free of what it remembers; the errors of the file system name the URL."""
        path = self._path
        path.fs.invalidate_cache()  # another process may have written since
        try:
            yield path
        except (AnomgenError, FileNotFoundError):
            raise
        except Exception as error:  # each file system has errors of its own
            raise AnomgenError(f"{self.url}: {type(error).__name__}: {_said(self.url, error)}") from error


FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Errors of a system that has no room for a file."""


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Give a folder for files that nobody keeps. Raises Unwritable where the system has no room for them."""
    import tempfile

    def told(error: OSError) -> Unwritable:
        why = error.strerror or str(error)
        return Unwritable(f"temporary files cannot be written ({why}); free some room, or name a folder in TMPDIR")

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


def holds_file(path: Path) -> bool:
    """Return whether there is a regular file, or a URL. Raises UsageError for what is there and is none."""
    try:
        regular(path)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror or error}); put a copy of it in its place") from None
    return True


def file_in(folder: Path, name: str | Path) -> Path:
    """Return the path of a file in a folder that anybody may have filled. Raises OSError where a link leads out of it.

    The folder itself may be a link. A download of the Hub consists of links: of a folder ``snapshots/REVISION``, those
    into the ``blobs`` beside ``snapshots`` stay inside.
    """
    path = folder / name
    if isinstance(path, Remote):
        return path
    target, real, blobs = _resolved(path, folder)
    if not any(target.is_relative_to(home) for home in (real, *blobs)):
        raise OSError(errno.EINVAL, "a link leads out of the folder; put a copy in its place", str(path))
    return path


def _resolved(path: Path, folder: Path) -> tuple[Path, Path, list[Path]]:
    """Return where a path and a folder lead, and the folders of blobs where the folder is in a download of the Hub."""
    real = Path(os.path.realpath(folder))
    blobs = [up.parent.parent / "blobs" for up in (real, *real.parents) if up.parent.name == "snapshots"]
    return Path(os.path.realpath(path)), real, blobs


def foreign(path: Path, folder: Path) -> str | None:
    """Return why what is at a path cannot be published with a folder: a link to elsewhere may lead to a secret.

    None for a regular file of the folder, or in the blobs of a download of the Hub, and for nothing.
    """
    if isinstance(path, Remote) or not (path.is_symlink() or path.exists()):
        return None
    target, real, blobs = _resolved(path, folder)
    homes = blobs if path.is_symlink() else [real, *blobs]
    if target.is_file() and any(target.is_relative_to(home) for home in homes):
        return None
    return f"{path}: is a link, or no file; only files of the folder itself are published: copy it there, or remove it"


def read_within(path: Path, most: int) -> bytes:
    """Return the contents of a regular file, or of a URL.

    Raises OSError, FileNotFoundError among them, for what is none and for one of more than `most` bytes.
    """
    size = regular(path).stat().st_size
    if size <= most:
        if isinstance(path, Remote):
            return path.read_bytes()
        with path.open("rb") as file:
            data = file.read(size + 1)  # to ask for `most` would take that much memory
            while size < len(data) <= most and (more := file.read(CHUNK)):  # some say that they are empty
                data += more
        if len(data) <= most:
            return data
    bound = f"{most / 1e6:.3g} MB" if most < 1e9 else f"{most / 1e9:.3g} GB"
    raise OSError(errno.EINVAL, f"holds more than {bound}, too much for what it should be", str(path))


def readable(path: Path) -> Path | IO[bytes]:
    """Return what Parquet's reader takes: a path, or the opened file behind a URL. Raises OSError as `regular` does."""
    return path.open("rb") if isinstance(path, Remote) else regular(path)
