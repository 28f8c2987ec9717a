"""The band around a foreground, and the distance to a boundary: by hand, and against whole distance maps."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from autodiffseg.evaluation.foreground_band import PLANES, distance_to_other_labels, foreground_band


def test_the_band_of_a_voxel_is_a_ball() -> None:
    voxel = np.zeros((9, 9, 9), bool)
    voxel[4, 4, 4] = True
    squares = sum(np.square(axis - 4) for axis in np.indices(voxel.shape))
    for voxels in (0, 1, 3):
        np.testing.assert_array_equal(foreground_band(voxel, voxels=voxels), squares <= voxels**2)


def test_at_the_edge_of_the_image_the_band_is_cut() -> None:
    mask = np.random.default_rng(0).random((6, 7, 8)) < 0.02
    mask[0, 0, 0] = True
    expected = ndimage.distance_transform_edt(~mask) <= 3
    np.testing.assert_array_equal(foreground_band(mask), expected)


def test_planes_that_are_looked_at_in_turn_make_no_seam() -> None:
    mask = np.random.default_rng(1).random((4 * PLANES + 5, 6, 7)) < 0.003
    for voxels in (0, 1, 3, PLANES + 2):
        expected = ndimage.distance_transform_edt(~mask) <= voxels
        np.testing.assert_array_equal(foreground_band(mask, voxels=voxels), expected)


def test_nothing_has_no_band_and_everything_is_its_own() -> None:
    assert not foreground_band(np.zeros((3, 4, 5), bool)).any()
    assert foreground_band(np.ones((1, 4, 5), bool)).all()


def test_the_distance_runs_to_the_nearest_other_label() -> None:
    label = np.array([[[0, 0, 1, 1, 1, 2]]])
    assert distance_to_other_labels(label).ravel().tolist() == [2, 1, 1, 2, 1, 1]
    assert np.isinf(distance_to_other_labels(np.zeros((1, 2, 3), int))).all()


def test_the_distance_is_in_voxels_along_all_axes() -> None:
    label = np.zeros((1, 4, 4), int)
    label[0, 0, 0] = 5
    assert distance_to_other_labels(label)[0, 3, 3] == pytest.approx(np.sqrt(18))
