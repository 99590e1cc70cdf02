"""A kept detector as one ONNX file: pixels in, map and score out, for runtimes without torch."""

from __future__ import annotations

import json
import warnings
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from anomgen.errors import AnomgenError, UsageError, require
from anomgen.files import replacing
from anomgen.score.detectors.base import Detector
from anomgen.score.detectors.networks import NetworkDetector
from anomgen.score.kept.record import Description
from anomgen.score.metrics import reduce_maps, window_side

OPSET = 18
TOLERANCE = 1e-4
"""Most that a map may be off torch's, as a share of its largest value where that is above 1."""
CHECKED = 3
"""Images that the file is checked on, of noise."""


def export_onnx(detector: Detector, known: Description, path: Path) -> float:
    """Write the file, run it beside torch, and return how far the maps are apart.

    Input `image`: (N, H, W, C), uint8 or uint16, of the detector's size, as `Inspector.seen` returns them. Outputs
    `map`, float32 (N, H, W), and `score`, float32 (N,). Thresholds and sizes are in the file's metadata, as JSON under
    the key `anomgen`.

    Raises MissingExtra without the extra `onnx`, UsageError for a detector that does more than a network can say, and
    AnomgenError, writing nothing, when the maps differ by more than `TOLERANCE`.
    """
    require("onnx", "an ONNX file", "onnx", "onnxruntime", "onnxscript")
    if not (isinstance(detector, NetworkDetector) and detector.ends_in_torch):
        raise UsageError(
            f"detector {detector.kind}: is more than a network and has no ONNX form, which probe, unet and others have"
        )
    images = _noise(known)
    content = _exported(detector, known, images)
    off = _difference(content, detector, known, images)
    if off > TOLERANCE:
        raise AnomgenError(
            f"{path}: the maps of the ONNX file are {off:.2g} off those of torch, more than {TOLERANCE:g}; nothing was "
            "written: export it with other versions of torch and onnxruntime"
        )
    with replacing(path) as file:
        file.write(content)
    return off


class _Whole(nn.Module):
    """From stored pixels to maps and scores, as `Inspector` does."""

    def __init__(self, detector: NetworkDetector, known: Description):
        super().__init__()
        height, width, channels = known.shape
        self.network = detector.learnt(detector._network)  # so that its weights are the module's
        self.detector, self.grey = detector, channels == 1
        self.top = float(np.iinfo(known.depth).max)
        self.by, self.side = known.score, window_side((height, width))

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return maps and scores."""
        pixels = image.to(torch.float32).permute(0, 3, 1, 2) / self.top
        maps = self.detector.maps(pixels.repeat(1, 3, 1, 1) if self.grey else pixels)
        if self.by == "sum":
            return maps, maps.sum((1, 2))
        means = maps if self.by == "max" else F.avg_pool2d(maps[:, None], self.side, 1)[:, 0]
        return maps, means.amax((1, 2))


def _noise(known: Description) -> np.ndarray:
    depth = np.dtype(known.depth)
    values = np.random.default_rng(0).integers(0, np.iinfo(depth).max + 1, (CHECKED, *known.shape))
    return values.astype(depth)


def _exported(detector: NetworkDetector, known: Description, images: np.ndarray) -> bytes:
    """Return the file's content."""
    import onnx

    whole = _Whole(detector, known).cpu().eval()
    batch = torch.export.Dim("batch")
    with warnings.catch_warnings(), torch.inference_mode(), redirect_stdout(StringIO()):  # older exporters print
        warnings.simplefilter("ignore")  # the exporter warns of its own libraries
        program: Any = torch.onnx.export(
            whole,
            (torch.from_numpy(images),),
            input_names=["image"],
            output_names=["map", "score"],
            dynamic_shapes={"image": {0: batch}},
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    model = program.model_proto
    onnx.helper.set_model_props(model, {"anomgen": json.dumps(_metadata(known))})
    model.producer_name = "anomgen"
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString()
    return content


def _metadata(known: Description) -> dict[str, Any]:
    return {
        "detector": known.text,
        "weights": known.weights,
        "shape": list(known.shape),
        "depth": known.depth,
        "value_range": None if known.value_range is None else list(known.value_range),
        "threshold": known.threshold.score,
        "rule": known.threshold.rule,
        "pixel_threshold": known.pixel_threshold,
        "score": known.score,
    }


def _difference(content: bytes, detector: Detector, known: Description, images: np.ndarray) -> float:
    """Return how far maps and scores of the file are from torch's, as a share of the largest where that is above 1."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    found = session.run(None, {"image": images})
    wanted = detector.anomaly_maps(images)
    pairs = ((found[0], wanted), (found[1], reduce_maps(wanted, known.score)))
    return max(float(np.abs(a - b).max() / max(1.0, np.abs(b).max())) for a, b in pairs)
