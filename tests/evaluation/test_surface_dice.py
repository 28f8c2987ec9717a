"""Surface Dice: shares known by hand, tolerances that are reached exactly, and empty masks."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from autodiffseg.evaluation.surface_dice import surface_dice


def slab(*planes: int) -> np.ndarray:
    mask = np.zeros((12, 6, 6), dtype=bool)
    mask[list(planes)] = True
    return mask


def test_a_moved_pixel_is_near_enough_from_its_own_distance_on() -> None:
    one, other = np.zeros((1, 5, 9), dtype=bool), np.zeros((1, 5, 9), dtype=bool)
    one[0, 2, 2] = other[0, 2, 5] = True
    for tolerance, expected in ((0.9, 0.0), (1.0, 0.5), (1.9, 0.5), (2.0, 0.5), (2.9, 0.5), (3.0, 1.0)):
        # Of the four cells of a pixel two are 2 and two are 3 pixels from the other's nearest cell.
        value = surface_dice(one, other, spacing_mm=(9, 1, 1), tolerance_mm=tolerance)
        assert value == pytest.approx(0.0 if tolerance < 2 else expected)


def test_a_distance_that_is_the_tolerance_counts_although_files_are_of_single_precision() -> None:
    spacing = float(np.float32(0.8))
    assert spacing > 0.8
    whole = np.ones((6, 6), dtype=bool)
    flat, shifted = np.zeros((9, 6, 6), dtype=bool), np.zeros((9, 6, 6), dtype=bool)
    flat[2:5], shifted[3:6] = whole, whole
    assert surface_dice(flat, shifted, spacing_mm=(spacing, 1, 1), tolerance_mm=0.8) == 1.0
    assert surface_dice(flat, shifted, spacing_mm=(spacing, 1, 1), tolerance_mm=0.79) < 1.0


def test_area_counts_and_not_the_number_of_cells() -> None:
    disc = np.zeros((1, 40, 40), dtype=bool)
    disc[0, 10:30, 10:30] = True
    wide = disc.copy()
    wide[0, 10:30, 30:34] = True  # four pixels of 5 mm further: one of four sides is away, and parts of two others
    value = surface_dice(disc, wide, spacing_mm=(1, 1, 5), tolerance_mm=1)
    corner = math.hypot(5, 1) / 2
    ours = 2 * 19 * 5 + 2 * 19 + 4 * corner
    theirs = 2 * 23 * 5 + 2 * 19 + 4 * corner
    away = (19 + 2 * corner) + (4 * 5 * 2 + 19 + 2 * corner - 2 * 5)  # the cell beside the old corner is 0 from it
    assert value == pytest.approx(1 - away / (ours + theirs), abs=0.02)


def test_every_empty_case() -> None:
    empty, full = slab(), slab(3)
    arguments = {"spacing_mm": (1, 1, 1), "tolerance_mm": 1}
    assert math.isnan(surface_dice(empty, empty, **arguments))
    assert surface_dice(full, empty, **arguments) == surface_dice(empty, full, **arguments) == 0.0
    assert surface_dice(full, full, **arguments) == 1.0


MASKS = hnp.arrays(bool, (3, 4, 5), elements=st.booleans())


@given(MASKS, MASKS)
def test_it_is_symmetric_mirrored_and_rises_with_the_tolerance(a: np.ndarray, b: np.ndarray) -> None:
    def value(one: np.ndarray, other: np.ndarray, tolerance: float) -> float:
        return surface_dice(one, other, spacing_mm=(3.0, 1.0, 0.5), tolerance_mm=tolerance)

    values = [value(a, b, tolerance) for tolerance in (0.1, 1.0, 4.0, 99.0)]
    assert value(b, a, 1.0) == pytest.approx(values[1], nan_ok=True)
    assert value(a[::-1, :, ::-1], b[::-1, :, ::-1], 1.0) == pytest.approx(values[1], nan_ok=True)
    assert values == sorted(values) or np.isnan(values).all()
    assert not (a.any() and b.any()) or values[-1] == 1.0
