"""Surface elements: areas known from geometry, the symmetries of a cell, and closed surfaces."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from autodiffseg.evaluation.mask_pair import MaskPair
from autodiffseg.evaluation.surface_elements import element_areas, surface_elements

CORNERS = list(itertools.product((0, 1), repeat=3))


def code(*corners: tuple[int, ...]) -> int:
    return sum(1 << CORNERS.index(corner) for corner in corners)


def area(mask: np.ndarray, spacing_mm: tuple[float, ...]) -> float:
    pair = MaskPair.of(mask, np.zeros_like(mask), spacing_mm=spacing_mm)
    return float(surface_elements(pair, pair.prediction).areas.sum())


@pytest.mark.parametrize(
    ("corners", "expected"),
    [
        ([(0, 0, 0)], math.sqrt(3) / 8),  # an equilateral triangle of side sqrt(1/2)
        ([(0, 0, 0), (0, 0, 1)], math.sqrt(1 / 2)),  # a rectangle of 1 by sqrt(1/2)
        ([(0, 0, 0), (0, 0, 1), (0, 1, 0), (0, 1, 1)], 1.0),  # a face
        ([(0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 0, 0)], 3 * math.sqrt(3) / 4),  # a regular hexagon of side sqrt(1/2)
        ([(0, 0, 0), (0, 1, 1)], math.sqrt(3) / 4),  # two triangles apart
        # A right triangle of area 1/2, and a trapezoid of sides sqrt(2) and sqrt(1/2) and height sqrt(3/8).
        ([(0, 0, 0), (0, 0, 1), (0, 1, 0)], 0.5 + 0.75 * math.sqrt(2 * 3 / 8)),
    ],
)
def test_areas_known_from_geometry(corners: list[tuple[int, ...]], expected: float) -> None:
    areas = element_areas((1, 1, 1))
    assert areas[code(*corners)] == pytest.approx(expected)
    assert areas[255 - code(*corners)] == pytest.approx(expected)


def test_anisotropic_elements_by_hand() -> None:
    areas = element_areas((3, 2, 1))
    assert areas[code((0, 0, 0), (0, 0, 1), (0, 1, 0), (0, 1, 1))] == pytest.approx(2 * 1)  # across z
    assert areas[code((0, 0, 0), (0, 1, 0), (1, 0, 0), (1, 1, 0))] == pytest.approx(3 * 2)  # across x
    assert areas[code((0, 0, 0), (1, 0, 0))] == pytest.approx(3 * math.hypot(2 / 2, 1 / 2))
    assert element_areas((3, 2)).tolist() == pytest.approx(
        [0, d := math.hypot(1.5, 1), d, 2, d, 3, 2 * d, d, d, 2 * d, 3, d, 2, d, d, 0]
    )
    assert element_areas((5,)).tolist() == [0, 1, 1, 0]


def test_areas_do_not_depend_on_how_the_cell_is_turned_or_mirrored_or_filled() -> None:
    spacing = np.array([3.0, 2.0, 0.5])
    areas = element_areas(spacing)
    cells = {number: np.array([number >> bit & 1 for bit in range(8)]).reshape(2, 2, 2) for number in range(256)}
    bits = 1 << np.arange(8).reshape(2, 2, 2)
    for order in itertools.permutations(range(3)):
        turned = element_areas(spacing[list(order)])
        for number, cell in cells.items():
            assert turned[int((cell.transpose(order) * bits).sum())] == pytest.approx(areas[number])
    for number, cell in cells.items():
        assert areas[int((cell[::-1] * bits).sum())] == pytest.approx(areas[number])
        assert areas[255 - number] == pytest.approx(areas[number])


def test_a_box_has_its_faces_less_what_its_edges_and_corners_cut() -> None:
    box = np.zeros((6, 7, 8), dtype=bool)
    box[1:4, 1:5, 1:6] = True  # 3 x 4 x 5 voxels
    cut = math.sqrt(1 / 2)
    expected = 2 * (2 * 3 + 2 * 4 + 3 * 4) + 4 * (2 + 3 + 4) * cut + 8 * math.sqrt(3) / 8
    assert area(box, (1, 1, 1)) == pytest.approx(expected)
    assert area(box[1:4, 1:5, 1:6], (1, 1, 1)) == pytest.approx(expected)  # it fills the image: closed at its edge


def test_a_ball_has_more_than_a_sphere_and_far_less_than_the_faces_of_its_voxels() -> None:
    for spacing in ((1.0, 1.0, 1.0), (2.0, 0.8, 0.5)):
        grid = np.indices([math.ceil(50 / step) for step in spacing], sparse=True)
        inside = sum((index * step - 25) ** 2 for index, step in zip(grid, spacing, strict=True)) <= 20**2
        assert 1 < area(inside, spacing) / (4 * math.pi * 20**2) < 1.25  # the faces have 1.5
