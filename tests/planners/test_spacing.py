"""Target spacing, order of axes and median shape."""

from __future__ import annotations

import pytest

from autodiffseg.planners.spacing import median_shape_at, target_spacing, transpose_order

FLAT = [(20, 200, 200)] * 11


def test_the_median_of_each_axis() -> None:
    spacings = [(1.0, 2.0, 1.0), (1.5, 1.0, 1.0), (9.0, 1.5, 1.0)]
    assert target_spacing(spacings, [(50, 50, 50)] * 3) == (1.5, 1.5, 1.0)


def test_a_coarse_and_short_axis_takes_its_tenth_percentile() -> None:
    spacings = [(5.0 - 0.1 * index, 1.0, 1.0) for index in range(11)]
    assert target_spacing(spacings, FLAT) == pytest.approx((4.1, 1.0, 1.0))


def test_a_coarse_axis_that_is_not_short_keeps_its_median() -> None:
    spacings = [(5.0 - 0.1 * index, 1.0, 1.0) for index in range(11)]
    assert target_spacing(spacings, [(100, 200, 200)] * 11) == pytest.approx((4.5, 1.0, 1.0))


def test_it_must_be_short_against_each_of_the_other_axes() -> None:
    spacings = [(5.0 - 0.1 * index, 1.0, 1.0) for index in range(11)]
    assert target_spacing(spacings, [(20, 60, 200)] * 11) == pytest.approx((4.5, 1.0, 1.0))


def test_an_axis_at_three_times_the_others_is_not_coarse() -> None:
    spacings = [(3.0 if index else 1.0, 1.0, 1.0) for index in range(11)]
    assert target_spacing(spacings, FLAT) == (3.0, 1.0, 1.0)


def test_the_percentile_is_not_finer_than_the_other_axes() -> None:
    spacings = [(0.5, 1.0, 1.2)] * 5 + [(6.0, 1.0, 1.2)] * 6
    assert target_spacing(spacings, FLAT) == pytest.approx((1.2 + 1e-5, 1.0, 1.2), abs=1e-9)


@pytest.mark.parametrize(
    ("spacing", "order"),
    [((5, 1, 1), (0, 1, 2)), ((1, 5, 1), (1, 0, 2)), ((1, 1, 5), (2, 0, 1)), ((1, 1, 1), (0, 1, 2))],
)
def test_the_coarsest_axis_comes_first(spacing: tuple[float, float, float], order: tuple[int, int, int]) -> None:
    assert transpose_order(spacing, [(9, 9, 9)]) == order


def test_an_axis_of_one_voxel_comes_before_a_coarse_one() -> None:
    assert transpose_order((0.5, 3, 1), [(1, 64, 64)]) == (0, 1, 2)


def test_the_median_shape_is_taken_after_resampling() -> None:
    spacings = [(2.0, 1.0, 1.0), (1.0, 1.0, 1.0)]
    assert median_shape_at((1, 1, 1), spacings, [(10, 30, 40), (25, 31, 40)]) == (22.5, 30.5, 40.0)


def test_no_case_has_less_than_one_voxel() -> None:
    assert median_shape_at((1000, 1000, 1000), [(1.0, 1.0, 1.0)], [(5, 7, 9)]) == (1.0, 1.0, 1.0)


def test_halves_are_rounded_to_even_as_python_does() -> None:
    assert median_shape_at((2, 2, 2), [(1.0, 1.0, 1.0)], [(5, 7, 9)]) == (2.0, 4.0, 4.0)
