"""SDAS: the step is diffusers' own at s = 0, its variance grows with s, models load anywhere."""

import json
from functools import partial

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="learned generators need the extra `diffusion`")
diffusers = pytest.importorskip("diffusers", reason="learned generators need the extra `diffusion`")

from diffusers import DDIMScheduler, DDPMPipeline, DDPMScheduler, DiffusionPipeline, UNet2DModel
from learned import tiny_sdas

from anomgen.models.classifier.model import log_likelihood_gradient
from anomgen.models.sdas.latent import fit_transform
from anomgen.models.sdas.model import CPU_BATCH, load_sdas
from anomgen.models.sdas.pipeline import PatchTransform, SDASDDIMScheduler, SDASPipeline, SDASScheduler
from anomgen.rng import Stream, rng_for
from anomgen.sources.builtin import Builtin

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def pixel_model(tmp_path_factory):
    return tiny_sdas(tmp_path_factory.mktemp("models") / "pixel", patch=1)


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def noise(*shape, seed=0):
    return torch.randn(shape, generator=seeded(seed))


# --- the step -------------------------------------------------------------------------------------------------------

LAWS = ["fixed_small", "fixed_small_log", "fixed_large", "learned", "learned_range"]


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
@pytest.mark.parametrize("law", LAWS)
def test_without_strength_a_step_is_that_of_diffusers_bit_for_bit(prediction, law):
    configuration = {"prediction_type": prediction, "variance_type": law, "timestep_spacing": "leading"}
    theirs, ours = DDPMScheduler(**configuration), SDASScheduler(**configuration)
    theirs.set_timesteps(20)
    ours.set_timesteps(20)
    assert ours.timesteps.tolist() == list(range(950, -1, -50))
    x = noise(2, 3, 8, 8)
    for t in ours.timesteps:
        output = noise(2, 6 if law.startswith("learned") else 3, 8, 8, seed=int(t))
        if law == "learned":
            output[:, 3:] = output[:, 3:].abs()
        expected = theirs.step(output, t, x, generator=seeded(7)).prev_sample
        assert torch.equal(ours.step(output, t, x, generator=seeded(7), strength=0.0).prev_sample, expected)
        none = torch.zeros(2, 1, 1, 1)
        assert torch.equal(ours.step(output, t, x, generator=seeded(7), strength=none).prev_sample, expected)


@pytest.mark.parametrize("law", LAWS)
def test_a_guided_mean_is_shifted_by_the_variance_at_strength_0_times_the_gradient(law):
    scheduler = SDASScheduler(variance_type=law, clip_sample=False)
    scheduler.set_timesteps(20)
    levels = torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64), 0)
    beta = 1 - levels[500] / levels[450]
    least = (1 - levels[450]) / (1 - levels[500]) * beta
    variance = {"fixed_large": beta, "learned": 0.5, "learned_range": beta**0.75 * least**0.25}.get(law, least)
    x, gradient = noise(2, 3, 8, 8), noise(2, 3, 8, 8, seed=9)
    output = torch.full((2, 6 if law.startswith("learned") else 3, 8, 8), 0.5)

    def after(gradient):
        step = scheduler.step(output, torch.tensor(500), x, generator=seeded(1), strength=0.7, gradient=gradient)
        return step.prev_sample

    assert torch.allclose(after(gradient) - after(None), (variance * gradient).float(), atol=1e-5)


@pytest.mark.parametrize("law", LAWS)
def test_the_variance_of_a_step_is_multiplied_by_one_plus_s(law):
    scheduler = SDASScheduler(variance_type=law, clip_sample=False)
    scheduler.set_timesteps(20)
    x, t = torch.zeros(2, 3, 128, 128), scheduler.timesteps[10]
    output = torch.full((2, 6 if law.startswith("learned") else 3, 128, 128), 0.5)

    def spread(strength):
        drawn = scheduler.step(output, t, x, generator=seeded(1), strength=strength).prev_sample
        return drawn.var(dim=(1, 2, 3))

    s = torch.tensor([0.1, 0.7]).view(2, 1, 1, 1)
    ratio = spread(s) / spread(0.0)
    assert torch.allclose(ratio, torch.tensor([1.1, 1.7]), rtol=1e-3)


def test_the_deviation_of_a_step_is_the_posterior_one_of_respaced_steps():
    scheduler = SDASScheduler(variance_type="fixed_small", clip_sample=False)
    scheduler.set_timesteps(20)
    levels = torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000), 0)
    beta = 1 - levels[500] / levels[450]
    expected = (1 - levels[450]) / (1 - levels[500]) * beta * 1.2
    zero = torch.zeros(1, 4, 256, 256)
    drawn = scheduler.step(zero, torch.tensor(500), zero, generator=seeded(2), strength=0.2).prev_sample
    assert abs(drawn.var() / expected - 1) < 0.01


def test_the_ddim_step_is_deterministic_without_strength_and_adds_root_s_times_sigma_with_it():
    theirs, ours = DDIMScheduler(), SDASDDIMScheduler()
    theirs.set_timesteps(20)
    ours.set_timesteps(20)
    x, output, t = noise(1, 3, 128, 128), noise(1, 3, 128, 128, seed=1), ours.timesteps[5]
    expected = theirs.step(output, t, x, eta=0.0, use_clipped_model_output=True).prev_sample
    assert torch.equal(ours.step(output, t, x, generator=seeded(3)).prev_sample, expected)
    added = ours.step(output, t, x, generator=seeded(3), strength=0.02).prev_sample - expected
    sigma = float(theirs._get_variance(int(t), int(t) - 50)) ** 0.5
    assert abs(added.std() / (0.02**0.5 * sigma) - 1) < 0.01
    last = ours.timesteps[-1]
    expected = theirs.step(output, last, x, use_clipped_model_output=True).prev_sample
    assert torch.equal(ours.step(output, last, x, strength=0.5).prev_sample, expected)


@pytest.mark.parametrize("s", [0.0, 0.2])
@pytest.mark.parametrize("law", ["fixed_small", "fixed_large", "learned_range"])
@pytest.mark.parametrize("sampler", ["ddpm", "ddim"])
@pytest.mark.parametrize("guided", [False, True])
def test_images_are_those_of_the_published_formulas_where_predictions_are_clipped(guided, sampler, law, s):
    unet = untrained_unet(6 if law == "learned_range" else 3)
    pipeline = SDASPipeline(unet, DDPMScheduler(variance_type=law, timestep_spacing="leading"))
    pipeline.set_progress_bar_config(disable=True)
    guide = SCALE if guided else 0.0
    steering = partial(steered, scale=guide) if guided else None
    drawn = pipeline(2, seeded(5), strength=s, sampler=sampler, output_type="pt", guide=steering).images
    expected, clipped = published(unet, sampler, law, s, guide)
    assert clipped > 0.1
    assert not guided or np.abs(expected - published(unet, sampler, law, s)[0]).mean() > 0.05
    assert np.abs(drawn.numpy() - np.clip(expected / 2 + 0.5, 0, 1)).max() < 1e-3


SCALE, WANTED = 30.0, [2, 0]
"""Of the guidance, and the categories of the two images."""
FACTORS = np.random.default_rng(3).normal(0, 0.05, (4, 3 * 16 * 16))
"""Of a linear classifier of four categories, which knows nothing of noise."""


def steered(x, t, scale):
    """What guides the images by the linear classifier: ours."""
    linear = torch.nn.Linear(*FACTORS.shape[::-1], bias=False)
    linear.weight.data = torch.from_numpy(FACTORS).float()
    return scale * log_likelihood_gradient(lambda x, t: linear(x.flatten(1)), x, t, torch.tensor(WANTED))


def linear_gradient(x):
    """∇ log softmax(Wx)_y = W_y − Σ_k p_k W_k, in float64."""
    logits = x.reshape(2, -1) @ FACTORS.T
    p = np.exp(logits - logits.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    return (FACTORS[WANTED] - p @ FACTORS).reshape(x.shape)


def untrained_unet(outputs):
    """A denoiser as bad as can be: its prediction of the image leaves [−1, 1] at every second pixel."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        unet = UNet2DModel(
            16,
            3,
            outputs,
            block_out_channels=(32,),
            layers_per_block=1,
            down_block_types=("DownBlock2D",),
            up_block_types=("UpBlock2D",),
        )
    return unet.eval()


def published(unet, sampler, law, s, scale=0.0):
    """Images by Ho et al. 2020 (7), Nichol and Dhariwal 2021 (15), Song et al. 2021 (12) and RealNet, in float64.

    scale: of the guidance by the linear classifier, after Dhariwal and Nichol 2021, algorithms 1 and 2.
    Returns the images and which share of the predicted values was clipped.
    """
    levels = np.cumprod(1 - np.linspace(1e-4, 0.02, 1000))
    generator, times = seeded(5), list(range(950, -1, -50))
    x = torch.randn((2, 3, 16, 16), generator=generator).double().numpy()
    clipped = []
    for t in times:
        level, before = levels[t], levels[t - 50] if t else 1.0
        with torch.no_grad():
            output = unet(torch.from_numpy(x).float(), t).sample.double().numpy()
        start = (x - np.sqrt(1 - level) * output[:, :3]) / np.sqrt(level)
        clipped.append((np.abs(start) > 1).mean())
        start = start.clip(-1, 1)
        beta = 1 - level / before
        least = (1 - before) / (1 - level) * beta
        variance = beta if law == "fixed_large" else least
        if law == "learned_range" and t:
            share = (output[:, 3:] + 1) / 2
            variance = beta**share * least ** (1 - share)
        gradient = scale * linear_gradient(x) if t else 0.0
        if sampler == "ddpm":
            mean = (np.sqrt(before) * beta * start + np.sqrt(level / before) * (1 - before) * x) / (1 - level)
            mean = mean + variance * gradient
            factor = np.sqrt(1 + s)
        else:
            direction = (x - np.sqrt(level) * start) / np.sqrt(1 - level) - np.sqrt(1 - level) * gradient
            start = (x - np.sqrt(1 - level) * direction) / np.sqrt(level)
            mean = np.sqrt(before) * start + np.sqrt(1 - before) * direction
            factor = np.sqrt(s)
        x = mean
        if t:
            x = x + factor * np.sqrt(variance) * torch.randn(x.shape, generator=generator).numpy()
    return x, np.mean(clipped)


def test_the_variance_that_takes_the_root_of_a_negative_number_is_refused():
    with pytest.raises(ValueError, match="fixed_small"):
        SDASScheduler(variance_type="fixed_large_log").set_timesteps(20)


def test_a_stored_schedule_becomes_ours_with_all_of_its_settings():
    stored = DDPMScheduler(beta_end=0.01, variance_type="learned_range", prediction_type="sample", clip_sample=False)
    ours = SDASScheduler.from_config(stored.config)
    assert ours.variance_type == "learned_range" and torch.equal(ours.alphas_cumprod, stored.alphas_cumprod)
    assert {**ours.config} == {**stored.config}


# --- the transform --------------------------------------------------------------------------------------------------


def bricks(count=12, size=64):
    source = Builtin(count=count, size=size, name="immunohistochemistry").open()
    return [source[k].astype(np.float32) / 127.5 - 1 for k in range(count)]


def test_the_transform_keeps_images_and_more_components_keep_more():
    images = bricks()
    batch = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)
    errors = []
    for components in (4, 16, 64):
        transform = fit_transform(lambda: images, 8, components)
        latents = transform.encode(batch)
        assert latents.shape == (12, components, 8, 8)
        assert 0.8 < float((latents**2).mean()) < 1.2
        errors.append(float(((transform.decode(latents) - batch) ** 2).mean()))
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 0.004


def test_decoding_meets_without_edges_between_cells():
    """Errors of the latents must not show as steps at the borders of cells more than inside them."""
    images = bricks(8, 128)
    transform = fit_transform(lambda: images, 8, 16)
    batch = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)
    latents = transform.encode(batch)
    wrong = transform.decode(latents + 0.2 * noise(*latents.shape)) - transform.decode(latents)
    steps = (wrong[..., 1:] - wrong[..., :-1]).abs().mean(dim=(0, 1, 2))
    at_borders, inside = steps[7::8].mean(), torch.cat([steps[k::8] for k in range(7)]).mean()
    assert at_borders < 2.5 * inside


def test_the_transform_is_stored_exactly(tmp_path):
    transform = fit_transform(lambda: bricks(4), 8, 6)
    transform.save(tmp_path)
    again = PatchTransform.load(tmp_path / "transform" / "diffusion_pytorch_model.safetensors")
    x = torch.from_numpy(np.stack(bricks(2))).permute(0, 3, 1, 2)
    assert torch.equal(again.decode(again.encode(x)), transform.decode(transform.encode(x)))
    assert (again.patch, again.channels) == (8, 3)


# --- models that load anywhere --------------------------------------------------------------------------------------


def test_a_model_on_pixels_is_a_stock_pipeline_and_samples_alike(pixel_model):
    plain = DDPMPipeline.from_pretrained(pixel_model)
    plain.set_progress_bar_config(disable=True)
    ours = SDASPipeline.from_pretrained(pixel_model)
    ours.set_progress_bar_config(disable=True)
    expected = plain(batch_size=2, generator=seeded(5), num_inference_steps=20, output_type="np").images
    drawn = ours(batch_size=2, generator=seeded(5), num_inference_steps=20, output_type="np").images
    assert np.array_equal(expected, drawn)
    assert type(DiffusionPipeline.from_pretrained(pixel_model)) is DDPMPipeline


def test_a_latent_model_loads_by_parts_by_our_class_and_by_plain_diffusers(sdas_model, monkeypatch, tmp_path):
    monkeypatch.setattr("diffusers.utils.dynamic_modules_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    index = json.loads((sdas_model / "model_index.json").read_text())
    assert index["unet"] == ["diffusers", "UNet2DModel"] and index["scheduler"] == ["diffusers", "DDPMScheduler"]
    assert UNet2DModel.from_pretrained(sdas_model, subfolder="unet").config.in_channels == 16
    by_class = SDASPipeline.from_pretrained(sdas_model)
    custom = DiffusionPipeline.from_pretrained(str(sdas_model), custom_pipeline=str(sdas_model), trust_remote_code=True)
    expected = load_sdas(str(sdas_model)).pipeline(2, [seeded(0), seeded(1)], strength=0.15, output_type="np").images
    for pipeline in (by_class, custom):
        assert pipeline.transform is not None
        pipeline.set_progress_bar_config(disable=True)
        drawn = pipeline(2, [seeded(0), seeded(1)], strength=0.15, output_type="np").images
        assert np.allclose(drawn, expected, atol=1e-4)  # ours computes in another memory format
    custom.save_pretrained(tmp_path / "again")
    again = SDASPipeline.from_pretrained(tmp_path / "again")
    assert torch.equal(again.transform.encode_weight, by_class.transform.encode_weight)


def test_every_image_has_its_own_noise_and_strength_whatever_is_drawn_beside_it(sdas_model):
    model = load_sdas(str(sdas_model))

    def rng(k):
        return rng_for(3, Stream.SAMPLE, k)

    three = model.draw([rng(0), rng(1), rng(2)], [0.0, 0.1, 5.0], steps=4)
    assert np.array_equal(three[1], model.draw([rng(1)], [0.1], steps=4)[0])
    assert np.array_equal(three[2], model.draw([rng(2), rng(0)], [5.0, 0.0], steps=4)[0])
    assert not np.array_equal(three[0], model.draw([rng(0)], [0.1], steps=4)[0])


def test_an_image_is_the_same_at_each_place_of_full_and_filled_batches(sdas_model):
    model = load_sdas(str(sdas_model))
    rngs = lambda numbers: [rng_for(0, Stream.SAMPLE, k) for k in numbers]  # noqa: E731
    count = 2 * CPU_BATCH + 1
    together = model.draw(rngs(range(count)), [0.1] * count, steps=3)
    turned = model.draw(rngs(reversed(range(count))), [0.1] * count, steps=3)
    alone = [model.draw(rngs([k]), [0.1], steps=3)[0] for k in range(count)]
    for k in range(count):
        assert np.array_equal(together[k], alone[k])
        assert np.array_equal(turned[count - 1 - k], alone[k])


def test_a_start_from_the_image_stays_near_it(sdas_model):
    model, image = load_sdas(str(sdas_model)), Builtin(count=1, size=32).open()[0]
    far = []
    for start in (0.05, 1.0):
        drawn = model.draw([rng_for(0, Stream.SAMPLE)], [0.0], images=[image], starts=[start])[0]
        far.append(float(np.abs(drawn - (image.astype(np.float32) / 127.5 - 1)).mean()))
    assert far[0] < 0.5 * far[1]


# --- bad input ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "request_",
    [
        {"strength": -0.1},
        {"strength": [0.1, 0.2, 0.3]},
        {"num_inference_steps": 0},
        {"start": 0.5},
        {"start": 0.0},
    ],
)
def test_the_pipeline_refuses_nonsense(sdas_model, request_):
    with pytest.raises(ValueError, match=r"at least|images"):
        load_sdas(str(sdas_model)).pipeline(2, [seeded(0), seeded(1)], **request_)
