"""Lesions: matches counted by hand, each lesion matched once, and empty masks."""

from __future__ import annotations

import math

import numpy as np
import pytest

from autodiffseg.evaluation.lesions import LesionCounts, count_lesions
from autodiffseg.evaluation.mask_pair import MaskPair


def line(*parts: tuple[int, int], length: int = 60) -> np.ndarray:
    mask = np.zeros((1, 1, length), dtype=bool)
    for start, stop in parts:
        mask[..., start:stop] = True
    return mask


def counts(prediction: np.ndarray, reference: np.ndarray) -> LesionCounts:
    return count_lesions(MaskPair.of(prediction, reference, spacing_mm=(1, 1, 1)))


@pytest.mark.parametrize(
    ("prediction", "reference", "expected"),
    [
        (line((0, 4), (20, 24)), line((2, 6), (40, 44)), (2, 2, 1)),
        (line((0, 2)), line((1, 20)), (1, 1, 0)),  # IoU 1/20: a mere touch
        (line((0, 2)), line((0, 20)), (1, 1, 1)),  # IoU 0.1
        (line((0, 30)), line((0, 10), (15, 25)), (1, 2, 1)),  # one that covers two is matched once
        (line((0, 10), (15, 25)), line((0, 30)), (2, 1, 1)),
        # The first of the prediction may match either, the second the first alone: both are matched.
        (line((4, 14), (16, 18)), line((12, 19), (2, 8)), (2, 2, 2)),
        (line(), line((0, 3)), (0, 1, 0)),
        (line((0, 3)), line(), (1, 0, 0)),
        (line(), line(), (0, 0, 0)),
    ],
)
def test_matches_by_hand(prediction: np.ndarray, reference: np.ndarray, expected: tuple[int, int, int]) -> None:
    assert counts(prediction, reference) == expected


def test_voxels_that_touch_at_a_corner_are_one_lesion() -> None:
    mask = np.zeros((3, 3, 3), dtype=bool)
    mask[0, 0, 0] = mask[1, 1, 1] = True
    assert counts(mask, mask) == (1, 1, 1)


def test_rates_and_their_empty_cases() -> None:
    found = LesionCounts(predicted=4, reference=2, matched=1)
    assert (found.precision, found.recall, found.f1) == (0.25, 0.5, pytest.approx(1 / 3))
    both, missed, invented = LesionCounts(0, 0, 0), LesionCounts(0, 2, 0), LesionCounts(2, 0, 0)
    assert all(math.isnan(value) for value in (both.precision, both.recall, both.f1))
    assert (missed.recall, missed.f1, invented.precision, invented.f1) == (0, 0, 0, 0)
    assert math.isnan(missed.precision)
    assert math.isnan(invented.recall)
