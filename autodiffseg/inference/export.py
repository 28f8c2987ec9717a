"""The way back from probabilities on the preprocessed grid to the raw grid: preprocessing, undone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from autodiffseg.labels import LabelSpec
from autodiffseg.plans import Plan
from autodiffseg.preprocessing.case_store import CaseProperties
from autodiffseg.preprocessing.resample import resample_probability


def restore_label(
    probabilities: npt.NDArray[np.float32], properties: CaseProperties, plan: Plan, spec: LabelSpec
) -> npt.NDArray[np.uint8]:
    """Label map of a case on its raw grid.

    Classes are resampled one after the other against a running maximum, so that memory does not grow with their
    number. Outside the crop everything is background.

    Args:
        probabilities: `(K, Z, Y, X)` on the preprocessed grid.
        properties: of the preprocessed case.
        plan: its axis order.
        spec: what the channels mean.

    Returns:
        `(Z, Y, X)` in the raw axis order: argmax (of equals the first class), or regions over 0.5 painted in order.
    """
    channels = _on_cropped_grid(probabilities, properties)
    if spec.has_regions:
        cropped = _paint(channels, spec)
    else:
        cropped = _argmax(channels, [0, *(members[0] for members in spec.foreground.values())])
    return _uncrop(cropped, np.uint8(0), properties, plan)


def restore_probabilities(
    probabilities: npt.NDArray[np.float32], properties: CaseProperties, plan: Plan, spec: LabelSpec
) -> npt.NDArray[np.float16]:
    """Probabilities of a case on its raw grid, `(K, Z, Y, X)`; outside the crop background is 1, all else 0."""
    raw = np.empty((len(probabilities), *properties.geometry.shape), dtype=np.float16)
    for number, channel in enumerate(_on_cropped_grid(probabilities, properties)):
        outside = np.float16(number == 0 and not spec.has_regions)
        raw[number] = _uncrop(channel.astype(np.float16), outside, properties, plan)
    return raw


def _on_cropped_grid(
    probabilities: npt.NDArray[np.float32], properties: CaseProperties
) -> Iterator[npt.NDArray[np.float32]]:
    """Each channel in turn on the grid of the cropped raw image, in transposed axis order."""
    shape = tuple(high - low for low, high in properties.crop)
    for channel in probabilities:
        yield channel if channel.shape == shape else resample_probability(channel, shape)


def _argmax(channels: Iterator[npt.NDArray[np.float32]], values: list[int]) -> npt.NDArray[np.uint8]:
    best = next(channels)
    label = np.full(best.shape, values[0], dtype=np.uint8)
    for value, channel in zip(values[1:], channels, strict=True):
        label[channel > best] = value
        best = np.maximum(best, channel)
    return label


def _paint(channels: Iterator[npt.NDArray[np.float32]], spec: LabelSpec) -> npt.NDArray[np.uint8]:
    assert spec.regions_class_order is not None
    inside = ((value, channel > 0.5) for value, channel in zip(spec.regions_class_order, channels, strict=True))
    value, region = next(inside)
    label = region * np.uint8(value)
    for value, region in inside:
        label[region] = value
    return label


def _uncrop(cropped: npt.NDArray[Any], outside: np.generic, properties: CaseProperties, plan: Plan) -> npt.NDArray[Any]:
    shape = [properties.geometry.shape[axis] for axis in plan.transpose]
    whole = np.full(shape, outside, dtype=cropped.dtype)
    whole[tuple(slice(low, high) for low, high in properties.crop)] = cropped
    return np.ascontiguousarray(whole.transpose(plan.transpose_back))
