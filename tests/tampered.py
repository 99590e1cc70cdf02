"""Files of ours that somebody has tampered with: hostile values in every field, and other things in a file's place."""

import copy
import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

if not hasattr(os, "mkfifo"):
    pytest.skip("tampers with pipes, devices and alarms of POSIX", allow_module_level=True)

RAW = {
    "<nan>": "NaN",
    "<inf>": "1e999",
    "<digits>": "9" * 5000,
    "<deep>": "[" * 20_000 + "]" * 20_000,
    "<nested>": "[" * 200 + "]" * 200,
}
"""What no value in Python is written as: stands in the text instead of a mark."""

HOSTILE: tuple[Any, ...] = (
    None,
    True,
    -1,
    2**80,
    0.5,
    1e308,
    "",
    "x" * 300_000,
    "/dev/zero",
    "../../etc/passwd",
    "/" + "x" * 300,
    "\ud800",
    "\x1b]0;gone\x07\x1b[2J",
    "a\nb\0c",
    [],
    {},
    [[None]],
    {"kind": {"kind": []}},
    *RAW,
)


class Tampered(NamedTuple):
    """A way to break a folder."""

    name: str
    do: Callable[[Path], None]
    place: tuple[Any, ...] = ()
    """The keys that lead to the field."""

    def __call__(self, folder: Path) -> None:
        self.do(folder)


def in_fields(file: str, values: Any, hostile=HOSTILE) -> Iterator[Tampered]:
    """Yield a tampering of each field of a JSON or YAML file for each hostile value, and one without the field."""
    for place in places(values):
        label = f"{file}:{'.'.join(map(str, place))}"
        for value in hostile:
            yield Tampered(f"{label}={json.dumps(value)[:20]}", _setting(file, values, place, value), place)
        if place:
            yield Tampered(f"{label} left out", _setting(file, values, place, _GONE), place)


_GONE = object()


def places(values: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the keys that lead to each value, the whole first."""
    yield place
    pairs = values.items() if isinstance(values, dict) else enumerate(values) if isinstance(values, list) else ()
    for key, value in pairs:
        yield from places(value, (*place, key))


def _setting(file: str, values: Any, place: tuple[Any, ...], value: Any) -> Callable[[Path], None]:
    def do(folder: Path) -> None:
        changed = {"": copy.deepcopy(values)}
        inner: Any = changed
        for key in ("", *place)[:-1]:
            inner = inner[key]
        last = ("", *place)[-1]
        if value is _GONE:
            del inner[last]
        else:
            inner[last] = value
        (folder / file).write_bytes(text_of(changed[""], file).encode("utf-8", "surrogatepass"))

    return do


def text_of(values: Any, file: str) -> str:
    """Return values as JSON, which YAML is, too; with the mark of a recipe of ours, and with what no value says."""
    text = json.dumps(values)
    for mark, raw in RAW.items():
        text = text.replace(json.dumps(mark), raw)
    return (_MARK if file.endswith(".yaml") else "") + text


_MARK = "# The recipe of the dataset in this folder, written by anomgen make.\n"


def in_place_of(file: str) -> Iterator[Tampered]:
    """Yield what may stand in a file's place: other kinds of files, garbage, a part of it, nothing."""

    def instead(make: Callable[[Path], Any]) -> Callable[[Path], None]:
        def do(folder: Path) -> None:
            path = folder / file
            path.unlink()
            make(path)

        return do

    def cut(share: float) -> Callable[[Path], None]:
        def do(folder: Path) -> None:
            data = (folder / file).read_bytes()
            (folder / file).write_bytes(data[: int(len(data) * share)])

        return do

    def flipped(share: float) -> Callable[[Path], None]:
        def do(folder: Path) -> None:
            data = bytearray((folder / file).read_bytes())
            data[int(len(data) * share)] ^= 0xFF
            (folder / file).write_bytes(bytes(data))

        return do

    yield Tampered(f"{file}: gone", instead(lambda path: None))
    yield Tampered(f"{file}: empty", instead(lambda path: path.touch()))
    yield Tampered(f"{file}: folder", instead(lambda path: path.mkdir()))
    yield Tampered(f"{file}: pipe", instead(os.mkfifo))
    yield Tampered(f"{file}: endless", instead(lambda path: path.symlink_to("/dev/zero")))
    yield Tampered(f"{file}: terminal", instead(lambda path: path.symlink_to("/dev/tty")))
    yield Tampered(f"{file}: loop", instead(lambda path: path.symlink_to(path.name)))
    yield Tampered(f"{file}: nowhere", instead(lambda path: path.symlink_to("nowhere")))
    yield Tampered(f"{file}: noise", instead(lambda path: path.write_bytes(bytes(k * k % 251 for k in range(5000)))))
    yield Tampered(f"{file}: huge", instead(_huge))
    for share in (0.1, 0.5, 0.99):
        yield Tampered(f"{file}: cut at {share}", cut(share))
    for share in (0.02, 0.3, 0.6, 0.95):
        yield Tampered(f"{file}: byte at {share} flipped", flipped(share))


def _huge(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 40)  # a hole: it takes no room


ALIASES = "\n".join(
    ["a0: &a0 [x, x, x, x, x, x, x, x]"] + [f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 8)}]" for k in range(1, 9)]
)
"""Nine lines of YAML that stand for 8⁹ values."""


def with_text(file: str, name: str, text: str | bytes) -> Tampered:
    """Return the tampering that writes a text."""
    data = text if isinstance(text, bytes) else text.encode()
    return Tampered(f"{file}: {name}", lambda folder: (folder / file).write_bytes(data) and None)


def read_values(file: Path) -> Any:
    """Return what is in a file of JSON or YAML."""
    return yaml.safe_load(file.read_text()) if file.suffix == ".yaml" else json.loads(file.read_text())


@contextmanager
def at_most(seconds: int) -> Iterator[None]:
    """Raise TimeoutError in what takes longer."""

    def ring(*_: Any) -> None:
        raise TimeoutError(f"took more than {seconds} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
