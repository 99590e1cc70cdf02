"""The classifier that guides: learns categories through noise, resumes exactly, fits its model, knows the way."""

import json
import shutil

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="learned generators need the extra `diffusion`")
pytest.importorskip("diffusers", reason="learned generators need the extra `diffusion`")

from learned import TINY, TINY_GUIDE, edit_description, pictures, two_categories
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from anomgen.cli import app
from anomgen.errors import AnomgenError, AnomgenWarning, Interrupted, UsageError
from anomgen.models.classifier.model import WEIGHTS, load_classifier, log_likelihood_gradient
from anomgen.models.classifier.network import AttentionPool, NoisyClassifier
from anomgen.models.classifier.settings import TrainClassifier
from anomgen.models.classifier.training import train_classifier
from anomgen.models.described import DESCRIPTION
from anomgen.models.sdas.model import load_sdas
from anomgen.models.sdas.noised import Category, noised
from anomgen.models.sdas.settings import TrainSDAS
from anomgen.models.sdas.training import train_sdas
from anomgen.models.start import train
from anomgen.models.use import trained_on
from anomgen.sources.builtin import Builtin

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Three models of two categories: on latents, on pixels, and on latents of other images."""
    folder = tmp_path_factory.mktemp("models")
    others = [Category(name, Builtin(count=8, size=32, name=name).open()) for name in ("gravel", "grass")]
    for name, categories, patch in (
        ("latent", two_categories(), 8),
        ("pixel", two_categories(), 1),
        ("other", others, 8),
    ):
        train_sdas(categories, TrainSDAS(steps=1, patch=patch, **TINY), folder / name)
    return folder


@pytest.fixture(scope="module")
def guide(models):
    return run(models / "guide", models, {"steps": 4}).path


def run(out, models, settings, *, guides="latent", **options):
    whole = {**TINY_GUIDE, **settings}
    return train_classifier(two_categories(), TrainClassifier(**whole), out, guides=str(models / guides), **options)


def seeded_classifier(**settings):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return NoisyClassifier(TrainClassifier(**{**TINY_GUIDE, **settings}), (4, 8, 8), 3).eval()


# --- the network ----------------------------------------------------------------------------------------------------


def test_the_pool_is_the_attention_of_the_mean_over_all_cells_and_itself():
    pool, x = AttentionPool(8, 6, head_dim=4), torch.randn(2, 8, 2, 3)
    weight, bias = (each.detach().double().numpy() for each in pool.to_qkv.parameters())
    expected = np.zeros((2, 8))
    for n in range(2):
        cells = x[n].double().numpy().reshape(8, 6).T
        tokens = np.concatenate([cells.mean(0, keepdims=True), cells]) + pool.places.detach().double().numpy()
        q, k, v = np.split(tokens @ weight.T + bias, 3, axis=1)
        for head in (slice(0, 4), slice(4, 8)):
            asked = k[:, head] @ q[0, head] / np.sqrt(4)
            share = np.exp(asked - asked.max())
            expected[n, head] = share / share.sum() @ v[:, head]
    assert np.abs(pool(x).detach().numpy() - expected).max() < 1e-5


@pytest.mark.parametrize(
    "settings", [{}, {"resample": "resnet", "layers": 2}, {"scale_shift": False, "channels": (64, 64)}]
)
def test_the_answer_depends_on_the_time_step_and_on_no_other_image(settings):
    x, t = torch.randn(3, 4, 8, 8, generator=torch.Generator().manual_seed(1)), torch.tensor([10, 500, 900])
    network = seeded_classifier(**settings)
    answers = network(x, t)
    assert answers.shape == (3, 3)
    assert torch.allclose(network(x[1:2], t[1:2]), answers[1:2], atol=1e-5)
    assert not torch.allclose(network(x[1:2], t[2:]), answers[1:2], atol=1e-4)


def test_a_step_along_the_gradient_makes_the_category_likelier_and_against_it_less():
    network, t = seeded_classifier(), torch.tensor(300)
    x, wanted = torch.randn(3, 4, 8, 8, generator=torch.Generator().manual_seed(2)), torch.tensor([0, 1, 2])
    with torch.no_grad():  # as in the sampler
        gradient = log_likelihood_gradient(network, x, t, wanted)

    def likelihood(x):
        return network(x, t.expand(3)).log_softmax(1)[torch.arange(3), wanted].detach()

    small = 0.01 / gradient.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
    assert (likelihood(x + small * gradient) > likelihood(x)).all()
    assert (likelihood(x - small * gradient) < likelihood(x)).all()
    eps = 1e-2 * torch.nn.functional.normalize(gradient.flatten(1)).view_as(gradient)
    slope = (likelihood(x + eps) - likelihood(x - eps)) / 2e-2
    assert torch.allclose(slope, gradient.flatten(1).norm(dim=1), rtol=0.02)


# --- training -------------------------------------------------------------------------------------------------------


def test_it_learns_to_tell_categories_apart_through_noise(models, tmp_path):
    settings = {"steps": 80, "batch_size": 16, "learning_rate": 2e-3}
    many = two_categories(64)
    given = TrainClassifier(**{**TINY_GUIDE, **settings})
    result = train_classifier(many, given, tmp_path / "guide", guides=str(models / "latent"))
    assert result.findings.startswith("Looks trained: ")
    classifier, model = load_classifier(str(result.path)), load_sdas(str(models / "latent"))
    held_out = [Builtin(count=16, size=32, name=name, seed=5).open() for name in ("brick", "grass")]
    right = 0
    for number, source in enumerate(held_out):
        images = np.stack([source[k] for k in range(16)]).astype(np.float32) / 127.5 - 1
        latents = model.pipeline.transform.encode(torch.from_numpy(images.transpose(0, 3, 1, 2).copy()))
        t = torch.full((16,), 100)
        noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(3))
        seen = noised(latents, noise, t, model.pipeline.scheduler.alphas_cumprod)
        right += int((classifier.network(seen, t).argmax(1) == number).sum())
    assert right >= 24  # of 32, by chance 16


def test_a_resumed_training_has_the_weights_of_an_uninterrupted_one(models, tmp_path):
    def stop(done, total, note):
        if done == 3:
            raise KeyboardInterrupt

    run(tmp_path / "whole", models, {"steps": 5})
    with pytest.raises((Interrupted, KeyboardInterrupt)):
        run(tmp_path / "parts", models, {"steps": 5, "checkpoint_every": 2}, progress=stop)
    assert json.loads((tmp_path / "parts" / "training.json").read_text())["steps"] == 2
    assert run(tmp_path / "parts", models, {"steps": 5, "checkpoint_every": 2}, resume=True).made == 3
    for name in (WEIGHTS, DESCRIPTION):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "parts" / name).read_bytes()
    with pytest.raises(UsageError, match=r"different: space \(that of the model to guide"):
        run(tmp_path / "parts", models, {"steps": 6}, guides="pixel", resume=True)


def test_a_checkpoint_that_somebody_has_changed_is_refused(models, tmp_path):
    """Law: of the network and of the optimiser, as of every other training."""
    run(tmp_path / "m", models, {"steps": 1})
    file = tmp_path / "m" / "checkpoint.safetensors"
    tensors, state = load_file(file), {"training": '{"step": 1, "losses": {}}'}
    net = next(name for name in tensors if name.startswith("net."))
    for told, changes in {
        "Error.s. in loading": {net: None},
        "another shape or type": {net: tensors[net].half()},
        f"{net}: is not finite": {net: tensors[net] * float("nan")},
        "optimiser.0.step: is below zero": {"optimiser.0.step": torch.tensor(-5.0)},
        "0.exp_avg_sq: is below zero": {"optimiser.0.exp_avg_sq": -tensors["optimiser.0.exp_avg_sq"] - 1},
        "nothing of the optimiser": {name: None for name in tensors if name.startswith("optimiser.")},
    }.items():
        left = {name: tensor for name, tensor in {**tensors, **changes}.items() if tensor is not None}
        save_file(left, file, state)
        with pytest.raises(AnomgenError, match=f"this checkpoint cannot be read .*{told}"):
            run(tmp_path / "m", models, {"steps": 2}, resume=True)


def test_a_batch_in_parts_gives_the_same_answers(models, tmp_path):
    for name, parts in (("whole", 1), ("parts", 2)):
        run(tmp_path / name, models, {"steps": 2, "accumulation": parts})
    x, t = torch.randn(4, 16, 4, 4, generator=torch.Generator().manual_seed(4)), torch.full((4,), 300)
    whole, parts = (load_classifier(str(tmp_path / name)).network(x, t) for name in ("whole", "parts"))
    assert torch.allclose(whole, parts, atol=1e-3)


def test_the_folder_says_what_it_knows(guide, models):
    description = load_classifier(str(guide)).description
    assert (description.categories, description.shape) == (("brick", "grass"), (32, 32, 1))
    assert description.inputs == (16, 4, 4)
    card = (guide / "README.md").read_text()
    assert "brick" in card and "arXiv 2105.05233" in card and str(models) not in card
    assert (guide / "sheets" / "step-000004.png").is_file()


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"channels": (32, 32, 32, 32), "attention": (False,) * 4}, "4×4 cells.*--preset laptop"),
        ({"channels": (32, 40)}, "multiples of 32"),
        ({"attention": (True,)}, "one for each level"),
        ({"head_dim": 24}, "head_dim: 24 does not divide the 32 channels"),
    ],
)
def test_networks_that_cannot_be_built_are_refused(settings, text, models, tmp_path):
    with pytest.raises(UsageError, match=text):
        run(tmp_path / "guide", models, {"steps": 1, **settings})
    assert not (tmp_path / "guide").exists()


def test_data_that_does_not_fit_is_refused(models, tmp_path):
    settings = TrainClassifier(steps=1, **TINY_GUIDE)
    with pytest.raises(UsageError, match="repeat --source"):
        train_classifier(two_categories()[:1], settings, tmp_path / "guide", guides=str(models / "latent"))
    with pytest.raises(UsageError, match=r"the images are 64×64×1, .* draws 32×32×1"):
        train_classifier(two_categories(size=64), settings, tmp_path / "guide", guides=str(models / "latent"))
    with pytest.raises(UsageError, match="no such model folder"):
        train_classifier(two_categories(), settings, tmp_path / "guide", guides=str(tmp_path / "none"))


def test_every_preset_can_be_built_and_that_of_realnet_has_as_many_weights_as_the_published_layers():
    with torch.device("meta"):
        for preset, inputs in (("laptop", (16, 32, 32)), ("gpu", (3, 256, 256)), ("paper", (3, 256, 256))):
            network = NoisyClassifier(TrainClassifier(preset=preset), inputs, 15)
    assert sum(weights.numel() for weights in network.parameters()) == published_count(15)


def published_count(categories):
    """Weights of OpenAI's classifier at 256 pixels: width 128 · (1, 1, 2, 2, 4, 4), attention at 1/8, 1/16, 1/32."""
    time = 4 * 128

    def residual(before, after):
        norms, scale_shift = 2 * before + 2 * after, 2 * after * (time + 1)
        shortcut = after * (before + 1) if before != after else 0
        return norms + scale_shift + 9 * before * after + 9 * after**2 + 2 * after + shortcut

    def attention(width):
        return 2 * width + 4 * width * (width + 1)

    count, width = 128 * time + time + time * (time + 1) + (9 * 3 + 1) * 128, 128
    for level, factor in enumerate((1, 1, 2, 2, 4, 4)):
        for _ in range(2):
            count += residual(width, 128 * factor) + (level >= 3) * attention(128 * factor)
            width = 128 * factor
        count += (level < 5) * residual(width, width)
    count += 2 * residual(width, width) + attention(width)
    return count + 2 * width + (8 * 8 + 1) * width + 3 * width * (width + 1) + (width + 1) * categories


# --- in use ---------------------------------------------------------------------------------------------------------


def test_a_classifier_guides_models_of_its_space_alone(guide, models, tmp_path):
    classifier = load_classifier(str(guide))
    classifier.require(load_sdas(str(models / "latent")))
    for other in ("pixel", "other"):
        with pytest.raises(UsageError, match=rf"latent space.*anomgen train classifier --guides .*{other}"):
            classifier.require(load_sdas(str(models / other)))
    train_sdas(two_categories(size=64), TrainSDAS(steps=1, **TINY), tmp_path / "large")
    with pytest.raises(UsageError, match=r"knows images of 32×32×1, .* draws 64×64×1"):
        classifier.require(load_sdas(str(tmp_path / "large")))
    with pytest.raises(UsageError, match="'bricks'; did you mean 'brick'"):
        classifier.number("bricks")


def surplus(folder):
    save_file({**load_file(folder / WEIGHTS), "a": torch.zeros(3)}, folder / WEIGHTS)


def damage(name):
    return lambda folder: (folder / name).write_bytes(b"{ no")


@pytest.mark.parametrize(
    ("tamper", "text"),
    [
        (shutil.rmtree, "no such model folder.*anomgen train classifier"),
        (lambda folder: (folder / DESCRIPTION).unlink(), "is no model"),
        (lambda folder: (folder / DESCRIPTION).rename(folder / "m.pt"), "m.pt, a pickle"),
        (damage(DESCRIPTION), "is damaged"),
        (damage(WEIGHTS), "weights are damaged"),
        (lambda folder: (folder / WEIGHTS).unlink(), "weights are missing"),
        (lambda folder: edit_description(folder, kind="cyclegan"), "kind 'cyclegan'"),
        (lambda folder: edit_description(folder, channels=[64, 32]), "of another network"),
        (lambda folder: edit_description(folder, channels=[8192] * 8), "channels has 8"),
        (lambda folder: edit_description(folder, channels=[8192, 8192]), "weights of .* bytes, the file holds"),
        (lambda folder: edit_description(folder, inputs=[8192, 8192, 8192]), "weights of .* bytes, the file holds"),
        (lambda folder: edit_description(folder, layers=10**6), "is damaged"),
        (lambda folder: edit_description(folder, categories=["brick"]), "is damaged"),
        (lambda folder: edit_description(folder, head_dim=0), r"is damaged \(head_dim: .* \(it is 0\)\)"),
        (surplus, "1 arrays do not fit, the first: a is not expected"),
    ],
)
def test_what_cannot_be_loaded_says_why(guide, tmp_path, tamper, text):
    tampered = shutil.copytree(guide, tmp_path / "guide")
    tamper(tampered)
    with pytest.raises(UsageError, match=text):
        load_classifier(str(tampered))


def test_an_unfinished_training_is_no_classifier(guide, tmp_path):
    copy = shutil.copytree(guide, tmp_path / "guide")
    record = json.loads((copy / "training.json").read_text())
    (copy / "training.json").write_text(json.dumps({**record, "finished": False}))
    with pytest.raises(UsageError, match=r"not finished.*anomgen train classifier … --resume"):
        load_classifier(str(copy))


def test_a_classifier_is_no_diffusion_model(guide):
    with pytest.raises(UsageError, match="kind 'classifier'; here a diffusion model is needed"):
        load_sdas(str(guide))


# --- by its command -------------------------------------------------------------------------------------------------


def test_the_command_takes_the_folder_of_all_categories_and_the_models_size(tmp_path):
    for k, name in enumerate(("bolt", "nut")):
        pictures(tmp_path / "all" / name / "train" / "good", 8, seed=20 * k, shape=(48, 48))
    set_words = ["--set=channels=[32,32]", "--set=attention=[false,true]", "--set=batch_size=4", "--steps", "1"]
    runner, source = CliRunner(), str(tmp_path / "all")
    done = runner.invoke(
        app, ["train", "sdas", "-s", source, "-o", str(tmp_path / "m"), "--size", "32", *set_words, "--set=warmup=0"]
    )
    assert done.exit_code == 0, done.output
    out = str(tmp_path / "guide")
    command = ["train", "classifier", "-s", source, "--guides", str(tmp_path / "m"), "-o", out, *set_words]
    done = runner.invoke(app, command)
    assert done.exit_code == 0, done.output
    assert f"generator.classifier={out} --set generator.category=bolt" in done.output
    assert "--size 32x32 --set generator.model=" in done.output
    assert load_classifier(out).description.categories == ("bolt", "nut")
    assert len(trained_on(tmp_path / "guide")) == 16
    again = runner.invoke(app, [*command, "--resume"])
    assert again.exit_code == 0 and "1 steps (0 now)" in again.output, again.output


def test_from_python_what_it_guides_must_be_named_and_its_categories_are_compared(models, tmp_path):
    with pytest.raises(UsageError, match="guides: name the diffusion model"):
        train("classifier", ["builtin:brick", "builtin:grass"], tmp_path / "guide")
    with pytest.raises(UsageError, match="guides: sdas guides no model"):
        train("sdas", "builtin:brick", tmp_path / "guide", guides=models / "latent")
    small = {**{key: list(value) if isinstance(value, tuple) else value for key, value in TINY_GUIDE.items()}}
    with pytest.warns(AnomgenWarning, match="will not know: brick, grass"):
        train(
            "classifier",
            ["builtin:brick", "builtin:grass"],
            tmp_path / "guide",
            guides=models / "latent",
            steps=1,
            overrides={**small, "source.count": 8},
        )
