"""Answers about trained detectors and reports: beginning one, looking at an image with it, opening a report."""

from __future__ import annotations

import shlex
from collections.abc import MutableMapping
from pathlib import Path, PurePosixPath
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from anomgen.banks.folder import banks_in, is_bank
from anomgen.errors import UsageError
from anomgen.files import file_digest, json_object, refuse_taken
from anomgen.making.recipe import bundled_recipes
from anomgen.places import home, read_within
from anomgen.sources.cache import bounded
from anomgen.sources.tree import MASK_NAMES, folders_in
from anomgen.sources.verdicts import normal_names
from anomgen.studio.looking import Asked, Looked, Looking
from anomgen.studio.questions import Desk, asked_of, field, name_of, png
from anomgen.studio.real import laid_out
from anomgen.studio.runs import Fit, Runs, Score

OTHERS = ("real", "none", "boxes")
"""What can be compared beside recipes."""
FEWEST = 8
"""Real defects of a bank below which a comparison on it says nothing."""
DETECTOR, REPORT, RESULTS = "anomgen_model.json", "report.html", "results.json"
MAX_REPORT = 64 << 20
KEPT_BYTES = 64 << 20
"""Pictures of the latest inspections."""
REPORT_POLICY = (
    "sandbox allow-scripts allow-popups; default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "img-src data:; font-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""A report may run what is in it, as nobody: it sees no cookie, asks nothing, and nothing of it goes anywhere."""


class Inspecting:
    """Trains detectors on the photos, looks at images with them, and shows reports."""

    def __init__(self, desk: Desk, runs: Runs):
        self.desk, self.session, self.runs = desk, desk.session, runs
        self._pictures: MutableMapping[str, Looked] = bounded(KEPT_BYTES, lambda picture: picture.nbytes)
        self.looking = Looking()

    async def found(self, _: Request) -> Response:
        """Say which detectors and reports there are, and what is being made."""
        return JSONResponse(await run_in_threadpool(self._found))

    async def fit(self, request: Request) -> Response:
        """Begin to train a detector on the photos and the anomalies of a recipe."""
        asked = await asked_of(request)
        name, key = name_of(asked), field(asked, "id", str)
        if self.session.photos is None:
            raise UsageError("a detector learns from your photos: start with `anomgen studio FOLDER`")
        refuse_taken(self.session.out / name, "take another name")
        recipe = await run_in_threadpool(lambda: self.session.save_apart(key, name))
        self.runs.start(Fit(self.session.photos, recipe, self.session.out / name))
        return JSONResponse(await run_in_threadpool(self._found))

    async def score(self, request: Request) -> Response:
        """Begin to rank recipes on real data."""
        asked = await asked_of(request)
        name, data = name_of(asked), field(asked, "data", str)
        recipes = [word for word in field(asked, "recipes", list) if isinstance(word, str)]
        self.session.refuse_outside(data, "data")
        known = {*bundled_recipes(), *self.session.saved(), *OTHERS}
        unknown = next((word for word in recipes if not known.issuperset(word.split("+"))), None)
        if unknown is not None or not recipes:
            raise UsageError(f"{(unknown or 'recipes')[:80]}: choose bundled or saved recipes")
        files = [str(self.session.out / word) if word in self.session.saved() else word for word in recipes]
        seeds = min(max(field(asked, "seeds", int, 3), 1), 20)
        steps = max(field(asked, "steps", int, 0), 0) or None
        if is_bank(Path(data)) and self.session.photos is not None:
            data = str(await self.desk.read(request, laid_out, Path(data), self.session.photos, self.session.out))
        self.runs.start(Score(data, tuple(files), seeds, self.session.out / name, steps))
        return JSONResponse(await run_in_threadpool(self._found))

    async def inspect(self, request: Request) -> Response:
        """Look at an image with a detector; the body is the image's file."""
        folder = self._folder(request.path_params["name"], DETECTOR)
        name = PurePosixPath(request.query_params.get("name", "")).name[-100:] or "image"
        data = await request.body()
        asked = Asked(folder, (folder / DETECTOR).stat().st_mtime_ns, name, data)
        looked = await self.desk.look(request, self.looking.look, asked)
        key = file_digest(data + str(folder).encode())
        self._pictures[key] = looked
        return JSONResponse({"id": key, **looked.told})

    async def picture(self, request: Request) -> Response:
        """Return a picture of an inspection: the image, or the map over it."""
        kept = self._pictures.get(request.path_params["picture"])
        view = request.path_params["view"]
        if kept is None or view not in ("image", "map"):
            raise UsageError("the studio no longer has this picture; drop the image again")
        return await png(request, kept.image if view == "image" else kept.map)

    async def report(self, request: Request) -> Response:
        """Return a report, shut off from everything else."""
        file = self._folder(request.path_params["name"], REPORT) / REPORT
        try:
            text = await run_in_threadpool(read_within, file, MAX_REPORT)
        except OSError as error:
            raise UsageError(f"{file}: cannot be read ({error.strerror or error})") from None
        return HTMLResponse(text, headers={"content-security-policy": REPORT_POLICY})

    # --- what there is ----------------------------------------------------------------------------------------------

    def _found(self) -> dict[str, Any]:
        banks, broken = banks_in(self.session.out)
        detectors = []
        for folder in self._folders(DETECTOR):
            try:
                detectors += _about(folder)
            except UsageError as error:
                broken.append(str(error))
        enough = [str(bank.path) for bank in banks if len(bank) >= FEWEST and self.session.photos is not None]
        real = self._real()
        return {
            "detectors": detectors,
            "reports": [{"name": folder.name} for folder in self._folders(REPORT) if (folder / RESULTS).is_file()],
            "broken": broken,
            "runs": [run for run in self.runs.all() if run["kind"] != "dataset"],
            "data": [*real, *enough],
            "choices": [*self.session.saved(), *(name for name in OTHERS if name != "boxes"), *bundled_recipes()],
            "opening": self._opening(real),
        }

    def _real(self) -> list[str]:
        """Return the opened folders that look like data sets with real defects, and those in them."""
        found = (folder for root in self.session.folders for folder in (root, *_inside(root)))
        return list(dict.fromkeys(str(folder) for folder in found if _holds_defects(folder)))

    def _opening(self, real: list[str]) -> str:
        """Return the command that opens a data set, too: that of which the photos are a part, where it is not open."""
        photos = [] if self.session.photos is None else [self.session.photos]
        words = ["anomgen", "studio", *photos, "-o", str(self.session.out), "--open"]
        return shlex.join([*words, self._closed(real) or "FOLDER"])

    def _closed(self, real: list[str]) -> str | None:
        """Return the data set that the photos are a part of, where it was not opened."""
        folder = None if self.session.photos is None else home(self.session.photos).resolve()
        if folder is None or folder.parent.name != "train" or not _holds_defects(folder.parent.parent):
            return None
        return None if str(folder.parent.parent) in real else str(folder.parent.parent)

    def _folders(self, mark: str) -> list[Path]:
        """Return the folders that hold a file of that name: those that were opened, and those in them; newest first."""
        found: dict[str, Path] = {}
        for root in self.session.folders:
            for folder in (root, *_inside(root)):
                if (folder / mark).is_file() and folder.resolve().is_relative_to(root):
                    found.setdefault(folder.name, folder)
        return sorted(found.values(), key=lambda folder: -(folder / mark).stat().st_mtime)

    def _folder(self, name: str, mark: str) -> Path:
        found = next((folder for folder in self._folders(mark) if folder.name == name), None)
        if found is None:
            raise UsageError(f"no {'report' if mark == REPORT else 'detector'} {name[:80]!r} is in an opened folder")
        return found


def _inside(root: Path) -> list[Path]:
    """Return the folders in a folder."""
    try:
        return [root / name for name in folders_in(root)]
    except UsageError:
        return []


def _holds_defects(folder: Path) -> bool:
    """Return whether a folder looks like a data set with real defects; `score` says what is wrong with one."""
    names = {entry.name.lower(): entry.name for entry in _inside(folder)}
    if {"train", "test"} <= names.keys():
        return True
    images = {name for lower, name in names.items() if lower not in MASK_NAMES}
    return folder.name not in ("train", "test") and 0 < len(normal_names(sorted(images))) < len(images)


def _about(folder: Path) -> list[dict[str, Any]]:
    """Return what is said of a detector; nothing of another model. Raises UsageError where it is damaged."""
    try:
        record = json_object(folder / DETECTOR)
        if record.get("kind") != "detector":
            return []
        kind, rule = record["detector"]["kind"], record["threshold"]["rule"]
        entry = (record.get("recipe") or {}).get("generator", {}).get("kind", record["entry"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise UsageError(f"{folder / DETECTOR}: is damaged; take it from a copy, or train the detector again") from None
    return [{"name": folder.name, "about": f"{kind}, trained on {entry}", "rule": str(rule)}]
