"""Overlap: hand-counted voxels, every empty case, regions and ignored voxels."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from autodiffseg.evaluation.overlap import Overlap, class_overlaps, confusion, label_values
from autodiffseg.labels import LabelSpec

CLASSES = LabelSpec(labels={"background": 0, "one": 1, "two": 2})
MAPS = hnp.arrays(np.int16, (2, 3, 4), elements=st.integers(-2, 5))


def label(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int16).reshape(1, 1, -1)


def test_counts_by_hand() -> None:
    overlaps = class_overlaps(label(1, 1, 1, 2, 0, 0), label(1, 2, 0, 2, 2, 0), CLASSES)
    assert overlaps == {"one": Overlap(tp=1, fp=2, fn=0, tn=3), "two": Overlap(tp=1, fp=0, fn=2, tn=3)}
    assert overlaps["one"].dice == pytest.approx(2 / 4)
    assert overlaps["two"].iou == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("prediction", "reference", "dice", "iou"),
    [((0, 0), (0, 0), math.nan, math.nan), ((1, 0), (0, 0), 0.0, 0.0), ((0, 0), (1, 0), 0.0, 0.0), ((1,), (1,), 1, 1)],
)
def test_every_empty_case(prediction: tuple[int, ...], reference: tuple[int, ...], dice: float, iou: float) -> None:
    overlap = class_overlaps(label(*prediction), label(*reference), CLASSES)["one"]
    assert (overlap.dice, overlap.iou) == pytest.approx((dice, iou), nan_ok=True)


def test_regions_overlap() -> None:
    spec = LabelSpec(labels={"background": 0, "whole": (1, 2), "core": (2,)}, regions_class_order=(1, 2))
    overlaps = class_overlaps(label(1, 2, 0), label(2, 2, 1), spec)
    assert overlaps == {"whole": Overlap(2, 0, 1, 0), "core": Overlap(1, 0, 1, 1)}


def test_ignored_voxels_count_nowhere() -> None:
    spec = LabelSpec(labels={"background": 0, "one": 1, "ignore": 2})
    assert class_overlaps(label(1, 1, 0), label(1, 2, 2), spec) == {"one": Overlap(1, 0, 0, 0)}


@given(MAPS, MAPS)
def test_counting_in_one_pass_equals_counting_class_by_class(prediction: np.ndarray, reference: np.ndarray) -> None:
    for value, overlap in zip((1, 2), class_overlaps(prediction, reference, CLASSES).values(), strict=True):
        p, r = prediction == value, reference == value
        assert overlap == Overlap((p & r).sum(), (p & ~r).sum(), (~p & r).sum(), (~p & ~r).sum())
    assert confusion(prediction, reference, [0, 1]).sum() == prediction.size
    assert label_values(prediction) == set(prediction.ravel().tolist())
