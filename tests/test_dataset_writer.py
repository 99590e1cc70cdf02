"""Writing: lossless PNG, whole files or none, the same bytes for the same rows."""

import errno
import hashlib
import os
import subprocess
import sys
from io import BytesIO

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from made_dataset import made_rows, normal_image
from PIL import Image
from small import uncounted

from anomgen.dataset.columns import Columns
from anomgen.dataset.png import decode_png, encode_png, encode_soft_mask
from anomgen.dataset.reader import Dataset
from anomgen.dataset.writer import Encoder, shard_metadata, shard_name, write_shard
from anomgen.errors import AnomgenError
from anomgen.files import replacing

COLUMNS = Columns(("nsa", "scar"))


# ------------------------------------------------------------------------------------------------------- PNG


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from([1, 3]), st.sampled_from(["u1", "u2"]), st.data())
def test_png_is_lossless_in_channels_and_depth(height, width, channels, dtype, data):
    image = data.draw(hnp.arrays(np.dtype(dtype), (height, width, channels)))
    decoded = decode_png(encode_png(image))
    np.testing.assert_array_equal(decoded, image)
    assert decoded.dtype == image.dtype


def test_the_first_channel_is_red_for_other_readers():
    image = np.zeros((4, 5, 3), np.uint8)
    image[..., 0] = 200
    assert Image.open(BytesIO(encode_png(image))).getpixel((0, 0)) == (200, 0, 0)


def test_a_mask_is_eight_bit_0_and_255():
    mask = np.eye(6, 9, dtype=bool)
    with Image.open(BytesIO(encode_png(mask))) as stored:
        assert stored.mode == "L"
        np.testing.assert_array_equal(np.asarray(stored), mask * 255)


def test_sixteen_bits_stay_sixteen_bits():
    image = np.arange(0, 60_000, 1000, dtype=np.uint16).reshape(6, 10, 1)
    with Image.open(BytesIO(encode_png(image))) as stored:
        assert stored.mode == "I;16"
        np.testing.assert_array_equal(np.asarray(stored), image[..., 0])


@given(hnp.arrays(np.float32, (5, 7), elements=st.floats(0, 1, width=32)))
def test_a_soft_mask_is_rounded_to_the_nearest_level(soft_mask):
    stored = decode_png(encode_soft_mask(soft_mask))[..., 0]
    assert np.abs(stored / 255 - soft_mask).max() <= 0.5 / 255 + 1e-6


@pytest.mark.parametrize("image", [np.zeros((3, 3, 1), np.float32), np.zeros((3, 3, 2), np.uint8)])
def test_what_a_png_cannot_hold_is_refused(image):
    with pytest.raises(ValueError, match="a PNG holds"):
        encode_png(image)


def test_normal_and_anomalous_images_have_one_codec():
    """A detector must not tell them apart by the file: unchanged pixels give the bytes of the normal image."""
    normal, anomaly = made_rows(2)
    encoder = Encoder(COLUMNS)
    assert encoder.cells(normal)["image"]["bytes"] == encode_png(normal.image)
    assert encoder.cells(anomaly)["image"]["bytes"] == encode_png(anomaly.image)


def test_the_encoder_remembers_the_array_and_not_its_address():
    encoder = Encoder(COLUMNS)
    for number in range(50):
        image = normal_image(number % 5)  # a new array each time, often where the last one was
        assert encoder._untouched(image) == encode_png(image)
        assert encoder._untouched(image) == encode_png(image)
        del image


def test_the_encoder_does_not_trust_an_array_that_can_be_written_to():
    encoder, image = Encoder(COLUMNS), np.zeros((8, 8, 3), np.uint8)
    before = encoder._untouched(image)
    image[0, 0] = 9
    assert encoder._untouched(image) != before


def test_the_encoder_forgets_beyond_its_limit():
    images = [normal_image(number) for number in range(6)]
    size = max(len(encode_png(image)) for image in images)
    encoder = Encoder(COLUMNS, cache_bytes=3 * size)
    for image in images:
        encoder._untouched(image)
        assert 0 < sum(len(known.png) for known in encoder._normal.values()) <= 3 * size


# ---------------------------------------------------------------------------------------------------- shards


def test_names_of_shards_sort_like_their_numbers():
    assert shard_name(0, 4) == "train-00000-of-00004.parquet"
    assert sorted(shard_name(k, 12) for k in range(12)) == [shard_name(k, 12) for k in range(12)]


def test_the_log_may_grow_until_the_last_row(tmp_path):
    log = {"shard": 0, "rejects": {}}

    def rows():
        yield from made_rows()
        log["rejects"] = {"nothing visible changed": 2}

    write_shard(tmp_path / "a.parquet", rows(), COLUMNS, log)
    assert shard_metadata(tmp_path / "a.parquet") == log
    assert b"huggingface" in pq.read_metadata(tmp_path / "a.parquet").metadata


def test_the_log_of_what_is_no_shard_is_none(tmp_path):
    path = tmp_path / "a.parquet"
    assert shard_metadata(path) is None
    write_shard(path, made_rows(), COLUMNS, {"shard": 0})
    content = path.read_bytes()
    for damaged in (b"", b"PAR1", content[:-1], content[: len(content) // 2], content[:100]):
        path.write_bytes(damaged)
        assert shard_metadata(path) is None


def test_row_groups_close_by_size_and_do_not_depend_on_the_reader(tmp_path, monkeypatch):
    monkeypatch.setattr("anomgen.dataset.writer.ROW_GROUP_BYTES", 15_000)
    write_shard(tmp_path / "a.parquet", made_rows(20), COLUMNS, {})
    metadata = pq.read_metadata(tmp_path / "a.parquet")
    sizes = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
    assert sum(sizes) == 20 and len(sizes) > 3
    assert len(set(sizes[:-1])) <= 2


def test_images_are_stored_as_they_are_and_the_rest_compressed(tmp_path):
    write_shard(tmp_path / "a.parquet", made_rows(), Columns(("nsa", "scar"), keep_normal=True), {})
    group = pq.read_metadata(tmp_path / "a.parquet").row_group(0)
    leaves = [group.column(i) for i in range(group.num_columns)]
    codecs = {leaf.path_in_schema: leaf.compression for leaf in leaves}
    for name in ("image", "mask", "soft_mask", "normal"):
        assert codecs.pop(f"{name}.bytes") == "UNCOMPRESSED"
    assert set(codecs.values()) == {"ZSTD"}
    assert all(leaf.has_offset_index for leaf in leaves)
    assert not any("DICTIONARY" in str(leaf.encodings) for leaf in leaves if leaf.path_in_schema.endswith("bytes"))


WRITE = """
import sys
from pathlib import Path
from small import uncounted
from made_dataset import made_rows
from anomgen.dataset.columns import Columns
from anomgen.dataset.writer import write_shard
write_shard(Path(sys.argv[1]), made_rows(30), Columns(("nsa", "scar"), keep_normal=True), {"b": 1, "a": [2]})
"""


def test_the_same_rows_give_the_same_bytes_in_two_processes(tmp_path):
    files = [tmp_path / "one.parquet", tmp_path / "two.parquet"]
    for number, file in enumerate(files):
        paths = os.pathsep.join(sys.path)
        env = {**os.environ, "PYTHONPATH": paths, "PYTHONHASHSEED": str(number)}
        subprocess.run([sys.executable, "-c", WRITE, str(file)], env=env, check=True)
    one, two = (hashlib.sha256(file.read_bytes()).hexdigest() for file in files)
    assert one == two


def test_an_encoder_that_saw_other_shards_does_not_change_the_bytes(tmp_path):
    rows, encoder = made_rows(30), Encoder(COLUMNS)
    write_shard(tmp_path / "a.parquet", rows[:12], COLUMNS, {}, encoder=encoder)
    write_shard(tmp_path / "b.parquet", rows[12:], COLUMNS, {}, encoder=encoder)
    write_shard(tmp_path / "c.parquet", rows[12:], COLUMNS, {})
    assert (tmp_path / "b.parquet").read_bytes() == (tmp_path / "c.parquet").read_bytes()


# --------------------------------------------------------------------------------------------------- failure


def names(folder):
    return sorted(file.name for file in folder.iterdir())


@pytest.mark.parametrize("error", [RuntimeError("drawn badly"), KeyboardInterrupt()])
def test_a_shard_is_there_whole_or_not_at_all(tmp_path, monkeypatch, error):
    monkeypatch.setattr("anomgen.dataset.writer.ROW_GROUP_BYTES", 10_000)

    def rows():
        yield from made_rows(9)
        assert [name for name in names(tmp_path) if name.startswith(".") and name.endswith(".tmp")]
        raise error

    with pytest.raises(type(error)):
        write_shard(tmp_path / "a.parquet", rows(), COLUMNS, {})
    assert names(tmp_path) == []


def test_a_failure_keeps_what_was_there(tmp_path):
    (tmp_path / "a.parquet").write_bytes(b"before")
    with pytest.raises(AttributeError):
        write_shard(tmp_path / "a.parquet", [None], COLUMNS, {})
    assert names(tmp_path) == ["a.parquet"]
    assert (tmp_path / "a.parquet").read_bytes() == b"before"


def test_an_error_of_the_rows_is_not_taken_for_one_of_the_disk(tmp_path):
    def rows():
        yield made_rows(1)[0]
        raise PermissionError(errno.EACCES, "image of the source", "x.png")

    with pytest.raises(PermissionError, match="image of the source"):
        write_shard(tmp_path / "a.parquet", rows(), COLUMNS, {})


@pytest.mark.parametrize(
    ("number", "says"), [(errno.ENOSPC, "no space left"), (errno.EROFS, "may not be written"), (errno.EIO, "cannot")]
)
@pytest.mark.parametrize("groups", [1, 5])
@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
def test_a_full_or_closed_disk_says_so_and_leaves_nothing(tmp_path, monkeypatch, number, says, groups):
    monkeypatch.setattr("anomgen.dataset.writer.ROW_GROUP_BYTES", 100_000 // groups)
    monkeypatch.setattr("anomgen.dataset.parquet._Sink.write", _failing_after(5, number))
    with pytest.raises(AnomgenError, match=says) as caught:
        write_shard(tmp_path / "a.parquet", made_rows(), COLUMNS, {})
    assert "a.parquet" in str(caught.value) and "--resume" in str(caught.value)
    assert caught.value.exit_code == 1
    assert names(tmp_path) == []


def _failing_after(writes, number):
    from anomgen.dataset import parquet

    original, count = parquet._Sink.write, iter(range(writes))

    class Full:
        def write(self, data):
            raise OSError(number, os.strerror(number))

    def write(self, data):
        if next(count, None) is None and not self._abandoned:
            self._file = Full()
        return original(self, data)

    return write


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(AnomgenError, match="may not be written"):
        write_shard(tmp_path / "a.parquet", made_rows(), COLUMNS, {})


def test_a_folder_that_is_a_file(tmp_path):
    (tmp_path / "data").write_text("")
    with pytest.raises(AnomgenError, match="cannot be written"):
        write_shard(tmp_path / "data" / "a.parquet", made_rows(), COLUMNS, {})


def test_a_file_size_limit_is_met_with_a_clear_error(tmp_path):
    """A real refusal of the system: no file may grow beyond 20 kB in this child process."""
    pytest.importorskip("resource", reason="limits of POSIX")
    code = (
        "import resource, signal\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\n" + WRITE
    )
    env = {**uncounted(), "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", code, str(tmp_path / "a.parquet")]
    result = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert "errors.Unwritable" in result.stderr.splitlines()[-1] and "no space left" in result.stderr.splitlines()[-1]
    assert "Exception ignored" not in result.stderr
    assert names(tmp_path) == []


@pytest.mark.skipif(sys.platform == "win32", reason="modes of POSIX")
def test_the_mode_of_the_file_follows_the_umask(tmp_path):
    write_shard(tmp_path / "a.parquet", made_rows(2), COLUMNS, {})
    (tmp_path / "b").write_text("")
    assert (tmp_path / "a.parquet").stat().st_mode == (tmp_path / "b").stat().st_mode


def test_replacing_writes_other_files_as_safely(tmp_path):
    with replacing(tmp_path / "x.txt") as file:
        file.write(b"new")
        assert not (tmp_path / "x.txt").exists()
    assert (tmp_path / "x.txt").read_bytes() == b"new"
    assert names(tmp_path) == ["x.txt"]


def test_rows_are_consumed_one_by_one(tmp_path, monkeypatch):
    """Memory does not grow with the count: a row is encoded before the next is drawn."""
    monkeypatch.setattr("anomgen.dataset.writer.ROW_GROUP_BYTES", 10_000)
    drawn, encoded = [], []
    original = Encoder.cells
    monkeypatch.setattr(Encoder, "cells", lambda self, row: encoded.append(row.index) or original(self, row))

    def rows():
        for row in made_rows(10):
            assert len(encoded) == len(drawn)
            drawn.append(row.index)
            yield row

    write_shard(tmp_path / "a.parquet", rows(), COLUMNS, {})
    assert drawn == encoded == list(range(10))


def test_an_empty_shard_can_be_read(tmp_path):
    (tmp_path / "recipe.yaml").write_text("name: x\nsource: {kind: folder}\n")
    write_shard(tmp_path / "data" / shard_name(0, 1), [], COLUMNS, {"shard": 0})
    assert len(Dataset(tmp_path, partial=True)) == 0
