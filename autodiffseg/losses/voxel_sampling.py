"""Which voxels of a patch a loss is taken on, where not on all: half of them anywhere, half on the foreground."""

from __future__ import annotations

import torch
from torch import Tensor


def sample_points(foreground: Tensor, known: Tensor, n: int, rng: torch.Generator) -> Tensor:
    """Draw `n` voxels of every sample of a batch, with replacement.

    The first half, rounded down, lies on foreground: the class is uniform among those that the sample shows, the voxel
    uniform among that class's, so that small structures are learnt from as much as large ones. The others are uniform
    over the voxels whose label is known; without foreground all are. A sample of which nothing is known gets voxels
    whose label is not known, and which therefore do not count in any loss.

    Args:
        foreground: `(B, F, *patch)` in {0, 1}, a channel for each foreground class or region; 0 where unknown.
        known: `(B, 1, *patch)` bool.
        n: voxels of a sample.
        rng: where they are drawn from, on the device of the masks.

    Returns:
        `(B * n, 1 + dimensions)` int64, sample by sample: which of the batch, and the voxel.
    """
    half, classes = n // 2, foreground.flatten(2) != 0  # (B, F, V)
    index = _draw(known.flatten(1), n, rng)  # (B, n)
    shown = classes.any(dim=2)  # (B, F)
    chosen = _draw(shown, half, rng)  # (B, n/2), a class for each
    for number, mask in enumerate(classes.unbind(1)):
        of_class = (chosen == number) & shown[:, number, None]
        index[:, :half] = torch.where(of_class, _draw(mask, half, rng), index[:, :half])
    samples = torch.arange(len(index), device=index.device).repeat_interleave(n)
    return torch.stack([samples, *torch.unravel_index(index.flatten(), known.shape[2:])], dim=1)


def point_weights(foreground: Tensor, known: Tensor, points: Tensor) -> Tensor:
    """How much each point of `sample_points` counts, for losses over points to be those over all voxels on average.

    A voxel is drawn with the probability q(v) = (1 - f)/V + f · Σ_c [v in c]/(C · V_c), where f is the share drawn on
    foreground, V, V_c and C the known voxels, those of class c and the classes that the sample shows; so it counts
    1/(V·q). Samples count by how much of them is known.

    Args:
        foreground: as `sample_points` had it.
        known: likewise.
        points: that it gave.

    Returns:
        `(B, 1, n)` float32, to stand in for the voxels' `known` in losses; 0 where the label is not known.
    """
    n = len(points) // len(foreground)
    sizes, total = foreground.flatten(2).sum(2), known.flatten(1).sum(1)  # (B, F), (B,)
    shown = (sizes > 0).sum(1)  # (B,)
    share = torch.where(shown > 0, n // 2 / n, 0.0)
    in_class = (values_at(foreground, points) / sizes.clamp(min=1)[..., None]).sum(1) / shown.clamp(min=1)[:, None]
    against_uniform = 1 - share[:, None] + share[:, None] * total[:, None] * in_class  # (B, n), V·q
    weights = (total / known[0].numel())[:, None] / against_uniform
    return weights[:, None] * values_at(known, points)


def values_at(voxels: Tensor, points: Tensor) -> Tensor:
    """What `(B, K, *patch)` holds at the points of `sample_points`: `(B, K, n)`, for losses as a patch of one axis."""
    found = voxels.movedim(1, -1)[points.unbind(1)]  # (B * n, K)
    return found.reshape(len(voxels), -1, voxels.shape[1]).transpose(1, 2)


def _draw(mask: Tensor, n: int, rng: torch.Generator) -> Tensor:
    """`n` places for each row of `(B, V)`, uniform among its true ones; the last place where there is none.

    In whole numbers: sums of floats over millions of voxels lose the rare ones, and on CUDA come out differently each
    time.
    """
    counted = mask.cumsum(dim=1)
    rank = torch.randint(2**62, (len(mask), n), generator=rng, device=mask.device) % counted[:, -1:].clamp(min=1)
    return torch.searchsorted(counted, rank, right=True).clamp(max=mask.shape[1] - 1)
