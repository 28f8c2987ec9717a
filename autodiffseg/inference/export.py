"""The way back from probabilities on the preprocessed grid to the raw grid: preprocessing, undone class by class."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from autodiffseg.labels import LabelSpec
from autodiffseg.plans import Plan
from autodiffseg.preprocessing.case_store import CaseProperties
from autodiffseg.preprocessing.resample import resample_probability


class Volumes(Protocol):
    """Channels `(K, Z, Y, X)` float32: a numpy array, or one on disk that reads the channel it is asked for."""

    @property
    def shape(self) -> tuple[int, ...]:
        """K and the grid."""
        ...

    def __getitem__(self, channel: int, /) -> Any:
        """One channel `(Z, Y, X)`; not to be changed."""
        ...


@dataclass(frozen=True)
class Prediction:
    """Probabilities of a case on its preprocessed grid, with what leads from there to the raw grid."""

    volumes: Volumes
    properties: CaseProperties
    plan: Plan
    """Its axis order."""
    weight: float = 1.0
    """Beside others, in their mean."""

    @property
    def frame(self) -> tuple[object, object]:
        """Predictions of the same frame can be averaged before the crop is undone."""
        return self.plan.transpose, self.properties.crop


def restore_label(
    predictions: Sequence[Prediction],
    spec: LabelSpec,
    *,
    pass_on: Callable[[npt.NDArray[np.float16]], None] | None = None,
) -> npt.NDArray[np.uint8]:
    """Label map of a case on its raw grid, by the mean of predictions that may lie on different grids.

    Classes are resampled one after the other against a running maximum, so that memory does not grow with their
    number: there are never more than six float32 arrays of the raw image, the channel that is read counted in.
    Outside the crop everything is background.

    Args:
        predictions: of one case, one or more.
        spec: what the channels mean.
        pass_on: given each channel of the mean in turn on the raw grid, `(Z, Y, X)`; outside the crop background is 1
            and all else 0.

    Returns:
        `(Z, Y, X)` in the raw axis order: argmax (of equals the first class), or regions over 0.5 painted in order.
    """
    channels = _channels(predictions, spec)
    first = predictions[0]
    apart = len({prediction.frame for prediction in predictions}) > 1  # then the channels are on the raw grid already

    def handed_on() -> Iterator[npt.NDArray[np.float32]]:
        for number, channel in enumerate(channels):
            if pass_on is not None:
                half = channel.astype(np.float16)
                pass_on(half if apart else _uncrop(half, _outside(number, spec), first))
                del half
            yield channel

    if spec.has_regions:
        label = _paint(handed_on(), spec)
    else:
        label = _argmax(handed_on(), [0, *(members[0] for members in spec.foreground.values())])
    return label if apart else _uncrop(label, 0, first)


def restore_channels(predictions: Sequence[Prediction], spec: LabelSpec) -> Iterator[npt.NDArray[np.float32]]:
    """Each channel of the mean of predictions in turn on the raw grid, `(Z, Y, X)`; not to be changed.

    Args:
        predictions: of one case, one or more.
        spec: what the channels mean; outside the crop background is 1 and all else 0.
    """
    apart = len({prediction.frame for prediction in predictions}) > 1  # then they are on the raw grid already
    channels = _channels(predictions, spec)
    for number in range(predictions[0].volumes.shape[0]):
        channel = next(channels)  # not by enumerate, which holds on to it while the next one is made
        yield channel if apart else _uncrop(channel, _outside(number, spec), predictions[0])
        del channel


def _channels(predictions: Sequence[Prediction], spec: LabelSpec) -> Iterator[npt.NDArray[np.float32]]:
    """Each channel of the mean in turn, on the cropped grid that all share, else on the raw grid."""
    first, *others = predictions
    apart = any(other.frame != first.frame for other in others)
    whole = sum(prediction.weight for prediction in predictions)
    for number in range(first.volumes.shape[0]):
        mean: npt.NDArray[np.float32] | None = None
        for prediction in predictions:
            channel = _on_cropped_grid(prediction.volumes[number], prediction)
            if apart:
                channel = _uncrop(channel, _outside(number, spec), prediction)
            if not others:
                mean = channel
            elif mean is None:
                mean = channel * np.float32(prediction.weight / whole)
            else:
                mean += channel * np.float32(prediction.weight / whole)
            del channel
        assert mean is not None
        yield mean


def _on_cropped_grid(channel: npt.NDArray[np.float32], prediction: Prediction) -> npt.NDArray[np.float32]:
    """On the grid of the cropped raw image, in transposed axis order."""
    shape = tuple(high - low for low, high in prediction.properties.crop)
    return channel if channel.shape == shape else resample_probability(channel, shape)


def _outside(number: int, spec: LabelSpec) -> float:
    return float(number == 0 and not spec.has_regions)


def _argmax(channels: Iterator[npt.NDArray[np.float32]], values: list[int]) -> npt.NDArray[np.uint8]:
    best = np.array(next(channels))  # a copy: a channel may be the predictor's own
    label = np.full(best.shape, values[0], dtype=np.uint8)
    for value, channel in zip(values[1:], channels, strict=True):
        label[channel > best] = value
        np.maximum(best, channel, out=best)
    return label


def _paint(channels: Iterator[npt.NDArray[np.float32]], spec: LabelSpec) -> npt.NDArray[np.uint8]:
    assert spec.regions_class_order is not None
    inside = ((value, channel > 0.5) for value, channel in zip(spec.regions_class_order, channels, strict=True))
    value, region = next(inside)
    label = region * np.uint8(value)
    for value, region in inside:
        label[region] = value
    return label


def _uncrop(cropped: npt.NDArray[Any], outside: float, prediction: Prediction) -> npt.NDArray[Any]:
    """Put a cropped array in transposed axis order back into the raw one."""
    properties, plan = prediction.properties, prediction.plan
    whole = np.full(properties.geometry.shape, outside, dtype=cropped.dtype)
    # A view in transposed order: writing into it needs no second array for turning the axes back.
    whole.transpose(plan.transpose)[tuple(slice(low, high) for low, high in properties.crop)] = cropped
    return whole
