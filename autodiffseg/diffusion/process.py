"""The Gaussian process on segmentation masks: how a mask becomes x0, is noised, and is shown to the network.

Channels are classes (with background) or regions, scaled from [0, 1] to [-1, 1].
"""

from __future__ import annotations

from torch import Tensor


def x0_of(probabilities: Tensor) -> Tensor:
    """x0 = 2p - 1, of a one-hot mask or of predicted probabilities."""
    return 2 * probabilities - 1


def network_view(x_t: Tensor) -> Tensor:
    """What the network sees of x_t: clipped to [-1, 1] and scaled to [0, 1]. The samplers keep x_t unclipped."""
    return (x_t.clamp(-1, 1) + 1) / 2


def noised(x0: Tensor, alpha_bar_t: Tensor, noise: Tensor) -> Tensor:
    """x_t = √ᾱ_t·x0 + √(1-ᾱ_t)·ε (arXiv 2006.11239 eq. 4), in float32.

    Args:
        x0: `(B, K, *patch)`.
        alpha_bar_t: `(B,)`, one level per sample, float64 where the device has it: the roots are taken in its type.
        noise: like x0, standard normal.
    """
    shape = (-1, *([1] * (x0.ndim - 1)))
    signal = alpha_bar_t.sqrt().reshape(shape).to(x0.dtype)
    spread = (1 - alpha_bar_t).sqrt().reshape(shape).to(x0.dtype)
    return signal * x0 + spread * noise
