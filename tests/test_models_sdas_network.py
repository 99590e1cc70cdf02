"""The U-Net of the paper preset: the published layers, OpenAI's weights in them, and how its training differs."""

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="SDAS needs the extra `diffusion`")
pytest.importorskip("diffusers", reason="SDAS needs the extra `diffusion`")

import torch.nn.functional as F
from safetensors.torch import load_file, save_file

from anomgen.errors import UsageError
from anomgen.models.sdas.guided import guided_file, load_guided
from anomgen.models.sdas.network import build_unet
from anomgen.models.sdas.noised import Category
from anomgen.models.sdas.settings import TrainSDAS
from anomgen.models.sdas.training import SDASTask, train_sdas
from anomgen.sources.builtin import Builtin

torch.set_num_threads(1)
SMALL = {
    "patch": 1,
    "channels": (32, 64),
    "attention": (False, True),
    "layers": 2,
    "head_dim": 16,
    "scale_shift": True,
    "resample": "resnet",
    "prediction": "epsilon",
    "variance": "learned_range",
    "batch_size": 2,
}
"""The paper's network with two levels of few channels."""


# --- the layers -----------------------------------------------------------------------------------------------------


class Weights(dict):
    """Random weights, drawn when they are asked for by the name that guided-diffusion gives them."""

    def __init__(self):
        super().__init__()
        self.generator = torch.Generator().manual_seed(0)

    def of(self, name, *shape):
        if name not in self:
            drawn = torch.randn(shape, generator=self.generator)
            self[name] = drawn / max(1, drawn[0].numel()) ** 0.5 if len(shape) > 1 else 1 + drawn / 10
        return self[name]


class Published:
    """Dhariwal and Nichol's U-Net (2021), by plain formulas."""

    def __init__(self, weights, base, factors, attends, head, outputs):
        self.w, self.base, self.factors, self.attends = weights, base, factors, attends
        self.head, self.outputs = head, outputs

    def __call__(self, x, t):
        frequencies = torch.exp(-np.log(10000) * torch.arange(self.base // 2) / (self.base // 2))
        angles = t[:, None] * frequencies
        time = self.dense("time_embed.0", torch.cat([angles.cos(), angles.sin()], 1), 4 * self.base)
        self.time = F.silu(self.dense("time_embed.2", F.silu(time), 4 * self.base))
        x = self.convolution("input_blocks.0.0", x, self.base)
        kept, stage = [x], 1
        for level, factor in enumerate(self.factors):
            for _ in range(2):
                x = self.residual(f"input_blocks.{stage}.0", x, factor * self.base)
                x = self.attention(f"input_blocks.{stage}.1", x) if self.attends[level] else x
                kept.append(x)
                stage += 1
            if level < len(self.factors) - 1:
                half = lambda values: F.avg_pool2d(values, 2)  # noqa: E731
                x = self.residual(f"input_blocks.{stage}.0", x, x.shape[1], half)
                kept.append(x)
                stage += 1
        x = self.residual("middle_block.0", x, x.shape[1])
        x = self.attention("middle_block.1", x)
        x = self.residual("middle_block.2", x, x.shape[1])
        for stage in range(3 * len(self.factors)):
            level = len(self.factors) - 1 - stage // 3
            x = self.residual(
                f"output_blocks.{stage}.0", torch.cat([x, kept.pop()], 1), self.factors[level] * self.base
            )
            x = self.attention(f"output_blocks.{stage}.1", x) if self.attends[level] else x
            if level and stage % 3 == 2:
                twice = lambda values: F.interpolate(values, scale_factor=2, mode="nearest")  # noqa: E731
                x = self.residual(f"output_blocks.{stage}.{1 + self.attends[level]}", x, x.shape[1], twice)
        return self.convolution("out.2", F.silu(self.norm("out.0", x)), self.outputs)

    def dense(self, name, x, width):
        return F.linear(x, self.w.of(f"{name}.weight", width, x.shape[1]), self.w.of(f"{name}.bias", width))

    def convolution(self, name, x, width, side=3):
        weight = self.w.of(f"{name}.weight", width, x.shape[1], side, side)
        return F.conv2d(x, weight, self.w.of(f"{name}.bias", width), padding=side // 2)

    def norm(self, name, x):
        channels = x.shape[1]
        return F.group_norm(x, 32, self.w.of(f"{name}.weight", channels), self.w.of(f"{name}.bias", channels))

    def residual(self, name, x, width, resized=lambda values: values):
        inner = self.convolution(f"{name}.in_layers.2", resized(F.silu(self.norm(f"{name}.in_layers.0", x))), width)
        x = resized(x)
        scale, shift = self.dense(f"{name}.emb_layers.1", self.time, 2 * width)[..., None, None].chunk(2, 1)
        inner = self.norm(f"{name}.out_layers.0", inner) * (1 + scale) + shift
        inner = self.convolution(f"{name}.out_layers.3", F.silu(inner), width)
        return inner + (x if x.shape[1] == width else self.convolution(f"{name}.skip_connection", x, width, 1))

    def attention(self, name, x):
        n, c, h, w = x.shape
        flat = self.norm(f"{name}.norm", x).reshape(n, c, h * w)
        asked = F.conv1d(flat, self.w.of(f"{name}.qkv.weight", 3 * c, c, 1), self.w.of(f"{name}.qkv.bias", 3 * c))
        found = []
        for head in asked.split(3 * self.head, 1):
            question, key, value = head.split(self.head, 1)
            shares = torch.einsum("ncq,nck->nqk", question, key) / self.head**0.5
            found.append(torch.einsum("nqk,nck->ncq", shares.softmax(2), value))
        weight, bias = self.w.of(f"{name}.proj_out.weight", c, c, 1), self.w.of(f"{name}.proj_out.bias", c)
        return x + F.conv1d(torch.cat(found, 1), weight, bias).reshape(n, c, h, w)


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """The network's outputs for two images, and a file of its weights."""
    weights, x, t = Weights(), torch.randn(2, 3, 16, 16), torch.tensor([3, 700])
    outputs = Published(weights, 32, (1, 2), (False, True), 16, 6)(x, t)
    file = tmp_path_factory.mktemp("guided") / "weights.safetensors"
    save_file({**weights, "label_emb.weight": torch.randn(1000, 128)}, file)
    return x, t, outputs, file


def test_openais_weights_give_what_the_published_network_gives(published):
    x, t, outputs, file = published
    unet = build_unet(TrainSDAS(**SMALL), (16, 16, 3)).eval()
    load_guided(unet, file)
    with torch.no_grad():
        assert torch.allclose(unet(x, t).sample, outputs, atol=1e-4)


def test_the_paper_preset_has_the_published_layers():
    with torch.device("meta"):
        unet = build_unet(TrainSDAS(preset="paper"), (256, 256, 3))
        weights = Weights()
        weights.generator = None
        Published(weights, 256, (1, 1, 2, 2, 4, 4), (0, 0, 0, 1, 1, 1), 64, 6)(
            torch.zeros(1, 3, 256, 256), torch.zeros(1)
        )
    assert sum(parameter.numel() for parameter in unet.parameters()) == 552_814_086  # 256x256_diffusion_uncond.pt's
    assert sum(tensor.numel() for tensor in weights.values()) == 552_814_086
    assert unet.mid_block.attentions[0].group_norm.num_groups == 32
    assert unet.mid_block.attentions[0].heads == 16


# --- what training makes of it --------------------------------------------------------------------------------------


def bricks(count):
    return Builtin(count=count, size=16).open()


def stained():
    return Builtin(name="immunohistochemistry", count=8, size=16).open()


def test_a_training_begins_with_openais_weights(published, tmp_path):
    file = published[3]
    settings = TrainSDAS(**SMALL, steps=1, learning_rate=1e-9, ema=0.0)
    train_sdas([Category(name, stained()) for name in ("a", "b")], settings, tmp_path / "model", init=str(file))
    after = load_file(tmp_path / "model/unet/diffusion_pytorch_model.safetensors")
    fresh = build_unet(settings, (16, 16, 3), 2)
    load_guided(fresh, file)
    assert all(
        torch.allclose(after[name], tensor, atol=1e-6)
        for name, tensor in fresh.state_dict().items()
        if name != "class_embedding.weight"
    )
    record = json.loads((tmp_path / "model/training.json").read_text())
    assert record["init"]["name"] == "weights.safetensors" and record["licenses"] == [None]
    assert "\nlicense: unknown\n" in (tmp_path / "model/README.md").read_text()


def test_weights_that_do_not_fit_are_refused(published, tmp_path):
    unet = build_unet(TrainSDAS(**{**SMALL, "channels": (64, 64)}), (16, 16, 3))
    with pytest.raises(UsageError, match=r"layers do not fit this network, the first is .*preset paper"):
        load_guided(unet, published[3])
    with pytest.raises(UsageError, match=r"weights_only=True\), '256x256_diffusion.safetensors'\)"):
        guided_file("models/256x256_diffusion.pt")
    with pytest.raises(UsageError, match="no such file"):
        guided_file(str(tmp_path / "none.safetensors"))
    (tmp_path / "bad.safetensors").write_bytes(b"bad")
    with pytest.raises(UsageError, match="damaged"):
        load_guided(unet, tmp_path / "bad.safetensors")


def task(settings, sources, init=None):
    from accelerate import Accelerator

    return SDASTask(
        settings, Accelerator(cpu=True), [Category(str(k), source) for k, source in enumerate(sources)], init
    )


def test_categories_are_shown_by_their_images_or_equally_often():
    small = {"patch": 1, "channels": (32,), "attention": (False,)}
    sources = [bricks(24), bricks(8)]
    for balanced, expected in ((True, [32, 32]), (False, [48, 16])):
        trained = task(TrainSDAS(**small, balanced=balanced), sources)
        drawn = [trained.data._drawn(number) for number in range(64)]
        assert np.bincount([category for category, _ in drawn]).tolist() == expected
        shown = {image.tobytes() for category, image in drawn[:32] if category == 0}
        assert len(shown) == (16 if balanced else 24)  # without repetition in an epoch
    assert TrainSDAS(preset="paper").balanced is False


def test_the_averaged_weights_forget_new_weights_but_not_another_models(published):
    small = {**SMALL, "ema": 0.9999}
    fresh, begun = (task(TrainSDAS(**small), [stained()], init) for init in (None, published[3]))
    step = 15_000  # the paper's
    assert fresh.ema.get_decay(step) == pytest.approx(step / (9 + step))  # .9994: it never reaches .9999
    assert begun.ema.get_decay(step) == begun.ema.get_decay(2) == 0.9999


def test_the_paper_preset_computes_in_float32_on_every_device():
    assert TrainSDAS(preset="paper").mixed_precision == "no"
    assert TrainSDAS().mixed_precision == "auto"
