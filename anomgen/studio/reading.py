"""Opening the photos: of many some are shown at once, and all are checked meanwhile."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Any

from PIL import Image

from anomgen.errors import AnomgenError, listening
from anomgen.files import fingerprint_of
from anomgen.making.threads import single_threaded
from anomgen.places import regular
from anomgen.sources.base import Source, SourceConfig
from anomgen.sources.glimpse import Glimpse, glimpse_of
from anomgen.sources.images import quiet
from anomgen.sources.plugged import open_source

TRIED = 16
"""Files among which the first picture is looked for."""
ORIENTATION, UPRIGHT = 0x0112, 4
"""The tag of EXIF, and the last of its values that leave height and width as they are."""


class Reading:
    """Opens sources, says how far that is, and after which check something else is to be seen than before.

    A row that is drawn at a glimpse is the row of `make` unless the check refuses an image; then `stamp` grows, and
    whoever opens the source again gets what the check found.
    """

    def __init__(self) -> None:
        self.stamp = 0
        self._at: tuple[int, int, str] | None = None
        self._checks: dict[str, tuple[Glimpse, threading.Thread]] = {}
        self._found: dict[str, Source] = {}
        self._refused: dict[str, AnomgenError] = {}
        self._drawing = 0
        self._free = threading.Condition()
        self._closed = False

    def open(self, config: SourceConfig) -> Source:
        """Return a source, at a glimpse where it holds many images.

        Raises what `open_source` raises; what a check beside it refused, until `anew`.
        """
        key = fingerprint_of(config.config())
        if key in self._checks:
            return self._checks[key][0]
        if key in self._refused:
            raise self._refused[key]
        if key in self._found:
            return self._found.pop(key)
        glimpse = glimpse_of(config)
        if glimpse is None:
            return open_source(config)
        thread = threading.Thread(target=self._check, args=(key, config, glimpse), daemon=True)
        self._checks[key] = glimpse, thread
        thread.start()
        return glimpse

    def anew(self) -> None:
        """Let sources that were refused be looked at once more."""
        self._refused.clear()

    def told(self) -> dict[str, Any]:
        """Return how much of how much is done of what the page waits for, or of the check beside it; and `stamp`."""
        done, total, what = self._at or (0, 0, "")
        return {"stamp": self.stamp, "done": done, "total": total, "what": what, "checking": bool(self._checks)}

    @contextmanager
    def drawing(self) -> Iterator[None]:
        """Let the check wait while, in this block, something is drawn; tell what that in its turn waits for."""
        with self._free:
            self._drawing += 1
        try:
            with listening(self._tell):
                yield
        finally:
            self._at = None
            with self._free:
                self._drawing -= 1
                self._free.notify_all()

    def close(self) -> None:
        """End the checks."""
        with self._free:
            self._closed = True
            self._free.notify_all()
        for _, thread in list(self._checks.values()):
            thread.join()

    def _tell(self, done: int, total: int, note: str = "", /) -> None:
        self._at = done, total, note

    def _check(self, key: str, config: SourceConfig, glimpse: Glimpse) -> None:
        def progress(done: int, total: int, note: str = "", /) -> None:
            with self._free:
                self._free.wait_for(lambda: not self._drawing or self._closed)
            if self._closed:
                raise _Closed
            self._tell(done, total, note)

        try:
            progress(0, 0)  # even finding the files waits while something is drawn
            with listening(progress), single_threaded():
                source = config.open()
            if not glimpse.confirmed(source):
                self._found[key] = source
        except _Closed:
            return
        except AnomgenError as error:
            self._refused[key] = error
        except Exception as error:
            self._refused[key] = AnomgenError(f"{type(error).__name__}: {error}")
        del self._checks[key]
        self._at = None
        if key in self._found or key in self._refused:
            self.stamp += 1


def aspect_of(folder: Path) -> float | None:
    """Return height / width, upright, of the first picture in a folder; None where none is found soon."""
    files = (Path(place) / name for place, _, names in os.walk(folder) for name in sorted(names))
    for file in islice(files, TRIED):
        with suppress(Exception), quiet(), Image.open(regular(file)) as picture:  # whatever a file is, the check says
            width, height = picture.size
            turned = picture.getexif().get(ORIENTATION, 1) > UPRIGHT
            return width / height if turned else height / width
    return None


class _Closed(Exception):
    """Nobody waits for the check any more."""
