"""Open the studio: find a port, make a token, print the address, open the browser, serve until Ctrl-C."""

from __future__ import annotations

import secrets
import socket
import warnings
import webbrowser
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from anomgen.errors import AnomgenWarning, UsageError, forget_interrupt, require
from anomgen.places import home, local

LOOPBACK = ("127.0.0.1", "::1", "localhost")
EVERYWHERE = ("0.0.0.0", "::")
"""Hosts that stand for every address of this machine."""


def studio(
    photos: str | None = None,
    *,
    out: str | Path = "anomgen-out",
    opened: Sequence[str | Path] = (),
    host: str = "127.0.0.1",
    port: int = 0,
    public: str | None = None,
    space: str | Path | None = None,
    browser: bool = True,
    tell: Callable[[str], None] = print,
) -> list[Path] | None:
    """Serve the studio until it is interrupted; the options are those of `anomgen studio`.

    photos: what --source of `make` takes, by default the recipes' own textures. out: where recipes, masks and datasets
    are written. opened: other folders that recipes may read. host, port: where to listen; 0 for a port that is free.
    public: the name under which everybody may use it, without a token. space: a new folder that what a Space of Hugging
    Face needs is written to, instead; the files are returned. browser: open the page. tell: is given the address.
    Raises UsageError for photos that are not there, a port that is taken, or a missing extra.
    """
    if space is not None:
        from anomgen.studio.space import write_space

        return write_space(space, photos)
    require("studio", "the studio", "starlette", "uvicorn")
    folders = tuple(home(folder) for folder in opened)
    _refuse_missing(photos, folders)
    with _listening(host, port) as listener:
        port = listener.getsockname()[1]
        token = secrets.token_urlsafe(24)
        shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
        address = f"http://{shown}:{port}/" + (f"?token={token}" if public is None else "")
        if public is not None:
            text = f"--public: whoever reaches {public} can see the photos, write into {local(out)} and start runs"
            warnings.warn(text, AnomgenWarning, stacklevel=2)
        elif host not in LOOPBACK:
            text = (
                f"--host {host} opens this studio to the network, without encryption: whoever has its address can read "
                f"the photos, write into {local(out)} and start runs on this machine"
            )
            warnings.warn(text, AnomgenWarning, stacklevel=2)
        tell(address)
        if public is None and host in EVERYWHERE:
            tell(f"from other machines: {address.replace(shown, own_address(listener.family), 1)}")
        if browser:
            with suppress(webbrowser.Error):
                webbrowser.open(address)
        import uvicorn  # while the browser starts: it waits until it is served

        from anomgen.studio.app import studio_app
        from anomgen.studio.session import Session

        session = Session(photos, local(out), folders)
        config = uvicorn.Config(
            studio_app(session, token=token, name=public or host, port=port, public=public is not None),
            log_level="error",
            access_log=False,
            server_header=False,
            ws="none",
            timeout_graceful_shutdown=2,
        )
        with suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[listener])
        forget_interrupt()
    return None


def own_address(family: int = socket.AF_INET) -> str:
    """Return the address by which others reach this machine, in brackets for IPv6; its name where it has no network."""
    far = "192.0.2.1" if family == socket.AF_INET else "2001:db8::1"  # for documents: nothing is sent there
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((far, 9))
        except OSError:
            return socket.gethostname()
        found: str = probe.getsockname()[0]
    return f"[{found}]" if ":" in found else found


def _refuse_missing(photos: str | None, opened: Sequence[Path]) -> None:
    """Raise UsageError for what is not there: now, not on the page."""
    if photos is not None:
        from anomgen.sources import detect

        detect(photos)
    for folder in opened:
        if not folder.exists():
            raise UsageError(f"--open {folder}: there is no such folder")


def _listening(host: str, port: int) -> socket.socket:
    """Return a socket that listens; raises UsageError, which says why, where it cannot."""
    from anomgen.studio.guard import is_own_name

    if not is_own_name(host, host):
        raise UsageError(f"--host {host}: give a name or an address of this machine")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise UsageError(
            f"cannot listen on {host}, port {port}: {error.strerror or error}; choose another --port"
        ) from None
