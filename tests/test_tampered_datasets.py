"""A dataset that somebody has tampered with ends in an error that says so, never in a traceback or an endless wait."""

import json
import math
import shutil
import struct
import zlib

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from learned import pictures
from tampered import ALIASES, HOSTILE, Tampered, at_most, in_fields, in_place_of, places, read_values, with_text
from tampered import text_of as _text_of

from anomgen.dataset.columns import OWN
from anomgen.dataset.reader import Dataset
from anomgen.errors import AnomgenError
from anomgen.exporters.export import export
from anomgen.hub import push
from anomgen.making.check import check
from anomgen.making.make import make
from anomgen.making.preview import preview
from anomgen.making.recipe import load_recipe
from anomgen.making.replay import replay
from anomgen.registry import names

SHARD = "data/train-00000-of-00001.parquet"
FILES = (SHARD, "recipe.yaml", "provenance.json", "README.md", "preview.png")


@pytest.fixture(scope="module")
def normal(tmp_path_factory):
    folder = tmp_path_factory.mktemp("normal") / "good"
    pictures(folder, 3)
    return folder


@pytest.fixture(scope="module")
def made(normal, tmp_path_factory):
    folder = tmp_path_factory.mktemp("made") / "d"
    overrides = {"source.size": 32, "keep_normal": True}
    make(load_recipe("perlin", source=str(normal), count=4, overrides=overrides, license="cc-by-4.0"), folder)
    return folder


# --- what is tried --------------------------------------------------------------------------------------------------


def png(width=32, height=32, depth=8, colour=0, body=b""):
    """Return a PNG of a header and compressed data."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(body)) + chunk(b"IEND", b"")


def jpeg():
    return cv2.imencode(".jpg", np.zeros((32, 32), np.uint8))[1].tobytes()


PICTURES = {
    "no bytes": None,
    "empty": b"",
    "noise": bytes(range(200)),
    "bomb": png(60_000, 60_000),
    "large": png(16_000, 16_000),
    "nothing": png(0, 0),
    "cut": png()[:40],
    "a JPEG": jpeg(),
    "bits": png(depth=1, body=bytes(5 * 32)),
    "palette": png(colour=3, body=bytes(33 * 32)),
    "alpha": png(colour=6, body=bytes((4 * 32 + 1) * 32)),
    "other size": png(20, 40, body=bytes(21 * 40)),
    "deep": png(depth=16, body=bytes(65 * 32)),
}

CELLS = {
    "label": (None, 2, -1, 2**62),
    "defect_type": (None, 5, -1, 2**62),
    "severity": (None, math.nan, math.inf, -1.0, 1e30),
    "area": (None, math.nan, -math.inf, 7.0),
    "boxes": (None, [], [None], [[1, 2, 3, None]], [[-5, -5, 2**31 - 1, 2**31 - 1]]),
    "source_id": (None, "", "x" * 300_000, "../../etc/passwd", "/dev/zero", "a\nb", "\x1b[2J\x9b2J", "a\0b"),
    "index": (None, -1, 2**62, 0),
    "seed": (None, -1, 2**62),
    "attempt": (None, -1, 2**62),
    "params": (None, "", "[]", "{", "[" * 100_000, '{"a": NaN}', '{"a": ' + "9" * 5000 + "}", '{"a": "\\ud800"}'),
}

FEATURES = (*HOSTILE, {"info": {"features": {"defect_type": {"names": 3}}}})


def in_cell(column, value, label):
    """Return the tampering that puts a value into the last row's cell."""

    def do(folder):
        table = pq.read_table(folder / SHARD)
        rows = table.to_pylist()
        rows[-1][column] = value
        pq.write_table(type(table).from_pylist(rows, schema=table.schema), folder / SHARD)

    return Tampered(f"{column}: {label}", do)


def in_features(value):
    def do(folder):
        table = pq.read_table(folder / SHARD)
        text = _text_of(value, "").encode("utf-8", "surrogatepass")
        pq.write_table(table.replace_schema_metadata({"huggingface": text}), folder / SHARD)

    return Tampered(f"features: {json.dumps(value)[:20]}", do)


def with_names(*names):
    def do(folder):
        table = pq.read_table(folder / SHARD)
        features = json.loads(table.schema.metadata[b"huggingface"])
        features["info"]["features"]["defect_type"]["names"] = ["normal", *names]
        pq.write_table(table.replace_schema_metadata({"huggingface": json.dumps(features)}), folder / SHARD)

    return Tampered(f"defect types: {ascii(names)[:30]}", do)


def many_rows(folder):
    """Write a few kilobytes that stand for ten million rows."""
    table = pq.read_table(folder / SHARD)
    rows = [{**dict.fromkeys(table.column_names), "label": 0}] * 100_000
    part = type(table).from_pylist(rows, schema=table.schema)
    with pq.ParquetWriter(folder / SHARD, table.schema, compression="zstd") as writer:
        for _ in range(10):
            writer.write_table(part)


def no_rows(folder):
    table = pq.read_table(folder / SHARD)
    pq.write_table(table.slice(0, 0), folder / SHARD)


def twice(folder):
    table = pq.read_table(folder / SHARD)
    pq.write_table(type(table).from_pylist(table.to_pylist()[:1] * 4, schema=table.schema), folder / SHARD)


def bomb(folder):
    """Write a column of a gigabyte of zeros in a few kilobytes."""
    table = pq.read_table(folder / SHARD)
    rows = [{**row, "params": "0" * (1 << 27)} for row in table.to_pylist()]
    pq.write_table(type(table).from_pylist(rows, schema=table.schema), folder / SHARD, compression="zstd")


def tamperings(made):
    yield from in_fields("provenance.json", read_values(made / "provenance.json"))
    yield from in_fields("recipe.yaml", read_values(made / "recipe.yaml"))
    for file in FILES:
        yield from in_place_of(file)
    for column in ("image", "mask", "soft_mask", "normal"):
        for label, data in PICTURES.items():
            yield in_cell(column, {"bytes": data, "path": "000003.png"}, label)
        yield in_cell(column, None, "null")
        yield in_cell(column, {"bytes": png(body=bytes(33 * 32)), "path": None}, "no name")
    for column, values in CELLS.items():
        for value in values:
            yield in_cell(column, value, ascii(value)[:20])
    for value in FEATURES:
        yield in_features(value)
    yield from map(with_names, ("x" * 300,), ("../x",), ("a\nb",), ("\x1b[2J",), ("normal",), ("",), ("a", "a"))
    yield Tampered("many rows", many_rows)
    yield Tampered("no rows", no_rows)
    yield Tampered("one row twice", twice)
    yield Tampered("a bomb", bomb)
    for file in ("recipe.yaml", "README.md"):
        head = "---\n" if file == "README.md" else ""
        for name, text in {
            "aliases": ALIASES,
            "a circle": "a: &a [*a]",
            "binary": "a: !!binary aGk=",
            "a date": "a: !!timestamp 2020-99-99",
            "an object": "a: !!python/object/apply:os.system [id]",
            "digits": "a: " + "9" * 5000,
            "deep": "a: " + "[" * 20_000,
            "twice": "a: 1\na: 2",
            "UTF-16": "a: 1".encode("utf-16"),
            "latin": b"a: \xff",
        }.items():
            data = text if isinstance(text, bytes) else f"{head}{text}\n{head}".encode()
            yield with_text(file, name, data)


# --- what must hold -------------------------------------------------------------------------------------------------


def attempts():
    """Return what reads a dataset: name → call with the dataset and a free place."""
    changes = {"visa": ["category=candle"]}
    exports = {
        f"export --to {kind}": lambda d, out, kind=kind: export(d, kind, out, overrides=changes.get(kind, ()))
        for kind in names("exporters")
    }
    return {
        "check": lambda d, out: check(d).render(),
        "replay": lambda d, out: replay(d, 3),
        "preview": lambda d, out: preview(d, out=out.with_suffix(".png")),
        "push": lambda d, out: push(d, "me/x", dry_run=True),
        "push --no-check": lambda d, out: push(d, "me/x", dry_run=True, check=False),
        **exports,
    }


def outcome(call, dataset, out):
    """Return what a call ends with, ``fine`` or the error's words; what is no error of ours passes."""
    with at_most(60):
        try:
            call(dataset, out)
        except AnomgenError as error:
            assert 0 < len(str(error)) < 5000
            return str(error)
    return "fine"


def try_all(tampered, made, place, calls):
    """Tamper with a copy and run the calls on it."""
    copy = place / "tampered"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(made, copy)
    tampered(copy)
    for name, call in calls.items():
        shutil.rmtree(place / "out", ignore_errors=True)
        try:
            outcome(call, copy, place / "out")
        except Exception as error:
            raise AssertionError(f"{tampered.name}, {name}: {type(error).__name__}: {error}"[:2000]) from error


def test_rows_of_a_type_that_the_dataset_does_not_list_are_refused(made, tmp_path):
    """As where the key of our own in the Parquet file was changed: exporters number the types that are listed."""
    folder = shutil.copytree(made, tmp_path / "d")
    for shard in (folder / "data").iterdir():
        table = pq.read_table(shard)
        pq.write_table(table.replace_schema_metadata({**table.schema.metadata, OWN.encode(): b'["fpi"]'}), shard)
    with pytest.raises(AnomgenError, match="has a type of defect that is not among its own"):
        list(Dataset(folder).records())


def sample(tampered, step, of_others=1):
    """Return every step-th of the fields' tamperings, and every so many-th of the others."""
    fields = [one for one in tampered if one.place]
    return fields[::step] + [one for one in tampered if not one.place][::of_others]


def test_what_reads_a_tampered_dataset_says_what_is_wrong(hub, made, tmp_path):
    calls = list(attempts().items())
    for number, tampered in enumerate(sample(list(tamperings(made)), 151, 4)):
        some = calls[number % len(calls)]
        try_all(tampered, made, tmp_path, dict([calls[0], some]))


@pytest.mark.slow
@pytest.mark.parametrize("part", range(8))
def test_every_reader_of_a_tampered_dataset_says_what_is_wrong(hub, made, tmp_path, part):
    for tampered in sample(list(tamperings(made)), 8)[part::8]:
        try_all(tampered, made, tmp_path, attempts())


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def _tries(count):
    return settings(
        max_examples=count, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
    )


def _with_any_value(data, made, place, calls):
    file = data.draw(st.sampled_from(["recipe.yaml", "provenance.json"]))
    values = read_values(made / file)
    spot = data.draw(st.sampled_from(list(places(values))))
    only = [one for one in in_fields(file, values, [data.draw(json_values)]) if one.place == spot]
    try_all(only[0], made, place, calls)


@_tries(20)
@given(data=st.data())
def test_any_value_in_any_field_is_read_or_refused(made, tmp_path, data):
    _with_any_value(data, made, tmp_path, {name: attempts()[name] for name in ("check", "export --to coco")})


@pytest.mark.slow
@_tries(400)
@given(data=st.data())
def test_any_value_in_any_field_is_read_or_refused_everywhere(hub, made, tmp_path, data):
    _with_any_value(data, made, tmp_path, attempts())
