"""Classes that come in left and right, and the axis that is then not mirrored."""

from __future__ import annotations

import pytest

from autodiffseg.planners.left_right import mirror_axes, paired_names

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
