"""Losses over all resolutions of a decoder (deep supervision): what each is compared with, and how much it counts."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def deep_supervision_weights(levels: int) -> list[float]:
    """1, 1/2, 1/4, … from the finest level on, scaled to sum to 1."""
    weights = [0.5**i for i in range(levels)]
    return [weight / sum(weights) for weight in weights]


def at_resolution(voxels: Tensor, size: torch.Size) -> Tensor:
    """`(B, K, *patch)` sampled at the nearest voxels of a patch of `size`: masks stay masks, noise stays as strong."""
    if voxels.shape[2:] == size:
        return voxels
    if voxels.dtype == torch.bool:
        return F.interpolate(voxels.float(), size=size, mode="nearest-exact") > 0.5
    return F.interpolate(voxels, size=size, mode="nearest-exact")


def over_resolutions(outputs: Sequence[Tensor], loss: Callable[..., Tensor], *voxels: Tensor) -> Tensor:
    """The weighted sum of `loss(output, *voxels)` over outputs, finest first; each sees `voxels` at its size."""
    parts = [loss(output, *(at_resolution(each, output.shape[2:]) for each in voxels)) for output in outputs]
    weights = deep_supervision_weights(len(outputs))
    return torch.stack([weight * part for weight, part in zip(weights, parts, strict=True)]).sum()
