"""MaskPair: what neighbours see is kept, wherever the parts lie."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from autodiffseg.evaluation.mask_pair import MaskPair

MASKS = hnp.arrays(bool, (7, 1, 9), elements=st.sampled_from([False, False, False, False, True]))


@given(MASKS, MASKS)
def test_voxels_and_components_survive(a: np.ndarray, b: np.ndarray) -> None:
    pair = MaskPair.of(a, b, spacing_mm=(3, 2, 1))
    assert pair.spacing_mm == (3, 1)  # the axis of one voxel is left out
    for small, mask in ((pair.prediction, a), (pair.reference, b)):
        np.testing.assert_array_equal(pair.coordinates(small), np.argwhere(mask[:, 0]))
        assert ndimage.label(small, np.ones((3, 3)))[1] == ndimage.label(mask[:, 0], np.ones((3, 3)))[1]
        assert not small[[0, -1]].any() if small.size else True


def test_empty_planes_between_parts_are_left_out() -> None:
    mask = np.zeros((100, 100, 100), dtype=bool)
    mask[0, 0, 0] = mask[99, 50, 99] = True
    pair = MaskPair.of(mask, mask, spacing_mm=(1, 1, 1))
    assert [list(planes) for planes in pair.planes] == [
        [-1, 0, 1, 98, 99, 100],
        [-1, 0, 1, 49, 50, 51],
        [-1, 0, 1, 98, 99, 100],
    ]


def test_a_box_of_an_image_is_the_image() -> None:
    mask = np.zeros((6, 7, 8), dtype=bool)
    mask[2:4, 3, 5:7] = True
    whole = MaskPair.of(mask, mask, spacing_mm=(1, 1, 1))
    part = MaskPair.of(mask[2:4, 3:4, 5:7], mask[2:4, 3:4, 5:7], spacing_mm=(1, 1, 1), start=(2, 3, 5), shape=(6, 7, 8))
    np.testing.assert_array_equal(whole.prediction, part.prediction)
    np.testing.assert_array_equal(whole.coordinates(whole.prediction), part.coordinates(part.prediction))
    assert whole.diagonal_mm == part.diagonal_mm
