"""A kept detector whose weights are damaged is refused by whatever reads it."""

import hashlib
import json
import math
import tracemalloc

import numpy as np
import pytest
from learned import quick_detector
from tampered import at_most

pytest.importorskip("timm", reason="scoring is an extra")
pytest.importorskip("onnxscript", reason="exporting is an extra")

from safetensors.numpy import load_file, save_file

import anomgen
from anomgen.errors import UsageError
from anomgen.hub import push
from anomgen.score.kept.folder import DESCRIPTION, WEIGHTS

pytestmark = pytest.mark.filterwarnings("ignore::anomgen.errors.AnomgenNote")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda arrays, name: arrays.update({name: np.full_like(arrays[name], np.nan)}), "no finite numbers"),
        (lambda arrays, name: arrays.pop(name), "is missing"),
    ],
)
def test_damaged_weights_are_neither_used_nor_exported_nor_published(hub, tmp_path, change, message):
    kept = quick_detector(tmp_path)
    arrays = load_file(kept / WEIGHTS)
    change(arrays, next(name for name, array in arrays.items() if array.ndim == 4))
    save_file(arrays, kept / WEIGHTS)
    known = json.loads((kept / DESCRIPTION).read_text())
    known["weights"] = hashlib.sha256((kept / WEIGHTS).read_bytes()).hexdigest()
    (kept / DESCRIPTION).write_text(json.dumps(known))
    for use in (
        anomgen.Inspector.load,
        lambda folder: anomgen.export(folder, "onnx", tmp_path / "x.onnx"),
        lambda folder: push(folder, "me/inspector", license="cc-by-4.0"),
    ):
        with pytest.raises(UsageError, match=f"the weights do not fit detector probe .*{message}"):
            use(kept)
    assert not hub.repos and not (tmp_path / "x.onnx").exists()


def test_nothing_of_other_weights_is_held_in_memory(tmp_path):
    """A hole of a gigabyte takes no room on the disk, and an untrusted folder may hold one."""
    kept = quick_detector(tmp_path)
    anomgen.Inspector.load(kept)  # imports what it needs
    for size, told in (
        (1 << 25, "are not the weights that"),
        (1 << 27, "do not fit"),
        (5 << 30, "holds more than 4.29 GB"),
    ):
        with (kept / WEIGHTS).open("wb") as file:
            file.truncate(size)
        tracemalloc.start()
        with pytest.raises(UsageError, match=told):
            anomgen.Inspector.load(kept)
        assert tracemalloc.get_traced_memory()[1] < 1 << 25
        tracemalloc.stop()


def with_holes(path, arrays):
    """Write arrays, of which those that are given as shapes are zeros that take no room on the disk."""
    held = {name: array for name, array in arrays.items() if isinstance(array, np.ndarray)}
    header, end = {}, 0
    for name, array in [*held.items(), *((name, shape) for name, shape in arrays.items() if name not in held)]:
        shape = getattr(array, "shape", array)
        size = 4 * math.prod(shape)
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for array in held.values():
            file.write(array.tobytes())
        file.truncate(8 + len(text) + end)


@pytest.mark.parametrize("name", ["weights that no detector has", ""])
def test_large_weights_are_not_even_hashed_where_a_detector_has_none_such(tmp_path, monkeypatch, name):
    """Their hash may be the one that the description tells: whoever wrote the one wrote the other."""
    kept = quick_detector(tmp_path)
    arrays = {name: array for name, array in load_file(kept / WEIGHTS).items() if array.dtype == np.float32}
    with_holes(kept / WEIGHTS, {**arrays, name or min(arrays): (1 << 28,)})
    monkeypatch.setattr(hashlib, "sha256", lambda: pytest.fail("hashed"))
    with pytest.raises(UsageError, match="the weights do not fit detector probe"), at_most(20):
        anomgen.Inspector.load(kept)


def test_large_weights_are_read_where_a_detector_has_them(tmp_path, monkeypatch):
    kept = quick_detector(tmp_path)
    monkeypatch.setattr("anomgen.score.kept.folder.LARGE", 1 << 10)
    anomgen.Inspector.load(kept)
