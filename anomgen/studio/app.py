"""The studio's addresses: the page, recipes and their rows, and which answers the rest comes from."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from importlib.metadata import version
from pathlib import Path, PurePath
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.convertors import register_url_convertor
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from anomgen.cards import papers_of
from anomgen.errors import AnomgenError, RecipeError
from anomgen.making import catalogue
from anomgen.making.threads import single_threaded
from anomgen.sources.tree import PLAIN_NAMES
from anomgen.sources.verdicts import NORMAL_NAMES
from anomgen.studio.browsing import Making
from anomgen.studio.controls import sections_of
from anomgen.studio.drawing import Drawing
from anomgen.studio.guard import Guard
from anomgen.studio.inspecting import Inspecting
from anomgen.studio.marking import with_banks
from anomgen.studio.questions import Desk, RowNumber, Unfit, asked_of, field, panel_picture, wholes
from anomgen.studio.runs import Begun, Runs
from anomgen.studio.session import Session

STATIC = Path(__file__).parent / "static"
FIRST = "defects"
"""The recipe that a page begins with."""
MOST_ROWS = 48
"""Rows of one question."""


class Rows:
    """Answers about recipes and the rows that they draw."""

    def __init__(self, desk: Desk):
        self.desk, self.session = desk, desk.session

    async def warm(self) -> None:
        """Open the photos before the page asks for them; what is wrong with them, it will be told then."""
        with suppress(AnomgenError):
            chosen = await self.desk.drawn(None, self.session.choose, FIRST, {})
            await self.desk.drawn(None, self.session.row, chosen.id, 0)

    async def start(self, _: Request) -> Response:
        """Say what there is: the photos, the recipes, where things are written."""
        self.session.reading.anew()
        recipes = await run_in_threadpool(catalogue.ls, "recipes")
        photos = self.session.photos
        told = {
            "version": version("anomgen"),
            "photos": photos if photos is None else name_of_folder(photos),
            "place": photos or "",
            "out": str(self.session.out),
            "recipes": recipes["recipes"],
            "saved": self.session.saved(),
            "stamp": self.session.reading.stamp,
        }
        return JSONResponse(told)

    async def reading(self, _: Request) -> Response:
        """Say how far the photos are read, and `stamp`, with which what is to be seen changes."""
        return JSONResponse(self.session.reading.told())

    async def recipe(self, request: Request) -> Response:
        """Choose a recipe and changes; say its controls, or which key is wrong and why."""
        asked = await asked_of(request)
        base, changes = field(asked, "base", str), field(asked, "changes", dict)
        chosen = await run_in_threadpool(self.session.choose, base, changes)
        generator = chosen.recipe.generator
        told = {
            "id": chosen.id,
            "name": chosen.recipe.name,
            "about": catalogue.meaning_of(chosen.base, chosen.recipe),
            "papers": papers_of(_kinds(generator)),
            "sections": with_banks(sections_of(chosen.recipe), self.session.out),
            "ratio": chosen.recipe.anomaly_ratio,
            "aspect": self.session.aspect(chosen.recipe),
            "command": self.session.command(chosen),
        }
        return JSONResponse(told)

    async def rows(self, request: Request) -> Response:
        """Draw rows, given by their indices or as the next anomalous ones, and say what they are."""
        asked = await asked_of(request)
        key = field(asked, "id", str)
        count = min(field(asked, "count", int, 1), MOST_ROWS)
        if "indices" in asked:
            indices = wholes(asked, "indices")[:MOST_ROWS]
        else:
            indices = self.session.anomalous(key, field(asked, "start", int, 0), count)
        rows = [await self.desk.drawn(request, self.session.told, key, index) for index in indices]
        resolved = await self.desk.drawn(request, self.session.resolved, key) if asked.get("resolved") else None
        faint = self.session.faint.told(key, self.session.chosen(key).recipe)
        return JSONResponse({"rows": rows, "resolved": resolved, "faint": faint})

    async def images(self, request: Request) -> Response:
        """Say which image each row is of."""
        return JSONResponse({"names": await self.desk.drawn(request, self.session.images, request.path_params["key"])})

    async def row_picture(self, request: Request) -> Response:
        """Return one picture of a row as PNG."""
        key, index = request.path_params["key"], request.path_params["index"]
        panel = await self.desk.drawn(request, self.session.panel, key, index, request.path_params["view"])
        return await panel_picture(request, panel)

    async def save(self, request: Request) -> Response:
        """Write the recipe as YAML."""
        asked = await asked_of(request)
        key, name = field(asked, "id", str), field(asked, "name", str)
        file = await run_in_threadpool(self.session.save, key, name, overwrite=bool(asked.get("overwrite")))
        return JSONResponse({"path": str(file), "saved": self.session.saved()})


def studio_app(session: Session, *, token: str, name: str = "127.0.0.1", port: int = 0, public: bool = False) -> Guard:
    """Return the application, guarded; see `Guard` for token, name, port and public."""
    desk = Desk(session)
    runs = Runs(Begun(session.out))
    rows, drawing, making, inspecting = Rows(desk), Drawing(desk), Making(desk, runs), Inspecting(desk, runs)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> Any:
        with single_threaded():  # for as long as it is open: results do not depend on what else draws
            warming = asyncio.create_task(rows.warm())
            yield
            await warming
            await run_in_threadpool(session.reading.close)
            await run_in_threadpool(inspecting.looking.close)
            await run_in_threadpool(runs.close)

    async def page(_: Request) -> Response:
        return FileResponse(STATIC / "index.html")

    register_url_convertor("row", RowNumber())
    routes = [
        Route("/", page),
        Route("/api/start", rows.start),
        Route("/api/reading", rows.reading),
        Route("/api/recipe", rows.recipe, methods=["POST"]),
        Route("/api/rows", rows.rows, methods=["POST"]),
        Route("/api/images/{key}", rows.images),
        Route("/api/save", rows.save, methods=["POST"]),
        Route("/api/mask", drawing.mask, methods=["POST"]),
        Route("/api/picture", drawing.picture, methods=["POST"]),
        Route("/api/pictures", drawing.pictures),
        Route("/api/mark/{picture}", drawing.mark, methods=["POST"]),
        Route("/api/take-away/{picture}", drawing.take_away, methods=["POST"]),
        Route("/api/wand/{picture}", drawing.wand),
        Route("/api/bank/{picture}", drawing.put, methods=["POST"]),
        Route("/api/unbank", drawing.remove, methods=["POST"]),
        Route("/api/banks", drawing.banks),
        Route("/api/make", making.make, methods=["POST"]),
        Route("/api/resume", making.resume, methods=["POST"]),
        Route("/api/stop", making.stop, methods=["POST"]),
        Route("/api/forget", making.forget, methods=["POST"]),
        Route("/api/made", making.made),
        Route("/api/replay", making.replay, methods=["POST"]),
        Route("/api/throw", making.throw_out, methods=["POST"]),
        Route("/api/inspectors", inspecting.found),
        Route("/api/fit", inspecting.fit, methods=["POST"]),
        Route("/api/score", inspecting.score, methods=["POST"]),
        Route("/api/inspect/{name}", inspecting.inspect, methods=["POST"]),
        Route("/api/normal/{key}/{index:row}", drawing.normal),
        Route("/api/dataset/{name}", making.dataset),
        Route("/api/dataset/{name}/{index:row}", making.record),
        Route("/row/{key}/{index:row}/{view}.png", rows.row_picture),
        Route("/normal/{key}/{index:row}.png", drawing.normal_picture),
        Route("/picture/{picture}.png", drawing.shown_picture),
        Route("/mark/{picture}.png", drawing.shown_mark),
        Route("/bank/{name}/{index:row}.png", drawing.bank_picture),
        Route("/dataset/{name}/{index:row}/{view}.png", making.dataset_picture),
        Route("/inspection/{picture}/{view}.png", inspecting.picture),
        Route("/report/{name}", inspecting.report),
        Mount("/static", StaticFiles(directory=STATIC)),
    ]
    handlers: dict[Any, Any] = {RecipeError: _bad_recipe, Unfit: _unfit, AnomgenError: _failed, KeyError: _forgotten}
    app = Starlette(routes=routes, exception_handlers=handlers, lifespan=lifespan)
    return Guard(app, token=token, name=name, port=port, public=public)


def name_of_folder(photos: str) -> str:
    """Return what photos are called: the last folders of their path, up to one that says more than that they are good.

    ``screw/train/good`` of ``/data/screw/train/good``.
    """
    parts = PurePath(photos).parts
    plain = NORMAL_NAMES | PLAIN_NAMES | {"train"}
    named = next((k for k in range(len(parts) - 1, 0, -1) if parts[k].lower() not in plain), len(parts) - 1)
    return "/".join(parts[named:]) or photos


def _kinds(generator: Any) -> list[str]:
    return [part.generator.kind for part in getattr(generator, "parts", ())] or [generator.kind]


async def _bad_recipe(_: Request, error: RecipeError) -> Response:
    problems = [{"key": key, "text": text} for key, text in error.problems]
    return JSONResponse({"error": str(error), "problems": problems}, status_code=422)


async def _unfit(_: Request, error: Unfit) -> Response:
    return JSONResponse({"error": str(error)}, status_code=422)


async def _failed(_: Request, error: AnomgenError) -> Response:
    return JSONResponse({"error": str(error)}, status_code=400)


async def _forgotten(_: Request, __: KeyError) -> Response:
    return JSONResponse({"error": "the studio was started anew since; choose the recipe again"}, status_code=410)
