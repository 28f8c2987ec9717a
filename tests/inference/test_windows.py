"""Windows cover everything, evenly, and weigh their middle most."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from autodiffseg.inference.windows import FLOOR, gaussian_weight, origins, padding, positions

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("image", "patch", "step_size", "wanted"),
    [
        (110, 64, 0.5, (0, 23, 46)),  # nnU-Net's numbers
        (64, 64, 0.5, (0,)),
        (65, 64, 0.5, (0, 1)),
        (110, 64, 1.0, (0, 46)),
        (5, 1, 0.5, (0, 1, 2, 3, 4)),  # slices of a 2D configuration
    ],
)
def test_positions_are_evenly_spaced(image: int, patch: int, step_size: float, wanted: tuple[int, ...]) -> None:
    assert positions(image, patch, step_size) == wanted


@given(st.integers(1, 40), st.integers(0, 100), st.floats(0.1, 1.0))
def test_windows_reach_from_end_to_end_without_gaps_or_repeats(patch: int, more: int, step_size: float) -> None:
    found = positions(patch + more, patch, step_size)
    assert (found[0], found[-1]) == (0, more)
    distances = [b - a for a, b in itertools.pairwise(found)]
    assert all(1 <= distance <= min(patch, math.ceil(patch * step_size)) for distance in distances)


def test_origins_are_the_grid_of_all_axes() -> None:
    assert origins((3, 4, 5), (2, 4, 4), 0.5) == [(0, 0, 0), (0, 0, 1), (1, 0, 0), (1, 0, 1)]


def test_padding_puts_the_case_in_the_middle() -> None:
    assert padding((5, 8, 9), (8, 8, 8)) == ((1, 2), (0, 0), (0, 0))


def test_weights_are_a_floored_gaussian() -> None:
    weight = gaussian_weight((9, 16), CPU)
    assert weight.dtype == torch.float32
    assert float(weight.max()) == 1
    assert float(weight.min()) == pytest.approx(FLOOR)
    # One voxel off the centre of nine: exp(-1/2 (1 / (9/8))²).
    assert float(weight[5, 8] / weight[4, 8]) == pytest.approx(math.exp(-0.5 * (8 / 9) ** 2), rel=1e-6)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=3))
def test_weights_are_the_same_from_both_sides(patch: list[int]) -> None:
    weight = gaussian_weight(patch, CPU)
    assert torch.equal(weight, weight.flip(list(range(len(patch)))))
