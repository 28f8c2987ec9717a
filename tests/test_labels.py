"""Tests of what label integers mean and how they become channels."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from autodiffseg.labels import OUTSIDE, UNKNOWN, LabelSpec

CLASSES = LabelSpec(labels={"background": 0, "liver": 1, "tumour": 2})
REGIONS = LabelSpec(
    labels={"background": 0, "whole": (1, 2, 3), "core": (2, 3), "enhancing": 3}, regions_class_order=(1, 2, 3)
)
IGNORING = LabelSpec(labels={"background": 0, "organ": 1, "ignore": 2})


def test_classes_have_a_background_channel_and_regions_have_none() -> None:
    assert CLASSES.channels == 3
    assert not CLASSES.has_regions
    assert REGIONS.channels == 3
    assert REGIONS.has_regions


def test_foreground_lists_neither_background_nor_ignore() -> None:
    assert CLASSES.foreground == {"liver": (1,), "tumour": (2,)}
    assert IGNORING.foreground == {"organ": (1,)}
    assert REGIONS.foreground == {"whole": (1, 2, 3), "core": (2, 3), "enhancing": (3,)}


def test_values_are_all_integers_of_a_label_file() -> None:
    assert CLASSES.values == {0, 1, 2}
    assert REGIONS.values == {0, 1, 2, 3}
    assert IGNORING.values == {0, 1, 2}
    assert IGNORING.ignore == 2
    assert CLASSES.ignore is None


def test_one_hot_of_classes_by_hand() -> None:
    channels, known = CLASSES.one_hot(torch.tensor([[0, 1, 2, 1]]))
    assert channels.dtype == torch.float32
    assert channels[0].tolist() == [[1, 0, 0, 0], [0, 1, 0, 1], [0, 0, 1, 0]]
    assert known.shape == (1, 1, 4)
    assert known.all()


def test_one_hot_of_regions_overlaps_by_hand() -> None:
    channels, _ = REGIONS.one_hot(torch.tensor([[0, 1, 2, 3]]))
    assert channels[0].tolist() == [[0, 1, 1, 1], [0, 0, 1, 1], [0, 0, 0, 1]]


def test_outside_is_known_background_and_unknown_is_nothing() -> None:
    channels, known = CLASSES.one_hot(torch.tensor([[OUTSIDE, UNKNOWN]]))
    assert channels[0].tolist() == [[1, 0], [0, 0], [0, 0]]
    assert known[0].tolist() == [[True, False]]
    channels, known = REGIONS.one_hot(torch.tensor([[OUTSIDE, UNKNOWN]]))
    assert channels.sum() == 0
    assert known[0].tolist() == [[True, False]]


def test_ignored_voxels_are_unknown_and_belong_to_no_channel() -> None:
    channels, known = IGNORING.one_hot(torch.tensor([[0, 1, 2]]))
    assert channels[0].tolist() == [[1, 0, 0], [0, 1, 0]]
    assert known[0].tolist() == [[True, True, False]]


def test_labels_that_are_not_consecutive_are_painted_with_their_own_integers() -> None:
    spec = LabelSpec(labels={"background": 0, "left": 4, "right": 9})
    label = torch.tensor([[[[0, 4, 9]]]])
    channels, _ = spec.one_hot(label)
    assert spec.decode(channels[0].numpy()).tolist() == label[0].tolist()


def test_later_regions_are_painted_over_earlier_ones_and_half_is_not_enough() -> None:
    probabilities = np.array([[0.9, 0.9, 0.4, 0.5], [0.1, 0.8, 0.1, 0.5], [0.1, 0.1, 0.9, 0.5]])[:, None, None]
    assert REGIONS.decode(probabilities)[0, 0].tolist() == [1, 2, 3, 0]


def test_argmax_decides_between_classes() -> None:
    probabilities = np.array([[0.5, 0.2, 0.3], [0.3, 0.5, 0.3], [0.2, 0.3, 0.4]])[:, None, None]
    decoded = CLASSES.decode(probabilities)
    assert decoded.dtype == np.uint8
    assert decoded[0, 0].tolist() == [0, 1, 2]


@given(st.lists(st.integers(0, 3), min_size=1, max_size=30), st.booleans())
def test_decode_undoes_one_hot(values: list[int], regions: bool) -> None:
    spec = REGIONS if regions else LabelSpec(labels={"background": 0, "a": 1, "b": 2, "c": 3})
    channels, _ = spec.one_hot(torch.tensor([values])[:, None, None])
    assert spec.decode(channels[0].numpy())[0, 0].tolist() == values


def test_foreground_channels_are_those_of_one_hot_without_background() -> None:
    label = torch.tensor([[0, 1, 2], [3, OUTSIDE, UNKNOWN]])
    for spec in (CLASSES, REGIONS, IGNORING):
        found, (whole, _) = spec.foreground_channels(label), spec.one_hot(label[None])
        torch.testing.assert_close(found, whole[0, spec.channels - len(spec.foreground) :])
        assert found.sum(dim=(1, 2)).min() > 0
