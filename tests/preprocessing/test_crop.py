"""The nonzero mask and its box."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from autodiffseg.preprocessing.crop import box_slices, mask_box, nonzero_mask


@given(arrays(np.int8, st.tuples(*[st.integers(1, 6)] * 4), elements=st.integers(0, 1)))
def test_the_mask_is_any_channel_with_scipys_holes_filled(image: np.ndarray) -> None:
    expected = ndimage.binary_fill_holes(np.any(image != 0, axis=0))
    np.testing.assert_array_equal(nonzero_mask(image), expected)


def test_a_hollow_ball_is_filled() -> None:
    z, y, x = np.indices((15, 15, 15)) - 7
    radius = np.sqrt(z**2 + y**2 + x**2)
    shell = ((radius < 6) & (radius > 3)).astype(np.float32)
    np.testing.assert_array_equal(nonzero_mask(shell[None]), radius < 6)


def test_negative_voxels_are_nonzero() -> None:
    assert nonzero_mask(np.full((1, 2, 2, 2), -1.0)).all()


def test_the_box_is_half_open() -> None:
    mask = np.zeros((5, 6, 7), dtype=bool)
    mask[1:3, 0, 2] = True
    mask[2, 4, 6] = True
    assert mask_box(mask) == ((1, 3), (0, 5), (2, 7))
    assert mask[box_slices(mask_box(mask))].sum() == mask.sum()


@pytest.mark.parametrize("value", [False, True])
def test_an_empty_and_a_full_mask_have_the_whole_box(value: bool) -> None:
    assert mask_box(np.full((2, 3, 4), value)) == ((0, 2), (0, 3), (0, 4))


def test_a_single_voxel_is_a_box_of_one() -> None:
    mask = np.zeros((1, 6, 7), dtype=bool)
    mask[0, 5, 6] = True
    assert mask_box(mask) == ((0, 1), (5, 6), (6, 7))


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("side", [0, -1])
def test_a_bay_that_opens_to_any_side_is_no_hole(axis: int, side: int) -> None:
    mask = np.ones((5, 5, 5), dtype=bool)
    mask[2, 2, 2] = False
    bay = mask.copy()
    np.moveaxis(bay, axis, 0)[2:, 2, 2] = False
    bay = bay if side == -1 else np.flip(bay, axis)
    np.testing.assert_array_equal(nonzero_mask(bay[None]), bay)
    assert nonzero_mask(mask[None]).all()
