"""A kept detector whose weights are damaged is refused by whatever reads it."""

import hashlib
import json
import tracemalloc

import numpy as np
import pytest
from learned import quick_detector

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
    for size, told in ((1 << 27, "are not the weights that"), (5 << 30, "holds more than 4.29 GB")):
        with (kept / WEIGHTS).open("wb") as file:
            file.truncate(size)
        tracemalloc.start()
        with pytest.raises(UsageError, match=told):
            anomgen.Inspector.load(kept)
        assert tracemalloc.get_traced_memory()[1] < 1 << 25
        tracemalloc.stop()
