"""Mean squared error of predicted noise, as diffusion models are trained on images."""

from __future__ import annotations

from torch import Tensor

from autodiffseg.diffusion.parametrisation import noise_from_x0
from autodiffseg.diffusion.process import per_sample, x0_of
from autodiffseg.losses.known_mean import known_mean

MOST_SIGNAL = 5.0
"""Signal-to-noise ratio above which a step counts less (Min-SNR, arXiv 2303.09556: γ = 5)."""


def noise_error(noise: Tensor, x_t: Tensor, target: Tensor, known: Tensor, *, alpha_bar_t: Tensor) -> Tensor:
    """Mean of w·(ε̂ - ε)² over known voxels and channels, with ε from `noise_from_x0`; 0 when none is known.

    w = min(1, γ/SNR) with SNR = ᾱ_t/(1-ᾱ_t). In terms of the mask the error is min(SNR, γ)·(x̂0 - x0)². Without the
    limit the first steps, with an SNR of up to 10,000, would outweigh all others where x_t was made of a prediction
    that is wrong somewhere.

    Args:
        noise: predicted, `(B, K, *patch)`.
        x_t: what it was predicted from, `(B, K, *patch)`, unclipped.
        target: the clean mask in {0, 1}, `(B, K, *patch)`.
        known: `(B, 1, *patch)` bool.
        alpha_bar_t: `(B,)`, in (0, 1).
    """
    wanted = noise_from_x0(x_t, x0_of(target), alpha_bar_t)
    weight = (MOST_SIGNAL * (1 - alpha_bar_t) / alpha_bar_t).clamp(max=1)
    voxelwise = per_sample(weight, wanted) * (noise.float() - wanted).square()
    return known_mean(voxelwise.mean(1, keepdim=True), known)
