"""Where patches lie."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodiffseg.dataloading.patch_sampling import draw_box, draw_voxel, forced_foreground, read_box, widen

SIZES = st.tuples(*[st.integers(1, 12)] * 3)


@pytest.mark.parametrize(("batch_size", "forced"), [(2, 1), (3, 1), (4, 1), (6, 2), (9, 3), (12, 4), (366, 122)])
def test_a_third_of_a_batch_is_forced_and_stands_last(batch_size, forced):
    flags = forced_foreground(batch_size, np.random.default_rng(0))
    assert flags == [False] * (batch_size - forced) + [True] * forced


def test_a_batch_of_one_is_forced_one_time_in_three():
    rng = np.random.default_rng(0)
    assert np.mean([forced_foreground(1, rng)[0] for _ in range(3000)]) == pytest.approx(1 / 3, abs=0.03)


def test_classes_are_drawn_alike_whatever_their_size_and_absent_ones_never():
    rng = np.random.default_rng(0)
    locations = [np.zeros((1000, 3), int), np.zeros((0, 3), int), np.ones((2, 3), int)]
    drawn = [draw_voxel(locations, rng) for _ in range(2000)]
    assert set(drawn) == {(0, 0, 0), (1, 1, 1)}
    assert np.mean([voxel == (1, 1, 1) for voxel in drawn]) == pytest.approx(0.5, abs=0.04)


def test_a_case_without_foreground_has_no_voxel_to_show():
    assert draw_voxel([np.zeros((0, 3), int)], np.random.default_rng(0)) is None


@given(shape=SIZES, size=SIZES, seed=st.integers(0, 9), forced=st.booleans())
def test_a_patch_lies_in_the_case_or_the_case_in_the_patch_and_shows_the_voxel(shape, size, seed, forced):
    rng = np.random.default_rng(seed)
    voxel = tuple(int(rng.integers(length)) for length in shape) if forced else None
    for axis, (start, stop) in enumerate(draw_box(shape, size, voxel, rng)):
        assert stop - start == size[axis]
        assert (start >= 0 and stop <= shape[axis]) or (start <= 0 and stop >= shape[axis])
        assert voxel is None or start <= voxel[axis] < stop


def test_a_forced_voxel_stands_at_the_centre_when_the_case_reaches_that_far():
    assert draw_box((30, 30, 30), (8, 8, 9), (15, 3, 15), np.random.default_rng(0)) == ((11, 19), (0, 8), (11, 20))


def test_free_patches_reach_every_position_equally_often():
    rng = np.random.default_rng(0)
    starts = [draw_box((10, 1, 4), (8, 1, 6), None, rng) for _ in range(3000)]
    assert np.bincount([box[0][0] for box in starts]) == pytest.approx([1000] * 3, rel=0.1)
    assert np.bincount([box[2][0] + 2 for box in starts]) == pytest.approx([1000] * 3, rel=0.1)


def test_a_2d_patch_is_the_slice_of_the_voxel():
    assert draw_box((9, 20, 20), (8, 8), (6, 10, 10), np.random.default_rng(0)) == ((6, 7), (6, 14), (6, 14))
    slices = {draw_box((9, 20, 20), (8, 8), None, np.random.default_rng(n))[0][0] for n in range(200)}
    assert slices == set(range(9))


def test_widening_by_two_numbers_leaves_the_slice_alone():
    assert widen(((4, 5), (0, 8), (2, 8)), (3, -1)) == ((4, 5), (-3, 11), (3, 7))


@given(shape=SIZES, seed=st.integers(0, 50))
def test_reading_agrees_with_padding_everything_first(shape, seed):
    rng = np.random.default_rng(seed)
    array = rng.integers(1, 99, (2, *shape)).astype(np.int16)
    starts = rng.integers(-20, 14, 3)
    box = tuple((int(start), int(start + size)) for start, size in zip(starts, rng.integers(1, 12, 3), strict=True))
    around = np.pad(array, [(0, 0)] + [(40, 40)] * 3, constant_values=-2)
    expected = around[(slice(None), *(slice(start + 40, stop + 40) for start, stop in box))]
    np.testing.assert_array_equal(read_box(array, box, padding=-2), expected)


def test_what_was_read_is_a_copy():
    array = np.zeros((1, 4, 4, 4), np.float32)
    read_box(array, ((0, 4), (0, 4), (0, 4)), padding=0)[:] = 1
    assert not array.any()
