"""Mirrored versions of a batch of patches, and the way back."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from autodiffseg.errors import UserError
from autodiffseg.plans import ConfigurationPlan

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


def checked_axes(asked: Sequence[int] | None, configuration: ConfigurationPlan) -> tuple[int, ...]:
    """The patch axes that are asked for, by default the plan's.

    Raises:
        UserError: when patches do not have them.
    """
    if asked is None:
        return configuration.mirror_axes
    last = configuration.dimensions - 1
    if not set(asked) <= set(range(last + 1)) or len(set(asked)) < len(asked):
        shown = ",".join(map(str, asked))
        raise UserError(
            f"--mirror-axes {shown}: patches of this plan have the axes 0 to {last}; name each at most once, or none."
        )
    return tuple(sorted(asked))


def mirrors_of_sample(axes: Sequence[int], sample: int, *, rotate: bool) -> tuple[Mirror, ...]:
    """The mirrored versions that a sample is the mean of: all, or one that changes from sample to sample."""
    mirrors = all_mirrors(axes)
    return (mirrors[sample % len(mirrors)],) if rotate else mirrors


def sum_of_mirrors(answers: Iterator[list[Tensor]], groups: Sequence[Sequence[Mirror]]) -> list[Tensor]:
    """The next answers, one for each group of mirrored versions, turned back and summed up.

    One by one in a fixed order, so that the sum does not depend on how versions were grouped.

    Args:
        answers: of several steps each, every step `(versions * B, K, *patch)`.
        groups: the versions that each answer is of, as `apply_mirrors` stacked them.

    Returns:
        `(B, K, *patch)` for each step.

    Raises:
        ValueError: when answers differ in their number of steps.
    """
    sums: list[Tensor] = []
    for mirrors in groups:
        steps = next(answers)
        if sums and len(sums) != len(steps):
            raise ValueError(f"models of {len(sums)} and {len(steps)} steps cannot be averaged step by step")
        for parts in zip(*(undo_mirrors(step, mirrors) for step in steps), strict=True):
            sums = [total + part for total, part in zip(sums, parts, strict=True)] if sums else list(parts)
    return sums


def _flip(batch: Tensor, mirror: Mirror) -> Tensor:
    return batch.flip([axis + 2 for axis in mirror]) if mirror else batch
