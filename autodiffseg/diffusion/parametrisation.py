"""What the network predicts, the clean mask or the noise, and how the one becomes the other.

| symbol | here |
|---|---|
| x_t, ᾱ_t | `x_t`, `alpha_bar_t` |
| ε | `noise` |
| x0, and what the network makes of it | `x0` |
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from autodiffseg.diffusion.process import per_sample

Prediction = Literal["x0", "noise"]

FLOOR = 1e-5
"""Least probability of a mask that is made of predicted noise: its logarithm must be finite. The recycling paper's."""


def mask_logits(output: Tensor, x_t: Tensor, alpha_bar_t: Tensor, *, prediction: Prediction, regions: bool) -> Tensor:
    """The network's output as logits of the clean mask: the one conversion of losses, first passes and samplers.

    A network that predicts the mask gives them itself. Predicted noise is turned into x0, clipped to [-1, 1], and
    p = (x0 + 1)/2 into log p, so that the softmax is p over its sum; for regions into log p/(1-p), whose sigmoid is p.

    Args:
        output: `(B, K, *patch)`.
        x_t: what it was predicted from, `(B, K, *patch)`, unclipped.
        alpha_bar_t: `(B,)`, above 0 where noise is predicted.
        prediction: what `output` is.
        regions: channels are overlapping regions.
    """
    if prediction == "x0":
        return output
    p = ((x0_from_noise(x_t, output.float(), alpha_bar_t).clamp(-1, 1) + 1) / 2).clamp(min=FLOOR)
    return p.clamp(max=1 - FLOOR).logit() if regions else p.log()


def x0_from_noise(x_t: Tensor, noise: Tensor, alpha_bar_t: Tensor) -> Tensor:
    """x0 = (x_t - √(1-ᾱ_t)·ε)/√ᾱ_t (arXiv 2006.11239 eq. 4, solved), `(B, K, *patch)`; unbounded as ᾱ_t nears 0."""
    spread, signal = per_sample((1 - alpha_bar_t).sqrt(), x_t), per_sample(alpha_bar_t.sqrt(), x_t)
    return (x_t - spread * noise) / signal


def noise_from_x0(x_t: Tensor, x0: Tensor, alpha_bar_t: Tensor) -> Tensor:
    """ε = (x_t - √ᾱ_t·x0)/√(1-ᾱ_t), `(B, K, *patch)`: what is to be predicted from x_t so that x0 follows.

    Where x_t is `x0` with noise it is that noise. Where x_t was made of a prediction, what that got wrong is in it.
    """
    spread, signal = per_sample((1 - alpha_bar_t).sqrt(), x_t), per_sample(alpha_bar_t.sqrt(), x_t)
    return (x_t - signal * x0) / spread
