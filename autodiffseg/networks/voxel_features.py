"""What a coarse feature map holds at single voxels of a finer grid, without making the finer map."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor


def features_at(
    feature: Tensor, size: Sequence[int], points: Tensor, *, interpolation: Literal["nearest", "linear"]
) -> Tensor:
    """The values that `F.interpolate` to `size` (without `align_corners`) would give at `points`.

    Args:
        feature: `(B, C, *spatial)`.
        size: of the finer grid, voxels.
        points: `(N, 1 + dimensions)` int64: which of the batch, and the voxel of the finer grid.
        interpolation: "nearest", or "linear": bilinear in 2D, trilinear in 3D.

    Returns:
        `(N, C)`.
    """
    lengths, positions = list(zip(feature.shape[2:], size, strict=True)), points[:, 1:].unbind(1)
    by_voxel, sample = feature.movedim(1, -1), points[:, 0]  # (B, *spatial, C), (N,)
    if interpolation == "nearest":
        indices = [_nearest(*length, feature)[position] for length, position in zip(lengths, positions, strict=True)]
        return by_voxel[(sample, *indices)]
    axes = [
        [(index[position], weight[position]) for index, weight in _linear(*length, feature)]
        for length, position in zip(lengths, positions, strict=True)
    ]
    total = torch.zeros((), device=feature.device)
    for corner in product(*axes):  # 4 in 2D, 8 in 3D
        weight = torch.stack([weight for _, weight in corner]).prod(dim=0)[:, None]  # (N, 1)
        total = total + weight * by_voxel[(sample, *(index for index, _ in corner))]
    return total


def _nearest(coarse: int, fine: int, like: Tensor) -> Tensor:
    """For every voxel of an axis the coarse voxel that torch takes: found by asking it, as it rounds in its own way."""
    numbers = torch.arange(coarse, device=like.device, dtype=torch.float32)
    return F.interpolate(numbers[None, None], fine, mode="nearest")[0, 0].long()


def _linear(coarse: int, fine: int, like: Tensor) -> list[tuple[Tensor, Tensor]]:
    """For every voxel of an axis the two coarse voxels around its centre and their weights; outermost ones reach on."""
    dtype = torch.promote_types(like.dtype, torch.float32)
    centre = (torch.arange(fine, device=like.device, dtype=dtype) + 0.5) * (coarse / fine) - 0.5
    centre = centre.clamp(min=0)
    below = centre.floor()
    above = (below + 1).clamp(max=coarse - 1)
    share = centre - below
    return [(below.long(), 1 - share), (above.long(), share)]
