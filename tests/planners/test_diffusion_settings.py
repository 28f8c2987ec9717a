"""The planned noise: how much of the label it hides, by hand on curves whose mean is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from autodiffseg.diffusion.schedule import alpha_bar
from autodiffseg.fingerprint import Fingerprint, IntensityStatistics, LabelLeakage, LeakageCurve
from autodiffseg.labels import LabelSpec
from autodiffseg.planners.diffusion_settings import linear_log_snr, mean_leakage, plan_diffusion, plan_shift
from autodiffseg.plans import DiffusionPlan

CLASSES = LabelSpec(labels={"background": 0, "one": 1})
REGIONS = LabelSpec(labels={"background": 0, "whole": (1, 2), "core": 2}, regions_class_order=(1, 2))
LEVELS = linear_log_snr(DiffusionPlan())


def step_at(level: float) -> LeakageCurve:
    """Nothing shows below a level, everything above it."""
    return LeakageCurve(log_snr=(-30, level - 1e-6, level + 1e-6, 30), leaked=(0, 0, 1, 1))


def fingerprint(curve: LeakageCurve | None) -> Fingerprint:
    zeros = dict.fromkeys(IntensityStatistics.model_fields, 0.0)
    found = curve and LabelLeakage(curve=curve, dice={}, chance={}, blocks=12, block_voxels=65536)
    return Fingerprint(
        dataset="Dataset001_Toy",
        cases=("a",),
        spacings=((1, 1, 1),),
        shapes=((8, 8, 8),),
        shapes_after_crop=((8, 8, 8),),
        median_relative_size_after_cropping=1,
        intensities=(IntensityStatistics(**zeros),),
        class_frequencies={},
        class_presence={},
        leakage=found,
        raw_hash="abc",
    )


def test_the_levels_are_those_that_trainers_use() -> None:
    wanted = torch.logit(alpha_bar(DiffusionPlan()))
    np.testing.assert_allclose(LEVELS, wanted.numpy(), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("level", [-3.0, -4.7, -8.0])
def test_a_step_comes_to_the_middle_of_the_schedule(level: float) -> None:
    middle = LEVELS[len(LEVELS) // 2]
    assert plan_shift(step_at(level), LEVELS) == pytest.approx(level - middle, abs=0.1)


def test_what_shows_only_in_little_noise_needs_no_shift() -> None:
    assert plan_shift(step_at(0.0), LEVELS) == 0
    assert not np.signbit(plan_shift(step_at(0.0), LEVELS))


def test_the_shift_ends_where_the_bound_is() -> None:
    assert plan_shift(step_at(-20.0), LEVELS) == -6


@given(st.lists(st.floats(0, 1), min_size=2, max_size=30).map(sorted), st.floats(-12, 8), st.floats(0.1, 2))
def test_a_shift_only_hides_and_no_more_than_it_must(leaked: list[float], start: float, step: float) -> None:
    curve = LeakageCurve(log_snr=tuple(start + step * index for index in range(len(leaked))), leaked=tuple(leaked))
    shift = plan_shift(curve, LEVELS)
    assert -6 <= shift <= 0
    assert shift == round(shift, 1)
    assert shift == -6 or mean_leakage(curve, LEVELS + shift) <= 0.5
    assert shift == 0 or mean_leakage(curve, LEVELS + shift + 0.1) > 0.5


def test_the_curve_stands_beside_the_shift_in_the_plan() -> None:
    planned = plan_diffusion(fingerprint(step_at(-4.0)), CLASSES)
    assert planned.plan.leakage == step_at(-4.0)
    assert planned.plan.log_snr_shift < 0
    assert DiffusionPlan.parse(planned.plan.model_dump_json(), source="") == planned.plan
    assert "gives away 63% of it" in planned.reasons[1]
    assert "`log_snr_shift` **-1.6** brings that to 49%" in planned.reasons[2]


@pytest.mark.parametrize(("spec", "encoding"), [(CLASSES, "classes"), (REGIONS, "regions")])
def test_the_encoding_is_that_of_the_labels(spec: LabelSpec, encoding: str) -> None:
    planned = plan_diffusion(fingerprint(None), spec)
    assert (planned.plan.encoding, planned.plan.log_snr_shift) == (encoding, 0)
    assert f"`{encoding}`" in planned.reasons[0]


@pytest.mark.parametrize("level", [0.0, -4.0, -20.0])
def test_every_setting_has_its_reason(level: float) -> None:
    reasons = plan_diffusion(fingerprint(step_at(level)), CLASSES).reasons
    assert len(reasons) == 4
    assert ("farthest allowed" in reasons[2]) == (level == -20)


@pytest.mark.parametrize(
    ("log_snr", "leaked"), [((0.0, 1.0), (0.5,)), ((1.0, 0.0), (0.1, 0.2)), ((0.0, 0.0), (0.1, 0.2)), ((), ())]
)
def test_curves_that_are_none_are_refused(log_snr: tuple[float, ...], leaked: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="log_snr"):
        LeakageCurve(log_snr=log_snr, leaked=leaked)
