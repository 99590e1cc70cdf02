"""Sources that others wrote: what one raises is told with its name and the image, what it returns is verified."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np

from anomgen.errors import AnomgenError, SourceError, brief, lacks_memory
from anomgen.registry import BUNDLED
from anomgen.sources.base import Source, SourceConfig
from anomgen.sources.scan import ScannedSource

ALLOWED = "images are uint8 or uint16, (height, width, 1 or 3), all of one dtype and number of channels"


def open_source(config: SourceConfig) -> Source:
    """Return what a configuration opens; of a plug-in a source whose images are verified as they are read.

    Raises what `SourceConfig.open` raises, and SourceError, which names the plug-in, for whatever else one raises,
    `sys.exit` among it, and for a source without images.
    """
    if config.kind in BUNDLED["sources"]:
        return config.open()
    with _named(who := f"the plug-in source {config.kind!r}"):
        source = config.open()
        if not isinstance(source, Source):
            raise TypeError(f"open() must return a Source, not {type(source).__name__}")
        source.fingerprint()
        count = len(source)
    if not count:
        raise SourceError(f"{who}: it has no images; {ALLOWED}")
    return source if isinstance(source, ScannedSource) else PluggedSource(source, who)


class PluggedSource:
    """A source of a plug-in; all but its images is as it has it. See `Source`."""

    def __init__(self, source: Source, who: str):
        self.source, self.who = source, who
        self.form: tuple[np.dtype, int] | None = None
        self.form = self._form(self[0])

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> np.ndarray:
        """Return an image. Raises SourceError, with its name, for whatever the plug-in raises, and for what is none."""
        where = f"{self.who}: image {index} ({self.id(index)})"
        with _named(where):
            image: Any = self.source[index]
        form = self._form(image)
        if form is None or form != (self.form or form):
            found = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
            raise SourceError(f"{where} is {found}; {ALLOWED}")
        result: np.ndarray = image
        return result

    def id(self, index: int) -> str:
        """Return the image's name. Raises SourceError for whatever the plug-in raises."""
        with _named(f"{self.who}: the name of image {index}"):
            name = self.source.id(index)
            if not isinstance(name, str):
                raise TypeError(f"id({index}) must be a text, not {type(name).__name__}")
        return name

    def _form(self, image: Any) -> tuple[np.dtype, int] | None:
        """Return dtype and channels of an image; None for what is none."""
        if not isinstance(image, np.ndarray) or image.dtype not in (np.uint8, np.uint16) or image.ndim != 3:
            return None
        return (image.dtype, image.shape[2]) if image.shape[2] in (1, 3) else None

    def _asked(self, name: str, *arguments: Any) -> Any:
        with _named(f"{self.who}: {name}()"):
            return getattr(self.source, name)(*arguments)

    def __getattr__(self, name: str) -> Any:
        if name in ("source", "who", "form") or name.startswith("__"):  # not there yet while it is unpickled
            raise AttributeError(name)
        found = getattr(self.source, name)
        return partial(self._asked, name) if callable(found) else found


@contextmanager
def _named(where: str) -> Iterator[None]:
    """Turn what a plug-in raises in this block into a SourceError; errors of ours and lack of memory stay."""
    try:
        yield
    except (AnomgenError, KeyboardInterrupt):
        raise
    except BaseException as error:  # a plug-in may call sys.exit, and no run ends without a word
        if isinstance(error, Exception) and lacks_memory(error):
            raise
        raise SourceError(f"{where}: it raised {brief(error)}; tell its author") from error
