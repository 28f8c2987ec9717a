"""The mean of a loss over the voxels whose label is known."""

from __future__ import annotations

from torch import Tensor


def known_mean(voxelwise: Tensor, known: Tensor) -> Tensor:
    """Mean over known voxels, a scalar; 0 when none is known.

    Args:
        voxelwise: `(B, 1, *patch)`, the loss of each voxel.
        known: `(B, 1, *patch)` bool.
    """
    weight = known.to(voxelwise.dtype)
    return (voxelwise * weight).sum() / weight.sum().clamp(min=1)
