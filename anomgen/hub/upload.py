"""What is pushed: the files of a dataset or of a trained model, the card that goes with them, and what binds both."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path, PurePosixPath
from shlex import quote
from typing import Any

from anomgen.banks.card import HERE as BANK_HERE
from anomgen.banks.card import front_matter as bank_front_matter
from anomgen.banks.card import render_card as render_bank_card
from anomgen.banks.folder import RECORD as BANK_RECORD
from anomgen.banks.folder import WRITTEN, Bank, is_bank
from anomgen.cards import TAG, Card, listed
from anomgen.dataset.card import HERE, front_matter, render_card
from anomgen.dataset.reader import SHARD_PATTERN, Dataset
from anomgen.dataset.statistics import statistics
from anomgen.errors import UsageError
from anomgen.files import json_object
from anomgen.licenses import first_conflict, forbidden, known, unfit, unlisted
from anomgen.models.folder import PICKLES, recorded_licenses
from anomgen.places import foreign, read_within

MODEL_MARKS = ("model_index.json", "anomgen_model.json")
"""Files that make a folder a trained model: of diffusers, and of anomgen's own."""
RECORDS = ("training.json", "anomgen_model.json")
PICTURE_BYTES = 5_000_000
"""Larger pictures are not pushed with a model, even when its card shows them."""

MAX_FOLDER_FILES = 10_000
"""Files that the Hub takes in one folder."""
MAX_FILE_BYTES = 50 * 10**9
"""Bytes that the Hub takes in one file."""

PIPELINE = Path(str(resources.files("anomgen"))) / "models" / "sdas" / "pipeline.py"
"""The only code that is published, whatever a folder holds under this name."""
PIPELINE_CLASS = "SDASPipeline"
MAX_CODE = 1 << 20
"""Bytes of a pipeline that is compared with ours."""

_CONFIG_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_HERE = re.compile(r"\bTHIS_FOLDER(?:_OR_REPOSITORY)?\b")
"""How a model's card calls the place where the model is, as long as nobody knows where it is published."""
_PICTURE = re.compile(r"!\[[^\]]*\]\(([^)\s]+)\)")


class NoLicense(UsageError):
    """Nobody has said under which licence something may be published."""


@dataclass(frozen=True)
class Upload:
    """Files by their path in the repository, and what the card is to say of them."""

    kind: str
    """``dataset`` or ``model``."""
    folder: Path
    name: str
    """Of the dataset's configuration; ``model`` for a model."""
    files: dict[str, Path]
    card: Card
    sources: tuple[str | None, ...]
    """Licences of everything that it was made of, None where one is not known."""
    record: str
    """Path in the repository of the file that says what this is."""
    identity: Callable[[Mapping[str, Any]], Any]
    """What of such a file differs between two things that have one name."""
    summary: str
    """What it is, in a few words, for the commit."""
    left_out: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    dataset: Dataset | None = None

    def is_stale(self, path: str) -> bool:
        """Return whether a file of the repository is a shard of this configuration that is no longer part of it."""
        place = PurePosixPath(path)
        is_shard = str(place.parent) == f"{self.name}/data" and SHARD_PATTERN.fullmatch(place.name) is not None
        return self.kind == "dataset" and is_shard and path not in self.files


def upload_of(folder: Path, repo_id: str, config: str | None, license: str | None) -> Upload:
    """Return what is to be pushed of a folder: a dataset, a bank of defects, or a model.

    config: name of a dataset's configuration, by default its recipe's. license: stands for that of the folder's own
    card and records. Raises UsageError when the folder is none of these, or has no licence.
    """
    if is_bank(folder):
        upload = _bank(Bank(folder), repo_id, config, license)
    elif not is_model(folder):
        upload = _dataset(Dataset(folder), repo_id, config, license)
    elif config is not None:
        raise UsageError("--config: a model has no configurations")
    else:
        upload = _model(folder, repo_id, license)
    for file in upload.files.values():
        if file != PIPELINE:
            _require_own(file, folder)
    return upload


def is_model(folder: Path) -> bool:
    """Return whether a folder holds a trained model."""
    return any((folder / name).is_file() for name in MODEL_MARKS)


def model_kind(folder: Path) -> str:
    """Return which kind of model a folder holds: ``sdas``, ``cyclegan``, ``classifier`` or ``detector``."""
    record = next((folder / name for name in RECORDS if (folder / name).is_file()), None)
    return "sdas" if record is None else str(_read_record(record).get("kind"))


def config_name(name: str) -> str:
    """Return the name of a configuration. Raises UsageError for one that cannot be it."""
    if not _CONFIG_NAME.fullmatch(name):
        raise UsageError(
            f"--config {name}: a name has letters, digits, '.', '_' and '-', and begins with one of the first"
        )
    return name


# --- datasets -------------------------------------------------------------------------------------------------------


def _dataset(dataset: Dataset, repo_id: str, config: str | None, license: str | None) -> Upload:
    name = config_name(config or str(dataset.recipe.get("name")))
    folder = dataset.path
    if "train" not in dataset.splits:
        raise UsageError(
            f"{folder}: there is no data/train-*.parquet, so rows are lost; `anomgen check {folder}` says which"
        )
    files = {f"{name}/data/{shard.name}": shard for shard in dataset.shards}
    for extra in ("recipe.yaml", "provenance.json", "preview.png"):
        if (folder / extra).exists():
            files[f"{name}/{extra}"] = folder / extra
    provenance = dataset.provenance
    sources = (provenance["source"].get("license"), *provenance.get("licenses", ()))
    _refuse_derivatives(folder, sources)
    card = _dataset_card(dataset, repo_id, name, license)
    rows = sum(split["num_examples"] for split in card.data["dataset_info"][0]["splits"])
    return Upload(
        kind="dataset",
        folder=folder,
        name=name,
        files=files,
        card=card,
        sources=sources,
        record=f"{name}/provenance.json",
        identity=_identity,
        summary=f"{name}, {rows} rows, recipe {provenance['recipe_fingerprint']}",
        dataset=dataset,
    )


def _identity(record: Mapping[str, Any]) -> Any:
    source = record.get("source")
    return record.get("recipe_fingerprint"), source.get("fingerprint") if isinstance(source, dict) else None


def _bank(bank: Bank, repo_id: str, config: str | None, license: str | None) -> Upload:
    name, folder = config or str(bank.record["name"]), bank.path
    if bank.proposed:
        raise UsageError(f"{folder}: {len(bank.proposed)} of its masks are proposals; approve them, anomgen bank --yes")
    own = _own_card(folder)
    if own is None:
        raise UsageError(f"{folder}: a bank is published with its card, and there is no README.md; make it again")
    _refuse_derivatives(folder, [bank.license])
    license = _license(license, own, [bank.license], folder)
    fresh = bank_front_matter(bank, license)
    text = own.text
    if text == Card.parse(render_bank_card(bank), "card").text:  # not edited: it can say the licence that is given now
        text = Card.parse(render_bank_card(bank, license), "card").text
    place = f"{repo_id}:{name}"
    for here, there in (
        (f"generator.bank={BANK_HERE}", f"generator.bank={place}"),
        (f'"{BANK_HERE}"', f'"{repo_id}", "{name}"'),
        ("](preview.png)", f"]({name}/preview.png)"),
    ):
        text = text.replace(here, there)
    data = {**fresh, **own.data, "license": license}
    data["configs"] = [{"config_name": name, "data_files": [{"split": "train", "path": f"{name}/data/train-*"}]}]
    data["dataset_info"] = [{"config_name": name, **fresh["dataset_info"]}]
    files = {file: folder / file for file in WRITTEN if file != "README.md" and (folder / file).is_file()}
    return Upload(
        kind="dataset",
        folder=folder,
        name=config_name(name),
        files={f"{name}/{file}": path for file, path in files.items()},
        card=Card(data, text),
        sources=(bank.license,),
        record=f"{name}/{BANK_RECORD}",
        identity=lambda record: record.get("anomgen_bank"),
        summary=f"{name}, a bank of {len(bank)} defects",
    )


def _dataset_card(dataset: Dataset, repo_id: str, name: str, license: str | None) -> Card:
    """Return the folder's card as a chapter of the repository's; a text that the user has edited stays as it is."""
    recipe, provenance, stats = dataset.recipe, dataset.provenance, statistics(dataset)
    rendered = Card.parse(render_card(dataset, provenance, recipe, stats), "card")
    own = _own_card(dataset.path)
    if own is None:
        raise UsageError(
            f"{dataset.path}: a dataset is published with its card, and there is no README.md; write it anew: anomgen "
            f"make --recipe {quote(str(dataset.path / 'recipe.yaml'))} --source WHERE_THE_IMAGES_ARE -o "
            f"{quote(str(dataset.path))} --finish"
        )
    fresh = front_matter(dataset, provenance, recipe, stats)
    license = _license(license, own, [fresh["license"]], dataset.path)
    text = own.text
    if own.text == rendered.text:  # not edited: it can say the licence that is given now
        text = Card.parse(render_card(dataset, provenance, {**recipe, "license": license}, stats), "card").text
    for here, there in (
        (f'"{HERE}"', f'"{repo_id}", "{name}"'),
        ("](preview.png)", f"]({name}/preview.png)"),
        ("`recipe.yaml` and `provenance.json`", f"`{name}/recipe.yaml` and `{name}/provenance.json`"),
        ("--recipe recipe.yaml", f"--recipe {name}/recipe.yaml"),
    ):
        text = text.replace(here, there)
    files = [{**one, "path": f"{name}/{one['path']}"} for one in fresh["configs"][0]["data_files"]]
    entry = {"config_name": name, "data_files": files}
    data = {**fresh, **own.data, "license": license, "configs": [entry]}
    data["dataset_info"] = [{"config_name": name, **fresh["dataset_info"]}]
    data["tags"] = list(dict.fromkeys([*listed(own.data.get("tags")), *fresh["tags"]]))
    return Card(data, text)


# --- models ---------------------------------------------------------------------------------------------------------


def _model(folder: Path, repo_id: str, license: str | None) -> Upload:
    own = _own_card(folder)
    if own is None:
        raise UsageError(f"{folder}: a model is published with its card, and there is no README.md; train it again")
    record = next((name for name in RECORDS if (folder / name).is_file()), None)
    if record is None:
        raise UsageError(f"{folder}: a model is published with its record, and there is no {' or '.join(RECORDS)}")
    content = _read_record(folder / record)
    if content.get("finished") is False:
        raise UsageError(f"{folder}: its training is not finished; go on with `anomgen train … --resume`")
    sources = recorded_licenses(folder, record)
    _refuse_derivatives(folder, sources)
    license = _license(license, own, list(dict.fromkeys(sources)) if len(set(sources)) == 1 else [], folder)
    files, left_out = _model_files(folder, own.text)
    data = {**own.data, "license": license}
    data["tags"] = list(dict.fromkeys([*listed(own.data.get("tags")), TAG]))
    return Upload(
        kind="model",
        folder=folder,
        name="model",
        files=files,
        card=Card(data, _HERE.sub(repo_id, own.text)),
        sources=sources,
        record=record,
        identity=lambda record: (record.get("kind"), record.get("data")),
        summary=f"model {content.get('kind', '')}".strip(),
        left_out=left_out,
        notes=_pipeline_notes(folder, files),
    )


def _model_files(folder: Path, text: str) -> tuple[dict[str, Path], tuple[str, ...]]:
    """Return what is needed to use a model, by path, and the names of what is not. Raises UsageError for pickles."""
    shown = {PurePosixPath(path).as_posix() for path in _PICTURE.findall(text)}
    files, left_out = {}, []
    for file in sorted(folder.rglob("*")):
        path = file.relative_to(folder).as_posix()
        parts = path.split("/")
        if not file.is_file() or path == "README.md" or any(part.startswith(".") for part in parts):
            continue
        if path == "pipeline.py" and _needs_pipeline(folder):
            files[path] = PIPELINE
        elif any(part.startswith("checkpoint") for part in parts):
            left_out.append(path)
        elif file.suffix in PICKLES:
            raise UsageError(f"{file}: may hold pickled code, which is not published; save weights as safetensors")
        elif _is_needed(path) or (path in shown and file.stat().st_size <= PICTURE_BYTES):
            files[path] = file
        else:
            left_out.append(path)
    if not any(path.endswith(".safetensors") for path in files):
        raise UsageError(f"{folder}: holds no weights (*.safetensors)")
    return files, tuple(left_out)


def _is_needed(path: str) -> bool:
    return path.endswith((".json", ".safetensors"))


def _needs_pipeline(folder: Path) -> bool:
    """Return whether diffusers reads a model by the code of our pipeline."""
    index = folder / "model_index.json"
    return index.is_file() and _read_record(index).get("_class_name") == PIPELINE_CLASS


def _pipeline_notes(folder: Path, files: Mapping[str, Path]) -> tuple[str, ...]:
    """Return a note where the folder's code is not what is published: whoever loads the model executes it."""
    if not (folder / "pipeline.py").is_file():
        return ()
    own = files.get("pipeline.py")
    if own is None:
        return ("pipeline.py is not published: the model does not need it",)
    try:
        is_ours = read_within(folder / "pipeline.py", MAX_CODE) == own.read_bytes()
    except OSError:
        is_ours = False
    return () if is_ours else ("pipeline.py differs from that of this anomgen, whose own is published instead",)


# --- both -----------------------------------------------------------------------------------------------------------


def check_license(given: str | None) -> None:
    """Raise UsageError for what names no licence that a card on the Hub can have; None is none given."""
    if given is not None and (fault := unfit(given) or unlisted(given)):
        raise UsageError(f"--license: {fault}")
    if given is not None and known(given) is None:
        raise UsageError(f"--license {given}: names no licence; give one such as cc-by-4.0")


def _own_card(folder: Path) -> Card | None:
    file = folder / "README.md"
    _require_own(file, folder)
    return Card.read(folder)


def _license(given: str | None, own: Card, recorded: list[str | None], folder: Path) -> str:
    """Return the licence to publish under: as given, as in the folder's card, or as recorded."""
    check_license(given)
    if len(own.licenses) > 1 and given is None:
        raise UsageError(f"{folder}: its card names {len(own.licenses)} licences; choose one with --license")
    for license in (given, *own.licenses, *recorded):
        if name := known(license):
            if fault := unlisted(name):
                raise UsageError(f"{folder}: {fault}")
            return name
    raise NoLicense(
        f"{folder}: its licence is not known, and nothing is published without one; it is that of the source images "
        "and of what else went into it (textures, banks, models), so find that out and give it, for instance --license "
        "cc-by-4.0 (your own pictures: any that you choose)"
    )


def check_terms(upload: Upload) -> None:
    """Raise UsageError when the terms of a source do not allow the licence that something is to be published under."""
    license = str(upload.card.data["license"])
    if reason := first_conflict(upload.sources, license):
        raise UsageError(f"{upload.folder}: made of images whose licence does not allow {license}: {reason}")


def _refuse_derivatives(folder: Path, sources: Iterable[str | None]) -> None:
    """Raise UsageError when something that it was made of forbids to publish what is derived from it."""
    if reason := forbidden(sources):
        raise UsageError(f"{folder}: {reason}, and this is: it cannot be pushed")


def _read_record(file: Path) -> dict[str, Any]:
    try:
        return json_object(file)
    except (ValueError, OSError) as error:
        raise UsageError(f"{file}: damaged ({error})") from None


def _require_own(file: Path, folder: Path) -> None:
    """Raise UsageError for what is there but no regular file of the folder itself."""
    if fault := foreign(file, folder):
        raise UsageError(fault)


def check_size(upload: Upload) -> None:
    """Raise UsageError when the Hub would not take so many or such large files."""
    folders = Counter(str(PurePosixPath(path).parent) for path in upload.files)
    folder, count = folders.most_common(1)[0]
    if count > MAX_FOLDER_FILES:
        raise UsageError(
            f"{upload.folder}: {count} files in {folder}, the Hub takes {MAX_FOLDER_FILES} in a folder; make the "
            "dataset with a larger shard_size"
        )
    for path, file in upload.files.items():
        if file.stat().st_size > MAX_FILE_BYTES:
            raise UsageError(
                f"{file}: has {file.stat().st_size / 1e9:.0f} GB, the Hub takes {MAX_FILE_BYTES / 1e9:.0f} in {path}; "
                "make the dataset with a smaller shard_size"
            )
