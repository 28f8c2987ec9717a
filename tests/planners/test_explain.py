"""The explanation of a plan: its sentences are true of the numbers in them."""

from __future__ import annotations

import re

import pytest

from autodiffseg.fingerprint import Fingerprint, IntensityStatistics
from autodiffseg.labels import LabelSpec
from autodiffseg.planners.explain import explain_plan
from autodiffseg.planners.planner import make_plan
from autodiffseg.planners.presets import PRESETS

SPEC = LabelSpec(labels={"background": 0, "spot": 1})


def explanation(preset: str = "default", spacings: tuple[float, ...] = (1.0, 1.0), share: float = 0.1) -> str:
    """Of a plan for volumes whose slices are so far apart."""
    fingerprint = Fingerprint.model_validate(
        {
            "dataset": "D",
            "cases": [str(index) for index in range(len(spacings))],
            "spacings": [(z, 1.0, 1.0) for z in spacings],
            "shapes": [(300, 400, 500)] * len(spacings),
            "shapes_after_crop": [(300, 400, 500)] * len(spacings),
            "median_relative_size_after_cropping": 1.0,
            "intensities": [dict.fromkeys(IntensityStatistics.model_fields, 0.0)],
            "class_frequencies": {"spot": share},
            "class_presence": {"spot": [True] * len(spacings)},
            "raw_hash": "",
        }
    )
    planned = make_plan(fingerprint, channels=["MR"], spec=SPEC, preset=PRESETS[preset], name="p")
    return explain_plan(planned, fingerprint, channels=["MR"], spec=SPEC, preset=PRESETS[preset])


@pytest.mark.parametrize("preset", PRESETS)
def test_the_samples_that_memory_would_hold_follow_from_the_budget_that_is_told(preset: str) -> None:
    page = explanation(preset)
    memory = re.findall(r"([\d,]+) elements of .* a sample; the budget is that of (\d+) samples of ([\d,]+)", page)
    held = re.findall(r"memory would hold (\d+)", page)
    assert len(memory) == len(held) >= 2
    for numbers, batch in zip(memory, held, strict=True):
        elements, samples, each = (int(number.replace(",", "")) for number in numbers)
        assert int(batch) == round(samples * each / elements)


def test_a_median_is_called_one_even_where_the_50th_percentile_rounds_otherwise() -> None:
    page = explanation(spacings=(0.41, 2.28))
    assert "| z | 0.41 | 0.597 | 1.345 | 2.093 | 2.28 | 1.345 | the median |" in page


def test_the_share_of_a_tiny_class_is_not_shown_as_nothing() -> None:
    assert "- `spot`: 0.000144 % of the voxels" in explanation(share=1.44e-6)
