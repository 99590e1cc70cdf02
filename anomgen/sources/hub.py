"""Normal images from a Hugging Face dataset: an id on the Hub, a local folder of Parquet files, or a saved one."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, ClassVar
from urllib.parse import unquote

import yaml
from pydantic import BeforeValidator, Field

from anomgen.config.text import MAX_CARD, decoded, front_matter, read_yaml
from anomgen.errors import AnomgenError, SourceError, UsageError, near_miss, require
from anomgen.places import home, read_within
from anomgen.sources.base import PathText
from anomgen.sources.folder import missing_hint
from anomgen.sources.hub_license import license_of
from anomgen.sources.hub_rows import Rows, refuse_anomalous_rows, roots_of
from anomgen.sources.scan import Listed, ScannedConfig

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
"""owner/name, the only ids that the Hub gives today."""

_PART = re.compile(r"([^\[\]]+)\[(\d*):(\d+)\]")
"""A part of a split that can be read from its front: ``train[:100]``, ``train[50:100]``."""

_UNPACKED = re.compile(r"(?:zip|tar|gzip|bz2|xz|lz4|zstd)://")
"""How an address begins that names a file in an archive behind it."""

Label = Annotated[str, BeforeValidator(lambda value: str(value) if isinstance(value, int) else value)]
"""A label; numbers and booleans, as YAML reads 0 and False, are taken as text."""


def hub_folder(
    name: str | Path, files: Sequence[str], thing: str, maker: str, *, repo_type: str = "model", inside: str = ""
) -> Path:
    """Return the folder `name` itself, or a download of the repository of that id, OWNER/NAME, from the Hub.

    files: patterns of what to download. thing, maker: what errors call it, and the command that makes one, such as
    ``train sdas …``. inside: an ending of `name` that names a part of the repository. Raises UsageError when there is
    neither, MissingExtra when the Hub's library is not installed.
    """
    folder, repository = home(name), str(name).removesuffix(inside)
    if folder.is_dir():
        return folder
    if folder.exists():
        raise UsageError(f"{name}: is a file; give the folder that `anomgen {maker.removesuffix(' …')}` wrote")
    owner = Path(repository).parent
    if not HUB_ID.fullmatch(repository) or (owner.is_dir() and str(owner) != "."):
        raise UsageError(
            f"{name}: there is no such {thing}{missing_hint(folder)}; "
            f"`anomgen {maker} -o {shlex.quote(str(name))}` makes one"
        )
    require("hub", f"{name}: there is no such folder, and a download from the Hub", "huggingface_hub")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(repository, repo_type=repo_type, allow_patterns=list(files)))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UsageError(f"{name}: there is no such folder, and the Hub does not give it: {first}") from error


class Hub(ScannedConfig):
    """A column of images of a dataset; ids are ``SPLIT/ROW``."""

    kind: ClassVar[str] = "hub"

    path: PathText
    """An id ``owner/name`` or a local folder; either may end in ``:SPLIT``."""
    name: str | None = None
    """The dataset's configuration."""
    split: str | None = None
    """Default train; ``train[:100]`` takes a part, and of a dataset on the Hub only that part is downloaded."""
    revision: str | None = None
    """Branch, tag or commit on the Hub."""
    column: str | None = None
    """Default `image`, else the first column of images that are no masks."""
    label_column: str | None = None
    """Default the only column of class labels. Without it and `label`, rows that labels call anomalous are refused."""
    label: Label | None = None
    """Only the rows with this label; of numbers and booleans as in 0 or False."""
    ignored_columns: Annotated[tuple[str, ...], Field(strict=False)] = ()
    """Columns that do not say whether a row is normal: labels, masks or boxes of something else."""

    def listed(self) -> Listed:
        """Load the dataset and find the rows.

        Raises UsageError for a missing extra, dataset, split or column, and when the labels say that not all rows
        are normal; SourceError when the Hub cannot be reached.
        """
        path, split = self.path_and_split()
        with datasets_library() as datasets:
            dataset = load_split(datasets, self, path, split)
            rows = Rows(datasets, self._heeded(dataset), self.path, split, roots_of(datasets, path))
            column = _image_column(rows, self)
            chosen, notes = self.chosen(rows, column)
            reader = rows.reader(column)
            license = license_of(path, self.revision, dataset)
        entries = [(rows.id(row), row) for row in chosen]
        dataset_id = None if home(path).is_dir() else path
        return Listed(self.path, entries, reader, license.license, dataset_id, (*notes, *license.notes))

    def chosen(self, rows: Rows, column: str) -> tuple[list[int], tuple[str, ...]]:
        """Return the rows of normal images, and notes on those that were left out; column: that of the images."""
        if self.label is None and self.label_column is None:
            refuse_anomalous_rows(rows)
            chosen = list(range(len(rows)))
        else:
            chosen = _labelled_rows(rows, self)
        _, mask = rows.image_columns()
        kept, notes = rows.unmarked(chosen, None if mask == column else mask)
        if chosen and not kept:
            raise UsageError(f"{self.path}: no row is a normal image: {'; '.join(notes)}")
        return kept, notes

    def _heeded(self, dataset: Any) -> Any:
        """Return a dataset without the columns to ignore. Raises UsageError for one that is not there."""
        known = dataset.column_names
        unknown = next((name for name in self.ignored_columns if name not in known), None)
        if unknown is not None:
            raise UsageError(f"{self.path}: source.ignored_columns: {_no_such('column', unknown, known)}")
        return dataset.remove_columns(list(self.ignored_columns))

    def path_and_split(self) -> tuple[str, str]:
        """Return the id or folder, and the split that is meant."""
        path, _, after = self.path.partition(":")
        if not after or home(self.path).is_dir():
            return self.path, self.split or "train"
        if self.split not in (None, after):
            raise UsageError(f"source.split: {self.split!r}, but the path {self.path!r} says {after!r}; give one")
        return path, after


class HubPictures(Hub):
    """The same with every row, whatever it shows, for textures; refused where labels name normal rows beside others."""

    def chosen(self, rows: Rows, column: str) -> tuple[list[int], tuple[str, ...]]:  # noqa: ARG002
        """Return all rows. Raises UsageError where some are normal images, which would be no anomalies."""
        for labels in rows.told():
            if labels.normal and labels.others and not labels.are_flags:
                some = sorted(labels.normal)[0]
                raise UsageError(
                    f"{self.path}: {labels.column} is {some} beside {labels.others[0]}: pictures of normal images make "
                    "no anomalies; give a dataset without them"
                )
        return list(range(len(rows))), ()


@contextmanager
def datasets_library() -> Iterator[Any]:
    """Give the library with its progress bars and its log off."""
    require("hub", "a source of kind hub", "datasets")
    import datasets

    bars, loud = not datasets.are_progress_bars_disabled(), datasets.logging.get_verbosity()
    datasets.disable_progress_bars()
    datasets.logging.set_verbosity(datasets.logging.CRITICAL)  # what it logs, its errors say
    try:
        yield datasets
    finally:
        datasets.logging.set_verbosity(loud)
        if bars:
            datasets.enable_progress_bars()


def load_split(datasets: Any, config: Hub, path: str, split: str) -> Any:
    """Return the dataset of one split, or raise what the library's error means for the user."""
    folder = home(path)
    if not folder.is_dir() and not HUB_ID.fullmatch(path):
        raise UsageError(
            f"{path}: there is no such folder, nor is it an id OWNER/NAME of the Hub{missing_hint(folder)}"
        )
    _check_metadata(path, config.revision)
    try:
        if (folder / "state.json").is_file() or (folder / "dataset_dict.json").is_file():
            return _split_of(datasets.load_from_disk(str(folder)), path, split)
        target = str(folder) if folder.is_dir() else path
        part = None if folder.is_dir() or datasets.config.HF_HUB_OFFLINE else _PART.fullmatch(split)
        if part is not None:
            return _load_part(datasets, config, path, part[1], int(part[2] or 0), int(part[3]))
        return datasets.load_dataset(target, name=config.name, split=split, revision=config.revision)
    except (UsageError, MemoryError):
        raise
    except Exception as error:  # the library lets through whatever the libraries of the formats raise
        raise _explained(error, datasets, config, path, split) from error


def split_names(datasets: Any, config: Hub, path: str) -> list[str]:
    """Return the names of a dataset's splits, or raise what the library's error means for the user."""
    folder = home(path)
    _check_metadata(path, config.revision)
    try:
        if (folder / "state.json").is_file():
            return ["train"]
        if (folder / "dataset_dict.json").is_file():
            return list(datasets.load_from_disk(str(folder)))
        target = str(folder) if folder.is_dir() else path
        return list(datasets.get_dataset_split_names(target, config_name=config.name, revision=config.revision))
    except MemoryError:
        raise
    except Exception as error:  # as in `load_split`
        raise _explained(error, datasets, config, path, "train") from error


def _check_metadata(path: str, revision: str | None) -> None:
    """Raise UsageError where a dataset's metadata are no YAML or stand for too much: the library reads it all."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, LocalEntryNotFoundError

    folder = home(path)
    for name, read in (("README.md", front_matter), (".huggingface.yaml", read_yaml)):
        try:
            file = folder / name
            if not folder.is_dir():
                file = Path(hf_hub_download(path, name, repo_type="dataset", revision=revision)).resolve()
        except (HfHubHTTPError, OSError) as error:
            if isinstance(error, EntryNotFoundError) and not isinstance(error, LocalEntryNotFoundError):
                continue
            return  # the library says what is wrong
        where = str(folder / name) if folder.is_dir() else f"{path}: {name}"
        try:
            read(decoded(read_within(file, MAX_CARD)))
        except FileNotFoundError:
            continue
        except yaml.YAMLError as error:
            raise UsageError(f"{where}: the metadata in it is not valid YAML ({error}); mend or remove it") from None
        except ValueError as error:
            raise UsageError(f"{where}: {error}") from None
        except OSError as error:
            raise UsageError(f"{where}: cannot be read ({error.strerror or error})") from None


def _load_part(datasets: Any, config: Hub, path: str, split: str, first: int, last: int) -> Any:
    """Return some rows of a split on the Hub. They alone are downloaded, once, into the library's cache."""
    from huggingface_hub import HfApi

    if first >= last:
        raise UsageError(f"{path}: the part {split}[{first}:{last}] is empty")
    commit = str(HfApi().dataset_info(path, revision=config.revision).sha)  # the cache knows the rows by it
    stream = _stream(datasets, path, config.name, split, commit)
    where = {"path": path, "name": config.name, "split": split, "commit": commit, "first": first, "last": last}
    return datasets.Dataset.from_generator(_streamed, features=stream.features, gen_kwargs=where)


def _stream(datasets: Any, path: str, name: str | None, split: str, commit: str) -> Any:
    stream = datasets.load_dataset(path, name=name, split=split, revision=commit, streaming=True)
    return (stream if stream.features is not None else stream._resolve_features()).decode(False)


def _streamed(path: str, name: str | None, split: str, commit: str, first: int, last: int) -> Iterator[dict[str, Any]]:
    """Yield rows as they are stored, the images as they were encoded."""
    import datasets

    stream = _stream(datasets, path, name, split, commit)
    images = [column for column, feature in stream.features.items() if isinstance(feature, datasets.Image)]
    for row in stream.skip(first).take(last - first):
        yield {**row, **{column: _with_bytes(row[column], path) for column in images}}


def _with_bytes(cell: dict[str, Any] | None, dataset: str) -> dict[str, Any] | None:
    """Return an image's cell with the file's contents, which are elsewhere when the dataset is a folder of images.

    Raises SourceError where the cell names a file that is not in the dataset's repository.
    """
    import fsspec
    from huggingface_hub import constants

    if cell is None or cell["bytes"] is not None:
        return cell
    *unpacked, place = str(cell["path"]).split("::")  # what a file system in front of the last may read, is elsewhere
    own = place.startswith((f"hf://datasets/{dataset}@", f"{constants.ENDPOINT}/datasets/{dataset}/resolve/"))
    if not own or ".." in unquote(place).split("/") or not all(map(_UNPACKED.match, unpacked)):
        raise SourceError(f"{dataset}: a row names the file {str(cell['path'])[:200]!r}, which is not the dataset's")
    with fsspec.open(cell["path"], "rb") as file:
        return {"bytes": file.read(), "path": Path(cell["path"].partition("::")[0]).name}


def _explained(error: Exception, datasets: Any, config: Hub, path: str, split: str) -> AnomgenError:
    """Return what an error of the library means for the user."""
    from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError
    from pyarrow.lib import ArrowException

    unknown = (datasets.exceptions.DatasetNotFoundError, RepositoryNotFoundError, RevisionNotFoundError)
    if isinstance(error, unknown):
        return UsageError(
            f"{path}: there is no such folder, and the Hub has no such dataset or you may not read it (`hf auth login`)"
        )
    if isinstance(error, ConnectionError):
        return SourceError(
            f"{path}: there is no such folder, and the Hub cannot be reached to look for a dataset of this name "
            f"({error}); check the network and HF_HUB_OFFLINE, or give a local folder"
        )
    if isinstance(error, FileNotFoundError):
        return UsageError(f"{path}: holds no data that the library datasets can load ({error})")
    if isinstance(error, ValueError) and not isinstance(error, ArrowException):
        cause = f" ({error.__cause__})" if error.__cause__ else ""
        return UsageError(f"{path}: {_wrong_name(datasets, config, path, split) or f'{error}{cause}'}")
    return SourceError(f"{path}: cannot be loaded ({type(error).__name__}: {error})")


def _split_of(loaded: Any, path: str, split: str) -> Any:
    """Return one split of what `load_from_disk` gave: a dataset of one unnamed split, or one by name."""
    if not isinstance(loaded, dict):
        return loaded
    if split not in loaded:
        raise UsageError(f"{path}: {_no_such('split', split, list(loaded))}")
    return loaded[split]


def _wrong_name(datasets: Any, config: Hub, path: str, split: str) -> str | None:
    """Say which of configuration and split does not exist; None when both do."""
    target = str(home(path)) if home(path).is_dir() else path
    try:
        configs = datasets.get_dataset_config_names(target, revision=config.revision)
        if config.name is None and len(configs) > 1 and "default" not in configs:
            return f"has the configurations {', '.join(configs)}; choose one with --set source.name={configs[0]}"
        if config.name is not None and config.name not in configs:
            return _no_such("configuration", config.name, configs)
        splits = datasets.get_dataset_split_names(target, config_name=config.name, revision=config.revision)
    except Exception:  # then the error that brought us here says more
        return None
    name = split.partition("[")[0]
    return None if name in splits else _no_such("split", name, splits)


def _no_such(what: str, name: str, known: list[str]) -> str:
    return f"no {what} {name!r} (there is {', '.join(known) or 'none'}){near_miss(name, known)}"


def _image_column(rows: Rows, config: Hub) -> str:
    images, mask = rows.image_columns()
    images = [*images, mask] if mask else images
    if config.column is None and images:
        return images[0]
    if config.column is not None and config.column in images:
        return config.column
    found = ", ".join(
        f"{name} ({getattr(feature, 'dtype', None) or type(feature).__name__})"
        for name, feature in rows.features.items()
    )
    if config.column is None:
        raise UsageError(f"{config.path}: has no column of images; its columns are {found}")
    if config.column in rows.features:
        raise UsageError(f"{config.path}: column {config.column!r} does not hold images; its columns are {found}")
    raise UsageError(f"{config.path}: {_no_such('column of images', config.column, images)}")


def _labelled_rows(rows: Rows, config: Hub) -> list[int]:
    """Return the rows with the label that is wanted."""
    classes = rows.class_columns()
    column = config.label_column or (classes[0] if len(classes) == 1 else None)
    if column is None:
        raise UsageError(
            f"{config.path}: source.label needs source.label_column; class labels: {', '.join(classes) or 'none'}"
        )
    if column not in rows.features:
        raise UsageError(f"{config.path}: {_no_such('column', column, list(rows.features))}")
    labels = rows.labels(column)
    known = sorted(set(labels) - {""})
    if config.label is None:
        raise UsageError(f"{config.path}: source.label_column needs source.label, one of {', '.join(known)}")
    fits = {config.label} & set(known) or {label for label in known if label.lower() == config.label.lower()}
    if not fits:
        raise UsageError(f"{config.path}: {_no_such(f'{column}', config.label, known)}")
    return [row for row, label in enumerate(labels) if label in fits]
