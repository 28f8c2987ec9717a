"""The search for a low resolution: when it begins, which axes grow, and that it ends."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autodiffseg.planners.lowres import MOST_ROUNDS, LowresPlan, plan_lowres
from autodiffseg.planners.patch import plan_patch
from autodiffseg.planners.presets import DEFAULT, Preset


def search(spacing: tuple[float, ...], shape: tuple[float, ...], preset: Preset = DEFAULT) -> LowresPlan:
    patch = plan_patch(spacing, shape, channels=2, preset=preset).topology.patch
    return plan_lowres(spacing, shape, patch, channels=2, preset=preset)


def test_a_patch_that_covers_a_quarter_needs_no_low_resolution() -> None:
    found = search((1, 1, 1), (140, 171, 137))
    assert found.share == pytest.approx(128**3 / (140 * 171 * 137))
    assert (found.patch, found.fewer) == (None, 1)


def test_the_search_stops_at_the_first_spacing_that_is_coarse_enough() -> None:
    found = search((1, 1, 1), (400, 400, 400))
    assert found.patch is not None
    covered = math.prod(found.patch.topology.patch) / math.prod(found.median_shape)
    assert 0.25 <= covered < 0.25 * 1.03**3
    assert found.fewer == pytest.approx(math.prod(found.spacing))


def test_the_finer_axes_grow_first() -> None:
    found = search((5, 0.7, 0.7), (104, 768, 512))
    assert found.spacing[0] == 5
    assert found.spacing[1] == found.spacing[2] > 1
    coarse = search((1, 0.9, 0.9), (600, 600, 600))
    assert coarse.spacing[0] / coarse.spacing[1] == pytest.approx(1 / 0.9)


def test_less_than_half_the_voxels_saved_is_not_worth_it() -> None:
    found = search((1, 1, 1), (230, 230, 230))
    assert found.share < 0.25
    assert 1 < found.fewer < 2
    assert found.patch is None


@settings(max_examples=15)
@given(
    st.lists(st.floats(0.01, 1000), min_size=3, max_size=3),
    st.lists(st.integers(1, 5000), min_size=3, max_size=3),
    st.sampled_from([1.0, 1e4, 1e8]),
)
def test_the_search_ends_for_any_case(spacing: list[float], shape: list[int], budget: float) -> None:
    found = search(
        tuple(spacing), tuple(map(float, shape)), replace(DEFAULT, three=replace(DEFAULT.three, budget=budget))
    )
    assert all(new <= old * 1.03**MOST_ROUNDS * 1.01 for old, new in zip(spacing, found.spacing, strict=True))
    assert (found.patch is not None) == (found.fewer >= 2)
