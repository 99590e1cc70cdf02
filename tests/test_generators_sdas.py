"""The generator sdas: images of a diffusion model go into masks; refuses what it cannot use."""

import json
import pickle
import shutil
import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="learned generators need the extra `diffusion`")
pytest.importorskip("diffusers", reason="learned generators need the extra `diffusion`")

from learned import TINY, TINY_GUIDE, edit_description, pictures, tiny_guided, tiny_sdas, two_categories

from anomgen.dataset.reader import Dataset
from anomgen.errors import RecipeError, UsageError
from anomgen.generators.base import build_generator
from anomgen.generators.conformance import TestPool, check_generator
from anomgen.making.check import check_dataset
from anomgen.making.engine import Plan, Renderer
from anomgen.making.make import make
from anomgen.making.recipe import load_recipe
from anomgen.models.classifier.settings import TrainClassifier
from anomgen.models.classifier.training import train_classifier
from anomgen.models.sdas.model import load_sdas
from anomgen.models.sdas.noised import Category
from anomgen.models.sdas.settings import TrainSDAS
from anomgen.models.sdas.training import train_sdas
from anomgen.sources.folder import Folder

torch.set_num_threads(1)


def grey_pool(**options):
    return TestPool((32, 32, 1), **options)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"preset": "ddim"},
        {"start_range": [0.2, 0.6]},
        {"extent": "whole"},
        {"strength_range": [0, 0]},
    ],
)
def test_the_generator_keeps_the_contract(sdas_model, settings):
    generator = build_generator({"kind": "sdas", "model": str(sdas_model), "steps": 3, **settings})
    check_generator(generator, grey_pool(), count=8)
    check_generator(generator, grey_pool(dtype=np.uint16), count=4)
    if settings.get("extent") != "whole":
        check_generator(generator, grey_pool(with_foreground=True), count=8)


@pytest.fixture(scope="module")
def guided(tmp_path_factory):
    """A model of two categories and a classifier that guides it."""
    return tiny_guided(tmp_path_factory.mktemp("guided"))


def guided_by(guided, pool=None, **settings):
    model, guide = guided
    given = {"category": "brick", "steps": 3, **settings}
    return prepared(model, pool, classifier=str(guide), **given)


@pytest.mark.parametrize("settings", [{}, {"sampler": "ddim"}, {"start_range": [0.2, 0.6]}, {"extent": "whole"}])
def test_a_guided_generator_keeps_the_contract(guided, settings):
    whole = {"category": "all"} if settings.get("extent") == "whole" else {}
    generator = guided_by(guided, guidance_scale=50, **settings, **whole)
    check_generator(generator, grey_pool(), count=8)


def contents(generator, count=3):
    pool = grey_pool()
    found = generator._contents([np.random.default_rng(k) for k in range(count)], [pool[0]] * count)
    return np.stack([image for image, _ in found]).astype(float)


def test_guidance_at_scale_0_is_none_and_changes_more_the_larger_it_is(guided):
    model, _ = guided
    alone = contents(prepared(model, category="brick", steps=3, extent="whole"))
    changes = [
        np.abs(contents(guided_by(guided, guidance_scale=scale, extent="whole")) - alone).mean()
        for scale in (0, 100, 1000)
    ]
    assert changes[0] == 0 < changes[1] < changes[2]


def test_the_category_is_what_a_sample_is_guided_towards(guided):
    from anomgen.models.classifier.model import log_likelihood_gradient

    classifier = guided_by(guided)._guide()
    x, t = torch.randn(3, 16, 4, 4, generator=torch.Generator().manual_seed(0)), torch.tensor(400)
    for category, number in (("brick", 0), ("grass", 1)):
        generator = guided_by(guided, category=category, guidance_scale=3)
        model = generator._loaded()
        steered = generator._steering(model, [model.category(category)] * 9)([7, 2, 4], x, t)
        wanted = torch.full((3,), number)
        assert torch.equal(steered, 3 * log_likelihood_gradient(classifier.network, x, t, wanted))


def test_a_model_of_one_category_is_guided_towards_any_that_the_classifier_knows(tmp_path):
    model = tiny_sdas(tmp_path / "model")
    settings = TrainClassifier(steps=1, **TINY_GUIDE)
    guide = train_classifier(two_categories(), settings, tmp_path / "guide", guides=str(model)).path
    drawn = {}
    for category in ("brick", "grass"):
        given = {"category": category, "guidance_scale": 100, "steps": 3, "extent": "whole"}
        drawn[category] = contents(prepared(model, classifier=str(guide), **given))
    assert (drawn["brick"] != drawn["grass"]).any()
    with pytest.raises(UsageError, match="does not know the category 'tile'"):
        prepared(model, classifier=str(guide), category="tile")
    with pytest.raises(UsageError, match="no category 'grass'"):
        prepared(model, category="grass")


def test_grey_images_are_drawn_by_a_model_that_knows_them_beside_coloured_ones(tmp_path):
    pictures(tmp_path / "leaf", 8)
    pictures(tmp_path / "metal", 8, grey=True, seed=30)
    categories = [Category(name, Folder(path=str(tmp_path / name), size=32).open()) for name in ("leaf", "metal")]
    model = train_sdas(categories, TrainSDAS(steps=1, **TINY), tmp_path / "model").path
    assert load_sdas(str(model)).shape == (32, 32, 3)
    for settings in ({}, {"start_range": [0.3, 0.6]}, {"extent": "whole"}):
        generator = build_generator({"kind": "sdas", "model": str(model), "steps": 2, "category": "metal", **settings})
        check_generator(generator, grey_pool(), count=4)


def test_rows_of_all_categories_are_guided_each_towards_its_own_and_the_classifier_is_a_resource(guided, tmp_path):
    model, guide = guided
    overrides = [
        *(f"generator.{key}={value}" for key, value in {"model": model, "classifier": guide}.items()),
        "generator.category=all",
        "generator.steps=3",
        "source.size=32",
    ]
    recipe = load_recipe("sia", overrides=overrides, count=12)
    make(recipe, tmp_path / "out")
    categories = [row["params"]["category"] for row in Dataset(tmp_path / "out").rows(["params"])]
    assert set(categories) == {"brick", "grass"}
    resources = json.loads((tmp_path / "out" / "provenance.json").read_text())["resolved"]["resources"]
    assert set(resources) == {"model", "classifier"}
    assert str(guide) not in (tmp_path / "out" / "recipe.yaml").read_text()
    shutil.copytree(guide, tmp_path / "moved")
    moved = load_recipe("sia", overrides=[*overrides, f"generator.classifier={tmp_path / 'moved'}"], count=12)
    assert moved.fingerprint() == recipe.fingerprint()


def test_what_the_classifier_learnt_from_counts_as_what_the_generator_knows(guided, tmp_path):
    model, guide = guided
    other = shutil.copytree(guide, tmp_path / "guide")
    record = json.loads((other / "training.json").read_text())
    record["data"][0] |= {"files": ["0" * 32], "license": "cc-by-4.0"}
    (other / "training.json").write_text(json.dumps(record))
    generator = build_generator({"kind": "sdas", "model": str(model), "classifier": str(other), "category": "brick"})
    assert "0" * 32 in generator.trained_on() and set(generator.licenses()) == {"cc0-1.0", "cc-by-4.0"}


def test_a_classifier_that_does_not_fit_is_refused(guided, sdas_model, tmp_path):
    model, guide = guided
    with pytest.raises(UsageError, match=r"generator\.classifier: .*no such model folder"):
        prepared(model, category="brick", classifier=str(tmp_path / "none"))
    with pytest.raises(UsageError, match=r"generator\.classifier: .*latent space.*train classifier --guides"):
        prepared(sdas_model, classifier=str(guide))
    other = shutil.copytree(guide, tmp_path / "guide")
    edit_description(other, categories=["stone", "grass"])
    with pytest.raises(UsageError, match=r"generator\.classifier: .*does not know the category 'brick' .*stone, grass"):
        prepared(model, category="brick", classifier=str(other))
    assert prepared(model, category="grass", classifier=str(other)).category == "grass"
    with pytest.raises(UsageError, match=r"generator\.classifier: .*does not know the category 'brick'"):
        prepared(model, category="all", extent="whole", classifier=str(other))
    with pytest.raises(UsageError, match="it guides a model"):
        texture = {"kind": "folder", "path": str(tmp_path)}
        build_generator({"kind": "sdas", "texture": texture, "classifier": str(guide)}).prepared(grey_pool())


def test_the_recipe_makes_a_dataset_that_checks_whoever_draws_it(sdas_model, tmp_path):
    recipe = load_recipe(
        "sdas",
        overrides=[f"generator.model={sdas_model}", "generator.steps=3", "source.size=32", "shard_size=16"],
        count=32,
    )
    make(recipe, tmp_path / "one")
    plan = Plan.of(recipe)
    renderer = Renderer(pickle.loads(pickle.dumps(plan)))  # what a worker is sent
    for row in renderer.rows(range(16, 32)):
        stored = Dataset(tmp_path / "one").row(row.index)
        assert np.array_equal(row.image, stored["image"]) and np.array_equal(row.mask, stored["mask"])
        assert row.params == stored["params"]
    pool = Renderer(plan).pool
    assert check_dataset(Dataset(tmp_path / "one"), pool).ok
    provenance = json.loads((tmp_path / "one" / "provenance.json").read_text())
    assert provenance["resolved"]["resources"]["model"] == load_sdas(str(sdas_model)).fingerprint
    for name in ("recipe.yaml", "provenance.json", "README.md"):
        assert str(sdas_model) not in (tmp_path / "one" / name).read_text()


def test_sia_images_serve_as_bank_of_sdas_and_as_texture_of_perlin(sdas_model, tmp_path):
    pytest.importorskip("datasets", reason="a dataset as texture needs the extra `hub`")
    overrides = [f"generator.model={sdas_model}", "generator.steps=3", "source.size=32"]
    make(load_recipe("sia", overrides=overrides, count=6), tmp_path / "sia")
    rows = list(Dataset(tmp_path / "sia").rows(["image", "mask", "label", "params"]))
    assert len(rows) == 6 and all(row["mask"].all() for row in rows)
    strengths = [row["params"]["strength"] for row in rows]
    assert all(0.1 <= s <= 0.2 for s in strengths) and len(set(strengths)) == 6
    bank = f"{{kind: hub, path: {tmp_path / 'sia'}}}"
    for name in ("sdas", "perlin"):
        overrides = [f"generator.texture={bank}", "source.size=32"]
        recipe = load_recipe(name, overrides=overrides, count=8)
        make(recipe, tmp_path / name)
        provenance = json.loads((tmp_path / name / "provenance.json").read_text())
        assert provenance["resolved"]["resources"]["texture"]
        assert check_dataset(Dataset(tmp_path / name), Renderer(Plan.of(recipe)).pool).ok


def test_realnet_mixes_normal_sdas_and_textured_rows(sdas_model, tmp_path):
    overrides = [f"generator.parts.0.model={sdas_model}", "generator.parts.0.steps=2", "source.size=32"]
    make(load_recipe("realnet", overrides=overrides, count=64), tmp_path / "out")
    rows = json.loads((tmp_path / "out" / "provenance.json").read_text())["rows"]
    assert rows["normal"] == 32 and set(rows["by_type"]) == {"sdas", "perlin"}


def test_the_recipe_does_not_depend_on_where_the_model_lies(sdas_model, tmp_path):
    moved = tmp_path / "moved"
    shutil.copytree(sdas_model, moved)
    prints = {load_recipe("sdas", overrides=[f"generator.model={m}"]).fingerprint() for m in (sdas_model, moved)}
    assert len(prints) == 1
    assert load_sdas(str(moved)).fingerprint == load_sdas(str(sdas_model)).fingerprint


def prepared(model, pool=None, **settings):
    return build_generator({"kind": "sdas", "model": str(model), **settings}).prepared(pool or grey_pool())


def test_without_a_model_the_error_says_how_to_train_one():
    with pytest.raises(UsageError, match="anomgen train sdas"):
        build_generator({"kind": "sdas"}).prepared(grey_pool())


@pytest.mark.parametrize(
    "break_it, message",
    [
        (shutil.rmtree, "no such model folder"),
        (lambda m: (m / "model_index.json").unlink(), "no model_index.json"),
        (lambda m: (m / "unet" / "diffusion_pytorch_model.safetensors").unlink(), "half-written"),
        (
            lambda m: (m / "unet" / "diffusion_pytorch_model.safetensors").rename(
                m / "unet" / "diffusion_pytorch_model.bin"
            ),
            "pickle",
        ),
        (lambda m: (m / "unet" / "diffusion_pytorch_model.safetensors").write_bytes(b"12345678"), "damaged"),
        (lambda m: (m / "unet" / "config.json").unlink(), "half-written: unet/config.json"),
        (lambda m: shutil.rmtree(m / "scheduler"), "half-written: scheduler/scheduler_config.json"),
        (lambda m: (m / "transform" / "diffusion_pytorch_model.safetensors").unlink(), "half-written: transform"),
        (lambda m: (m / "model_index.json").write_text('{"_class_name": "StableDiffusionPipeline"}'), "no DDPM"),
        (
            lambda m: (m / "model_index.json").write_text(
                '{"unet": ["diffusers", "UNet2DConditionModel"], "scheduler": ["diffusers", "PNDMScheduler"]}'
            ),
            "no DDPM",
        ),
        (lambda m: (m / "model_index.json").write_text("{"), "damaged"),
    ],
)
def test_broken_models_are_refused_with_a_reason(sdas_model, tmp_path, break_it, message):
    copy = tmp_path / "model"
    shutil.copytree(sdas_model, copy)
    break_it(copy)
    with pytest.raises(UsageError, match=message):
        prepared(copy)


def test_an_unfinished_training_is_no_model(sdas_model, tmp_path):
    copy = tmp_path / "model"
    shutil.copytree(sdas_model, copy)
    (copy / "model_index.json").unlink()
    record = json.loads((copy / "training.json").read_text())
    (copy / "training.json").write_text(json.dumps({**record, "finished": False, "steps": 1}))
    with pytest.raises(UsageError, match=r"step 1 of 2.*--resume"):
        prepared(copy)


def test_images_of_another_size_or_channel_count_are_refused(sdas_model):
    with pytest.raises(UsageError, match="--size 32x32"):
        prepared(sdas_model, TestPool((64, 64, 1)))
    with pytest.raises(UsageError, match="3 channels"):
        prepared(sdas_model, TestPool((32, 32, 3)))


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"strength_range": [-0.1, 0.2]}, "at least 0"),
        ({"start_range": [0.5, 1.5]}, "at most 1"),
        ({"start_range": [0.0, 1.0]}, "above 0"),
        ({"texture": {"kind": "procedural"}}, "take perlin"),
        ({"guidance_scale": -1}, "greater than or equal to 0"),
        ({"steps": 0}, "greater than or equal to 1"),
        ({"sampler": "euler"}, "ddpm"),
    ],
)
def test_settings_outside_their_range_are_refused(settings, message):
    with pytest.raises(RecipeError, match=message):
        build_generator({"kind": "sdas", **settings})


def test_a_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(UsageError, match=r'a learned generator needs torch: pip install "\.\[diffusion\]"'):
        build_generator({"kind": "sdas", "model": "anything"}).prepared(grey_pool())
