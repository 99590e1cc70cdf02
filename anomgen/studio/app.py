"""The studio's addresses: the page, what it asks, the pictures that it shows."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from anomgen.dataset.panel import VIEWS, Panel, displayable, outline_of, scale_of, shrunk
from anomgen.dataset.png import encode_png
from anomgen.errors import AnomgenError, RecipeError, UsageError
from anomgen.making import catalogue
from anomgen.making.engine import single_threaded
from anomgen.studio.controls import sections_of
from anomgen.studio.datasets import Datasets
from anomgen.studio.guard import Guard
from anomgen.studio.runs import Runs
from anomgen.studio.session import FILE_NAME, Session

STATIC = Path(__file__).parent / "static"
MAX_THUMBNAIL = 1024
"""Longest side of a picture that is asked for at a size; without a size it comes as it is."""
FIRST = "perlin"
"""The recipe that a page begins with."""
MOST_ROWS = 48
"""Rows of one question."""

Drawn = TypeVar("Drawn")
Answer = Callable[[Request], Awaitable[Response]]


class Studio:
    """Answers the page's questions, one drawing at a time."""

    def __init__(self, session: Session):
        self.session = session
        self.runs = Runs(session.out)
        self.datasets = Datasets(session.out, session.photos)
        self._turn = asyncio.Lock()

    async def _drawn(self, request: Request, draw: Callable[..., Drawn], *arguments: Any) -> Drawn:
        """Return what a function draws when it is its turn; a question that nobody waits for any more is dropped."""
        async with self._turn:
            if await request.is_disconnected():
                raise UsageError("nobody waits for this any more")
            return await run_in_threadpool(draw, *arguments)

    async def warm(self) -> None:
        """Open the photos before the page asks for them; what is wrong with them, it will be told then."""
        with suppress(AnomgenError):
            async with self._turn:
                chosen = await run_in_threadpool(self.session.choose, FIRST, {})
                await run_in_threadpool(self.session.row, chosen.id, 0)

    # --- recipes and rows -------------------------------------------------------------------------------------------

    async def start(self, _: Request) -> Response:
        """Say what there is: the photos, the recipes, where things are written."""
        recipes = await run_in_threadpool(catalogue.ls, "recipes")
        photos = self.session.photos
        told = {
            "version": version("anomgen"),
            "photos": photos if photos is None else Path(photos).name or photos,
            "out": str(self.session.out),
            "recipes": recipes["recipes"],
            "saved": self.session.saved(),
        }
        return JSONResponse(told)

    async def recipe(self, request: Request) -> Response:
        """Choose a recipe and changes; say its controls, or which key is wrong and why."""
        asked = await _asked(request)
        base, changes = _field(asked, "base", str), _field(asked, "changes", dict)
        chosen = await run_in_threadpool(self.session.choose, base, changes)
        told = {
            "id": chosen.id,
            "name": chosen.recipe.name,
            "about": (inspect.getdoc(type(chosen.recipe.generator)) or "").partition("\n")[0],
            "sections": sections_of(chosen.recipe),
            "ratio": chosen.recipe.anomaly_ratio,
            "command": self.session.command(chosen),
        }
        return JSONResponse(told)

    async def rows(self, request: Request) -> Response:
        """Draw rows, given by their indices or as the next anomalous ones, and say what they are."""
        asked = await _asked(request)
        key = _field(asked, "id", str)
        count = min(_field(asked, "count", int, 1), MOST_ROWS)
        if "indices" in asked:
            indices = [index for index in _field(asked, "indices", list) if isinstance(index, int)][:MOST_ROWS]
        else:
            start = max(_field(asked, "start", int, 0), 0)
            indices = self.session.anomalous(key, start, count)
        rows = [await self._drawn(request, self._told, key, index) for index in indices]
        resolved = await self._drawn(request, self.session.resolved, key) if asked.get("resolved") else None
        return JSONResponse({"rows": rows, "resolved": resolved})

    def _told(self, key: str, index: int) -> dict[str, Any]:
        try:
            return self.session.told(key, index)
        except AnomgenError as error:
            return {"index": index, "error": str(error)}

    async def row_picture(self, request: Request) -> Response:
        """Return one picture of a row as PNG."""
        key, index = request.path_params["key"], request.path_params["index"]
        panel = await self._drawn(request, self.session.panel, key, index)
        return await _picture(request, panel)

    async def save(self, request: Request) -> Response:
        """Write the recipe as YAML."""
        asked = await _asked(request)
        key, name = _field(asked, "id", str), _field(asked, "name", str)
        file = await run_in_threadpool(self.session.save, key, name, overwrite=bool(asked.get("overwrite")))
        return JSONResponse({"path": str(file), "saved": self.session.saved()})

    # --- drawing ----------------------------------------------------------------------------------------------------

    async def normal(self, request: Request) -> Response:
        """Say the id, size and foreground of a normal image."""
        key, position = request.path_params["key"], request.path_params["index"]
        image, foreground, name = await self._drawn(request, self.session.normal, key, position)
        outline = None if foreground is None else outline_of(np.ascontiguousarray(foreground))
        told = {"source_id": name, "height": image.shape[0], "width": image.shape[1], "outline": outline}
        return JSONResponse(told)

    async def normal_picture(self, request: Request) -> Response:
        """Return a normal image as PNG."""
        key, position = request.path_params["key"], request.path_params["index"]
        image, _, _ = await self._drawn(request, self.session.normal, key, position)
        return _png(displayable(image, scale_of(image)), _side(request))

    async def mask(self, request: Request) -> Response:
        """Write a painted mask; the body is its PNG."""
        name, overwrite = request.query_params.get("name", ""), request.query_params.get("overwrite") == "1"
        data = await request.body()
        file = await run_in_threadpool(self.session.save_mask, name, data, overwrite=overwrite)
        return JSONResponse({"path": str(file)})

    # --- making and browsing ----------------------------------------------------------------------------------------

    async def make(self, request: Request) -> Response:
        """Begin to make a dataset of the recipe."""
        asked = await _asked(request)
        name, workers = _name(asked), max(_field(asked, "workers", int, 1), 1)
        chosen = self.session.chosen(_field(asked, "id", str))
        self.runs.start(chosen.recipe, name, workers=workers)
        return JSONResponse(self._runs())

    async def resume(self, request: Request) -> Response:
        """Go on with an unfinished dataset."""
        name = _name(await _asked(request))
        recipe = await run_in_threadpool(self.datasets.recipe, name)
        self.runs.start(recipe, name, resume=True)
        return JSONResponse(self._runs())

    async def stop(self, request: Request) -> Response:
        """Stop a run."""
        self.runs.stop(_name(await _asked(request)))
        return JSONResponse(self._runs())

    async def made(self, _: Request) -> Response:
        """Say which runs and datasets there are."""
        return JSONResponse(await run_in_threadpool(self._runs))

    def _runs(self) -> dict[str, Any]:
        return {"runs": self.runs.all(), "datasets": self.datasets.all()}

    async def dataset(self, request: Request) -> Response:
        """Say a page of a dataset's rows."""
        filters = dict(request.query_params)
        start = _number(filters.pop("start", "0"))
        told = await self._drawn(request, self.datasets.rows, request.path_params["name"], filters, start)
        return JSONResponse(told)

    async def record(self, request: Request) -> Response:
        """Say everything that is recorded of a row."""
        name, index = request.path_params["name"], request.path_params["index"]
        return JSONResponse(await self._drawn(request, self.datasets.record, name, index))

    async def dataset_picture(self, request: Request) -> Response:
        """Return one picture of a dataset's row as PNG."""
        name, index = request.path_params["name"], request.path_params["index"]
        return await _picture(request, await self._drawn(request, self.datasets.panel, name, index))


def studio_app(session: Session, *, token: str, name: str = "127.0.0.1", port: int = 0) -> Guard:
    """Return the application, guarded; see `Guard` for token, name and port."""
    studio = Studio(session)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> Any:
        with single_threaded():  # for as long as it is open: results do not depend on what else draws
            warming = asyncio.create_task(studio.warm())
            yield
            await warming
            await run_in_threadpool(studio.runs.close)

    async def page(_: Request) -> Response:
        return FileResponse(STATIC / "index.html")

    routes = [
        Route("/", page),
        Route("/api/start", studio.start),
        Route("/api/recipe", studio.recipe, methods=["POST"]),
        Route("/api/rows", studio.rows, methods=["POST"]),
        Route("/api/save", studio.save, methods=["POST"]),
        Route("/api/mask", studio.mask, methods=["POST"]),
        Route("/api/make", studio.make, methods=["POST"]),
        Route("/api/resume", studio.resume, methods=["POST"]),
        Route("/api/stop", studio.stop, methods=["POST"]),
        Route("/api/made", studio.made),
        Route("/api/normal/{key}/{index:int}", studio.normal),
        Route("/api/dataset/{name}", studio.dataset),
        Route("/api/dataset/{name}/{index:int}", studio.record),
        Route("/row/{key}/{index:int}/{view}.png", studio.row_picture),
        Route("/normal/{key}/{index:int}.png", studio.normal_picture),
        Route("/dataset/{name}/{index:int}/{view}.png", studio.dataset_picture),
        Mount("/static", StaticFiles(directory=STATIC)),
    ]
    handlers: dict[Any, Any] = {RecipeError: _bad_recipe, AnomgenError: _failed, KeyError: _forgotten}
    app = Starlette(routes=routes, exception_handlers=handlers, lifespan=lifespan)
    return Guard(app, token=token, name=name, port=port)


# --- questions and answers ------------------------------------------------------------------------------------------


async def _asked(request: Request) -> dict[str, Any]:
    try:
        asked = await request.json()
    except (ValueError, RecursionError):
        asked = None
    if not isinstance(asked, dict):
        raise UsageError("the question is not a JSON object")
    return asked


def _field(asked: dict[str, Any], name: str, kind: type, default: Any = None) -> Any:
    value = asked.get(name, default)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise UsageError(f"{name}: {kind.__name__} is wanted")
    return value


def _name(asked: dict[str, Any]) -> str:
    name: str = _field(asked, "name", str)
    if not FILE_NAME.fullmatch(name):
        raise UsageError(f"{name[:80]!r} is no name: letters, digits, dots, dashes and underscores")
    return name


def _number(text: str) -> int:
    if not text.isdecimal() or len(text) > 12:
        raise UsageError(f"{text[:40]!r} is no number")
    return int(text)


def _side(request: Request) -> int | None:
    side = request.query_params.get("side")
    return None if side is None else min(max(_number(side), 16), MAX_THUMBNAIL)


async def _picture(request: Request, panel: Panel) -> Response:
    view = request.path_params["view"]
    if view not in VIEWS:
        raise UsageError(f"no picture {view[:40]!r} (there are {', '.join(VIEWS)})")
    picture = await run_in_threadpool(panel.picture, view)
    if picture is None:
        raise UsageError(f"{view} is not known of this row")
    return _png(picture, _side(request))


def _png(picture: np.ndarray, side: int | None) -> Response:
    return Response(encode_png(np.ascontiguousarray(shrunk(picture, side))), media_type="image/png")


async def _bad_recipe(_: Request, error: RecipeError) -> Response:
    problems = [{"key": key, "text": text} for key, text in error.problems]
    return JSONResponse({"error": str(error), "problems": problems}, status_code=422)


async def _failed(_: Request, error: AnomgenError) -> Response:
    return JSONResponse({"error": str(error)}, status_code=400)


async def _forgotten(_: Request, __: KeyError) -> Response:
    return JSONResponse({"error": "the studio was started anew since; choose the recipe again"}, status_code=410)
