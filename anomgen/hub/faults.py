"""What an error of the Hub's library means: whether trying again helps, after how long, and what to tell the user."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from typing import Any

from anomgen.errors import AnomgenError

TRANSIENT = frozenset({429, 500, 502, 503, 504})
AGAIN = "run the same command again: what has arrived is not sent again"

_RESET = re.compile(r"\bt=(\d+)")
_XET_STATUS = re.compile(r"HTTP status (?:client|server) error \((\d{3})\b")
"""How the Xet library, whose errors hold no answer, says that there was one."""


class Moved(AnomgenError):
    """Something else was committed between reading a repository and writing to it."""


class Away(AnomgenError):
    """The Hub was not asked, or did not answer."""


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _response(error: Exception) -> Any:
    """Return the Hub's answer that an error is about, None where there was none."""
    return next((found for link in _chain(error) if (found := getattr(link, "response", None)) is not None), None)


def status_of(error: Exception) -> int | None:
    """Return the HTTP status of the answer that an error is about, None where there was no answer."""
    response = _response(error)
    return _xet_status(error) if response is None else int(response.status_code)


def _xet_status(error: Exception) -> int | None:
    """Return the status in the text of an error of the Xet library, None in all others."""
    match = _XET_STATUS.search(str(error))
    return int(match[1]) if match and _response(error) is None else None


def _is_of_xet(error: Exception) -> bool:
    """Return whether an answer concerns the upload by Xet; some releases ask the Hub for the way there themselves."""
    response = _response(error)
    asked = response is not None and "/xet-write-token/" in str(response.request.url)
    return asked or _xet_status(error) is not None


def is_network(error: Exception) -> bool:
    """Return whether a request got no answer; true of the errors of every HTTP library that the Hub's has used."""
    from huggingface_hub.errors import HfHubHTTPError

    roots = [base for base in HfHubHTTPError.__mro__ if base.__name__ in ("HTTPError", "RequestException")]
    kinds = (ConnectionError, TimeoutError, *roots)
    return status_of(error) is None and any(isinstance(link, kinds) for link in _chain(error))


def pause(error: Exception, attempt: int, once: bool) -> float | None:
    """Return the seconds to wait before the next try, None when trying again cannot help."""
    status, response = status_of(error), _response(error)
    busy = status == 409 and "in progress" in str(error)
    if once and status != 429:
        return None
    if status not in TRANSIENT and not busy and not is_network(error):
        return None
    asked = _retry_after(response.headers) if response is not None else None
    return 2.0**attempt if asked is None else asked


def _retry_after(headers: Any) -> float | None:
    """Return the seconds that an answer asks to wait: Retry-After (seconds or a date), or when the rate limit ends."""
    from email.utils import parsedate_to_datetime

    text = headers.get("Retry-After")
    if text is None:
        reset = _RESET.search(headers.get("RateLimit") or "")
        return float(reset[1]) if reset else None
    try:
        return max(0.0, float(text))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except ValueError:
        return None


def symptom(error: Exception) -> str:
    """Return what went wrong, in a few words."""
    status = status_of(error)
    return {429: "the Hub asks for patience (429)", None: "the connection broke"}.get(
        status, f"the Hub answered {status}"
    )


def explained(error: Exception, where: str, redacted: Callable[[str], str], *, is_there: bool) -> AnomgenError:
    """Return what an error of the library means for the user; is_there: whether the repository exists."""
    status, response = status_of(error), _response(error)
    said = redacted(" ".join(str(getattr(error, "server_message", None) or "").split()))[:300]
    said = f" ({status}: {said})" if said else f" ({status})"
    if isinstance(error, AnomgenError):
        return error
    if _is_of_xet(error) and status not in TRANSIENT:
        reason = redacted(" ".join(str(error).split()))[:300]
        return AnomgenError(
            f"{where}: the upload by Xet was refused ({reason}); set HF_HUB_DISABLE_XET=1 to upload without it"
        )
    if status == 401:
        return AnomgenError(
            f"{where}: the Hub does not accept the token{said}; log in again with `hf auth login`, or set HF_TOKEN"
        )
    if status == 403 and response is not None and response.request.method == "PUT":
        return AnomgenError(f"{where}: the storage did not take a file (403), its address may have expired; {AGAIN}")
    if status == 403:
        other = "propose the change with --create-pr" if is_there else "name a repository of your own"
        return AnomgenError(
            f"{where}: this token may not do that{said}; use a token of the owner that may write, or {other}"
        )
    if status == 404:
        return AnomgenError(f"{where}: not there (any more), or hidden from this token{said}")
    if status == 412:
        return Moved(
            f"{where}: something else was committed meanwhile, or this token may only propose changes (--create-pr); "
            f"nothing was overwritten; {AGAIN}"
        )
    if status == 409:
        return AnomgenError(f"{where}: the Hub reports a conflict{said}; {AGAIN}")
    if status == 429:
        seconds = _retry_after(response.headers) if response is not None else None
        later = f" in {seconds:.0f} s" if seconds else " later"
        return AnomgenError(f"{where}: the Hub still asks for patience{said}; {AGAIN}, but{later}")
    if status in TRANSIENT:
        return AnomgenError(f"{where}: the Hub kept failing{said}; {AGAIN}")
    if status is not None:
        return AnomgenError(f"{where}: the Hub refused{said}")
    reason = reason_of(error, redacted)
    if is_network(error):
        return AnomgenError(f"{where}: the connection to the Hub{_elsewhere()} broke ({reason}); {AGAIN}")
    return AnomgenError(f"{where}: {reason}")


def reason_of(error: Exception, redacted: Callable[[str], str]) -> str:
    """Return an error in one short line, without tokens."""
    return redacted(f"{type(error).__name__}: {' '.join(str(error).split())}")[:300]


def _elsewhere() -> str:
    """Return which Hub is meant when the environment names one."""
    endpoint = os.environ.get("HF_ENDPOINT")
    return f" at HF_ENDPOINT={endpoint}" if endpoint else ""
