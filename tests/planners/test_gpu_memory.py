"""A plan that does not fit its card gets a smaller batch, then a smaller patch, and no other plan changes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autodiffseg.dataset import DatasetJson
from autodiffseg.errors import UserError
from autodiffseg.fingerprint import Fingerprint, IntensityStatistics
from autodiffseg.memory.estimate import GB
from autodiffseg.planners.fitted_plan import Fit, fitted_plan
from autodiffseg.planners.gpu_memory import size_plan, surely_fits
from autodiffseg.planners.memory_budget import convolution_elements
from autodiffseg.planners.planner import Planned, make_plan
from autodiffseg.planners.presets import CPU, DEFAULT, IMGX_UNET, RESIDUAL_M, Preset
from autodiffseg.planners.trainer_memory import TRAINERS, TrainerMemory, require_trainers
from autodiffseg.plans import Plan

STATISTICS = IntensityStatistics(mean=0, median=0, std=1, min=0, max=1, percentile_00_5=0, percentile_99_5=1)
LIVER: Any = ((1, 0.77, 0.77), (432, 512, 512), 131, 3)
BRAIN: Any = ((1, 1, 1), (140, 171, 137), 484, 4)
SMALL: Any = ((1, 1, 1), (36, 50, 35), 260, 3)


def planner_of(case: Any) -> Callable[[Preset], Planned]:
    """The planner on a dataset whose cases are all alike: spacing, shape, number, classes."""
    spacing, shape, cases, classes = case
    seen = Fingerprint(
        dataset="Dataset001_Toy",
        cases=tuple(f"case_{index:04d}" for index in range(cases)),
        spacings=(spacing,) * cases,
        shapes=(shape,) * cases,
        shapes_after_crop=(shape,) * cases,
        median_relative_size_after_cropping=1,
        intensities=(STATISTICS,),
        class_frequencies={},
        class_presence={},
        raw_hash="abc",
    )
    spec = dataset(classes).spec
    return lambda preset: make_plan(seen, channels=("MR",), spec=spec, preset=preset, name="toy")


def dataset(classes: int) -> DatasetJson:
    labels = {"background": 0} | {f"class {i}": i for i in range(1, classes)}
    return DatasetJson.model_validate({"channel_names": {"0": "MR"}, "labels": labels, "file_ending": ".nii.gz"})


class ByElements(TrainerMemory):
    """A trainer that takes so many bytes for each element of a convolution's output."""

    def __init__(self, per_element: float, overhead: int = 2 * GB) -> None:
        super().__init__(("supervised",), dataset(3), overhead=overhead)
        self.per_element = per_element
        self.asked = 0

    def predicted(self, trainer: str, plan: Plan, configuration: str) -> int:
        self.asked += 1
        found = plan.configuration(configuration)
        elements = convolution_elements(found.network, found.patch_size, channels=3) * found.batch_size
        return self.overhead + round(elements * self.per_element)


def sizes(plan: Plan) -> dict[str, tuple[tuple[int, ...], int]]:
    return {name: (found.patch_size, found.batch_size) for name, found in plan.configurations.items()}


@pytest.mark.parametrize("case", [LIVER, BRAIN, SMALL])
def test_what_fits_stays_as_the_rules_planned_it(case: Any) -> None:
    make = planner_of(case)
    sized = size_plan(make, DEFAULT, ByElements(5.8), limit=10 * GB)
    assert sized.planned.plan == make(DEFAULT).plan
    assert sized.notes == ()


def test_the_batch_shrinks_before_the_patch() -> None:
    make = planner_of(BRAIN)
    sized = size_plan(make, DEFAULT, ByElements(10.0), limit=10 * GB)
    patch, batch = sizes(sized.planned.plan)["2d"]
    planned_patch, planned_batch = sizes(make(DEFAULT).plan)["2d"]
    assert patch == planned_patch
    assert 2 < batch < planned_batch
    assert f"the batch was {planned_batch} and became {batch}" in sized.notes[0]


def test_the_batch_is_the_largest_that_fits() -> None:
    memory = ByElements(10.0)
    plan = size_plan(planner_of(BRAIN), DEFAULT, memory, limit=10 * GB).planned.plan
    found = plan.configuration("2d")
    one_more = found.model_copy(update={"batch_size": found.batch_size + 1})
    larger = plan.model_copy(update={"configurations": {**plan.configurations, "2d": one_more}})
    assert memory.most(plan, "2d") <= 10 * GB < memory.most(larger, "2d")


def test_a_batch_of_two_leaves_only_the_patch() -> None:
    make = planner_of(LIVER)
    sized = size_plan(make, DEFAULT, ByElements(12.0), limit=10 * GB)
    before, after = sizes(make(DEFAULT).plan), sizes(sized.planned.plan)
    assert before["3d_fullres"][1] == after["3d_fullres"][1] == 2
    assert math.prod(after["3d_fullres"][0]) < math.prod(before["3d_fullres"][0])
    assert any("`3d_fullres`: the patch was" in note for note in sized.notes)


def test_a_cascade_goes_with_the_full_resolution() -> None:
    sized = size_plan(planner_of(LIVER), DEFAULT, ByElements(12.0), limit=10 * GB)
    found = sizes(sized.planned.plan)
    assert found["3d_cascade_fullres"] == found["3d_fullres"]


@settings(max_examples=30)
@given(per_element=st.floats(4, 40), gigabytes=st.floats(4, 80))
def test_whatever_is_planned_fits_and_the_search_is_short(per_element: float, gigabytes: float) -> None:
    memory, limit = ByElements(per_element), round(gigabytes * GB)
    plan = size_plan(planner_of(LIVER), DEFAULT.scaled_to(gigabytes), memory, limit=limit).planned.plan
    assert all(memory.most(plan, name) <= limit for name in plan.configurations)
    assert memory.asked < 120


def test_a_larger_card_never_gets_a_smaller_patch() -> None:
    make = planner_of(LIVER)
    voxels = []
    for gigabytes in (4, 6, 8, 12, 16, 24, 40, 80):
        preset = DEFAULT.scaled_to(gigabytes)
        plan = size_plan(make, preset, ByElements(5.8), limit=gigabytes * GB).planned.plan
        voxels.append(math.prod(plan.configuration("3d_fullres").patch_size))
    assert voxels == sorted(voxels)
    assert voxels[-1] > 4 * voxels[2]


def test_the_batch_fits_even_where_memory_does_not_grow_in_proportion() -> None:
    class Bent(ByElements):
        def predicted(self, trainer: str, plan: Plan, configuration: str) -> int:
            return round(super().predicted(trainer, plan, configuration) ** 0.7 * GB**0.3)

    memory = Bent(30.0)
    plan = size_plan(planner_of(BRAIN), DEFAULT, memory, limit=6 * GB).planned.plan
    assert memory.most(plan, "2d") <= 6 * GB


def small_patches(preset: Preset = DEFAULT) -> Preset:
    """Patches of 64³ at most, so that the batch is large and there is a cascade."""
    return replace(preset, three=replace(preset.three, max_patch_voxels=64**3))


def test_a_cascade_has_the_batch_of_the_full_resolution() -> None:
    found = sizes(size_plan(planner_of(LIVER), small_patches(), ByElements(10.0), limit=10 * GB).planned.plan)
    before = sizes(planner_of(LIVER)(small_patches()).plan)
    assert 2 < found["3d_fullres"][1] < before["3d_fullres"][1]
    assert found["3d_cascade_fullres"] == found["3d_fullres"]


def test_the_full_resolution_leaves_room_for_its_cascade() -> None:
    class Shown(ByElements):
        def predicted(self, trainer: str, plan: Plan, configuration: str) -> int:
            more = 1.5 if plan.configuration(configuration).previous_stage else 1
            return round(super().predicted(trainer, plan, configuration) * more)

    memory = Shown(8.0)
    plan = size_plan(planner_of(LIVER), small_patches(), memory, limit=10 * GB).planned.plan
    assert memory.most(plan, "3d_cascade_fullres") <= 10 * GB


def test_a_card_that_holds_nothing_is_refused_in_one_line() -> None:
    with pytest.raises(UserError, match="do not hold a training of supervised") as refused:
        size_plan(planner_of(BRAIN), DEFAULT.scaled_to(2), ByElements(5.8), limit=2 * GB)
    assert "\n" not in str(refused.value)


def test_the_costliest_trainer_decides() -> None:
    class Two(ByElements):
        def predicted(self, trainer: str, plan: Plan, configuration: str) -> int:
            return super().predicted(trainer, plan, configuration) * (3 if trainer == "greedy" else 1)

    memory = Two(5.8)
    memory.trainers = ("supervised", "greedy")
    plan = size_plan(planner_of(BRAIN), DEFAULT, memory, limit=10 * GB).planned.plan
    assert memory.costliest == "greedy"
    assert memory.predicted("greedy", plan, "3d_fullres") <= 10 * GB


@pytest.mark.parametrize("preset", [DEFAULT, pytest.param(RESIDUAL_M, marks=pytest.mark.slow)])
@pytest.mark.parametrize("case", [SMALL, *(pytest.param(case, marks=pytest.mark.slow) for case in (LIVER, BRAIN))])
def test_the_bound_is_above_what_is_counted(case: Any, preset: Preset) -> None:
    planned = planner_of(case)(preset)
    memory = TrainerMemory(("recycling",), dataset(case[3]), overhead=2 * 10**9)
    counted = max(memory.most(planned.plan, name) for name in planned.reasons)
    assert not surely_fits(planned, channels=case[3], limit=counted)
    assert surely_fits(planned, channels=case[3], limit=4 * counted + 10**10)


def test_small_images_are_planned_without_counting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TrainerMemory, "of", lambda *_: pytest.fail("counted"))
    fitted = fitted_plan(planner_of(SMALL), DEFAULT, Fit(), dataset(3))
    assert "surely" in "\n".join(fitted.explanation)


def test_a_network_with_attention_is_counted_however_large_the_card() -> None:
    planned = planner_of(SMALL)(IMGX_UNET)
    assert not surely_fits(planned, channels=3, limit=10**15)
    assert surely_fits(planner_of(SMALL)(DEFAULT), channels=3, limit=10**15)


@pytest.mark.slow
@pytest.mark.parametrize("case", [LIVER, BRAIN])
def test_default_plans_for_ordinary_datasets_are_kept(case: Any) -> None:
    make = planner_of(case)
    fitted = fitted_plan(make, DEFAULT, Fit(), dataset(case[3]))
    assert sizes(fitted.planned.plan) == sizes(make(DEFAULT).plan)
    assert fitted.planned.plan.planned_for == TRAINERS
    assert fitted.planned.plan.gpu_memory_gb == 8
    assert "everything fits as the budget above planned it" in "\n".join(fitted.explanation)


@pytest.mark.slow
def test_a_hundred_classes_make_the_patch_smaller() -> None:
    """The budget of convolution outputs hardly sees classes; one-hot masks and logits do."""
    many = (*BRAIN[:3], 100)
    make = planner_of(many)
    fitted = fitted_plan(make, DEFAULT, Fit(), dataset(100))
    before, after = make(DEFAULT).plan, fitted.planned.plan
    assert math.prod(after.configuration("3d_fullres").patch_size) < math.prod(
        before.configuration("3d_fullres").patch_size
    )
    memory = TrainerMemory(("recycling",), dataset(100), overhead=2 * 10**9)
    assert memory.most(after, "3d_fullres") <= 10 * GB < memory.most(before, "3d_fullres")


def test_the_cpu_preset_is_held_against_no_card() -> None:
    make = planner_of(SMALL)
    fitted = fitted_plan(make, CPU, Fit(), dataset(3))
    assert fitted.planned.plan == make(CPU).plan
    assert fitted.explanation == ()
    assert (fitted.planned.plan.gpu_memory_gb, fitted.planned.plan.planned_for) == (None, ())


def test_the_table_has_a_row_for_each_trainer_and_configuration() -> None:
    fitted = fitted_plan(planner_of(SMALL), DEFAULT, Fit(table=True), dataset(3))
    rows = [line for line in fitted.explanation if line.startswith("| `")]
    assert [tuple(row.split("`")[1::2]) for row in rows] == [
        (name, trainer) for name in ("2d", "3d_fullres") for trainer in TRAINERS
    ]


def test_a_trainer_that_cannot_be_counted_is_told_and_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    class Opaque:
        @classmethod
        def training_memory(cls, *_: Any) -> Any:
            raise UserError("The memory of Opaque cannot be traced without data: it looks at numbers")

    memory = TrainerMemory(("opaque",), dataset(3), overhead=0)
    memory._classes["opaque"] = Opaque
    plan = planner_of(SMALL)(DEFAULT).plan
    assert memory.most(plan, "2d") == 0
    assert "looks at numbers" in memory.untraceable["opaque"]


def test_an_unknown_trainer_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UserError, match="Did you mean 'recycling'"):
        require_trainers(("recyclin",))
    with pytest.raises(UserError, match="no subclass of"):
        require_trainers(("pathlib:Path",))
