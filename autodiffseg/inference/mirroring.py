"""Mirrored versions of a batch of patches, and the way back."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

Mirror = tuple[int, ...]
"""Patch axes that are turned round together."""


def all_mirrors(axes: Sequence[int]) -> tuple[Mirror, ...]:
    """All 2^n combinations of the axes, the unmirrored one first."""
    return tuple(chosen for count in range(len(axes) + 1) for chosen in itertools.combinations(axes, count))


def apply_mirrors(batch: Tensor, mirrors: Sequence[Mirror]) -> Tensor:
    """Each mirrored version of `(B, C, *patch)`, stacked: `(len(mirrors) * B, C, *patch)`, version by version."""
    return torch.cat([_flip(batch, mirror) for mirror in mirrors])


def undo_mirrors(batch: Tensor, mirrors: Sequence[Mirror]) -> Iterator[Tensor]:
    """What `apply_mirrors` stacked, turned back: one `(B, C, *patch)` per version."""
    for part, mirror in zip(batch.chunk(len(mirrors)), mirrors, strict=True):
        yield _flip(part, mirror)


def _flip(batch: Tensor, mirror: Mirror) -> Tensor:
    return batch.flip([axis + 2 for axis in mirror]) if mirror else batch
