"""Intensity normalisation of one case, channel by channel."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from autodiffseg.errors import UserError
from autodiffseg.fingerprint import IntensityStatistics
from autodiffseg.plans import NormalisationPlan

EPSILON = 1e-8  # smallest divisor, so that a constant image becomes zero and not NaN
RGB_MAXIMUM = 255.0


def normalise(
    image: npt.NDArray[np.float32],
    mask: npt.NDArray[np.bool_],
    *,
    schemes: Sequence[NormalisationPlan],
    intensities: Sequence[IntensityStatistics],
) -> npt.NDArray[np.float32]:
    """Normalise every channel by its scheme.

    Args:
        image: `(C, Z, Y, X)`, raw intensities of the cropped case.
        mask: `(Z, Y, X)`, the nonzero mask in the same box.
        schemes: one per channel.
        intensities: one per channel; used by `ct` alone.

    Raises:
        UserError: when the case has not as many channels as the plan, or an `rgb` channel leaves 0 to 255.
    """
    if len(schemes) != image.shape[0]:
        raise UserError(f"the case has {image.shape[0]} channels, the plan is made for {len(schemes)}.")
    normalised = np.empty(image.shape, dtype=np.float32)  # filled channel by channel: no second copy of all of them
    for place, channel, scheme, statistics in zip(normalised, image, schemes, intensities, strict=True):
        place[...] = normalise_channel(channel, mask, scheme=scheme, statistics=statistics)
    return normalised


def normalise_channel(
    channel: npt.NDArray[np.float32],
    mask: npt.NDArray[np.bool_],
    *,
    scheme: NormalisationPlan,
    statistics: IntensityStatistics,
) -> npt.NDArray[np.float32]:
    """Normalise one channel `(Z, Y, X)`; see `normalise`."""
    channel = channel.astype(np.float32)  # a copy, so that the rest can work in place
    if scheme.scheme == "ct":
        np.clip(channel, statistics.percentile_00_5, statistics.percentile_99_5, out=channel)
        channel -= np.float32(statistics.mean)
        channel /= np.float32(max(statistics.std, EPSILON))
    elif scheme.scheme == "zscore":
        _zscore(channel, mask if scheme.use_mask else None)
    elif scheme.scheme == "rescale":
        channel -= channel.min()
        channel /= max(channel.max(), np.float32(EPSILON))
    elif scheme.scheme == "rgb":
        if channel.min() < 0 or channel.max() > RGB_MAXIMUM:
            raise UserError(
                f"a colour channel has values from {channel.min():g} to {channel.max():g}, 0 to 255 are expected; "
                "give the channel another name in dataset.json than 'rgb_to_0_1'."
            )
        channel /= np.float32(RGB_MAXIMUM)
    return channel


def _zscore(channel: npt.NDArray[np.float32], mask: npt.NDArray[np.bool_] | None) -> None:
    """Bring to zero mean and unit deviation in place; with a mask over its voxels, and zero outside it."""
    inside = channel if mask is None else channel[mask]
    if inside.size:
        mean, deviation = inside.mean(), inside.std()
        channel -= mean
        channel /= max(deviation, np.float32(EPSILON))
    if mask is not None:
        channel[~mask] = 0
