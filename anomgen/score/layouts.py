"""Where `listing` was before the layouts moved, for scripts that import it from here; it is of `sources.labelled`."""

from anomgen.sources.labelled import Listing, listing

__all__ = ["Listing", "listing"]
