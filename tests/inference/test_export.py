"""Export undoes preprocessing: what goes there comes back."""

from __future__ import annotations

import itertools
import tracemalloc
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from autodiffseg.fingerprint import IntensityStatistics
from autodiffseg.geometry import Geometry
from autodiffseg.inference.export import Prediction, restore_channels, restore_label
from autodiffseg.labels import LabelSpec
from autodiffseg.plans import ConfigurationPlan, NetworkPlan, NormalisationPlan, Plan
from autodiffseg.preprocessing.case_store import CaseProperties
from autodiffseg.preprocessing.preprocessor import preprocess_case

CLASSES = LabelSpec(labels={"background": 0, "a": 1, "b": 7})
REGIONS = LabelSpec(labels={"background": 0, "whole": (1, 2), "core": (2,)}, regions_class_order=(1, 2))
REVERSED = REGIONS.model_copy(update={"regions_class_order": (2, 1)})


def plan(
    spacing: tuple[float, ...],
    transpose: tuple[int, int, int] = (0, 1, 2),
    target_size: tuple[int, int] | None = None,
) -> Plan:
    ones = (1,) * len(spacing)
    configuration = ConfigurationPlan(
        dimensions=3 if len(spacing) == 3 else 2,
        spacing=spacing,
        target_size=target_size,
        median_shape=ones,
        patch_size=(8,) * len(ones),
        batch_size=1,
        batch_dice=False,
        normalisation=(NormalisationPlan(scheme="zscore"),),
        network=NetworkPlan(
            features=(1, 1), kernels=(ones, ones), strides=(ones, ones), encoder_blocks=(1, 1), decoder_blocks=(1,)
        ),
        mirror_axes=(),
    )
    statistics = IntensityStatistics(mean=0, median=0, std=1, min=0, max=1, percentile_00_5=0, percentile_99_5=1)
    return Plan(
        name="test",
        preset="cpu",
        dataset="Dataset001_Test",
        fingerprint_hash="",
        transpose=transpose,
        intensities=(statistics,),
        configurations={"c": configuration},
        iterations=1,
    )


def blobs(
    shape: tuple[int, int, int], spacing: tuple[float, float, float]
) -> tuple[NDArray[np.float32], NDArray[np.int16]]:
    """Two balls (radius 10 and 8 mm) in an image that is zero near its border, so that it will be cropped unevenly."""
    mm = np.stack(np.meshgrid(*[np.arange(n) * s for n, s in zip(shape, spacing, strict=True)], indexing="ij"))
    size = np.array(shape) * spacing
    label = np.zeros(shape, dtype=np.int16)
    for value, centre, radius in ((1, 0.45, 10.0), (7, 0.62, 8.0)):
        label[((mm - (size * centre).reshape(3, 1, 1, 1)) ** 2).sum(0) < radius**2] = value
    image = np.random.default_rng(0).uniform(1, 2, size=(1, *shape)).astype(np.float32)
    image[:, :1], image[..., -4:], image[..., :3, :] = 0, 0, 0
    return image, label


def there_and_back(
    shape: tuple[int, int, int], spacing: tuple[float, float, float], chosen: Plan
) -> tuple[NDArray[np.int16], NDArray[np.uint8], CaseProperties]:
    image, label = blobs(shape, spacing)
    geometry = Geometry(shape=shape, spacing=spacing, origin=(0.0,) * 3, direction=(1.0, 0, 0, 0, 1, 0, 0, 0, 1))
    case = preprocess_case(image, geometry, case="c", plan=chosen, configuration="c", spec=CLASSES, label=label)
    assert case.label is not None
    one_hot = np.stack([np.isin(case.label[0], members) for members in ((0, -1), (1,), (7,))]).astype(np.float32)
    return label, restore_label([Prediction(one_hot, case.properties, chosen)], CLASSES), case.properties


def restored_channels(
    probabilities: NDArray[np.float32], found: CaseProperties, chosen: Plan, spec: LabelSpec
) -> NDArray[np.float16]:
    """What is passed on of a prediction, together."""
    channels: list[NDArray[np.float16]] = []
    restore_label([Prediction(probabilities, found, chosen)], spec, pass_on=channels.append)
    return np.stack(channels)


def dice(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))


@pytest.mark.parametrize("transpose", list(itertools.permutations(range(3))))
def test_without_resampling_the_label_comes_back_exactly(transpose: tuple[int, int, int]) -> None:
    spacing = (1.0, 2.0, 0.5)
    chosen = plan(tuple(spacing[axis] for axis in transpose), transpose)
    label, restored, properties = there_and_back((30, 20, 70), spacing, chosen)
    assert properties.crop != tuple((0, (30, 20, 70)[axis]) for axis in transpose)
    assert restored.dtype == np.uint8
    np.testing.assert_array_equal(restored, label)


@pytest.mark.parametrize(
    ("shape", "spacing", "target", "transpose"),
    [
        ((41, 37, 52), (1.0, 1.0, 1.0), (0.8, 0.8, 0.8), (0, 1, 2)),
        ((61, 51, 70), (0.8, 0.8, 0.8), (1.0, 0.9, 0.7), (2, 0, 1)),
        ((15, 60, 70), (4.0, 0.7, 0.7), (4.0, 0.8, 0.8), (0, 1, 2)),
        ((60, 15, 70), (0.7, 4.0, 0.7), (4.0, 0.6, 0.6), (1, 0, 2)),
        ((33, 60, 70), (1.5, 0.7, 0.7), (0.6, 0.6), (0, 1, 2)),
    ],
)
def test_with_resampling_a_smooth_label_comes_back_nearly(
    shape: tuple[int, int, int],
    spacing: tuple[float, float, float],
    target: tuple[float, ...],
    transpose: tuple[int, int, int],
) -> None:
    label, restored, properties = there_and_back(shape, spacing, plan(target, transpose))
    assert properties.shape != tuple(high - low for low, high in properties.crop)
    assert restored.shape == shape
    for value in (1, 7):
        assert dice(restored == value, label == value) > 0.98


@pytest.mark.parametrize("size", [(96, 112), (51, 80), (64, 64)])
@pytest.mark.parametrize(
    ("shape", "spacing", "transpose"),
    [((1, 60, 70), (1.0, 0.5, 0.5), (0, 1, 2)), ((60, 70, 20), (0.6, 0.6, 4.0), (2, 0, 1))],
)
def test_from_a_target_size_a_label_comes_back_nearly(
    size: tuple[int, int],
    shape: tuple[int, int, int],
    spacing: tuple[float, float, float],
    transpose: tuple[int, int, int],
) -> None:
    label, restored, properties = there_and_back(shape, spacing, plan((9.0, 9.0), transpose, size))
    assert properties.shape[1:] == size
    for value in (1, 7):
        assert dice(restored == value, label == value) > 0.98


@pytest.mark.parametrize("size", [(96, 112), (13, 7), (1, 1)])
def test_from_a_target_size_a_constant_comes_back_exactly(size: tuple[int, int]) -> None:
    chosen = plan((9.0, 9.0), target_size=size)
    _, _, found = there_and_back((3, 60, 70), (0.7, 0.7, 0.7), chosen)
    sure = np.zeros((3, *found.shape), np.float32)
    sure[2] = 1
    inside = np.zeros(found.geometry.shape, bool)
    inside[tuple(slice(*side) for side in found.crop)] = True
    np.testing.assert_array_equal(restore_label([Prediction(sure, found, chosen)], CLASSES), 7 * inside)
    probabilities = restored_channels(sure, found, chosen, CLASSES)
    np.testing.assert_array_equal(probabilities, [~inside, np.zeros_like(inside), inside])


def properties(
    crop: tuple[tuple[int, int], ...], shape: tuple[int, int, int], raw: tuple[int, int, int]
) -> CaseProperties:
    return CaseProperties.model_validate(
        {
            "case": "c",
            "geometry": Geometry(shape=raw, spacing=(1, 1, 1), origin=(0,) * 3, direction=(1, 0, 0, 0, 1, 0, 0, 0, 1)),
            "crop": crop,
            "spacing_before": (1.0, 1.0, 1.0),
            "spacing": (1.0, 1.0, 1.0),
            "shape": shape,
            "class_voxels": {},
        }
    )


@pytest.mark.parametrize("spec", [CLASSES, REGIONS, REVERSED], ids=["classes", "regions", "reversed"])
def test_streaming_over_channels_equals_decoding_them_together(spec: LabelSpec) -> None:
    probabilities = (
        np.random.default_rng(1).integers(0, 5, (spec.channels, 4, 5, 6)).astype(np.float32) / 4
    )  # with ties
    case = properties(((0, 4), (0, 5), (0, 6)), (4, 5, 6), (4, 5, 6))
    restored = restore_label([Prediction(probabilities, case, plan((1.0, 1.0, 1.0)))], spec)
    np.testing.assert_array_equal(restored, spec.decode(probabilities))
    assert len(np.unique(restored)) == 3


def test_outside_the_crop_is_background() -> None:
    case = properties(((1, 3), (0, 2), (2, 4)), (2, 2, 2), (4, 2, 5))
    sure = np.zeros((3, 2, 2, 2), dtype=np.float32)
    sure[2] = 1
    restored = restore_label([Prediction(sure, case, plan((1.0, 1.0, 1.0)))], CLASSES)
    assert (restored[1:3, :, 2:4] == 7).all()
    assert np.count_nonzero(restored) == 8


def test_probabilities_go_where_the_label_goes() -> None:
    chosen = plan((1.0, 1.0, 1.0), (1, 2, 0))
    case = properties(((0, 2), (1, 4), (2, 4)), (2, 3, 2), (5, 2, 4))
    probabilities = np.random.default_rng(0).dirichlet([1, 1, 1], (2, 3, 2)).astype(np.float32)
    probabilities = np.ascontiguousarray(np.moveaxis(probabilities, -1, 0))
    raw = restored_channels(probabilities, case, chosen, CLASSES)
    assert raw.dtype == np.float16
    assert raw.shape == (3, 5, 2, 4)
    np.testing.assert_array_equal(
        CLASSES.decode(raw), restore_label([Prediction(probabilities, case, chosen)], CLASSES)
    )
    np.testing.assert_allclose(raw.sum(0), 1, atol=2e-3)
    assert raw[:, 0, 0, 0].tolist() == [1, 0, 0]


def test_outside_the_crop_no_region_is_present() -> None:
    case = properties(((0, 1), (0, 1), (0, 1)), (1, 1, 1), (1, 1, 2))
    raw = restored_channels(np.ones((2, 1, 1, 1), np.float32), case, plan((1.0, 1.0, 1.0)), REGIONS)
    assert raw[:, 0, 0].tolist() == [[1, 0], [1, 0]]


def test_several_grids_are_averaged_where_they_meet() -> None:
    """One prediction lies crosswise and on a coarser grid; both are constant, so the mean is known."""
    geometry = (5, 2, 4)
    values = ((0.2, 0.5, 0.3), (0.1, 0.0, 0.9))
    grids = (((1, 4), (0, 2), (0, 4)), (3, 2, 4), (0, 1, 2)), (((0, 4), (1, 4), (0, 2)), (2, 2, 2), (2, 0, 1))
    predictions = [
        Prediction(
            np.broadcast_to(np.float32(value).reshape(3, 1, 1, 1), (3, *shape)),
            properties(crop, shape, geometry),
            plan((1.0, 1.0, 1.0), order),
            weight,
        )
        for value, (crop, shape, order), weight in zip(values, grids, (3.0, 1.0), strict=True)
    ]
    channels: list[NDArray[np.float16]] = []
    label = restore_label(predictions, CLASSES, pass_on=channels.append)
    inside = np.zeros(geometry, bool)
    inside[1:4] = True
    for channel, outside, (a, b) in zip(channels, (1, 0, 0), np.transpose(values), strict=True):
        np.testing.assert_allclose(channel, np.where(inside, 0.75 * a + 0.25 * b, outside), atol=1e-3)
    np.testing.assert_array_equal(label, 7 * inside)  # 0.175, 0.375, 0.45
    np.testing.assert_allclose(np.stack(list(restore_channels(predictions, CLASSES))), channels, atol=1e-3)


@pytest.mark.parametrize("spec", [CLASSES, REGIONS], ids=["classes", "regions"])
def test_channels_come_back_one_by_one_as_they_are_saved(spec: LabelSpec) -> None:
    case = properties(((0, 2), (1, 4), (2, 4)), (2, 3, 2), (5, 2, 4))
    probabilities = np.random.default_rng(0).uniform(size=(spec.channels, 2, 3, 2)).astype(np.float32)
    prediction = Prediction(probabilities, case, plan((1.0, 1.0, 1.0), (1, 2, 0)))
    channels = np.stack(list(restore_channels([prediction], spec)))
    np.testing.assert_allclose(channels, restored_channels(probabilities, case, prediction.plan, spec), atol=1e-3)
    assert sorted(channels[1][channels[1] > 0]) == sorted(probabilities[1].ravel())


def test_the_predictors_own_array_is_left_alone() -> None:
    probabilities = np.random.default_rng(0).dirichlet([1, 1, 1], (4, 5, 6)).astype(np.float32).transpose(3, 0, 1, 2)
    before = probabilities.copy()
    case = properties(((0, 4), (0, 5), (0, 6)), (4, 5, 6), (4, 5, 6))
    restore_label([Prediction(probabilities, case, plan((1.0, 1.0, 1.0)))], CLASSES)
    np.testing.assert_array_equal(probabilities, before)


@settings(max_examples=30, deadline=None)
@given(
    raw=st.tuples(*[st.integers(6, 16)] * 3),
    cuts=st.tuples(*[st.integers(0, 2)] * 6),
    new=st.tuples(*[st.integers(4, 20)] * 3),
    order=st.permutations((0, 1, 2)),
)
def test_places_are_those_of_the_raw_image(
    raw: tuple[int, int, int], cuts: tuple[int, ...], new: tuple[int, int, int], order: list[int]
) -> None:
    """A map that grows evenly along every raw axis comes back as it was, wherever no border was extrapolated."""
    turned = [raw[axis] for axis in order]
    crop = tuple((cuts[2 * axis], turned[axis] - cuts[2 * axis + 1]) for axis in range(3))
    grids = [
        low + (np.arange(count) + 0.5) * (high - low) / count - 0.5
        for (low, high), count in zip(crop, new, strict=True)
    ]  # of the preprocessed voxels, in raw voxels
    slope = (1.0, 0.3, -0.2)  # along the raw axes
    volume = sum(
        slope[order[axis]] * grid.reshape([-1 if axis == other else 1 for other in range(3)])
        for axis, grid in enumerate(grids)
    )
    chosen = plan((1.0, 1.0, 1.0), (order[0], order[1], order[2]))
    prediction = Prediction(100 + np.asarray(volume, np.float32)[None], properties(crop, new, raw), chosen)
    restored = next(restore_channels([prediction], REGIONS))
    places = np.indices(raw)
    wanted = np.tensordot(slope, places, axes=1)
    inner, inside = np.ones(raw, bool), np.ones(raw, bool)
    for axis, grid in enumerate(grids):
        inner &= (places[order[axis]] >= grid[0]) & (places[order[axis]] <= grid[-1])
        inside &= (places[order[axis]] >= crop[axis][0]) & (places[order[axis]] < crop[axis][1])
    assert inner.any()
    np.testing.assert_allclose(restored[inner], 100 + wanted[inner], atol=1e-3)
    np.testing.assert_array_equal(restored == 0, ~inside)


def _note(sizes: list[int], channel: NDArray[np.float16]) -> None:
    sizes.append(channel.nbytes)


@pytest.mark.parametrize("spec", [CLASSES, REGIONS], ids=["classes", "regions"])
@pytest.mark.parametrize("probabilities", [False, True], ids=["labels", "probabilities"])
def test_memory_does_not_grow_with_the_number_of_classes(spec: LabelSpec, probabilities: bool) -> None:
    """Numpy tells tracemalloc of its arrays; scipy's and skimage's are numpy's too."""
    side, peaks = 96, []
    for classes in (3, 12):
        names = {f"class {number}": number if spec is CLASSES else (number,) for number in range(1, classes)}
        painted = None if spec is CLASSES else tuple(range(1, classes))
        many = LabelSpec(labels={"background": 0, **names}, regions_class_order=painted)
        values = np.random.default_rng(0).uniform(size=(many.channels, 72, 72, 72)).astype(np.float32)
        case = properties(((0, side),) * 3, (72, 72, 72), (side,) * 3)
        kept: list[int] = []
        seen = partial(_note, kept) if probabilities else None
        tracemalloc.start()
        label = restore_label([Prediction(values, case, plan((1.0, 1.0, 1.0), (1, 2, 0)))], many, pass_on=seen)
        peaks.append(tracemalloc.get_traced_memory()[1] / (4 * side**3))
        tracemalloc.stop()
        assert label.shape == (side,) * 3
        assert len(kept) == probabilities * many.channels
    assert peaks[1] < 4.5
    assert abs(peaks[1] - peaks[0]) < 0.1


def test_the_mean_of_many_grids_takes_no_more_than_six_volumes() -> None:
    side, spec = 96, LabelSpec(labels={"background": 0, **{f"c{number}": number for number in range(1, 8)}})
    predictions = []
    for order, length in (((0, 1, 2), 72), ((1, 2, 0), 60), ((2, 0, 1), 80)):
        values = np.random.default_rng(length).uniform(size=(8, *(length,) * 3)).astype(np.float32)
        case = properties(((0, side),) * 3, (length,) * 3, (side,) * 3)
        predictions.append(Prediction(values, case, plan((1.0, 1.0, 1.0), order)))
    tracemalloc.start()
    restore_label(predictions, spec, pass_on=lambda channel: None)
    peak = tracemalloc.get_traced_memory()[1] / (4 * side**3)
    tracemalloc.stop()
    assert peak < 6


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
@pytest.mark.parametrize("weights", [(0.5, 0.5), (0.25, 0.75)])
def test_the_mean_of_several_is_that_of_each_alone(order: tuple[int, int, int], weights: tuple[float, float]) -> None:
    """Both are resampled; the second lies crosswise or not, so that they meet before or after the crop is undone."""
    rng = np.random.default_rng(3)
    raw = (6, 5, 7)
    crop = ((1, 6), (0, 5), (2, 7))
    crops = (crop, tuple(crop[axis] for axis in order))
    predictions = [
        Prediction(
            np.ascontiguousarray(rng.dirichlet([1, 1, 1], shape).astype(np.float32).transpose(3, 0, 1, 2)),
            properties(box, shape, raw),
            plan((1.0, 1.0, 1.0), transpose),
            weight,
        )
        for box, shape, transpose, weight in zip(
            crops, ((4, 4, 3), (3, 6, 4)), ((0, 1, 2), order), weights, strict=True
        )
    ]
    alone = [np.stack(list(restore_channels([one], CLASSES))).astype(np.float64) for one in predictions]
    together = np.stack(list(restore_channels(predictions, CLASSES)))
    wanted = weights[0] * alone[0] + weights[1] * alone[1]
    np.testing.assert_allclose(together, wanted, atol=1e-6)
    label = restore_label(predictions, CLASSES)
    clear = np.diff(np.sort(wanted, axis=0)[-2:], axis=0)[0] > 1e-5
    np.testing.assert_array_equal(label[clear], CLASSES.decode(wanted)[clear])
