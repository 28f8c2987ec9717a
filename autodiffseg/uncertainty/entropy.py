"""The entropy of a voxel's probabilities, in nats, from channels that come one after the other."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import entr

Volume = npt.NDArray[np.float32]

PIECE = 2**14
"""Voxels that are looked at together."""


def entropy_nats(channels: Iterable[npt.NDArray[np.floating[Any]]], *, regions: bool) -> Volume:
    """Entropy of every voxel, in nats (divide by ln 2 for bits), with 0·ln 0 = 0.

    Exclusive classes: H = -Σ_c p_c ln p_c (Shannon 1948), from 0 to ln K.

    Regions may overlap and are predicted one by one, so each is a coin of its own: H = Σ_r -p_r ln p_r -
    (1 - p_r) ln(1 - p_r), from 0 to R ln 2. The sum is the entropy of all regions together if they are independent,
    and never below it; the largest of them would not, since splits of a maximum do not add up.

    Args:
        channels: the K classes with background, or the R regions, each `(Z, Y, X)` in [0, 1]; only one is held.
        regions: which of the two they are.

    Returns:
        `(Z, Y, X)` float32, not negative.
    """
    rest = iter(channels)
    first = next(rest, None)
    if first is None:
        raise ValueError("there is no channel to take the entropy of")
    total = np.zeros(first.shape, np.float32)
    add_entropy(total, [first], regions=regions)
    del first
    add_entropy(total, rest, regions=regions)
    return total


def add_entropy(
    total: Volume, channels: Iterable[npt.NDArray[np.floating[Any]]], *, regions: bool, weight: float = 1.0
) -> None:
    """Add the entropy of every voxel, times `weight`, to `total`: beside it no other volume is held than a channel.

    Args:
        total: `(Z, Y, X)` float32, contiguous.
        channels: as `entropy_nats` takes them.
        regions: likewise.
        weight: of these among what is summed up.
    """
    sums = total.reshape(-1)
    for channel in channels:
        values = channel.reshape(-1)
        for start in range(0, len(values), PIECE):
            part = slice(start, start + PIECE)
            # Sums of float32 weights leave a probability a rounding above 1, whose term would be negative.
            probability = np.clip(values[part].astype(np.float32, copy=False), 0, 1)
            term = entr(probability)
            if regions:
                term += entr(np.subtract(1, probability, out=probability))
            sums[part] += np.float32(weight) * term
        del channel, values  # before the next one is made
