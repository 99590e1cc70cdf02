"""A source of many images before all of them are checked, for looking at: its images are read when they are wanted."""

from __future__ import annotations

import numpy as np

from anomgen.errors import SourceError
from anomgen.files import fingerprint_of
from anomgen.sources.base import Source, SourceConfig
from anomgen.sources.images import fit_image, read_image
from anomgen.sources.pixels import to_channels
from anomgen.sources.scan import Listed, ScannedConfig
from anomgen.sources.value_range import ValueRange

MANY, HEAVY = 64, 4 << 20
"""Images, and bytes of them all, from which on the check takes longer than one waits for a picture."""
LOOKED_AT = 16
"""Images, evenly spaced, that the others are taken to be like."""


def glimpse_of(config: SourceConfig) -> Glimpse | None:
    """Return the images that a configuration finds, unchecked; None where the check must come first.

    So it is for few images, for those that are opened in another way than by a check, and where what all images have
    decides what one looks like: of 16 bits, with a range, or without those that show no object. Raises what
    `ScannedConfig.listed` raises.
    """
    if not isinstance(config, ScannedConfig) or type(config).open is not ScannedConfig.open:
        return None
    if config.range not in ("auto", (0, 255)) or config.on_no_object == "skip":
        return None
    listed = config.listed()
    if len(listed.entries) < MANY:
        return None
    try:
        if len(listed.entries) * len(listed.read(listed.entries[0][1])) < HEAVY:
            return None
        return Glimpse(config, listed)
    except SourceError:  # the check names all that cannot be used
        return None


class Glimpse:
    """Images as the check will find them if none is refused; see `Source`.

    Raises SourceError for the configuration when those that are looked at first are not of 8 bits or cannot be used.
    """

    value_range: ValueRange | None = None
    skipped: tuple[str, ...] = ()

    def __init__(self, config: ScannedConfig, listed: Listed):
        self.license, self.dataset, self.notes = listed.license, listed.dataset, listed.notes
        self.shape, self.fit = config.shape, config.fit
        self._config, self._listed, self._channels = config, listed, 3
        self._checked: Source | None = None
        places = sorted({round(place) for place in np.linspace(0, len(self) - 1, LOOKED_AT)})
        self._channels = max(self._read(place).shape[2] for place in places)

    def __len__(self) -> int:
        return len(self._listed.entries)

    def __getitem__(self, index: int) -> np.ndarray:
        """Return an image as `ScannedSource` does. Raises SourceError for one that is unlike those looked at."""
        if self._checked is not None:
            return self._checked[index]
        image = to_channels(self._read(range(len(self))[index]), self._channels)
        image.flags.writeable = False
        return image

    def id(self, index: int) -> str:
        """Return the image's name."""
        return self._listed.entries[index][0]

    def fingerprint(self) -> str:
        """Return that of the check once it is done; before, a hash of the names."""
        if self._checked is not None:
            return self._checked.fingerprint()
        return fingerprint_of(
            {"unchecked": [name for name, _ in self._listed.entries], "config": self._config.config()}
        )

    def confirmed(self, source: Source) -> bool:
        """Return whether a check has found the same images; from then on they are read from what it returned."""
        same = len(source) == len(self) and all(source.id(k) == self.id(k) for k in range(len(self)))
        if same and source[0].shape[2] == self._channels and source[0].dtype == np.uint8:
            self._checked = source
        return self._checked is not None

    def _read(self, index: int) -> np.ndarray:
        name, key = self._listed.entries[index]
        image = fit_image(read_image(self._listed.read(key), name), self._config.size, self._config.fit, name)
        if image.dtype != np.uint8 or image.shape[2] > self._channels:
            raise SourceError(f"{name}: is of {image.dtype}, with {image.shape[2]} channels, unlike the first images")
        return image
