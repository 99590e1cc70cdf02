"""Which licence a data set of Hugging Face is under, on the Hub or in a folder: what its card and its files say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from anomgen.errors import SourceError
from anomgen.licenses import OTHER, Evidence, known, license_beside, license_of_card, text_of
from anomgen.places import home
from anomgen.sources.tree import tree_of

_BESIDE = [
    f"{name}{end}" for name in ("LICENSE", "LICENCE", "COPYING", "NOTICE", "TERMS") for end in ("", ".txt", ".md")
]
"""Files of a repository that are downloaded for what they say of the licence, or take back of it."""


def _told_on_the_hub(path: str, revision: str | None) -> Evidence:
    import huggingface_hub
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    where: dict[str, Any] = {"repo_type": "dataset", "revision": revision}
    try:
        card = huggingface_hub.hf_hub_download(path, "README.md", **where)
        told = license_of_card(text_of(Path(card)), title=Path(path).name)
    except LocalEntryNotFoundError:
        raise
    except EntryNotFoundError:  # it has none
        told = Evidence()
    return (
        told
        if told.file
        else license_beside(Path(huggingface_hub.snapshot_download(path, allow_patterns=_BESIDE, **where)))
    )


def _told_in(folder: Path) -> Evidence:
    files = tree_of(folder)
    rows = [name for name in files.others if name.endswith((".parquet", ".arrow"))]
    return license_beside(folder, pictures=[*files.pictures, *rows])


def license_of(path: str, revision: str | None, dataset: Any) -> Evidence:
    """Return the licence that the dataset's card, the files beside it, or else its information, names.

    See `license_of_card` and `license_beside`; on the Hub the files are looked at where the card says nothing.
    """
    from huggingface_hub import constants
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    folder = home(path)
    try:
        told = _told_in(folder) if folder.is_dir() else _told_on_the_hub(path, revision)
    except (EntryNotFoundError, OSError) as error:
        is_local = isinstance(error, LocalEntryNotFoundError)  # the Hub was not reached, or failed
        if (is_local and not constants.HF_HUB_OFFLINE) or not isinstance(error, EntryNotFoundError):
            raise SourceError(f"{path}: its card, which names the licence, cannot be read: {error}") from error
        told = Evidence()
    license = dataset.info.license
    if told.file or not isinstance(license, str) or known(license) in (None, OTHER):
        return told
    return Evidence(license, "dataset_info.json", f"license: {license}")
