"""Depth rules against nnU-Net's own answers, and what must hold for every patch."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodiffseg.planners.topology import MIN_EDGE, plan_topology

# Answers of nnU-Net 2.8.1: spacing, patch -> halvings per axis.
ORACLE = [
    ((1, 1, 1), (128, 128, 128), (5, 5, 5)),
    ((3.6, 0.62, 0.62), (20, 320, 256), (2, 6, 6)),
    ((10, 1.56, 1.56), (10, 256, 224), (1, 5, 5)),
    ((1, 1, 1), (7, 64, 64), (0, 4, 4)),
    ((1, 1, 1), (12, 12, 12), (1, 1, 1)),
    ((2.5, 0.8, 0.8), (64, 192, 160), (4, 5, 5)),
]


@pytest.mark.parametrize(("spacing", "patch", "halvings"), ORACLE)
def test_halvings_are_those_of_nnunet(
    spacing: tuple[float, ...], patch: tuple[int, ...], halvings: tuple[int, ...]
) -> None:
    assert plan_topology(spacing, patch).divisor == tuple(2**count for count in halvings)


def test_anisotropic_axes_join_later() -> None:
    topology = plan_topology((3.6, 0.62, 0.62), (20, 320, 256))
    assert topology.strides == ((1, 1, 1), (1, 2, 2), (1, 2, 2), (2, 2, 2), (2, 2, 2), (1, 2, 2), (1, 2, 2))
    assert topology.kernels == ((1, 3, 3), (1, 3, 3), *(((3, 3, 3),) * 5))


def test_a_short_isotropic_axis_keeps_its_kernel() -> None:
    assert set(plan_topology((1, 1, 1), (7, 64, 64)).kernels) == {(3, 3, 3)}


def test_a_last_axis_alone_needs_twelve_voxels() -> None:
    assert plan_topology((1, 1), (7, 11)).stages == 1
    assert plan_topology((1, 1), (7, 12)).stages == 2


def test_fractions_are_rounded_up() -> None:
    assert plan_topology((3, 0.8, 0.8), (22.5, 60, 64)).patch == (24, 64, 64)


def test_the_depth_can_be_bounded() -> None:
    topology = plan_topology((1, 1, 1), (128, 100, 128), max_stages=4)
    assert (topology.stages, topology.patch) == (4, (128, 104, 128))


edges = st.floats(min_value=1, max_value=600, allow_nan=False)
spacings = st.floats(min_value=0.1, max_value=20, allow_nan=False)


@given(
    st.integers(2, 3).flatmap(
        lambda axes: st.tuples(
            st.lists(spacings, min_size=axes, max_size=axes), st.lists(edges, min_size=axes, max_size=axes)
        )
    ),
    st.integers(1, 9),
)
def test_every_patch_can_be_halved_as_planned(case: tuple[list[float], list[float]], most: int) -> None:
    spacing, wanted = case
    topology = plan_topology(spacing, wanted, max_stages=most)
    assert len(topology.strides) == len(topology.kernels) == topology.stages <= most
    for size, edge, divisor in zip(wanted, topology.patch, topology.divisor, strict=True):
        assert edge % divisor == 0
        assert size <= edge < size + divisor
        assert divisor == 1 or edge // divisor >= MIN_EDGE
    for finer, coarser in zip(topology.kernels, topology.kernels[1:], strict=False):
        assert all(after >= before for before, after in zip(finer, coarser, strict=True))


@given(st.lists(edges, min_size=3, max_size=3), spacings)
def test_only_ratios_of_spacings_matter(wanted: list[float], factor: float) -> None:
    spacing = (2.0, 1.0, 0.5)
    scaled = [value * 2.0 ** round(math.log2(factor)) for value in spacing]
    assert plan_topology(spacing, wanted) == plan_topology(scaled, wanted)


@given(st.permutations([0, 1, 2]), st.lists(edges, min_size=3, max_size=3))
def test_axes_are_treated_alike(order: list[int], wanted: list[float]) -> None:
    spacing = (3.0, 1.0, 0.8)
    plain = plan_topology(spacing, wanted)
    turned = plan_topology([spacing[axis] for axis in order], [wanted[axis] for axis in order])
    assert turned.patch == tuple(plain.patch[axis] for axis in order)
    assert turned.kernels == tuple(tuple(kernel[axis] for axis in order) for kernel in plain.kernels)
