"""Counts and sampled voxels of the foreground."""

from __future__ import annotations

import numpy as np
import pytest

from autodiffseg.labels import LabelSpec
from autodiffseg.preprocessing import locations
from autodiffseg.preprocessing.locations import class_locations, class_voxels

SPEC = LabelSpec(labels={"background": 0, "a": 1, "b": 2, "absent": 3, "ignore": 4})
REGIONS = LabelSpec(labels={"background": 0, "whole": (1, 2), "core": (2,)}, regions_class_order=(1, 2))
LABEL = np.array([[[0, 1, 2], [2, 2, 4]], [[-1, -1, 0], [1, 0, 0]]], np.int16)


def test_voxels_are_counted_per_class() -> None:
    assert class_voxels(LABEL, SPEC) == {"a": 2, "b": 3, "absent": 0}
    assert class_voxels(LABEL, REGIONS) == {"whole": 5, "core": 3}


@pytest.mark.parametrize("spec", [SPEC, REGIONS])
def test_locations_are_all_voxels_of_the_class(spec: LabelSpec) -> None:
    found = class_locations(LABEL, spec)
    assert list(found) == list(range(len(spec.foreground)))
    for index, members in enumerate(spec.foreground.values()):
        np.testing.assert_array_equal(found[index], np.argwhere(np.isin(LABEL, members)))
        assert found[index].dtype == np.int32


def test_large_classes_are_sampled_without_repetition_and_by_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locations, "MOST_LOCATIONS", 50)
    label = (np.arange(1000).reshape(10, 10, 10) % 3).astype(np.int16)
    found = class_locations(label, SPEC)
    assert len(found[0]) == 50
    assert len(np.unique(found[0], axis=0)) == 50
    assert np.all(label[tuple(found[0].T)] == 1)
    np.testing.assert_array_equal(class_locations(label, SPEC)[0], found[0])
    assert found[0][:, 0].min() < 3  # from the whole volume, not from its beginning
    assert found[0][:, 0].max() > 6
