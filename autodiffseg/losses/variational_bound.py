"""One step's term of the variational bound, as the sampler's fixed variance makes it."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from autodiffseg.diffusion.process import per_sample, x0_of
from autodiffseg.diffusion.samplers import posterior_variance, posterior_weights
from autodiffseg.losses.known_mean import known_mean
from autodiffseg.sampling import Variance


def variational_bound(
    probabilities: Tensor,
    target: Tensor,
    known: Tensor,
    *,
    alpha_bar_t: Tensor,
    alpha_bar_s: Tensor,
    first_variance: Tensor,
    variance: Variance = "fixed-small",
) -> Tensor:
    """Mean over known voxels and channels, in bits; 0 when none is known.

    For a step with one before it, KL(q(x_s | x_t, x0) || p(x_s | x_t)) (arXiv 2006.11239 eq. 5), where p is the step
    that the sampler takes with the predicted mask. x_t cancels out of it. For the first step -log p(x0 | x_t): p is
    normal around the predicted mask, and a mask has two values, to which everything on their side of 0 is counted
    (eq. 13 there, for two values instead of 256).

    Args:
        probabilities: of the clean mask, `(B, K, *patch)`.
        target: the clean mask in {0, 1}, `(B, K, *patch)`.
        known: `(B, 1, *patch)` bool.
        alpha_bar_t: ᾱ of each sample's step, `(B,)`.
        alpha_bar_s: ᾱ of the step before it, `(B,)`; 1 where there is none.
        first_variance: of p at the first step, scalar, above 0: the process has none left there.
        variance: of p elsewhere.
    """
    predicted, x0 = x0_of(probabilities), x0_of(target)
    first = alpha_bar_s == 1
    # Where it is not used the divergence must be finite all the same, or its gradient is not.
    scale, constant = _divergence(alpha_bar_t, torch.where(first, (1 + alpha_bar_t) / 2, alpha_bar_s), variance)
    divergence = per_sample(scale, x0) * (predicted - x0).square() + per_sample(constant, x0)
    likelihood = torch.special.log_ndtr(x0 * predicted / first_variance.sqrt().to(x0.dtype))
    nats = torch.where(first.reshape(-1, *([1] * (x0.ndim - 1))), -likelihood, divergence)
    return known_mean(nats.mean(1, keepdim=True), known) / math.log(2)


def _divergence(alpha_bar_t: Tensor, alpha_bar_s: Tensor, variance: Variance) -> tuple[Tensor, Tensor]:
    """a and b of KL(q || p) = a·(x̂0 - x0)² + b, in nats; for fixed-small a is half the gain in SNR, and b is 0."""
    of_x0, _ = posterior_weights(alpha_bar_t, alpha_bar_s)
    small = posterior_variance(alpha_bar_t, alpha_bar_s)
    if variance == "fixed-small":
        return of_x0.square() / (2 * small), torch.zeros_like(small)
    large = 1 - alpha_bar_t / alpha_bar_s
    return of_x0.square() / (2 * large), ((large / small).log() + small / large - 1) / 2
