"""Answers about what is drawn: normal images and their object, masks of where, marked defects and their banks."""

from __future__ import annotations

import numpy as np
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from anomgen.dataset.pictures import displayable, outline_of, scale_of
from anomgen.sources.pool import both
from anomgen.studio.marking import Marking
from anomgen.studio.questions import Desk, asked_of, field, name_of, number, png
from anomgen.studio.session import painted

THUMBNAIL = 160
"""Longer side of a bank's defects, as they are listed."""


class Drawing:
    """Shows normal images, takes what is painted on them, and what is marked on pictures of defects."""

    def __init__(self, desk: Desk):
        self.desk, self.session = desk, desk.session
        self.marking = Marking(self.session.out)

    # --- where defects may be ---------------------------------------------------------------------------------------

    async def normal(self, request: Request) -> Response:
        """Say the id, size and object of a normal image, how that is found, and the region where defects may be."""
        key, position = request.path_params["key"], request.path_params["index"]
        normal = await self.desk.drawn(request, self.session.normal, key, position)
        told = await self.desk.drawn(request, self.session.foreground, key)
        told |= {"source_id": normal.name, "height": normal.image.shape[0], "width": normal.image.shape[1]}
        told |= {"outline": _outline(normal.object), "area": _share(normal.object)}
        allowed = both(normal.object, normal.region)
        told |= {"region": _outline(normal.region), "allowed": None if normal.region is None else _share(allowed)}
        return JSONResponse(told)

    async def normal_picture(self, request: Request) -> Response:
        """Return a normal image as PNG."""
        key, position = request.path_params["key"], request.path_params["index"]
        image = (await self.desk.drawn(request, self.session.normal, key, position)).image
        return await png(request, displayable(image, scale_of(image)))

    async def mask(self, request: Request) -> Response:
        """Write a painted mask; the body is its PNG."""
        name, overwrite = request.query_params.get("name", ""), request.query_params.get("overwrite") == "1"
        data = await request.body()
        file = await self.desk.drawn(None, lambda: self.session.save_mask(name, data, overwrite=overwrite))
        return JSONResponse({"path": str(file)})

    # --- real defects -----------------------------------------------------------------------------------------------

    async def picture(self, request: Request) -> Response:
        """Take a picture of a defect; the body is its file."""
        name, data = request.query_params.get("name", ""), await request.body()
        return JSONResponse(await run_in_threadpool(self.marking.pictures.add, name, data))

    async def pictures(self, _: Request) -> Response:
        """Say which pictures of defects are kept."""
        return JSONResponse({"pictures": await run_in_threadpool(self.marking.pictures.all)})

    async def shown_picture(self, request: Request) -> Response:
        """Return a picture of a defect as it is marked."""
        kept = await run_in_threadpool(self.marking.pictures.picture, request.path_params["picture"])
        return await png(request, kept.shown)

    async def mark(self, request: Request) -> Response:
        """Keep what is marked on a picture; the body is the mask's PNG."""
        data = await request.body()
        told = await run_in_threadpool(
            lambda: self.marking.pictures.set_mark(request.path_params["picture"], painted(data))
        )
        return JSONResponse(told)

    async def shown_mark(self, request: Request) -> Response:
        """Return what is marked on a picture, as a grey PNG."""
        mask = await run_in_threadpool(self.marking.pictures.mark, request.path_params["picture"])
        return await png(request, mask[..., None])

    async def take_away(self, request: Request) -> Response:
        """Take a picture away, and what is marked on it."""
        await run_in_threadpool(self.marking.pictures.remove, request.path_params["picture"])
        return await self.pictures(request)

    async def wand(self, request: Request) -> Response:
        """Return what the wand reaches from a pixel, as a grey PNG."""
        x, y, tolerance = (number(request.query_params.get(key, "")) for key in ("x", "y", "tolerance"))
        mask = await run_in_threadpool(self.marking.flooded, request.path_params["picture"], x, y, tolerance)
        return await png(request, mask[..., None])

    async def put(self, request: Request) -> Response:
        """Put what is marked on a picture into a bank; the body is the mask's PNG."""
        asked = dict(request.query_params)
        key, bank, kind = request.path_params["picture"], name_of(asked, "bank"), field(asked, "type", str)
        data = await request.body()
        again = asked.get("replace") == "1"
        await self.desk.drawn(None, lambda: self.marking.put(key, bank, kind, painted(data), replacing=again))
        return await self._changed()

    async def remove(self, request: Request) -> Response:
        """Take a defect out of a bank."""
        asked = await asked_of(request)
        await self.desk.drawn(None, self.marking.remove, name_of(asked, "bank"), field(asked, "item", str))
        return await self._changed()

    async def banks(self, _: Request) -> Response:
        """Say which banks there are."""
        return JSONResponse(await run_in_threadpool(self.marking.banks))

    async def bank_picture(self, request: Request) -> Response:
        """Return a thumbnail of a defect in a bank."""
        name, index = request.path_params["name"], request.path_params["index"]
        return await png(request, await run_in_threadpool(self.marking.thumbnail, name, index, THUMBNAIL))

    async def _changed(self) -> Response:
        await self.desk.drawn(None, self.session.forget)
        return JSONResponse(await run_in_threadpool(self.marking.banks))


def _outline(mask: np.ndarray | None) -> str | None:
    return None if mask is None else outline_of(np.ascontiguousarray(mask))


def _share(mask: np.ndarray | None) -> float | None:
    return None if mask is None else float(mask.mean())
