"""Segmentations made worse at random."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from autodiffseg.dataloading.seeding import seeded_libraries
from autodiffseg.dataloading.segmentation_corruption import corrupt_segmentation
from autodiffseg.labels import UNKNOWN


def two_balls(shape=(24, 26, 28)):
    """Class 1 in two balls, 2 in the core of the larger one, UNKNOWN in a slab."""
    at = np.indices(shape)
    large = np.sqrt(sum((at[i] - 11) ** 2 for i in range(3)))
    small = np.sqrt(sum((at[i] - 21) ** 2 for i in range(3)))
    label = ((large < 8) | (small < 3)).astype(np.int16) + (large < 4)
    label[:2] = UNKNOWN
    return torch.from_numpy(label)


def corrupted(n, segmentation):
    with seeded_libraries(5, n):
        return corrupt_segmentation(segmentation.clone())


def test_it_is_a_pure_function_of_the_seed_whatever_came_before():
    # The library's transforms shuffle their list of classes in place: kept, they would remember earlier patches.
    forwards = [corrupted(n, two_balls()) for n in range(12)]
    backwards = [corrupted(n, two_balls()) for n in reversed(range(12))][::-1]
    assert all(torch.equal(a, b) for a, b in zip(forwards, backwards, strict=True))
    assert len({a.numpy().tobytes() for a in forwards}) > 3


def test_about_half_of_the_patches_are_left_alone():
    # An operator with probability 0.4, on no class at all in a quarter of those; a component with 0.2.
    unchanged = [torch.equal(corrupted(n, two_balls()), two_balls()) for n in range(300)]
    assert np.mean(unchanged) == pytest.approx((1 - 0.4 * 0.75) * (1 - 0.2), abs=0.09)


def test_nothing_is_invented_and_what_is_unknown_stays_so():
    for n in range(60):
        found = corrupted(n, two_balls())
        assert torch.equal(found == UNKNOWN, two_balls() == UNKNOWN)
        assert set(found.unique().tolist()) <= {UNKNOWN, 0, 1, 2}
        assert found.dtype == torch.int16


def test_components_are_removed_whole_and_large_ones_never(monkeypatch):
    monkeypatch.setattr("autodiffseg.dataloading.segmentation_corruption.OPERATOR_PROBABILITY", 0)
    monkeypatch.setattr("autodiffseg.dataloading.segmentation_corruption.REMOVAL_PROBABILITY", 1)
    whole = two_balls()
    parts, count = ndimage.label(whole.numpy() > 0, structure=np.ones((3, 3, 3)))
    assert count == 2
    removed = set()
    for n in range(20):
        lost = (corrupted(n, whole) != whole).numpy()
        for value in (1, 2):
            for part in (1, 2):
                inside = (parts == part) & (whole.numpy() == value)
                assert lost[inside].all() or not lost[inside].any()
                removed |= {(value, part)} if lost[inside].any() else set()
    assert removed == {(1, 1), (1, 2), (2, 1)}
    full = torch.ones((8, 8, 8), dtype=torch.int16)
    full[4:] = 0
    assert torch.equal(corrupted(0, full), full)  # 50 % of the patch


def test_operators_are_those_of_mathematical_morphology(monkeypatch):
    monkeypatch.setattr("autodiffseg.dataloading.segmentation_corruption.OPERATOR_PROBABILITY", 1)
    monkeypatch.setattr("autodiffseg.dataloading.segmentation_corruption.OPERATOR_PER_CLASS", 1)
    monkeypatch.setattr("autodiffseg.dataloading.segmentation_corruption.REMOVAL_PROBABILITY", 0)
    monkeypatch.setattr("autodiffseg.dataloading.segmentation_corruption.LARGEST_RADIUS", 1)
    ball = torch.from_numpy((np.sqrt(((np.indices((15, 15, 15)) - 7) ** 2).sum(0)) <= 4).astype(np.int16))
    cross = ndimage.generate_binary_structure(3, 1)
    possible = [
        operator(ball.numpy() > 0, cross)
        for operator in (
            ndimage.binary_dilation,
            ndimage.binary_erosion,
            ndimage.binary_opening,
            ndimage.binary_closing,
        )
    ]
    seen = set()
    for n in range(30):
        found = corrupted(n, ball).numpy() > 0
        which = [index for index, other in enumerate(possible) if (found == other).all()]
        assert which
        seen |= set(which)
    assert seen == {0, 1, 2, 3}


@pytest.mark.parametrize("shape", [(1, 2, 3), (3, 9), (2, 16, 16)])
def test_thin_patches_and_empty_ones_work(shape):
    for n in range(20):
        assert corrupted(n, torch.ones(shape, dtype=torch.int16)).shape == shape
        empty = torch.full(shape, UNKNOWN, dtype=torch.int16)
        assert torch.equal(corrupted(n, empty), empty)
