"""A model that somebody has tampered with ends in an error that says so, never in a traceback or an endless wait."""

import json
import shutil
import zipfile

import numpy as np
import pytest
from tampered import Tampered, at_most, in_fields, in_place_of, read_values
from test_fixtures import STORED

from anomgen.errors import AnomgenError
from anomgen.models.use import model_licenses, trained_on

torch = pytest.importorskip("torch", reason="learned generators need the extra `diffusion`")
pytest.importorskip("diffusers", reason="learned generators need the extra `diffusion`")

from safetensors.torch import load_file, save_file

from anomgen.models.sdas.model import load_sdas

RECORDS = {
    "cyclegan": ("anomgen_model.json", "training.json"),
    "sdas": ("model_index.json", "training.json", "unet/config.json", "scheduler/scheduler_config.json"),
}
WEIGHTS = {
    "cyclegan": ("generators/normal_to_abnormal.safetensors",),
    "sdas": ("unet/diffusion_pytorch_model.safetensors", "transform/diffusion_pytorch_model.safetensors"),
}
LARGE = {
    "cyclegan": {"width": 10**6, "blocks": 10**6, "shape": [10**9, 10**9, 3], "resolution": 10**9},
    "sdas": {"block_out_channels": [10**6], "layers_per_block": 10**6, "in_channels": 10**9, "num_class_embeds": 10**9},
}


@pytest.fixture(scope="module")
def old(tmp_path_factory):
    folder = tmp_path_factory.mktemp("old")
    with zipfile.ZipFile(STORED) as stored:
        stored.extractall(folder)
    return folder


def tamperings(model, kind):
    for file in RECORDS[kind]:
        yield from in_fields(file, read_values(model / file))
    for file in (*RECORDS[kind], *WEIGHTS[kind], "README.md"):
        yield from in_place_of(file)
    described = RECORDS[kind][0 if kind == "cyclegan" else 2]
    for key, value in LARGE[kind].items():
        fields = in_fields(described, read_values(model / described), [value])
        yield next(Tampered(f"large {key}", one.do) for one in fields if one.place == (key,))


def used(kind, model):
    if kind == "cyclegan":
        from anomgen.models.cyclegan.model import load_translators

        load_translators(model).to_abnormal.change(np.zeros((32, 32, 3), np.uint8))
    else:
        load_sdas(str(model)).draw([np.random.default_rng(0)], [0.0], steps=1)


def try_all(kind, model, calls):
    """Run the calls on a model; each ends well or with an error of ours."""
    for call in calls:
        with at_most(60):
            try:
                call(kind, model)
            except AnomgenError as error:
                assert 0 < len(str(error)) < 5000


CALLS = (used, lambda _, model: model_licenses(model), lambda _, model: trained_on(model))


def try_some(old, place, kind, step, of_others):
    tampered = list(tamperings(old / kind, kind))
    fields = [one for one in tampered if one.place]
    for one in fields[::step] + [one for one in tampered if not one.place][::of_others]:
        shutil.rmtree(place / "model", ignore_errors=True)
        shutil.copytree(old / kind, place / "model")
        one(place / "model")
        try:
            try_all(kind, place / "model", CALLS)
        except Exception as error:
            raise AssertionError(f"{one.name}: {type(error).__name__}: {error}"[:2000]) from error


@pytest.mark.parametrize("kind", RECORDS)
def test_what_uses_a_tampered_model_says_what_is_wrong(old, tmp_path, kind):
    try_some(old, tmp_path, kind, step=151, of_others=9)


@pytest.mark.parametrize("kind", RECORDS)
def test_no_figure_asks_for_all_of_the_memory(old, tmp_path, kind):
    for one in tamperings(old / kind, kind):
        if not one.name.startswith("large"):
            continue
        copy = shutil.copytree(old / kind, tmp_path / one.name.replace(" ", "-"))
        one(copy)
        with pytest.raises(AnomgenError), at_most(60):
            used(kind, copy)


CONFIGURED = {
    "unet/config.json": {
        "upsample_type": (3.7, "conv2", [1] * 100_000),
        "downsample_type": (None, "kernel"),
        "downsample_padding": ([1] * 100_000, -1, True),
        "sample_size": (None, 0, [32], [32, 32, 32], "32"),
        "out_channels": (5,),
        "norm_num_groups": (7, 0),
        "attention_head_dim": (0, "8"),
        "down_block_types": (["DownBlock2D"] * 2, ["os"], "DownBlock2D"),
        "act_fn": ("exec", 1),
        "dropout": (2, "0"),
        "norm_eps": (-1,),
        "class_embed_type": ("timestep",),
        "num_class_embeds": (3,),
        "time_embedding_type": ("fourier2",),
        "mid_block_type": ("Mid",),
    },
    "scheduler/scheduler_config.json": {
        "trained_betas": ([0.1], "x", [2] * 1000),
        "beta_schedule": ("x", 3),
        "beta_end": (7, -1, None),
        "variance_type": ("learned_range", "x"),
        "steps_offset": (10**9, -1),
        "timestep_spacing": ("x",),
        "prediction_type": (1,),
        "clip_sample_range": (0, "1"),
    },
}


def test_every_key_of_a_configuration_is_bounded(old, tmp_path):
    """Law: before anything is built; neither a type nor a figure of a stranger's reaches a library."""
    for file, keys in CONFIGURED.items():
        values = read_values(old / "sdas" / file)
        for key, wrong in keys.items():
            for value in wrong:
                copy = shutil.copytree(old / "sdas", tmp_path / "copy")
                (copy / file).write_text(json.dumps({**values, key: value}))
                with pytest.raises(AnomgenError) as error:
                    load_sdas(str(copy))
                assert len(str(error.value)) < 1000, (key, value)
                shutil.rmtree(copy)


@pytest.mark.parametrize(
    ("kind", "file"), [("sdas", WEIGHTS["sdas"][0]), ("sdas", WEIGHTS["sdas"][1]), ("cyclegan", WEIGHTS["cyclegan"][0])]
)
def test_weights_of_another_type_or_name_and_surplus_ones_are_refused(old, tmp_path, kind, file):
    tensors = load_file(old / kind / file)
    first = next(iter(tensors))
    for number, broken in enumerate(
        (
            {name: tensor.to(torch.int32) for name, tensor in tensors.items()},
            {**tensors, first: tensors[first].to(torch.bool)},
            {("x" if name == first else name): tensor for name, tensor in tensors.items()},
            {**tensors, "surplus.weight": torch.zeros(3)},
        )
    ):
        copy = shutil.copytree(old / kind, tmp_path / str(number))
        save_file(broken, copy / file)
        with pytest.raises(AnomgenError):
            used(kind, copy)


def changed(file, **values):
    """Change keys of a JSON file."""
    return lambda model: (model / file).write_text(json.dumps({**read_values(model / file), **values}))


def with_weights(file, change):
    """Change the tensors of a file, name by name."""

    def do(model):
        tensors = load_file(model / file)
        change(tensors)
        save_file(tensors, model / file)

    return do


def filled(value):
    return lambda tensors: tensors.update({name: torch.full_like(each, value) for name, each in tensors.items()})


def renamed(name):
    return lambda tensors: tensors.update({"x": tensors.pop(name)})


def another(file, kind):
    return next(one for one in in_place_of(file) if one.name == f"{file}: {kind}")


UNET, TRANSFORM = WEIGHTS["sdas"]
CYCLEGAN, SCHEDULE = WEIGHTS["cyclegan"][0], "scheduler/scheduler_config.json"
FIRST = "layers.1.bias"
NOT_FINITE = "holds values that are no finite numbers"
FAULTS = [
    ("cyclegan", with_weights(CYCLEGAN, filled(float("nan"))), NOT_FINITE),
    ("cyclegan", with_weights(CYCLEGAN, filled(float("inf"))), NOT_FINITE),
    ("cyclegan", with_weights(CYCLEGAN, filled(1e38)), f"{NOT_FINITE}: a damaged model drew it"),
    ("sdas", with_weights(UNET, filled(float("nan"))), f"half-written: .* {NOT_FINITE}"),
    ("cyclegan", changed("anomgen_model.json", resolution=1), r"resolution: .* equal to 24 \(it is 1\)"),
    ("cyclegan", changed("anomgen_model.json", shape=[4096, 32, 3]), "would see 32×0 pixels, the least is 24"),
    ("cyclegan", changed("anomgen_model.json", width="x" * 999), r"width: .* valid integer \(it is 'x{79}\)"),
    ("cyclegan", lambda model: (model / "anomgen_model.json").write_text("{}"), r"damaged \(kind: is missing\)"),
    ("cyclegan", with_weights(CYCLEGAN, renamed(FIRST)), f"2 arrays do not fit, the first: {FIRST} is missing"),
    ("cyclegan", with_weights(CYCLEGAN, lambda t: t.update(a=torch.zeros(3))), "the first: a is not expected"),
    ("cyclegan", another("anomgen_model.json", "pipe"), "is a device or a pipe, not a file"),
    ("sdas", with_weights(TRANSFORM, lambda t: t.update(encode_weight=torch.zeros(9))), "do not belong together"),
    ("sdas", with_weights(TRANSFORM, renamed("encode_bias")), "the transform lacks encode_bias"),
    ("sdas", with_weights(TRANSFORM, dict.clear), "the transform lacks encode_weight, encode_bias, decode_weight"),
    (
        "sdas",
        changed(SCHEDULE, trained_betas=[2] * 9),
        "9 problems, the first is .*.trained_betas.0: must",
    ),
    ("sdas", another(SCHEDULE, "loop"), f"{SCHEDULE}: cannot be read"),
    *(
        ("sdas", another(file, kind), f"{file}: cannot be read .is a {told}, not a file")
        for file in ("model_index.json", "unet/config.json", SCHEDULE, TRANSFORM)
        for kind, told in (("pipe", "device or a pipe"), ("endless", "device or a pipe"), ("folder", "folder"))
    ),
]


@pytest.mark.parametrize(("kind", "damage", "told"), FAULTS)
def test_an_error_names_the_fault_of_a_model(old, tmp_path, kind, damage, told):
    copy = shutil.copytree(old / kind, tmp_path / "copy")
    damage(copy)
    with at_most(60), pytest.raises(AnomgenError, match=told):
        used(kind, copy)


@pytest.mark.slow
@pytest.mark.parametrize("kind", RECORDS)
def test_whatever_uses_a_tampered_model_says_what_is_wrong(old, tmp_path, kind):
    try_some(old, tmp_path, kind, step=9, of_others=1)
