"""Resampling: rule of the separate axis, invariants, there and back."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from autodiffseg.preprocessing.resample import (
    nearest_slices,
    resample_image,
    resample_label,
    resample_probability,
    separate_axis,
    target_shape,
)


@pytest.mark.parametrize(
    ("spacing", "new_spacing", "axis"),
    [
        ((3, 1, 1), (1, 1, 1), None),  # exactly three times is not anisotropic
        ((3.1, 1, 1), (1, 1, 1), 0),
        ((1, 1, 1), (1, 4, 1), 1),
        ((1, 1, 5), (5, 1, 1), 2),  # the spacing before decides
        ((5, 5, 1), (1, 1, 1), None),  # two coarse axes
        ((1, 1, 1), (2, 2, 2), None),
    ],
)
def test_the_separate_axis(spacing: tuple[float, ...], new_spacing: tuple[float, ...], axis: int | None) -> None:
    assert separate_axis(spacing, new_spacing) == axis


def test_the_target_shape_keeps_the_extent_and_at_least_a_voxel() -> None:
    assert target_shape((10, 20, 3), (1, 1.5, 1), (2, 1, 100)) == (5, 30, 1)


def smooth(shape: tuple[int, int, int]) -> np.ndarray:
    z, y, x = np.meshgrid(*[(np.arange(length) + 0.5) / length for length in shape], indexing="ij")
    return (np.sin(3 * z) + np.cos(4 * y) * x).astype(np.float32)


@pytest.mark.parametrize("separate", [None, 0])
def test_a_smooth_image_there_and_back(separate: int | None) -> None:
    image = np.stack([smooth((12, 20, 16)), 2 * smooth((12, 20, 16))])
    there = resample_image(image, (12, 40, 32), separate=separate)
    assert there.shape == (2, 12, 40, 32)
    inner = (slice(None), slice(3, -3), slice(3, -3))  # the edge is continued as a constant
    np.testing.assert_allclose(there[0][inner], smooth((12, 40, 32))[inner], atol=0.005)
    np.testing.assert_allclose(resample_image(there, (12, 20, 16), separate=separate), image, atol=0.02)


def test_a_constant_stays_constant() -> None:
    image = np.full((1, 4, 5, 6), 3.5, np.float32)
    np.testing.assert_allclose(resample_image(image, (7, 3, 9), separate=0), 3.5, rtol=1e-6)


def test_the_same_shape_is_a_copy() -> None:
    image = np.ones((1, 2, 2, 2), np.float32)
    result = resample_image(image, (2, 2, 2), separate=None)
    result[:] = 0
    assert image.min() == 1


def test_splines_never_leave_the_range_of_the_image() -> None:
    image = np.zeros((1, 8, 8, 8), np.float32)
    image[:, 4:] = 1
    result = resample_image(image, (13, 13, 13), separate=None)
    assert (result.min(), result.max()) == (0, 1)


def test_out_of_plane_the_nearest_slice_is_taken() -> None:
    image = np.arange(3, dtype=np.float32)[None, :, None, None] * np.ones((1, 3, 4, 4), np.float32)
    result = resample_image(image, (6, 8, 8), separate=0)
    np.testing.assert_allclose(result[0, :, 0, 0], [0, 0, 1, 1, 2, 2], atol=1e-6)


@pytest.mark.parametrize(("old", "new"), [(3, 6), (7, 3), (10, 13), (5, 5), (1, 4), (9, 1), (12, 5)])
def test_nearest_slices_are_scipys(old: int, new: int) -> None:
    centres = (np.arange(new) + 0.5) * old / new - 0.5
    expected = ndimage.map_coordinates(np.arange(old, dtype=float), [centres], order=0, mode="nearest")
    np.testing.assert_array_equal(nearest_slices(old, new), expected)


@pytest.mark.parametrize("separate", [0, 1, 2])
def test_the_separate_axis_may_be_any(separate: int) -> None:
    image = np.random.default_rng(0).normal(size=(1, 5, 5, 5)).astype(np.float32)
    wanted = [8, 8, 8]
    wanted[separate] = 10
    reference = resample_image(np.moveaxis(image, separate + 1, 1), (10, 8, 8), separate=0)
    np.testing.assert_allclose(
        resample_image(image, wanted, separate=separate), np.moveaxis(reference, 1, separate + 1), atol=1e-6
    )


@pytest.mark.parametrize("separate", [None, 0])
def test_labels_there_and_back(separate: int | None) -> None:
    label = np.zeros((6, 12, 12), np.int16)
    label[1:5, 2:8, 3:9] = 3
    label[2:4, 8:10, 3:9] = 7
    label[:, :1] = -1
    there = resample_label(label, (12, 24, 24), separate=separate)
    assert there.dtype == label.dtype
    assert set(np.unique(there)) == {-1, 0, 3, 7}
    assert np.count_nonzero(there == 3) == pytest.approx(8 * 144, rel=0.01)  # corners lose a voxel
    np.testing.assert_array_equal(resample_label(there, label.shape, separate=separate), label)


def test_the_largest_share_wins_and_no_class_is_invented() -> None:
    label = np.array([[[0, 0, 2, 2, 2, 0]]], np.uint8)
    assert set(np.unique(resample_label(label, (1, 1, 9), separate=None))) <= {0, 2}


def test_probabilities_keep_their_sum_and_range() -> None:
    channels = np.random.default_rng(0).dirichlet([1, 1, 1], size=(5, 6, 7)).astype(np.float32)
    parts = [resample_probability(channels[..., k], (9, 4, 11)) for k in range(3)]
    np.testing.assert_allclose(np.sum(parts, axis=0), 1, atol=1e-5)
    assert min(part.min() for part in parts) >= 0


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_probabilities_are_linear_along_every_axis(axis: int) -> None:
    ramp = np.moveaxis(np.linspace(0, 1, 4, dtype=np.float32)[:, None, None] * np.ones((4, 2, 2), "f4"), 0, axis)
    wanted = [2, 2, 2]
    wanted[axis] = 8
    result = np.moveaxis(resample_probability(ramp, wanted), axis, 0)[:, 0, 0]
    np.testing.assert_allclose(np.diff(result[1:-1]), 1 / 6, atol=1e-6)


@pytest.mark.parametrize(("wanted", "separate"), [((60, 40, 50), None), ((80, 20, 25), 0)])
def test_a_linear_ramp_stays_one_away_from_the_edge(wanted: tuple[int, int, int], separate: int | None) -> None:
    shape, slope = (40, 30, 40), np.array([0.0 if separate == 0 else 0.5, -1.0, 2.0])

    def ramp(of: tuple[int, int, int]) -> np.ndarray:
        centres = np.meshgrid(
            *[(np.arange(n) + 0.5) * old / n for n, old in zip(of, shape, strict=True)], indexing="ij"
        )
        return np.tensordot(slope, centres, 1)

    found = resample_image(ramp(shape)[None].astype(np.float32), wanted, separate=separate)[0]
    inner = tuple(slice(length // 3, -length // 3) for length in wanted)  # the edge is continued as a constant
    np.testing.assert_allclose(found[inner], ramp(wanted)[inner], atol=1e-3)


def linear(array: np.ndarray, wanted: tuple[int, ...]) -> np.ndarray:
    """Linear interpolation axis by axis between voxel centres, constant beyond the outermost."""
    for axis, new in enumerate(wanted):
        old = array.shape[axis]
        centres = (np.arange(new) + 0.5) * old / new - 0.5
        array = np.apply_along_axis(lambda line, at=centres, n=old: np.interp(at, np.arange(n), line), axis, array)
    return array


@given(
    shape=st.tuples(*[st.integers(1, 6)] * 3),
    wanted=st.tuples(*[st.integers(1, 9)] * 3),
    seed=st.integers(0, 99),
)
def test_labels_are_those_of_the_largest_share(
    shape: tuple[int, int, int], wanted: tuple[int, int, int], seed: int
) -> None:
    label = np.random.default_rng(seed).integers(-1, 4, shape).astype(np.int16)
    values = np.unique(label)
    shares = np.stack([linear((label == value).astype(float), wanted) for value in values])
    found = resample_label(label, wanted, separate=None)
    ranked = np.sort(shares, axis=0)
    clear = ranked[-1] - (ranked[-2] if len(values) > 1 else 0) > 1e-9  # ties are another rule's
    np.testing.assert_array_equal(found[clear], values[shares.argmax(0)][clear])
    won = np.take_along_axis(shares, np.searchsorted(values, found)[None], 0)[0]
    np.testing.assert_allclose(won, ranked[-1], atol=1e-9)


def test_resampling_many_classes_takes_no_more_memory_than_two() -> None:
    def peak(classes: int) -> int:
        label = (np.arange(40)[:, None, None] * classes // 40 * np.ones((40, 40, 40))).astype(np.int16)
        tracemalloc.start()
        resample_label(label, (50, 50, 50), separate=None)
        _, highest = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return highest

    resample_label(np.zeros((2, 2, 2), np.int16), (3, 3, 3), separate=None)  # imports are not counted
    assert peak(30) < 1.2 * peak(2)
