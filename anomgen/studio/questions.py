"""What a question of the page holds, read strictly, and how a picture is answered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from starlette.concurrency import run_in_threadpool
from starlette.convertors import Convertor
from starlette.requests import Request
from starlette.responses import Response

from anomgen.dataset.panel import VIEWS, Panel
from anomgen.dataset.pictures import at_most
from anomgen.dataset.png import encode_png
from anomgen.errors import UsageError
from anomgen.studio.session import FILE_NAME, Session

MAX_THUMBNAIL = 2048
"""Longest side of a picture that is asked for at a size; without a size it comes as it is."""

MOST = 10**12
"""What a whole number of a question lies below."""

Drawn = TypeVar("Drawn")


class Unfit(UsageError):
    """A field of a question is of another type or range; it is answered with 422."""


class Desk:
    """What all answers share: the session, and whose turn it is to draw."""

    def __init__(self, session: Session):
        self.session = session
        self._drawing, self._reading, self._looking = asyncio.Lock(), asyncio.Lock(), asyncio.Lock()

    async def drawn(self, request: Request | None, draw: Callable[..., Drawn], *arguments: Any) -> Drawn:
        """Return what a function draws when it is its turn; a question that nobody waits for any more is dropped."""

        def drawn() -> Drawn:
            with self.session.reading.drawing():
                return draw(*arguments)

        return await self._in_turn(self._drawing, request, drawn)

    async def read(self, request: Request | None, read: Callable[..., Drawn], *arguments: Any) -> Drawn:
        """Return what a function reads of a dataset, which waits for no drawing; otherwise as `drawn`."""
        return await self._in_turn(self._reading, request, read, *arguments)

    async def look(self, request: Request | None, look: Callable[..., Drawn], *arguments: Any) -> Drawn:
        """Return what a detector says, which waits for neither; otherwise as `drawn`."""
        return await self._in_turn(self._looking, request, look, *arguments)

    async def _in_turn(
        self, turn: asyncio.Lock, request: Request | None, draw: Callable[..., Drawn], *arguments: Any
    ) -> Drawn:
        async with turn:
            if request is not None and await request.is_disconnected():
                raise UsageError("nobody waits for this any more")
            return await run_in_threadpool(draw, *arguments)


async def asked_of(request: Request) -> dict[str, Any]:
    """Return the JSON object that a question is. Raises UsageError for anything else."""
    try:
        asked = await request.json()
    except (ValueError, RecursionError):
        asked = None
    if not isinstance(asked, dict):
        raise UsageError("the question is not a JSON object")
    return asked


def field(asked: dict[str, Any], name: str, kind: type, default: Any = None) -> Any:
    """Return a field of a question. Raises Unfit where it is of another type, or no whole number from 0."""
    return _fitting(asked.get(name, default), name, kind)


def wholes(asked: dict[str, Any], name: str) -> list[int]:
    """Return a field that is a list of whole numbers from 0. Raises Unfit where it is not."""
    return [_fitting(value, name, int) for value in field(asked, name, list)]


def _fitting(value: Any, name: str, kind: type) -> Any:
    if not isinstance(value, kind) or isinstance(value, bool):
        raise Unfit(f"{name}: {WORDS[kind]} is wanted")
    if isinstance(value, int) and not 0 <= value < MOST:
        raise Unfit(f"{name}: {WORDS[int]} is wanted, from 0 on, below {MOST:,}")
    return value


WORDS = {str: "a text", int: "a whole number", list: "a list", dict: "an object"}


def name_of(asked: dict[str, Any], key: str = "name") -> str:
    """Return a name of a file or a folder. Raises UsageError for one that could lead elsewhere."""
    name: str = field(asked, key, str)
    if not FILE_NAME.fullmatch(name):
        raise UsageError(f"{name[:80]!r} is no name: letters, digits, dots, dashes and underscores")
    return name


def number(text: str) -> int:
    """Return a whole number. Raises Unfit."""
    if not text.isdecimal() or len(text) > 12:
        raise Unfit(f"{text[:40]!r} is no number")
    return int(text)


class RowNumber(Convertor[int]):
    """A row's number in an address: one of more digits than `number` takes is in none, as letters are."""

    regex = "[0-9]{1,12}"

    def convert(self, value: str) -> int:
        """Return the number."""
        return int(value)

    def to_string(self, value: int) -> str:
        """Return its digits."""
        return str(value)


async def panel_picture(request: Request, panel: Panel) -> Response:
    """Return one of a sample's pictures as PNG. Raises UsageError for one that there is not."""
    view = request.path_params["view"]
    if view not in VIEWS:
        raise UsageError(f"no picture {view[:40]!r} (there are {', '.join(VIEWS)})")
    picture = await run_in_threadpool(panel.picture, view)
    if picture is None:
        raise UsageError(f"{view} is not known of this row")
    return await png(request, picture)


async def png(request: Request, picture: np.ndarray) -> Response:
    """Return a picture (H, W, C), uint8, as PNG, at the size that was asked for."""
    asked = request.query_params.get("side")
    side = None if asked is None else min(max(number(asked), 16), MAX_THUMBNAIL)
    data = await run_in_threadpool(lambda: encode_png(np.ascontiguousarray(at_most(picture, side))))
    return Response(data, media_type="image/png")
