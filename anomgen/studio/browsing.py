"""Answers about runs and datasets: beginning, stopping, going on, and looking through what is finished."""

from __future__ import annotations

from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from anomgen.studio.datasets import Datasets
from anomgen.studio.questions import Desk, asked_of, field, name_of, number, panel_picture
from anomgen.studio.runs import Make, Runs
from anomgen.versions import cores


class Making:
    """Makes datasets of the recipe and shows those that are there."""

    def __init__(self, desk: Desk, runs: Runs):
        self.desk, self.session, self.runs = desk, desk.session, runs
        self.datasets = Datasets(self.session.out, self.session.photos, self.session.folders)

    async def make(self, request: Request) -> Response:
        """Begin to make a dataset of the recipe."""
        asked = await asked_of(request)
        name, workers = name_of(asked), min(max(field(asked, "workers", int, 1), 1), cores())
        chosen = self.session.chosen(field(asked, "id", str))
        self.runs.start(Make(chosen.recipe, self.session.out / name, workers=workers))
        return JSONResponse(self._runs())

    async def resume(self, request: Request) -> Response:
        """Go on with what was stopped: a dataset, a report, or, anew, a detector; with what it was begun with."""
        name = name_of(await asked_of(request))
        command = self.runs.command(name)
        if command is None:
            command = Make(await run_in_threadpool(self.datasets.recipe, name), self.session.out / name)
        for place in command.reads:
            self.session.refuse_outside(place, name)
        self.runs.start(command.again())
        return JSONResponse(self._runs())

    async def forget(self, request: Request) -> Response:
        """Take a run from the list, and what it has made of an unfinished dataset from the disk."""
        name = name_of(await asked_of(request))
        self.runs.forget(name)
        await self.desk.read(None, self.datasets.discard, name)
        return JSONResponse(self._runs())

    async def stop(self, request: Request) -> Response:
        """Stop a run."""
        self.runs.stop(name_of(await asked_of(request)))
        return JSONResponse(self._runs())

    async def made(self, _: Request) -> Response:
        """Say which runs and datasets there are."""
        return JSONResponse(await run_in_threadpool(self._runs))

    def _runs(self) -> dict[str, Any]:
        return {"runs": self.runs.all(), "datasets": self.datasets.all()}

    async def dataset(self, request: Request) -> Response:
        """Say a page of a dataset's rows."""
        filters = dict(request.query_params)
        start = number(filters.pop("start", "0"))
        told = await self.desk.read(request, self.datasets.rows, request.path_params["name"], filters, start)
        return JSONResponse(told)

    async def record(self, request: Request) -> Response:
        """Say everything that is recorded of a row."""
        name, index = request.path_params["name"], request.path_params["index"]
        return JSONResponse(await self.desk.read(request, self.datasets.record, name, index))

    async def replay(self, request: Request) -> Response:
        """Draw a row again and say whether it is the same."""
        asked = await asked_of(request)
        name, index = name_of(asked), field(asked, "index", int)
        return JSONResponse(await self.desk.read(request, self.datasets.replay, name, index))

    async def throw_out(self, request: Request) -> Response:
        """Throw a row out of exports and pushes, or take it back."""
        asked = await asked_of(request)
        name, index, out = name_of(asked), field(asked, "index", int), asked.get("out") is True
        return JSONResponse(await self.desk.read(None, lambda: self.datasets.throw_out(name, index, out=out)))

    async def dataset_picture(self, request: Request) -> Response:
        """Return one picture of a dataset's row as PNG."""
        name, index = request.path_params["name"], request.path_params["index"]
        panel = await self.desk.read(request, self.datasets.panel, name, index, request.path_params["view"])
        return await panel_picture(request, panel)
