"""A plan applied to another dataset: what stays, what follows the dataset, and what is said about it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from autodiffseg.errors import UserError
from autodiffseg.fingerprint import Fingerprint, IntensityStatistics
from autodiffseg.labels import LabelSpec
from autodiffseg.planners.plan_source import Source, find_source, name_for
from autodiffseg.planners.planner import make_plan
from autodiffseg.planners.presets import CPU
from autodiffseg.planners.transferred_plan import Transferred, transfer_plan
from autodiffseg.plans import DiffusionPlan, Plan
from autodiffseg.workspace import Workspace

SPEC = LabelSpec(labels={"background": 0, "organ": 1})
SIDES = LabelSpec(labels={"background": 0, "lung_left": 1, "lung_right": 2})


def statistics(mean: float) -> IntensityStatistics:
    return IntensityStatistics(mean=mean, median=0, std=1, min=0, max=1, percentile_00_5=0, percentile_99_5=1)


def fingerprint(name: str, **changes: Any) -> Fingerprint:
    """Two cases of 40 x 60 x 50 voxels of 2 x 1 x 1 mm."""
    content = {
        "dataset": name,
        "cases": ("a", "b"),
        "spacings": ((2.0, 1.0, 1.0),) * 2,
        "shapes": ((40, 60, 50),) * 2,
        "shapes_after_crop": ((40, 60, 50),) * 2,
        "median_relative_size_after_cropping": 1.0,
        "intensities": (statistics(1.0),),
        "class_frequencies": {"organ": 0.1},
        "class_presence": {"organ": (0, 1)},
        "raw_hash": f"hash of {name}",
    }
    return Fingerprint.model_validate(content | changes)


def planned(target: Fingerprint | None = None) -> Plan:
    seen = target or fingerprint("Dataset001_Source")
    return make_plan(seen, channels=["CT"], spec=SPEC, preset=CPU, name="cpu").plan


def transferred(target: Fingerprint, spec: LabelSpec = SPEC, channels: tuple[str, ...] = ("CT",)) -> Transferred:
    return moved(planned(), target, spec, channels)


def moved(plan: Plan, target: Fingerprint, spec: LabelSpec = SPEC, channels: tuple[str, ...] = ("CT",)) -> Transferred:
    return transfer_plan(
        Source(plan, Path("there.json"), "there", ()), target, channels=channels, spec=spec, name="moved"
    )


def test_on_like_data_only_name_dataset_and_hash_change() -> None:
    target = fingerprint("Dataset002_Target", intensities=(statistics(7.0),))
    plan, _, notes = transferred(target)
    assert notes == ()
    expected = {"name": "moved", "dataset": "Dataset002_Target", "fingerprint_hash": "hash of Dataset002_Target"}
    assert plan == planned().model_copy(update=expected)
    assert plan.intensities == (statistics(1.0),)


def test_the_median_shape_is_that_of_the_target_at_the_sources_spacing() -> None:
    target = fingerprint("Dataset002_Target", spacings=((3.0, 1.0, 1.5),) * 2)
    plan, *_ = transferred(target)
    assert plan.configuration("3d_fullres").spacing == (2.0, 1.0, 1.0)
    assert plan.configuration("3d_fullres").median_shape == (60, 60, 75)
    assert plan.configuration("2d").median_shape == (60, 75)


def test_preprocessed_cases_are_of_the_target() -> None:
    plan, *_ = transferred(fingerprint("Dataset002_Target"))
    assert plan.data_id("2d") != planned().data_id("2d")


def test_left_and_right_classes_of_the_target_are_not_mirrored() -> None:
    plan, _, notes = transferred(fingerprint("Dataset002_Target"), SIDES)
    assert plan.configuration("3d_fullres").mirror_axes == (0, 1)
    assert "3d_fullres: axis 2 is not mirrored: the dataset has left and right classes" in notes


def test_mirroring_follows_the_patients_of_the_target_not_the_axis_x() -> None:
    plan, *_ = transferred(fingerprint("T", left_right_axes=(1, 1)), SIDES)
    assert plan.configuration("3d_fullres").mirror_axes == (0, 2)
    assert plan.configuration("2d").mirror_axes == (1,)


def test_the_diffusion_is_the_sources_but_for_what_describes_the_labels() -> None:
    regions = LabelSpec(labels={"background": 0, "whole": (1, 2), "core": 2}, regions_class_order=(1, 2))
    source = planned()
    edited = source.diffusion.model_copy(update={"log_snr_shift": -3.0, "sampling_steps": 9})
    plan, _, notes = moved(source.model_copy(update={"diffusion": edited}), fingerprint("T"), regions)
    assert plan.diffusion == edited.model_copy(update={"encoding": "regions"})
    assert notes == ("log_snr_shift stays -3, the labels would give 0",)


def test_where_nobody_decided_on_the_diffusion_it_is_planned() -> None:
    source = planned().model_copy(update={"diffusion": DiffusionPlan()})
    assert moved(source, fingerprint("T")).plan.diffusion == planned(fingerprint("T")).diffusion


def test_an_axis_that_the_source_does_not_mirror_is_not_mirrored() -> None:
    source = planned()
    held = {name: one.model_copy(update={"mirror_axes": (1,)}) for name, one in source.configurations.items()}
    source = source.model_copy(update={"configurations": held})
    plan = moved(source, fingerprint("T")).plan
    assert plan.configuration("2d").mirror_axes == (1,)


def test_other_channels_are_refused_with_both_counts() -> None:
    with pytest.raises(UserError, match=r"'cpu' of Dataset001_Source is for 1 channels, T has 2 \(T1, T2\)"):
        transferred(fingerprint("T", intensities=(statistics(0.0),) * 2), channels=("T1", "T2"))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"shapes_after_crop": ((8, 9, 9),) * 2}, "larger than every case at that spacing (8 × 9 × 9)"),
        ({"shapes_after_crop": ((1, 60, 50),) * 2, "spacings": ((0.5, 1.0, 1.0),) * 2}, "(1 × 60 × 50)"),
        ({"spacings": ((0.4, 0.4, 0.4),) * 2}, "far from the dataset's own, 0.4 × 0.4 × 0.4 mm"),
        ({"spacings": ((9.0, 0.4, 0.4),) * 2}, "far from the dataset's own, 9 × 0.4 × 0.4 mm"),
        ({"spacings": ((1.0, 1.0, 5.0),) * 2}, "slices across raw axis 0 (of z, y, x), T has its own across axis 2"),
    ],
)
def test_a_dataset_that_the_plan_does_not_suit_is_noted(changes: dict[str, Any], words: str) -> None:
    *_, notes = transferred(fingerprint("T", **changes))
    assert any(words in note for note in notes)


def test_one_large_case_is_enough_for_the_patch() -> None:
    *_, notes = transferred(fingerprint("T", shapes_after_crop=((8, 9, 9), (40, 60, 50))))
    assert notes == ()


def test_another_kind_of_channel_is_noted() -> None:
    *_, notes = transferred(fingerprint("T"), channels=("MR",))
    assert notes == ("channel 'MR' is normalised by `ct`, its name would give `zscore`",)


def test_a_plan_by_image_size_suits_images_of_any_spacing() -> None:
    flat = {"shapes": ((1, 60, 50),) * 2, "shapes_after_crop": ((1, 60, 50),) * 2}
    source = make_plan(
        fingerprint("S", **flat), channels=["CT"], spec=SPEC, preset=CPU, name="small", target_size=(32, 32)
    ).plan
    target = fingerprint("T", spacings=((2.0, 9.0, 9.0),) * 2, **flat)
    plan, _, notes = moved(source, target)
    assert notes == ()
    assert plan.configuration("2d").median_shape == (32, 32)


def test_a_source_is_a_dataset_with_or_without_a_plan_or_a_file(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    path = workspace.plan_path("Dataset001_Source", "cpu")
    planned().save(path)
    planned().model_copy(update={"iterations": 7}).save(path.with_name("short.json"))
    assert find_source("1:short", workspace).plan.iterations == 7
    assert find_source(str(path.with_name("short.json")), workspace).plan.name == "short"
    assert find_source("Source:cpu", workspace).plan == planned()
    assert find_source(str(path), workspace).plan == planned()
    path.with_name("short.json").unlink()
    assert find_source("Dataset001_Source", workspace).origin == "the plan 'cpu' of Dataset001_Source"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nowhere.json", "there is no such file"),
        ("Dataset009_None", "has not been planned"),
        ("1:none", "it has: cpu"),
    ],
)
def test_a_source_that_is_not_there_is_refused(tmp_path: Path, text: str, words: str) -> None:
    planned().save(Workspace(tmp_path).plan_path("Dataset001_Source", "cpu"))
    with pytest.raises(UserError, match=words):
        find_source(text, Workspace(tmp_path))


def test_a_plan_is_called_by_where_it_comes_from() -> None:
    assert name_for(planned(), "Dataset001_Source") == "cpu"
    assert name_for(planned(), "Dataset002_Target") == "cpu-from-Source"


def test_whom_a_plan_fits_is_not_said_of_other_labels() -> None:
    source = planned().model_copy(update={"gpu_memory_gb": 8.0, "planned_for": ("recycling",)})
    plan = moved(source, fingerprint("Dataset002_Target")).plan
    assert (plan.gpu_memory_gb, plan.planned_for) == (None, ())
