"""Licences: which may follow from which, and which one the files beside pictures say that they are under."""

from anomgen.licenses.beside import Evidence, license_beside, license_in, license_of_card
from anomgen.licenses.reading import text_of
from anomgen.licenses.terms import (
    OTHER,
    conflict,
    first_conflict,
    forbidden,
    inherited,
    known,
    normalised,
    unfit,
    unlisted,
)

__all__ = [
    "OTHER",
    "Evidence",
    "conflict",
    "first_conflict",
    "forbidden",
    "inherited",
    "known",
    "license_beside",
    "license_in",
    "license_of_card",
    "normalised",
    "text_of",
    "unfit",
    "unlisted",
]
