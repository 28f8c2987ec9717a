"""Surface distances: voxels and cubes placed by hand, every empty case, and a brute-force twin."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from autodiffseg.evaluation.mask_pair import image_diagonal_mm
from autodiffseg.evaluation.surface import hausdorff_mm, hd95_mm, mean_surface_distance_mm

SPACING = (3.0, 1.0, 0.5)


def mask(*voxels: tuple[int, int, int], shape: tuple[int, int, int] = (5, 6, 7)) -> np.ndarray:
    result = np.zeros(shape, dtype=bool)
    for voxel in voxels:
        result[voxel] = True
    return result


@pytest.mark.parametrize(
    ("shift", "distance"), [((1, 0, 0), 3.0), ((0, 2, 0), 2.0), ((0, 0, 2), 1.0), ((1, 2, 2), math.sqrt(14))]
)
def test_two_voxels(shift: tuple[int, int, int], distance: float) -> None:
    one, other = mask((1, 1, 1)), mask((1 + shift[0], 1 + shift[1], 1 + shift[2]))
    for metric in (hd95_mm, hausdorff_mm, mean_surface_distance_mm):
        assert metric(one, other, spacing_mm=SPACING) == pytest.approx(distance)


def test_a_cube_moved_by_one_voxel() -> None:
    one, other = np.zeros((9, 9, 9), dtype=bool), np.zeros((9, 9, 9), dtype=bool)
    one[2:6, 2:6, 2:6] = other[3:7, 2:6, 2:6] = True
    assert hausdorff_mm(one, other, spacing_mm=SPACING) == 3.0
    assert hd95_mm(one, one, spacing_mm=SPACING) == 0.0


def test_the_directed_percentiles_are_not_pooled() -> None:
    long = np.zeros((1, 1, 101), dtype=bool)
    long[:] = True
    short = long.copy()
    short[..., 1:] = False
    # All border voxels of the line: distances 0..100 one way, 0 the other way; pooling would lower the percentile.
    line = np.repeat(np.repeat(long, 2, axis=0), 2, axis=1)
    end = np.repeat(np.repeat(short, 2, axis=0), 2, axis=1)
    assert hd95_mm(line, end, spacing_mm=(1, 1, 1)) == pytest.approx(95.0)


@pytest.mark.parametrize("metric", [hd95_mm, hausdorff_mm, mean_surface_distance_mm])
def test_every_empty_case(metric: object) -> None:
    empty, full = mask(), mask((0, 0, 0))
    diagonal = math.sqrt((5 * 3.0) ** 2 + 6.0**2 + (7 * 0.5) ** 2)
    assert callable(metric)
    assert math.isnan(metric(empty, empty, spacing_mm=SPACING))
    assert metric(full, empty, spacing_mm=SPACING) == pytest.approx(diagonal)
    assert metric(empty, full, spacing_mm=SPACING) == pytest.approx(diagonal)


def test_a_2d_image_has_no_extent_and_no_border_along_z() -> None:
    assert image_diagonal_mm((1, 3, 4), (9.0, 1.0, 1.0)) == 5.0
    square = np.zeros((1, 9, 9), dtype=bool)
    square[0, 2:7, 2:7] = True
    hole = square.copy()
    hole[0, 4, 4] = False  # its border now includes the ring around the hole
    assert hausdorff_mm(square, hole, spacing_mm=(1, 1, 1)) == 1.0


MASKS = hnp.arrays(bool, (3, 4, 5), elements=st.booleans())


def brute_force(a: np.ndarray, b: np.ndarray, percent: float) -> float:
    borders = [np.argwhere(m & ~ndimage.binary_erosion(m)) * np.array(SPACING) for m in (a, b)]
    distances = np.linalg.norm(borders[0][:, None] - borders[1][None], axis=2)
    return float(max(np.percentile(distances.min(1), percent), np.percentile(distances.min(0), percent)))


@given(MASKS, MASKS)
def test_equal_to_brute_force_and_symmetric_and_mirrored(a: np.ndarray, b: np.ndarray) -> None:
    value = hd95_mm(a, b, spacing_mm=SPACING)
    if a.any() and b.any():
        assert value == pytest.approx(brute_force(a, b, 95))
        assert hausdorff_mm(a, b, spacing_mm=SPACING) == pytest.approx(brute_force(a, b, 100))
    assert hd95_mm(b, a, spacing_mm=SPACING) == pytest.approx(value, nan_ok=True)
    assert hd95_mm(a[::-1, :, ::-1], b[::-1, :, ::-1], spacing_mm=SPACING) == pytest.approx(value, nan_ok=True)
