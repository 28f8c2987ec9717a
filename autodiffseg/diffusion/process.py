"""The Gaussian process on segmentation masks: how a mask becomes x0, is noised, and is shown to the network.

Channels are classes (with background) or regions, scaled from [0, 1] to [-1, 1].
"""

from __future__ import annotations

from torch import Tensor


def x0_of(probabilities: Tensor) -> Tensor:
    """x0 = 2p - 1, of a one-hot mask or of predicted probabilities."""
    return 2 * probabilities - 1


def network_view(x_t: Tensor, *, clipped: bool = True) -> Tensor:
    """What the network sees of x_t: clipped to [-1, 1] and scaled to [0, 1]. The samplers keep x_t unclipped.

    A network that predicts the noise must see it, so for that one x_t is scaled alike and not clipped.
    """
    return ((x_t.clamp(-1, 1) if clipped else x_t) + 1) / 2


def noised(x0: Tensor, alpha_bar_t: Tensor, noise: Tensor) -> Tensor:
    """x_t = √ᾱ_t·x0 + √(1-ᾱ_t)·ε (arXiv 2006.11239 eq. 4), in float32.

    Args:
        x0: `(B, K, *patch)`.
        alpha_bar_t: `(B,)`, one level per sample, float64 where the device has it: the roots are taken in its type.
        noise: like x0, standard normal.
    """
    return per_sample(alpha_bar_t.sqrt(), x0) * x0 + per_sample((1 - alpha_bar_t).sqrt(), x0) * noise


def per_sample(values: Tensor, like: Tensor) -> Tensor:
    """One number for each sample, `(B,)`, in the type of `like` and with axes to be multiplied with it."""
    return values.reshape(-1, *([1] * (like.ndim - 1))).to(like.dtype)
