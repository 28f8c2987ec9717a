"""Connected components counted on cubes that were placed by hand."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from autodiffseg.labels import LabelSpec
from autodiffseg.planners.label_components import CaseComponents, case_components, component_sizes, summarise

CLASSES = LabelSpec(labels={"background": 0, "one": 1, "two": 2})


def cubes() -> npt.NDArray[np.int16]:
    """Of class 1 a cube of 8 voxels and one of 27, of class 2 a bar of 5 voxels that joins them."""
    label = np.zeros((12, 10, 12), dtype=np.int16)
    label[1:3, 1:3, 1:3] = 1
    label[1:4, 1:4, 8:11] = 1
    label[1, 1, 3:8] = 2
    return label


def test_cubes_are_counted_and_measured() -> None:
    assert sorted(component_sizes(cubes() == 1)) == [8, 27]
    assert case_components(cubes(), CLASSES) == {
        "one": CaseComponents(2, 8, 17.5, 27),
        "two": CaseComponents(1, 5, 5.0, 5),
    }


def test_a_region_joins_what_its_members_hold_apart() -> None:
    regions = LabelSpec(labels={"background": 0, "all": (1, 2), "two": 2}, regions_class_order=(1, 2))
    assert case_components(cubes(), regions)["all"] == CaseComponents(1, 40, 40.0, 40)


def test_voxels_that_share_only_a_corner_belong_together() -> None:
    mask = np.zeros((3, 3, 3), dtype=bool)
    mask[0, 0, 0] = mask[1, 1, 1] = mask[2, 2, 2] = True
    assert component_sizes(mask).tolist() == [3]
    assert component_sizes(mask[:, :, :1]).tolist() == [1]


@pytest.mark.parametrize("shape", [(1, 8, 8), (4, 1, 8), (1, 1, 1)])
def test_a_single_slice_has_components_and_an_empty_label_none(shape: tuple[int, int, int]) -> None:
    assert component_sizes(np.zeros(shape, dtype=bool)).tolist() == []
    assert case_components(np.zeros(shape, dtype=np.int16), CLASSES) == {}
    assert case_components(np.ones(shape, dtype=np.int16), CLASSES)["one"].largest == np.prod(shape)


def test_cases_weigh_the_same_in_medians_and_millimetres_come_from_each_case() -> None:
    found = summarise(
        [CaseComponents(2, 8, 17.5, 27), CaseComponents(1, 5, 5.0, 5), CaseComponents(30, 1, 2.0, 9)], (1.0, 10.0, 0.5)
    )
    assert (found.per_case.min, found.per_case.median, found.per_case.max) == (1, 2, 30)
    assert (found.voxels.min, found.voxels.median, found.voxels.max) == (1, 5, 27)
    assert (found.volume_mm3.min, found.volume_mm3.median, found.volume_mm3.max) == (0.5, 17.5, 50)


@given(arrays(np.int16, (4, 5, 6), elements=st.integers(0, 3)))
def test_each_class_is_looked_at_as_if_it_were_alone(label: npt.NDArray[np.int16]) -> None:
    regions = LabelSpec(labels={"background": 0, "a": 1, "b": (2, 3), "c": 3, "d": 9}, regions_class_order=(1, 2, 3, 9))
    found = case_components(label, regions)
    for name, members in regions.foreground.items():
        sizes = component_sizes(np.isin(label, members))
        assert (name in found) == (len(sizes) > 0)
        if name in found:
            assert found[name] == (len(sizes), sizes.min(), np.median(sizes), sizes.max())
