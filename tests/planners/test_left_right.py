"""Classes that come in left and right, and the axis that is then not mirrored."""

from __future__ import annotations

import pytest

from autodiffseg.planners.left_right import left_right_axis, mirror_axes, paired_names

SIDED = ("right_lung", "left_lung", "heart")


@pytest.mark.parametrize(
    "names",
    [
        ("left_lung", "right_lung"),
        ("Kidney Left", "Kidney Right"),
        ("kidneyLeft", "kidneyRight"),
        ("femur-L", "femur-R"),
        ("LKidney", "RKidney"),
        ("LEFT hippocampus", "RIGHT hippocampus"),
        ("ctx-lh-insula", "ctx-rh-insula"),
        ("left lung", "Lung-RIGHT"),
        ("leftlung", "rightlung"),
        ("kidney_left1", "kidney_right1"),
        ("rein gauche", "rein droit"),
        ("Niere_links", "Niere_rechts"),
        ("pulmón izquierdo", "pulmón derecho"),
        ("Polmone SX", "Polmone DX"),
        ("левое лёгкое", "правое лёгкое"),
        ("左肺", "右肺"),
    ],
)
def test_pairs_are_found_by_their_words(names: tuple[str, str]) -> None:
    assert paired_names(("spleen", *names)) == (names,)


@pytest.mark.parametrize(
    "names",
    [
        ("Anterior", "Posterior"),
        ("RV", "MYO", "LV"),
        ("left_lung", "right_kidney"),
        ("left_lung",),
        ("cleft", "bright"),
        ("левое лёгкое", "печень"),
    ],
)
def test_other_names_are_no_pairs(names: tuple[str, ...]) -> None:
    assert paired_names(names) == ()


def test_without_pairs_every_axis_is_mirrored() -> None:
    assert mirror_axes(["tumour"], (0, 1, 2), 3) == (0, 1, 2)
    assert mirror_axes(["tumour"], (0, 1, 2), 2) == (0, 1)


@pytest.mark.parametrize(
    ("transpose", "three", "two"),
    [((0, 1, 2), (0, 1), (0,)), ((1, 0, 2), (0, 1), (0,)), ((2, 0, 1), (1, 2), (0, 1))],
)
def test_with_pairs_the_raw_x_axis_is_left_out_wherever_it_went(
    transpose: tuple[int, int, int], three: tuple[int, ...], two: tuple[int, ...]
) -> None:
    assert mirror_axes(SIDED, transpose, 3) == three
    assert mirror_axes(SIDED, transpose, 2) == two


AXIAL = (1, 0, 0, 0, 1, 0, 0, 0, 1)
FLIPPED = (-1, 0, 0, 0, -1, 0, 0, 0, 1)
SAGITTAL = (0, 0, 1, 1, 0, 0, 0, -1, 0)  # image x runs front to back, y down, z right to left
TURNED = (0, -1, 0, 1, 0, 0, 0, 0, 1)  # a quarter turn about the body's axis: image y runs right to left
OBLIQUE = (0.9, -0.3, 0.3, 0.3, 0.95, 0.0, -0.3, 0.1, 0.95)


@pytest.mark.parametrize(
    ("direction", "axis"),
    [(AXIAL, 2), (FLIPPED, 2), (SAGITTAL, 0), (TURNED, 1), (OBLIQUE, 2), ((1, 0, 0, 1), 2), ((0, 1, 1, 0), 2)],
)
def test_left_and_right_are_where_the_direction_cosines_say(direction: tuple[float, ...], axis: int) -> None:
    assert left_right_axis(direction) == axis


def test_a_sagittal_series_is_mirrored_within_its_slices_alone() -> None:
    assert mirror_axes(SIDED, (0, 1, 2), 3, [0, 0]) == (1, 2)
    assert mirror_axes(SIDED, (0, 1, 2), 2, [0, 0]) == (0, 1)
    assert mirror_axes(SIDED, (2, 0, 1), 3, [0, 0]) == (0, 2)


def test_what_is_left_right_in_any_case_is_not_mirrored() -> None:
    assert mirror_axes(SIDED, (0, 1, 2), 3, [2, 0, 2]) == (1,)
    assert mirror_axes(SIDED, (0, 1, 2), 3, [2, 0, 1]) == ()
    assert mirror_axes(["tumour"], (0, 1, 2), 3, [2, 0, 1]) == (0, 1, 2)
