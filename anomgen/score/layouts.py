"""Where `listing` was before: it is of `anomgen.sources.labelled`."""

from anomgen.sources.labelled import Found, Listing, listing

__all__ = ["Found", "Listing", "listing"]
