"""The entropy of a voxel's probabilities, in nats, from channels that come one after the other."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import entr

Volume = npt.NDArray[np.float32]


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
    total: Volume | None = None
    for channel in channels:
        if total is None:
            total = np.zeros(channel.shape, np.float32)
            probability, term = np.empty_like(total), np.empty_like(total)
        # Sums of float32 weights leave a probability a rounding above 1, whose term would be negative.
        np.clip(channel, 0, 1, out=probability)
        total += entr(probability, out=term)
        if regions:
            total += entr(np.subtract(1, probability, out=probability), out=term)
    if total is None:
        raise ValueError("there is no channel to take the entropy of")
    return total
