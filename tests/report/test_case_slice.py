"""Which part of a case a picture shows."""

from __future__ import annotations

import numpy as np

from autodiffseg.report.case_slice import find_slice


def test_the_slice_with_most_errors_is_shown_across_the_coarsest_axis() -> None:
    reference = np.zeros((5, 40, 50), dtype=np.int16)
    reference[:, 10:20, 10:20] = 1
    prediction = reference.copy()
    prediction[1, 10:12, 10:20] = 0
    prediction[3, 10:15, 10:20] = 0
    found = find_slice(reference, [prediction], spacing_mm=(3, 1, 1), ignore=None)
    assert (found.axis, found.index) == (0, 3)
    assert (found.rows, found.columns) == (slice(4, 26), slice(4, 26))  # ten voxels, six around them
    assert found.of(reference).shape == (22, 22)


def test_voxels_without_annotation_are_no_errors() -> None:
    reference = np.zeros((3, 8, 8), dtype=np.int16)
    reference[0, 2:4, 2:4], reference[2] = 1, 9
    found = find_slice(reference, [np.zeros_like(reference)], spacing_mm=(1, 1, 1), ignore=9)
    assert found.index == 0


def test_without_errors_the_fullest_slice_is_shown_and_an_empty_case_whole() -> None:
    reference = np.zeros((3, 8, 9), dtype=np.int16)
    reference[1, 2:6, 2:6], reference[2, 2, 2] = 1, 1
    assert find_slice(reference, [reference], spacing_mm=(1, 1, 1), ignore=None).index == 1
    empty = np.zeros((3, 8, 9), dtype=np.int16)
    found = find_slice(empty, [empty], spacing_mm=(1, 1, 1), ignore=None)
    assert found.of(empty).shape == (8, 9)


def test_the_coarsest_axis_may_be_another_and_a_2d_image_has_one_slice() -> None:
    volume = np.zeros((4, 5, 6), dtype=np.int16)
    assert find_slice(volume, [volume], spacing_mm=(1, 1, 4), ignore=None).of(volume).shape == (4, 5)
    flat = np.zeros((1, 5, 6), dtype=np.int16)
    assert find_slice(flat, [flat], spacing_mm=(1, 9, 1), ignore=None).of(flat).shape == (5, 6)
