"""Who may ask the studio: the page that was opened with the token, by a name of this machine, and nobody else."""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import socket
from collections.abc import Mapping
from urllib.parse import parse_qs, urlsplit

from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

TOKEN_HEADER = "x-anomgen-token"
MAX_BODY = 64 << 20
"""Bytes that a request may hold: a painted mask of twenty megapixels is far below."""

HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
        "manifest-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "cache-control": "no-store",
}
"""On every answer: no script, style or picture from elsewhere or within the page, nothing kept, no frame around it."""

FRAMED = {
    "content-security-policy": HEADERS["content-security-policy"].replace(
        "frame-ancestors 'none'", "frame-ancestors https://huggingface.co"
    ),
    "x-frame-options": "",
}
"""What differs where the Hub shows the page in a frame of its own."""

CLOSED = "This studio is open to the address that `anomgen studio` printed, with its token. Open that address."


class _TooLarge(Exception):
    """A request's body goes on beyond `MAX_BODY`."""


class Guard:
    """Lets through what comes from the studio's own page and refuses everything else.

    token: what the address of the page holds; a cookie takes its place after that. name: the host that the user asked
    for beside this machine's own. public: nobody needs the token, and the Hub may frame the page, as it does with
    Spaces; other sites are refused all the same.
    """

    def __init__(self, app: ASGIApp, *, token: str, name: str = "127.0.0.1", port: int = 0, public: bool = False):
        self.app, self._token, self._name, self._public = app, token, name, public
        self._headers = {**HEADERS, **FRAMED} if public else HEADERS
        self.cookie = f"anomgen-{port}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        if scope["type"] != "http":  # there is no WebSocket here
            return await send({"type": "websocket.close", "code": 1008})
        started, body = False, _Bounded(receive)

        async def protected(message: Message) -> None:
            nonlocal started
            if body.is_over and not started:
                return  # what the application makes of it; the answer comes below
            if message["type"] == "http.response.start":
                started = True
                given = {name.lower() for name, _ in message["headers"]}
                added = [(name.encode(), value.encode()) for name, value in self._headers.items() if value]
                message["headers"] = [*message["headers"], *(pair for pair in added if pair[0] not in given)]
            await send(message)

        refused = self._refused(scope)
        if refused is not None:
            return await refused(scope, receive, protected)
        try:
            await self.app(scope, body.receive, protected)
        except _TooLarge:
            if not started:
                body.is_over = False
                await _text(413, f"more than {MAX_BODY >> 20} MB")(scope, receive, protected)
        except asyncio.CancelledError:  # the studio is ended while this waits for its turn
            if not started:
                await _text(503, "the studio has ended")(scope, receive, protected)
        return None

    def _refused(self, scope: Scope) -> Response | None:
        """Return the answer to a request that may not come in; None for one that may."""
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        host = headers.get("host", "")
        if not is_own_name(_hostname(f"//{host}"), self._name):
            return _text(403, f"{host[:80]!r} is no name of this machine")
        origin = headers.get("origin")
        if origin is not None and origin not in (f"http://{host}", f"https://{host}"):
            return _text(403, "a request of another site")
        is_page = self._public and scope["path"] == "/" and scope["method"] == "GET"  # it may be framed
        if not is_page and headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            return _text(403, "a request of another site")
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > MAX_BODY:
            return _text(413, f"more than {MAX_BODY >> 20} MB")
        if self._is_right(headers.get(TOKEN_HEADER)):
            return None
        if self._public:
            return self._unnamed(scope, origin)
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        if scope["path"] == "/" and scope["method"] == "GET" and self._is_right(given):
            return self._welcome()
        if not self._is_right(_cookies(headers).get(self.cookie)):
            return _text(403, CLOSED)
        return self._unnamed(scope, origin)

    def _unnamed(self, scope: Scope, origin: str | None) -> Response | None:
        """Refuse a change that does not say which page it comes from."""
        if scope["method"] not in ("GET", "HEAD") and origin is None:
            return _text(403, "a request that does not say which page it comes from")
        return None

    def _welcome(self) -> Response:
        """Return to the page's address without the token, which the cookie keeps from now on."""
        answer = RedirectResponse("/", status_code=303)
        answer.set_cookie(self.cookie, self._token, httponly=True, samesite="strict", path="/")
        return answer

    def _is_right(self, token: str | None) -> bool:
        return token is not None and hmac.compare_digest(token.encode(), self._token.encode())


def is_own_name(host: str, given: str) -> bool:
    """Return whether a host is a name that no other site can have pointed here: DNS rebinding needs a domain.

    An address in numbers, localhost, this machine's own name, or the one that was given.
    """
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return host in {"localhost", given.lower(), socket.gethostname().lower()} - {""}
    return True


def _hostname(address: str) -> str:
    try:
        return (urlsplit(address).hostname or "").lower()
    except ValueError:
        return ""


def _cookies(headers: Mapping[str, str]) -> dict[str, str]:
    pairs = (part.partition("=") for part in headers.get("cookie", "").split(";"))
    return {name.strip(): value.strip() for name, _, value in pairs}


class _Bounded:
    """A request's body, read up to `MAX_BODY`; `receive` raises when more has come."""

    def __init__(self, receive: Receive):
        self.is_over = False
        self._receive, self._total = receive, 0

    async def receive(self) -> Message:
        message = await self._receive()
        self._total += len(message.get("body", b""))
        if self._total > MAX_BODY:
            self.is_over = True
            raise _TooLarge
        return message


def _text(status: int, text: str) -> Response:
    return PlainTextResponse(text + "\n", status_code=status)
