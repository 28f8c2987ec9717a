"""Nearest distances: both ways of searching give the same numbers, and the quicker one is taken."""

from __future__ import annotations

import numpy as np
import pytest

from autodiffseg.evaluation import nearest
from autodiffseg.evaluation.nearest import nearest_mm

SPACING = (2.5, 0.7, 0.3)


def cloud(seed: int, low: int, high: int, count: int = 300) -> np.ndarray:
    return np.random.default_rng(seed).integers(low, high, size=(count, 3)).astype(np.intp)


@pytest.mark.parametrize(("low", "high"), [(0, 12), (-40, -20), (50, 62)])
def test_both_ways_and_brute_force_agree(monkeypatch: pytest.MonkeyPatch, low: int, high: int) -> None:
    points, targets = cloud(0, 0, 12), cloud(1, low, high, 50)
    differences = (points[:, None] - targets[None]) * np.array(SPACING)
    expected = np.sqrt((differences**2).sum(axis=2)).min(axis=1)
    for voxels_per_point in (0, 10**9):  # never and always the transform, where the sets are far apart
        monkeypatch.setattr(nearest, "VOXELS_PER_POINT", voxels_per_point)
        monkeypatch.setattr(nearest, "NEAR_VOXELS", -1)
        np.testing.assert_allclose(nearest_mm(points, targets, spacing_mm=SPACING), expected, rtol=1e-12)


def test_far_points_in_a_small_box_are_not_searched_for_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    searched: list[int] = []
    by_tree = nearest._by_tree
    monkeypatch.setattr(nearest, "_by_tree", lambda p, t, s: searched.append(len(p)) or by_tree(p, t, s))
    near, far = cloud(0, 0, 12, 5000), cloud(0, 0, 12, 5000) + np.array([0, 0, 60])
    nearest_mm(near, far, spacing_mm=(1, 1, 1))
    assert searched == [500]
    nearest_mm(near, cloud(1, 0, 12, 5000), spacing_mm=(1, 1, 1))
    assert searched == [500, 500, 5000]
