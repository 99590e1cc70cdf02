"""The errors that reach a user: each says what is wrong, where, and what to do."""


class AnomgenError(Exception):
    """Something failed while running; the command line exits with 1."""

    exit_code = 1


class UsageError(AnomgenError):
    """The request itself is wrong (option, recipe, path that is not there); exits with 2."""

    exit_code = 2


class RecipeError(UsageError):
    """A recipe does not say something valid; names the file and the key."""


class SourceError(AnomgenError):
    """The images of a source cannot be used; names the image."""


def near_miss(name: str, known: "list[str] | tuple[str, ...]") -> str:
    """Return ``"; did you mean 'x'?"`` for the known name nearest to `name`, or an empty string."""
    import difflib

    matches = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {matches[0]!r}?" if matches else ""
