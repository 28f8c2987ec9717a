"""DDPM and DDIM steps between any two levels."""

from __future__ import annotations

import math
from typing import TypeVar

from torch import Tensor

from autodiffseg.diffusion.process import per_sample
from autodiffseg.sampling import Variance

Level = TypeVar("Level", float, Tensor)


def ddpm_step(
    x_t: Tensor,
    x0: Tensor,
    alpha_bar_t: float,
    alpha_bar_s: float,
    noise: Tensor,
    *,
    variance: Variance = "fixed-small",
) -> Tensor:
    """A draw from q(x_s | x_t, x0) for any earlier step s < t (arXiv 2006.11239 eqs. 6, 7).

    With α = ᾱ_t/ᾱ_s: mean = √ᾱ_s·(1-α)/(1-ᾱ_t)·x0 + √α·(1-ᾱ_s)/(1-ᾱ_t)·x_t, variance = (1-ᾱ_s)/(1-ᾱ_t)·(1-α).
    `fixed-large` has the variance 1-α instead. That is the process's for x0 ~ N(0, I), and not for a mask: x_s becomes
    noisier than its level, the more the fewer steps are taken.
    """
    mean_x0, mean_xt = posterior_weights(alpha_bar_t, alpha_bar_s)
    small = posterior_variance(alpha_bar_t, alpha_bar_s)
    added = 1 - alpha_bar_t / alpha_bar_s if variance == "fixed-large" else small
    return mean_x0 * x0 + mean_xt * x_t + math.sqrt(added) * noise


def ddpm_steps(x_t: Tensor, x0: Tensor, alpha_bar_t: Tensor, alpha_bar_s: Tensor, noise: Tensor) -> Tensor:
    """`ddpm_step` with a step of its own for every sample: levels `(B,)`, float64 where the device has it."""
    weights = (*posterior_weights(alpha_bar_t, alpha_bar_s), posterior_variance(alpha_bar_t, alpha_bar_s).sqrt())
    mean_x0, mean_xt, spread = (per_sample(weight, x_t) for weight in weights)
    return mean_x0 * x0 + mean_xt * x_t + spread * noise


def ddim_step(
    x_t: Tensor, x0: Tensor, alpha_bar_t: float, alpha_bar_s: float, *, eta: float, noise: Tensor | None
) -> Tensor:
    """One DDIM step (arXiv 2010.02502 eq. 12); `eta` 0 is deterministic and needs no noise, 1 has DDPM's variance."""
    variance = eta**2 * posterior_variance(alpha_bar_t, alpha_bar_s)
    epsilon = (x_t - math.sqrt(alpha_bar_t) * x0) / math.sqrt(1 - alpha_bar_t)
    x_s = math.sqrt(alpha_bar_s) * x0 + math.sqrt(1 - alpha_bar_s - variance) * epsilon
    return x_s if noise is None else x_s + math.sqrt(variance) * noise


def posterior_weights(alpha_bar_t: Level, alpha_bar_s: Level) -> tuple[Level, Level]:
    """What the mean of q(x_s | x_t, x0) takes of x0 and of x_t."""
    alpha = alpha_bar_t / alpha_bar_s
    of_x0 = alpha_bar_s**0.5 * (1 - alpha) / (1 - alpha_bar_t)
    of_xt = alpha**0.5 * (1 - alpha_bar_s) / (1 - alpha_bar_t)
    return of_x0, of_xt


def posterior_variance(alpha_bar_t: Level, alpha_bar_s: Level) -> Level:
    """The variance of q(x_s | x_t, x0): (1-ᾱ_s)/(1-ᾱ_t)·(1-ᾱ_t/ᾱ_s)."""
    return (1 - alpha_bar_s) / (1 - alpha_bar_t) * (1 - alpha_bar_t / alpha_bar_s)
