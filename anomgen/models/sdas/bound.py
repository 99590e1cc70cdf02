"""The variational bound that trains a learned variance.

Nichol, Dhariwal: Improved denoising diffusion probabilistic models, ICML 2021, arXiv 2102.09672, equations 13 to 16.
"""

from __future__ import annotations

import math

import torch
from diffusers import DDPMScheduler


def variational_bound(
    scheduler: DDPMScheduler,
    clean: torch.Tensor,
    noisy: torch.Tensor,
    t: torch.Tensor,
    output: torch.Tensor,
    variance: torch.Tensor,
) -> torch.Tensor:
    """Return the term L_t of the variational bound of each image, (N,), in bits per value.

    clean, noisy: x_0 and x_t (N, C, H, W); output: what the network predicts, without gradient, so that only the
    learned variance is trained by this term; variance: its interpolation between the least and the largest
    log-variance, −1 to 1. At t = 0 it is the negative log-likelihood of x_0 in 256 levels. Nichol, Dhariwal, ICML
    2021, equations 13 to 16.
    """
    levels = scheduler.alphas_cumprod.to(clean)
    before = torch.cat([levels.new_ones(1), levels[:-1]])[t].view(-1, 1, 1, 1)
    level, first = levels[t].view(-1, 1, 1, 1), t == 0
    beta = 1 - level / before
    posterior = (1 - before) / (1 - level) * beta
    second = ((1 - levels[0]) / (1 - levels[1]) * (1 - levels[1] / levels[0])).log()
    low = torch.where(first.view(-1, 1, 1, 1), second, posterior.clamp(min=1e-20).log())  # β̃ is 0 at the first step
    share = (variance.float() + 1) / 2
    log_variance = share * beta.log() + (1 - share) * low
    kind = scheduler.config.prediction_type
    if kind == "epsilon":
        predicted = (noisy - (1 - level).sqrt() * output) / level.sqrt()
    else:
        predicted = output if kind == "sample" else level.sqrt() * noisy - (1 - level).sqrt() * output

    def mean(start: torch.Tensor) -> torch.Tensor:
        step = level / before
        result: torch.Tensor = (before.sqrt() * beta * start + step.sqrt() * (1 - before) * noisy) / (1 - level)
        return result

    distance = (mean(clean) - mean(predicted)) ** 2
    divergence = 0.5 * (log_variance - low - 1 + (low - log_variance).exp() + distance * (-log_variance).exp())
    surprise = -_log_likelihood(clean, mean(predicted), 0.5 * log_variance)
    values = torch.where(first.view(-1, 1, 1, 1), surprise, divergence)
    return values.mean((1, 2, 3)) / math.log(2)


def _log_likelihood(x: torch.Tensor, mean: torch.Tensor, log_deviation: torch.Tensor) -> torch.Tensor:
    """Return log P(x) of values that are 256 levels of [−1, 1] under a normal law; the end levels take the tails."""
    scale, half = (-log_deviation).exp(), 1 / 255
    upper = torch.special.ndtr((x - mean + half) * scale)
    lower = torch.special.ndtr((x - mean - half) * scale)
    mass = torch.where(x < -0.999, upper, torch.where(x > 0.999, 1 - lower, upper - lower))
    return mass.clamp(min=1e-12).log()
