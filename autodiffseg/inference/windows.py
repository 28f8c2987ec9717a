"""Windows that cover a case: padding, positions and weights. A 2D patch is a window of one slice."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

SIGMA = 1 / 8
"""Standard deviation of the Gaussian weight as a fraction of the patch; nnU-Net's."""
FLOOR = 1e-3
"""Smallest weight as a fraction of the largest, so that corners seen by one window alone keep their precision."""


def positions(image: int, patch: int, step_size: float) -> tuple[int, ...]:
    """First voxels of the windows along one axis: evenly spaced, rounded, from end to end.

    Args:
        image: voxels, `patch` or more.
        patch: voxels.
        step_size: largest distance between windows as a fraction of the patch, in (0, 1].
    """
    last = image - patch
    count = min(math.ceil(last / (patch * step_size)), last) + 1  # a step below one voxel would repeat windows
    return tuple(int(position) for position in np.rint(np.linspace(0, last, count)))


def origins(image: Sequence[int], patch: Sequence[int], step_size: float) -> list[tuple[int, int, int]]:
    """First voxels (z, y, x) of all windows; they cover every voxel. One image size and patch size per axis."""
    axes = [positions(size, length, step_size) for size, length in zip(image, patch, strict=True)]
    return [(z, y, x) for z, y, x in itertools.product(*axes)]


def padding(image: Sequence[int], patch: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """Voxels to add (before, after) along each axis so that a patch fits; the case stays in the middle."""
    missing = [max(length - size, 0) for size, length in zip(image, patch, strict=True)]
    return tuple((voxels // 2, voxels - voxels // 2) for voxels in missing)


def gaussian_weight(patch: Sequence[int], device: torch.device) -> Tensor:
    """Weight of each voxel of a window, `(*patch)` float32 in [FLOOR, 1]: the network knows least at the border."""
    weight = torch.ones((), dtype=torch.float64)
    for length in patch:
        distance = torch.arange(length, dtype=torch.float64) - (length - 1) / 2
        weight = weight[..., None] * torch.exp(-0.5 * (distance / (SIGMA * length)) ** 2)
    weight = weight / weight.max()
    return weight.clamp_min(FLOOR).to(device=device, dtype=torch.float32)
