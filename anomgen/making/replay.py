"""Make one sample of a finished dataset again, from its record alone, and say whether it is bit-identical."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anomgen.config import portable_path
from anomgen.config.text import Overrides, changed
from anomgen.dataset.reader import Dataset
from anomgen.dataset.writer import Encoder
from anomgen.errors import AnomgenError, UsageError
from anomgen.making.engine import Plan, Recipe, Renderer
from anomgen.making.memory import recalled_source
from anomgen.making.recipe import parse_recipe
from anomgen.making.threads import single_threaded
from anomgen.sources import detect
from anomgen.sources.base import Source
from anomgen.sources.objects import opened
from anomgen.sources.plugged import open_source
from anomgen.sources.pool import Pool
from anomgen.synthesis.detectability import Detectability
from anomgen.versions import processor, versions


@dataclass(frozen=True)
class Replay:
    """One sample made again: the columns that came out different (none if all is well) and why they may have."""

    index: int
    different: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def identical(self) -> bool:
        """Return whether every column came out the same, images byte for byte."""
        return not self.different


def replay(
    dataset: Dataset | str | Path,
    index: int,
    source: str | Path | None = None,
    overrides: Overrides = (),
) -> Replay:
    """Draw row `index` of a finished dataset again and compare it with what is stored.

    source: where the normal images are now; by default where the recipe says or where they were when the dataset
    was made here. Raises UsageError when they are not there or are other images.
    """
    dataset = Dataset.of(dataset)
    dataset.cells(index)  # that it is not there is told before the source is opened
    return replay_by(reopened(dataset, source, overrides), dataset, index)


def replay_by(plan: Plan, dataset: Dataset, index: int) -> Replay:
    """Draw a row again by the plan that `reopened` returned, which serves all rows of the dataset."""
    stored = dataset.cells(index)
    with single_threaded():
        made = Encoder(dataset.columns).cells(Renderer(plan).row(index))
    different = tuple(name for name in dataset.columns.names if made[name] != stored[name])
    notes = _version_notes(dataset.provenance, plan.generator.uses_network) if different else ()
    return Replay(index, different, tuple(notes))


def reopened(dataset: Dataset, source: str | Path | None = None, overrides: Overrides = ()) -> Plan:
    """Return the plan of a finished dataset, its source opened again and compared with the recorded fingerprint."""
    recipe = dataset_recipe(dataset, source, overrides)
    with single_threaded():
        found = opened(recipe.source, recipe.foreground)
    _same_source(found.source, dataset)
    plan = Plan.of(recipe, found, recorded_fit(dataset))
    before, now = dataset.provenance["resolved"].get("resources", {}), plan.resolved["resources"]
    for key in sorted({*before, *now}):
        if before.get(key) != now.get(key):
            raise UsageError(
                f"the files under {key} are not those that {dataset.path} was made from; say where those are with "
                f"--set {_place_key(key)}=FOLDER"
            )
    return plan


def recorded_fit(dataset: Dataset) -> Detectability | None:
    """Return the normal boundary that a dataset's detectability was measured by; None where none is recorded."""
    record = dataset.provenance.get("detectability")
    if record is None:
        return None
    try:
        return Detectability.of_record(record)
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError):
        raise UsageError(
            f"{dataset.path / 'provenance.json'}: damaged (detectability); run `anomgen make` with --resume"
        ) from None


def _place_key(resource: str) -> str:
    """Return the recipe's key that says where a resource is: of `parts.0.model`, `generator.parts.0.model`."""
    if resource.startswith("foreground."):
        return resource
    if resource == "foreground":
        return "foreground.path"
    return f"generator.{resource}.path" if resource.split(".")[-1] == "texture" else f"generator.{resource}"


def _same_source(source: Source, dataset: Dataset) -> Source:
    recorded = dataset.provenance["source"]
    if source.fingerprint() != recorded["fingerprint"]:
        raise UsageError(
            f"the source has {len(source)} images that are not the {recorded['count']} that {dataset.path} was made "
            "from; give the right ones with --source"
        )
    return source


def dataset_recipe(dataset: Dataset, source: str | Path | None = None, overrides: Overrides = ()) -> Recipe:
    """Return a finished dataset's recipe with a source path that exists on this machine."""
    file = str(dataset.path / "recipe.yaml")
    place = str(source) if source else _known_place(dataset)
    recipe = _portable(dataset.recipe, file)
    if place is not None:
        kind = dataset.recipe["source"]["kind"]
        path = place if source is None or kind == "hub" else detect(place).get("path", place)
        recipe = changed(recipe, {"source.path": path})
    return parse_recipe(changed(recipe, overrides), file)


def _portable(recipe: dict[str, Any], file: str) -> dict[str, Any]:
    """Return a dataset's recipe without paths of a machine: `make` writes none, and others are not followed."""
    return parse_recipe(recipe, file).portable().as_dict()


def _known_place(dataset: Dataset) -> str | None:
    """Return where the source is: as the recipe says, else where it was on this machine; None if it has no path."""
    written = dataset.recipe["source"].get("path")
    if written is None:
        return None
    written = portable_path(written)
    recalled = recalled_source(dataset.provenance["source"]["fingerprint"])
    if recalled is None and not _is_here(written) and dataset.recipe["source"]["kind"] != "hub":
        raise UsageError(
            f"the dataset was made from {written!r}, which is not here (datasets keep no paths of the machine); "
            "say where it is with --source"
        )
    return recalled or written


def _is_here(path: str) -> bool:
    try:
        return Path(path).exists()
    except OSError:  # too long for a name
        return False


def _version_notes(provenance: dict[str, Any], network: bool) -> Iterable[str]:
    recorded = provenance.get("versions", {})
    for name, number in {**versions(network), "processor": processor()}.items():
        if recorded.get(name) != number:
            yield f"made with {name} {recorded.get(name)}, replayed with {number}"


def pool_of(dataset: Dataset, source: str | Path | None = None, overrides: Overrides = ()) -> tuple[Pool | None, str]:
    """Return the pool that a dataset was made from and an empty note; or what is missing of it, and why.

    With an explicit `source` a failure is an error, not a note.
    """
    try:
        recipe, note = dataset_recipe(dataset, source, overrides), ""
        images = open_source(recipe.source)
        try:
            with single_threaded():
                pool = opened(recipe.source, recipe.foreground, images).pool
        except AnomgenError as error:
            pool, note = Pool(images), f"{error} (say where it is with --set foreground.path=FOLDER)"
        _same_source(pool.source, dataset)
    except AnomgenError as error:
        if source is not None:
            raise
        return None, str(error)
    return pool, note
