"""Mean squared error of the predicted clean mask, as diffusion models are trained on images."""

from __future__ import annotations

from torch import Tensor

from autodiffseg.losses.known_mean import known_mean


def squared_error(probabilities: Tensor, target: Tensor, known: Tensor) -> Tensor:
    """Mean of (x̂0 - x0)² over known voxels and channels, with masks scaled to [-1, 1]; 0 when none is known.

    Args:
        probabilities: `(B, K, *patch)` in [0, 1], background included.
        target: `(B, K, *patch)` in {0, 1}.
        known: `(B, 1, *patch)` bool.
    """
    voxelwise = 4 * (probabilities - target).square().mean(1, keepdim=True)  # (B, 1, *patch)
    return known_mean(voxelwise, known)
