"""The patch: first guess, shrinking, and that shrinking always ends."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autodiffseg.planners.patch import first_patch, plan_patch
from autodiffseg.planners.presets import CPU, DEFAULT, Limits


def test_the_first_guess_is_isotropic_in_mm() -> None:
    assert first_patch((1, 1, 1), (999, 999, 999)) == (256, 256, 256)
    assert first_patch((2, 1), (9999, 9999)) == (1448, 2896)  # 2048 / √2 and 2048 · √2


def test_the_first_guess_is_no_longer_than_the_median_case() -> None:
    assert first_patch((1, 1, 1), (36, 300, 35.5)) == (36, 256, 35.5)


def test_what_fits_is_not_shrunk() -> None:
    found = plan_patch((1, 1, 1), (36, 50, 35), channels=3, preset=DEFAULT)
    assert (found.topology.patch, found.shrunk) == ((40, 56, 40), 0)


def test_one_step_more_would_not_fit() -> None:
    found = plan_patch((1, 1, 1), (140, 171, 137), channels=4, preset=DEFAULT)
    assert found.elements <= DEFAULT.three.budget
    larger = plan_patch((1, 1, 1), found.topology.patch, channels=4, preset=replace(DEFAULT, three=_unbounded()))
    assert larger.topology.patch == found.topology.patch
    assert found.elements * (160 * 128 * 128) / 128**3 > DEFAULT.three.budget


def _unbounded() -> Limits:
    return replace(DEFAULT.three, budget=math.inf)


@settings(max_examples=60)
@given(
    st.lists(st.floats(0.2, 10), min_size=3, max_size=3),
    st.lists(st.integers(1, 400), min_size=3, max_size=3),
    st.floats(1e3, 1e9),
)
def test_shrinking_ends_within_the_budget_or_at_a_handful_of_voxels(
    spacing: list[float], shape: list[int], budget: float
) -> None:
    preset = replace(DEFAULT, three=replace(DEFAULT.three, budget=budget))
    found = plan_patch(spacing, shape, channels=2, preset=preset)
    assert found.elements <= budget or math.prod(found.topology.patch) <= 64  # 8 x 8 x 1: halved once, not again
    assert len(found.network.features) == found.topology.stages >= 2


@pytest.mark.parametrize(
    ("spacing", "shape", "patch"),
    [
        ((1, 1, 1), (6, 7, 5), (8, 8, 8)),
        ((1, 1, 1), (1, 1, 1), (8, 8, 8)),
        ((5, 1, 1), (7, 6, 3), (7, 8, 8)),
        ((1, 1), (3, 11), (8, 12)),  # the longer axis is rounded up to be halved
        ((1, 3), (9, 4), (12, 4)),
    ],
)
def test_cases_too_small_to_halve_get_a_patch_that_can_be_halved_once(
    spacing: tuple[float, ...], shape: tuple[int, ...], patch: tuple[int, ...]
) -> None:
    found = plan_patch(spacing, shape, channels=2, preset=DEFAULT)
    assert (found.topology.patch, found.topology.stages) == (patch, 2)


@pytest.mark.parametrize("shape", [(400, 400, 400), (30, 600, 600), (1000, 40, 40)])
def test_the_cpu_bound_on_voxels_is_used_up(shape: tuple[int, int, int]) -> None:
    voxels = math.prod(plan_patch((1, 1, 1), shape, channels=2, preset=CPU).topology.patch)
    assert 0.7 * CPU.three.max_patch_voxels <= voxels <= CPU.three.max_patch_voxels


def test_the_axis_longest_against_the_case_is_shortened_first() -> None:
    preset = replace(DEFAULT, three=replace(DEFAULT.three, max_patch_voxels=80 * 64 * 64 - 1))
    # 65 is padded to 80 and so the longest against its case.
    found = plan_patch((1, 1, 1), (64, 64, 65), channels=2, preset=preset)
    assert found.topology.patch == (64, 64, 64)


def test_an_edge_that_needs_fewer_halvings_loses_only_what_they_need() -> None:
    preset = replace(DEFAULT, three=replace(DEFAULT.three, max_patch_voxels=128**3 - 1))
    # 96 can be halved four times, not five, so 112 is possible too.
    found = plan_patch((1, 1, 1), (128, 128, 128), channels=2, preset=preset)
    assert found.topology.patch == (128, 128, 112)


def test_the_first_guess_has_a_voxel_along_the_coarsest_axis() -> None:
    assert min(first_patch((1.0, 1000.0, 0.001), (2.0, 2.0, 2.0))) == 1
