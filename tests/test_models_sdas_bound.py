"""The variational bound: a divergence of two normal laws, at the first step a probability."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="learned generators need the extra `diffusion`")
pytest.importorskip("diffusers", reason="learned generators need the extra `diffusion`")

from diffusers import DDPMScheduler

from anomgen.models.sdas.bound import variational_bound

torch.set_num_threads(1)


def test_the_bound_is_the_divergence_of_two_normal_laws():
    scheduler = DDPMScheduler(variance_type="learned_range", prediction_type="epsilon")
    x, e, out = (torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(k)) for k in range(3))
    x = x.clamp(-1, 1)
    t = torch.tensor([1, 400, 999])
    level = scheduler.alphas_cumprod[t].view(-1, 1, 1, 1)
    noisy = level.sqrt() * x + (1 - level).sqrt() * e
    share = torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(9)) * 2 - 1
    found = variational_bound(scheduler, x, noisy, t, out, share)
    for k, step in enumerate(t.tolist()):
        alpha = scheduler.alphas_cumprod[step].double()
        before = scheduler.alphas_cumprod[step - 1].double()
        beta = 1 - alpha / before
        least = (1 - before) / (1 - alpha) * beta
        weight = (share[k].double() + 1) / 2
        variance = torch.exp(weight * beta.log() + (1 - weight) * least.log())

        guess = (noisy[k] - (1 - alpha).sqrt() * out[k]) / alpha.sqrt()
        shared = (1 - beta).sqrt() * (1 - before) * noisy[k]
        true_mean, mean = ((before.sqrt() * beta * start + shared) / (1 - alpha) for start in (x[k].double(), guess))
        law = torch.distributions.Normal
        expected = torch.distributions.kl_divergence(law(true_mean, least.sqrt()), law(mean, variance.sqrt()))
        assert torch.allclose(found[k].double(), expected.mean() / np.log(2), rtol=1e-3)


def test_the_bound_at_the_first_step_is_a_probability_over_levels():
    scheduler = DDPMScheduler(variance_type="learned_range", prediction_type="sample")
    levels = (torch.arange(256) / 127.5 - 1).view(256, 1, 1, 1)
    noisy, guess = torch.zeros(256, 1, 1, 1), torch.full((256, 1, 1, 1), 0.1)
    bits = variational_bound(scheduler, levels, noisy, torch.zeros(256, dtype=torch.long), guess, guess * 0)
    assert abs(float((0.5 ** bits.double()).sum()) - 1) < 1e-3
