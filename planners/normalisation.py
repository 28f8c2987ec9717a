"""Which normalisation a channel gets: from its name in dataset.json."""

from __future__ import annotations

from collections.abc import Sequence

from autodiffseg.plans import NormalisationPlan, Scheme

BY_NAME: dict[str, Scheme] = {
    "ct": "ct",
    "nonorm": "none",
    "zscore": "zscore",
    "rescale_to_0_1": "rescale",
    "rgb_to_0_1": "rgb",
}
"""nnU-Net's names, in lower case; every other name means z-score."""

CROPPED_AWAY = 0.75
"""Where cropping leaves less than this fraction, the surroundings are empty and would spoil mean and deviation."""


def plan_normalisation(channels: Sequence[str], relative_size: float) -> tuple[NormalisationPlan, ...]:
    """One scheme per channel.

    Args:
        channels: names of the channels.
        relative_size: median over cases of the volume after cropping to nonzero by that before.
    """
    masked = relative_size < CROPPED_AWAY
    schemes = (BY_NAME.get(name.casefold(), "zscore") for name in channels)
    return tuple(NormalisationPlan(scheme=scheme, use_mask=masked and scheme == "zscore") for scheme in schemes)
