"""Every normalisation on hand-computed numbers and on degenerate channels."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from autodiffseg.errors import UserError
from autodiffseg.fingerprint import IntensityStatistics
from autodiffseg.plans import NormalisationPlan, Scheme
from autodiffseg.preprocessing.normalise import normalise

CT = IntensityStatistics(mean=100, median=0, std=50, min=-9, max=9, percentile_00_5=0, percentile_99_5=200)
VALUES = [-1000.0, 0.0, 100.0, 150.0, 3000.0]


def run(
    values: list[float], scheme: Scheme, mask: list[bool] | None = None, statistics: IntensityStatistics = CT
) -> npt.NDArray[np.float32]:
    image = np.array(values, dtype=np.float32).reshape(1, 1, 1, -1)
    inside = np.array(mask if mask is not None else [True] * len(values)).reshape(1, 1, -1)
    plan = NormalisationPlan(scheme=scheme, use_mask=mask is not None)
    result = normalise(image, inside, schemes=[plan], intensities=[statistics])
    assert result.dtype == np.float32
    return result[0, 0, 0]


def test_ct_clips_to_the_datasets_percentiles_and_scales_by_its_statistics() -> None:
    np.testing.assert_allclose(run(VALUES, "ct"), [-2, -2, 0, 1, 2])


def test_zscore_has_zero_mean_and_unit_deviation() -> None:
    np.testing.assert_allclose(run([1, 3], "zscore"), [-1, 1])


def test_zscore_over_the_mask_leaves_zero_outside() -> None:
    np.testing.assert_allclose(run([1, 3, 77], "zscore", [True, True, False]), [-1, 1, 0])


def test_rescale_goes_from_zero_to_one() -> None:
    np.testing.assert_allclose(run([-10, 0, 30], "rescale"), [0, 0.25, 1])


def test_rgb_is_divided_by_255() -> None:
    np.testing.assert_allclose(run([0, 51, 255], "rgb"), [0, 0.2, 1], rtol=1e-6)


@pytest.mark.parametrize("values", [[-1.0, 3.0], [0.0, 256.0]])
def test_colours_out_of_range_are_refused(values: list[float]) -> None:
    with pytest.raises(UserError, match="0 to 255 are expected"):
        run(values, "rgb")


def test_none_changes_nothing() -> None:
    np.testing.assert_array_equal(run(VALUES, "none"), VALUES)


@pytest.mark.parametrize("scheme", ["zscore", "rescale"])
def test_a_constant_channel_becomes_zero(scheme: Scheme) -> None:
    np.testing.assert_array_equal(run([7, 7], scheme), [0, 0])


def test_an_empty_mask_gives_zero() -> None:
    np.testing.assert_array_equal(run([7, 9], "zscore", [False, False]), [0, 0])


def test_a_ct_dataset_without_spread_is_finite() -> None:
    flat = CT.model_copy(update={"std": 0.0, "percentile_00_5": 100.0, "percentile_99_5": 100.0})
    np.testing.assert_array_equal(run(VALUES, "ct", statistics=flat), 0)


def test_each_channel_has_its_own_scheme_and_the_input_is_left_alone() -> None:
    image = np.arange(8, dtype=np.float32).reshape(2, 1, 2, 2)
    before = image.copy()
    schemes = [NormalisationPlan(scheme="none"), NormalisationPlan(scheme="rescale")]
    result = normalise(image, np.ones((1, 2, 2), bool), schemes=schemes, intensities=[CT, CT])
    np.testing.assert_array_equal(result[0], before[0])
    assert result[1].max() == 1
    np.testing.assert_array_equal(image, before)


def test_a_case_with_other_channels_than_the_plan_is_refused() -> None:
    with pytest.raises(UserError, match="2 channels, the plan is made for 1"):
        normalise(
            np.zeros((2, 1, 1, 1), np.float32),
            np.ones((1, 1, 1), bool),
            schemes=[NormalisationPlan(scheme="none")],
            intensities=[CT],
        )


def test_zscore_without_mask_takes_every_voxel() -> None:
    image = np.array([1, 3, 5, 7], dtype=np.float32).reshape(1, 1, 1, 4)
    mask = np.array([True, True, False, False]).reshape(1, 1, 4)
    result = normalise(image, mask, schemes=[NormalisationPlan(scheme="zscore")], intensities=[CT])
    np.testing.assert_allclose(result.ravel(), np.array([-3, -1, 1, 3]) / np.sqrt(5), rtol=1e-6)
