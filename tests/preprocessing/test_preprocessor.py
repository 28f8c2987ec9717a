"""One case through preprocessing: order of axes, crop, label outside the body, target grid."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from autodiffseg.errors import UserError
from autodiffseg.fingerprint import IntensityStatistics
from autodiffseg.geometry import Geometry
from autodiffseg.labels import OUTSIDE, UNKNOWN, LabelSpec
from autodiffseg.plans import ConfigurationPlan, NetworkPlan, NormalisationPlan, Plan, Scheme
from autodiffseg.preprocessing.case_store import PreprocessedCase
from autodiffseg.preprocessing.preprocessor import preprocess_case

STATISTICS = IntensityStatistics(mean=0, median=0, std=1, min=0, max=1, percentile_00_5=0, percentile_99_5=1)
SPEC = LabelSpec(labels={"background": 0, "organ": 1, "tumour": 2})


def geometry(shape: Any, spacing: Any = (1, 1, 1)) -> Geometry:
    return Geometry(shape=shape, spacing=spacing, origin=(0, 0, 0), direction=(1, 0, 0, 0, 1, 0, 0, 0, 1))


def make_plan(
    spacing: tuple[float, ...] = (1, 1, 1),
    transpose: Any = (0, 1, 2),
    scheme: Scheme = "none",
    use_mask: bool = False,
    target_size: tuple[int, int] | None = None,
) -> Plan:
    axes = len(spacing)
    configuration = ConfigurationPlan.model_validate(
        {
            "dimensions": axes,
            "spacing": spacing,
            "target_size": target_size,
            "median_shape": (8,) * axes,
            "patch_size": (8,) * axes,
            "batch_size": 2,
            "batch_dice": False,
            "normalisation": [NormalisationPlan(scheme=scheme, use_mask=use_mask)],
            "network": NetworkPlan(
                features=(4, 8),
                kernels=((3,) * axes,) * 2,
                strides=((1,) * axes, (2,) * axes),
                encoder_blocks=(2, 2),
                decoder_blocks=(2,),
            ),
            "mirror_axes": (),
        }
    )
    return Plan(
        name="toy",
        preset="default",
        dataset="Dataset001_Toy",
        fingerprint_hash="abc",
        transpose=transpose,
        intensities=(STATISTICS,),
        configurations={"c": configuration},
        iterations=1,
    )


def run(
    image: npt.NDArray[Any], plan: Plan, label: npt.NDArray[Any] | None = None, spacing: Any = (1, 1, 1)
) -> PreprocessedCase:
    return preprocess_case(
        image.astype(np.float32),
        geometry(image.shape[1:], spacing),
        case="a",
        plan=plan,
        configuration="c",
        spec=SPEC,
        label=label,
    )


def body() -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """A body of ones in (1:5, 2:7, 3:9) of (6, 8, 10) with an empty corner, and a label with two classes."""
    image = np.zeros((1, 6, 8, 10))
    image[0, 1:5, 2:7, 3:9] = 1 + np.arange(6)
    image[0, 1, 2, 3] = 0
    label = np.zeros((6, 8, 10), np.int16)
    label[2:4, 3:5, 4:6] = 1
    label[3, 3, 4] = 2
    return image, label


def test_the_case_is_cropped_and_the_surroundings_marked() -> None:
    image, label = body()
    found = run(image, make_plan(), label)
    assert found.properties.crop == ((1, 5), (2, 7), (3, 9))
    np.testing.assert_array_equal(found.image, image[:, 1:5, 2:7, 3:9])
    expected = label[1:5, 2:7, 3:9].copy()
    expected[0, 0, 0] = OUTSIDE
    assert found.label is not None
    np.testing.assert_array_equal(found.label[0], expected)
    assert found.properties.class_voxels == {"organ": 7, "tumour": 1}
    assert found.properties.shape == (4, 5, 6)


def test_locations_are_those_of_the_preprocessed_grid() -> None:
    found = run(*reversed_arguments())
    assert found.label is not None
    for index, value in enumerate((1, 2)):
        np.testing.assert_array_equal(found.locations[index], np.argwhere(found.label[0] == value))


def reversed_arguments() -> tuple[npt.NDArray[Any], Plan, npt.NDArray[Any]]:
    image, label = body()
    return image, make_plan((2, 1, 1), transpose=(2, 1, 0)), label


def test_everything_is_transposed_alike() -> None:
    image, label = body()
    found = run(image, make_plan(transpose=(2, 0, 1)), label, spacing=(1, 1, 1))
    straight = run(image, make_plan(), label)
    assert found.label is not None
    assert straight.label is not None
    np.testing.assert_array_equal(found.image[0], straight.image[0].transpose(2, 0, 1))
    np.testing.assert_array_equal(found.label[0], straight.label[0].transpose(2, 0, 1))
    assert found.properties.crop == ((3, 9), (1, 5), (2, 7))
    assert found.properties.geometry.shape == (6, 8, 10)  # the raw grid keeps its own order


def test_spacings_are_transposed_before_resampling() -> None:
    image = np.ones((1, 6, 8, 10))
    found = run(image, make_plan((1, 2, 3), transpose=(1, 2, 0)), spacing=(6, 1, 4))
    assert found.properties.spacing_before == (1, 4, 6)
    assert found.properties.spacing == (1, 2, 3)
    assert found.properties.shape == found.image.shape[1:] == (8, 20, 12)


def test_a_2d_configuration_keeps_the_first_axis() -> None:
    found = run(np.ones((1, 6, 8, 10)), make_plan((2, 0.5)), spacing=(7, 1, 1))
    assert found.properties.shape == (6, 4, 20)
    assert found.properties.spacing == (7, 2, 0.5)


def test_a_case_on_the_right_grid_is_not_resampled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autodiffseg.preprocessing.resample._resize", None)
    image, label = body()
    assert run(image, make_plan((1.01, 1, 1)), label).image.shape == (1, 4, 5, 6)


def test_normalisation_comes_before_resampling_and_after_the_crop() -> None:
    image, _ = body()
    found = run(image, make_plan((0.5, 0.5, 0.5), scheme="rescale"))
    plain = run(image, make_plan((0.5, 0.5, 0.5)))
    np.testing.assert_allclose(found.image, plain.image / 6, atol=1e-5)


def test_the_masked_zscore_leaves_the_surroundings_at_zero() -> None:
    image, label = body()
    found = run(image, make_plan(scheme="zscore", use_mask=True), label)
    assert found.image[0, 0, 0, 0] == 0
    inside = found.image[0][image[0, 1:5, 2:7, 3:9] != 0]
    assert inside.mean() == pytest.approx(0, abs=1e-6)
    assert inside.std() == pytest.approx(1, abs=1e-6)


def test_the_image_does_not_depend_on_the_label() -> None:
    image, label = body()
    label[1, 2, 3] = 1  # labelled where the image is empty
    for use_mask in (False, True):
        plan = make_plan((2, 1, 1), scheme="zscore", use_mask=use_mask)
        np.testing.assert_array_equal(run(image, plan, label).image, run(image, plan).image)


def test_without_label_there_is_none() -> None:
    found = run(body()[0], make_plan())
    assert found.label is None
    assert found.locations == {}
    assert found.properties.class_voxels == {}


def test_an_all_zero_image_keeps_its_box_and_is_all_outside() -> None:
    found = run(np.zeros((1, 3, 4, 5)), make_plan(scheme="zscore"), np.zeros((3, 4, 5), np.int16))
    assert found.properties.crop == ((0, 3), (0, 4), (0, 5))
    assert found.label is not None
    assert set(np.unique(found.label)) == {OUTSIDE}
    assert set(np.unique(found.image)) == {0}


def test_labels_that_are_cut_away_are_counted() -> None:
    image, label = body()
    assert (run(image, make_plan(), label).properties.cut_voxels, run(image, make_plan()).properties.cut_share) == (
        0,
        0,
    )
    label[0, 0, :2] = 2
    label[1, 2, 3] = 1  # empty, but in the box: it stays
    properties = run(image, make_plan((2, 1, 1)), label).properties
    assert properties.cut_voxels == 2
    assert properties.cut_share == pytest.approx(2 / 11)


def test_what_is_not_annotated_is_no_label_that_could_be_lost() -> None:
    image, label = body()
    label[0, 0, :2] = 2
    label[5] = 3
    spec = LabelSpec(labels={"background": 0, "a": 1, "b": 2, "ignore": 3})
    properties = preprocess_case(
        image.astype(np.float32), geometry(image.shape[1:]), case="a", plan=make_plan(), configuration="c", spec=spec,
        label=label,
    ).properties  # fmt: skip
    assert (properties.cut_voxels, properties.cut_share) == (2, pytest.approx(2 / 10))


@pytest.mark.parametrize("size", [(8, 16), (5, 3), (3, 30)])
def test_a_target_size_is_met_whatever_the_size_and_spacing(size: tuple[int, int]) -> None:
    image, label = body()
    found = run(image, make_plan((1, 1), target_size=size), label, spacing=(4, 0.5, 2))
    assert found.label is not None
    assert found.image.shape == found.label.shape == (1, 4, *size)  # the slices of the box stay
    assert found.properties.spacing == (4, 0.5 * 5 / size[0], 2 * 6 / size[1])
    assert found.properties.shape == (4, *size)


def test_an_image_of_the_target_size_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autodiffseg.preprocessing.resample._resize", None)
    image, label = body()
    found = run(image, make_plan((9, 9), target_size=(5, 6)), label)
    np.testing.assert_array_equal(found.image, image[:, 1:5, 2:7, 3:9])
    assert found.properties.spacing == (1, 1, 1)


def test_the_slices_of_a_2d_configuration_do_not_mix() -> None:
    image = np.ones((1, 3, 8, 8)) * np.array([1, 5, 9])[:, None, None]
    for plan in (make_plan((0.5, 4)), make_plan((1, 1), target_size=(16, 2))):  # pixels eight times as long as wide
        found = run(image, plan)
        assert found.image.shape == (1, 3, 16, 2)
        np.testing.assert_allclose(found.image[0], found.image[0, :, :1, :1] * np.ones((3, 16, 2)), atol=1e-5)
        np.testing.assert_allclose(found.image[0, :, 0, 0], [1, 5, 9], atol=1e-5)


def test_along_long_pixels_the_image_is_interpolated() -> None:
    ramp = np.arange(1.0, 17)[None, None, :, None] * np.ones((1, 1, 16, 16))
    found = run(ramp, make_plan((1, 1)), spacing=(1, 4, 1))
    steps = np.diff(found.image[0, 0, 16:48, 3])
    np.testing.assert_allclose(steps, 0.25, atol=0.01)  # the nearest row would give steps of 0 and 1


def test_a_label_of_another_shape_is_refused() -> None:
    with pytest.raises(UserError, match=r"label has shape \(1, 2, 3\), the image \(6, 8, 10\)"):
        run(body()[0], make_plan(), np.zeros((1, 2, 3), np.int16))


def test_the_input_is_left_alone() -> None:
    image, label = body()
    before = image.astype(np.float32).copy(), label.copy()
    raw = image.astype(np.float32)
    preprocess_case(
        raw, geometry((6, 8, 10)), case="a", plan=make_plan(scheme="zscore"), configuration="c", spec=SPEC, label=label
    )
    np.testing.assert_array_equal(raw, before[0])
    np.testing.assert_array_equal(label, before[1])


def test_labelled_voxels_stay_where_the_image_is_empty() -> None:
    image, label = body()
    label[1, 2, 3] = 2
    found = run(image, make_plan(), label)
    assert found.label is not None
    assert found.label[0, 0, 0, 0] == 2


def test_thick_slices_are_resampled_one_by_one() -> None:
    image = np.ones((1, 3, 8, 8)) * np.array([1, 5, 9])[:, None, None]
    label = (image[0] == 5).astype(np.int16)
    found = run(image, make_plan((2, 0.5, 0.5)), label, spacing=(4, 1, 1))
    np.testing.assert_allclose(found.image[0, :, 3, 3], [1, 1, 5, 5, 9, 9], atol=1e-5)
    assert found.label is not None
    assert found.label[0, :, 3, 3].tolist() == [0, 0, 1, 1, 0, 0]


def test_annotators_follow_the_reference_and_are_prepared_like_it() -> None:
    image, label = body()
    other = np.roll(label, 1, axis=2)
    plan = make_plan((2, 1, 1), transpose=(1, 0, 2))
    found = preprocess_case(
        image.astype(np.float32), geometry(image.shape[1:]), case="a", plan=plan, configuration="c", spec=SPEC,
        label=label, annotations=[None, other],
    )  # fmt: skip
    assert found.label is not None
    reference, missing, annotated = found.label
    np.testing.assert_array_equal(reference[None], run(image, plan, label).label)
    np.testing.assert_array_equal(annotated[None], run(image, plan, other).label)
    assert (missing == UNKNOWN).all()
    assert found.properties == run(image, plan, label).properties
