"""Rules, applied to components that were placed by hand and to random ones."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from autodiffseg.errors import UserError
from autodiffseg.labels import LabelSpec
from autodiffseg.postprocessing.rules import Rule, apply_rules, check_rules, what_is_beneath

CLASSES = LabelSpec(labels={"background": 0, "one": 1, "two": 4})
TUMOUR = LabelSpec(
    labels={"background": 0, "whole": (1, 2, 3), "core": (2, 3), "hot": 3}, regions_class_order=(1, 2, 3)
)
LARGEST = Rule(operation="keep-largest")
UNIT = (1.0, 1.0, 1.0)


def small(volume: float, label: str | None = None) -> Rule:
    return Rule(operation="remove-small", label=label, min_volume_mm3=volume)


def scene() -> npt.NDArray[np.uint8]:
    """Class 1: 8 voxels, touched by 2 of class 4 at a corner, and 3 alone; class 4: 6 alone."""
    label = np.zeros((8, 9, 10), dtype=np.uint8)
    label[0:2, 0:2, 0:2] = 1
    label[2:4, 2, 2] = 4
    label[0:3, 8, 9] = 1
    label[6, 3:6, 3:5] = 4
    return label


def test_the_largest_component_of_the_foreground_is_joined_over_classes_and_corners() -> None:
    label = scene()
    kept = apply_rules(label, [LARGEST], CLASSES, spacing_mm=UNIT)
    assert np.bincount(kept.ravel(), minlength=5).tolist() == [720 - 10, 8, 0, 0, 2]
    assert kept.dtype == label.dtype
    assert np.array_equal(label, scene())  # the argument is as it was


def test_the_largest_component_of_one_class_leaves_the_others_alone() -> None:
    kept = apply_rules(scene(), [Rule(operation="keep-largest", label="two")], CLASSES, spacing_mm=UNIT)
    assert np.bincount(kept.ravel(), minlength=5).tolist() == [720 - 17, 11, 0, 0, 6]


def test_components_of_equal_size_are_all_kept() -> None:
    label = np.array([[[1, 1, 0, 1, 1, 0, 1]]])
    assert apply_rules(label, [LARGEST], CLASSES, spacing_mm=UNIT).tolist() == [[[1, 1, 0, 1, 1, 0, 0]]]


def test_small_is_measured_in_cubic_millimetres_and_what_has_the_volume_stays() -> None:
    spacing = (0.5, 0.7, 0.1)  # 3 voxels are 0.105 mm³, but not in floats
    kept = apply_rules(scene(), [small(0.105)], CLASSES, spacing_mm=spacing)
    assert np.array_equal(kept, scene())
    kept = apply_rules(scene(), [small(0.106)], CLASSES, spacing_mm=spacing)
    assert np.bincount(kept.ravel(), minlength=5).tolist() == [720 - 16, 8, 0, 0, 8]


def test_rules_are_applied_in_their_order() -> None:
    of_two = Rule(operation="keep-largest", label="two")
    label = np.array([[[1, 1, 4, 4, 0, 4, 4, 4]]])
    assert apply_rules(label, [LARGEST, of_two], CLASSES, spacing_mm=UNIT).tolist() == [[[1, 1, 4, 4, 0, 0, 0, 0]]]
    assert apply_rules(label, [of_two, LARGEST], CLASSES, spacing_mm=UNIT).tolist() == [[[0, 0, 0, 0, 0, 4, 4, 4]]]


def test_a_removed_part_of_a_region_shows_the_region_below() -> None:
    label = np.array([[[1, 3, 1, 3, 3, 2, 0, 2]]], dtype=np.int16)
    cold = apply_rules(label, [small(2, "hot")], TUMOUR, spacing_mm=UNIT)
    assert cold.tolist() == [[[1, 2, 1, 3, 3, 2, 0, 2]]]
    without_core = apply_rules(label, [small(2, "core")], TUMOUR, spacing_mm=UNIT)
    assert without_core.tolist() == [[[1, 1, 1, 3, 3, 2, 0, 1]]]
    whole = apply_rules(label, [Rule(operation="keep-largest", label="whole")], TUMOUR, spacing_mm=UNIT)
    assert whole.tolist() == [[[1, 3, 1, 3, 3, 2, 0, 0]]]


def test_what_shows_beneath_is_looked_at_by_the_rules_that_follow() -> None:
    apart = LabelSpec(labels={"background": 0, "whole": (1, 2), "rim": 1, "core": 2}, regions_class_order=(1, 1, 2))
    label = np.array([[[1, 1, 0, 0, 0, 2]]])  # the rim's box does not reach to what the core leaves
    rules = [small(2, "core"), Rule(operation="keep-largest", label="rim")]
    assert apply_rules(label, rules[:1], apart, spacing_mm=UNIT).tolist() == [[[1, 1, 0, 0, 0, 1]]]
    assert apply_rules(label, rules, apart, spacing_mm=UNIT).tolist() == [[[1, 1, 0, 0, 0, 0]]]


def test_what_shows_beneath_a_region_is_never_part_of_it() -> None:
    odd = LabelSpec(labels={"background": 0, "a": (1, 2), "b": (1, 2)}, regions_class_order=(1, 2))
    assert what_is_beneath(np.array([1, 2]), "b", odd).tolist() == [0, 0]


def test_values_that_no_class_has_stay_and_join_nothing() -> None:
    label = np.array([[[1, 1, 7, 1, 0, 9]]])
    assert apply_rules(label, [LARGEST], CLASSES, spacing_mm=UNIT).tolist() == [[[1, 1, 7, 0, 0, 9]]]


@pytest.mark.parametrize("shape", [(3, 4, 5), (1, 6, 6), (1, 1, 1)])
def test_an_empty_label_map_stays_empty(shape: tuple[int, int, int]) -> None:
    rules = [LARGEST, small(3), small(3, "two")]
    assert not apply_rules(np.zeros(shape, dtype=np.uint8), rules, CLASSES, spacing_mm=UNIT).any()


RANDOM_RULES = st.lists(
    st.builds(small, st.floats(0.5, 20), st.sampled_from([None, "whole", "core", "hot"]))
    | st.builds(lambda label: Rule(operation="keep-largest", label=label), st.sampled_from([None, "whole", "core"])),
    min_size=1,
    max_size=3,
)


@given(arrays(np.uint8, (3, 4, 5), elements=st.integers(0, 3)), RANDOM_RULES)
def test_rules_only_take_away_and_a_rule_done_twice_is_done_once(
    label: npt.NDArray[np.uint8], rules: list[Rule]
) -> None:
    done = apply_rules(label, rules, TUMOUR, spacing_mm=UNIT)
    for members in TUMOUR.foreground.values():
        assert not (np.isin(done, members) & ~np.isin(label, members)).any()
    assert np.array_equal(apply_rules(done, rules[-1:], TUMOUR, spacing_mm=UNIT), done)


def test_a_rule_of_an_unknown_class_is_refused_with_the_nearest() -> None:
    with pytest.raises(UserError, match=r"rules\.json.*'tow'.*Did you mean 'two'"):
        check_rules([small(3, "tow")], CLASSES, source="rules.json")


@pytest.mark.parametrize("content", [{"operation": "remove-small"}, {"operation": "keep-largest", "min_volume_mm3": 3}])
def test_a_volume_belongs_to_remove_small_alone(content: dict[str, object]) -> None:
    with pytest.raises(UserError, match="min_volume_mm3"):
        Rule.check(content, source="rules")
