"""Agreement of samples: pairs by hand, and a twin without boxes."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodiffseg.labels import LabelSpec
from autodiffseg.uncertainty.sample_agreement import SampleAgreement

CLASSES = LabelSpec(labels={"background": 0, "a": 1, "b": 2})
REGIONS = LabelSpec(labels={"background": 0, "whole": (1, 2), "core": (2,)}, regions_class_order=(1, 2))


def agreement(*labels: list[int], spec: LabelSpec = CLASSES) -> SampleAgreement:
    found = SampleAgreement(spec)
    for label in labels:
        found.add(np.array(label, dtype=np.uint8).reshape(1, 1, -1))
    return found


def test_dice_is_the_mean_over_pairs() -> None:
    found = agreement([1, 1, 0, 2], [1, 0, 0, 2], [0, 1, 1, 0]).pairwise_dice()
    assert found["a"] == pytest.approx((2 / 3 + 2 / 4 + 0) / 3)
    assert found["b"] == pytest.approx((1 + 0 + 0) / 3)


def test_a_pair_without_any_is_left_out() -> None:
    found = agreement([0, 0, 1], [0, 0, 1], [0, 0, 0]).pairwise_dice()
    assert found["a"] == pytest.approx((1 + 0 + 0) / 3)
    assert math.isnan(found["b"])
    assert agreement([2, 0], [0, 0], [0, 0]).pairwise_dice()["b"] == 0


def test_one_sample_has_no_pair() -> None:
    assert math.isnan(agreement([1, 2]).pairwise_dice()["a"])


def test_a_region_holds_its_integers() -> None:
    found = agreement([1, 2, 0, 0], [2, 2, 2, 0], spec=REGIONS)
    assert found.voxels() == {"whole": [2, 3], "core": [1, 3]}
    assert found.pairwise_dice() == pytest.approx({"whole": 4 / 5, "core": 2 / 4})


def test_the_foreground_is_that_of_any_sample() -> None:
    found = agreement([0, 1, 0, 0], [0, 0, 2, 0], [0, 0, 0, 0])
    assert found.foreground((1, 1, 4)).ravel().tolist() == [False, True, True, False]
    assert found.samples == 3


@given(seed=st.integers(0, 2**16), density=st.sampled_from([0.02, 0.3]))
def test_boxes_change_nothing(seed: int, density: float) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.choice(3, size=(3, 4, 5, 6), p=[1 - density, density / 2, density / 2]).astype(np.uint8)
    found = SampleAgreement(CLASSES)
    for label in labels:
        found.add(label)
    for name, value in (("a", 1), ("b", 2)):
        masks = labels == value
        assert found.voxels()[name] == masks.sum((1, 2, 3)).tolist()
        pairs = [2 * (x & y).sum() / (x.sum() + y.sum()) for x, y in itertools.combinations(masks, 2) if (x | y).any()]
        assert found.pairwise_dice()[name] == pytest.approx(np.mean(pairs) if pairs else math.nan, nan_ok=True)
