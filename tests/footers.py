"""Footers of Parquet files, taken apart and put together again: Thrift's compact protocol, as Parquet uses it."""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

MAGIC = b"PAR1"
TRUE, FALSE, BYTE, SHORT, INT, LONG, DOUBLE, BINARY, LIST, SET, MAP, STRUCT = range(1, 13)
WHOLE = (SHORT, INT, LONG)
Value = tuple[int, Any]
"""Type, and what is held: a number, bytes, a struct's list of (field, value), or a list's type and such a list."""


def read_footer(file: Path) -> tuple[bytes, Value]:
    """Return what comes before a file's footer, and the footer."""
    data = file.read_bytes()
    size = struct.unpack("<I", data[-8:-4])[0]
    reader = _Reader(data[-8 - size : -8])
    return data[: -8 - size], reader.value(STRUCT)


def write_footer(file: Path, body: bytes, footer: Value) -> None:
    """Write a file of the one with the other."""
    data = encoded(footer)
    file.write_bytes(body + data + struct.pack("<I", len(data)) + MAGIC)


def numbers(value: Value, place: tuple[int, ...] = ()) -> Iterator[tuple[tuple[int, ...], int]]:
    """Yield the place, of fields' numbers and of places in lists, and the value of every whole number."""
    kind, held = value
    if kind in WHOLE:
        yield place, held
    for key, inner in held if kind == STRUCT else held[1] if kind == LIST else ():
        yield from numbers(inner, (*place, key))


def with_number(value: Value, place: tuple[int, ...], number: int) -> Value:
    """Return a footer with another number at a place."""
    kind, held = value
    if not place:
        return kind, number
    pairs = held if kind == STRUCT else held[1]
    changed = [(key, with_number(inner, place[1:], number) if key == place[0] else inner) for key, inner in pairs]
    return kind, changed if kind == STRUCT else (held[0], changed)


def encoded(value: Value) -> bytes:
    """Return a value's bytes."""
    kind, held = value
    if kind == STRUCT:
        return b"".join(_header(*pair) for pair in zip([0, *(key for key, _ in held)], held, strict=False)) + b"\0"
    if kind == LIST:
        of, items = held
        head = bytes([len(items) << 4 | of]) if len(items) < 15 else bytes([0xF0 | of]) + _varint(len(items))
        return head + b"".join(encoded(item) for _, item in items)
    if kind == BINARY:
        return _varint(len(held)) + held
    return _varint((held << 1) ^ (held >> 63)) if kind in WHOLE else held


def _header(before: int, field: tuple[int, Value]) -> bytes:
    key, value = field
    step = key - before
    start = bytes([step << 4 | value[0]]) if 0 < step < 16 else bytes([value[0]]) + _varint((key << 1) ^ (key >> 63))
    return start + encoded(value)


def _varint(number: int) -> bytes:
    number &= (1 << 64) - 1
    parts = bytearray()
    while number > 0x7F:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*parts, number])


class _Reader:
    def __init__(self, data: bytes):
        self._data, self._at = data, 0

    def value(self, kind: int) -> Value:
        if kind == STRUCT:
            return kind, list(self._fields())
        if kind == LIST:
            head = self._take(1)[0]
            count = self._varint() if head >> 4 == 15 else head >> 4
            return kind, (head & 15, [(place, self.value(head & 15)) for place in range(count)])
        if kind == BINARY:
            return kind, self._take(self._varint())
        if kind in WHOLE:
            number = self._varint()
            return kind, (number >> 1) ^ -(number & 1)
        return kind, self._take({BYTE: 1, DOUBLE: 8}.get(kind, 0))

    def _fields(self) -> Iterator[tuple[int, Value]]:
        key = 0
        while (head := self._take(1)[0]) != 0:
            if head >> 4:
                key += head >> 4
            else:
                number = self._varint()
                key = (number >> 1) ^ -(number & 1)
            yield key, self.value(head & 15)

    def _take(self, count: int) -> bytes:
        self._at += count
        return self._data[self._at - count : self._at]

    def _varint(self) -> int:
        number = shift = 0
        while True:
            byte = self._take(1)[0]
            number |= (byte & 0x7F) << shift
            if byte < 0x80:
                return number
            shift += 7
