"""The planner against plans that nnU-Net's own planner made from the same numbers."""

from __future__ import annotations

import functools
import math
from typing import Any

import pytest

from autodiffseg.fingerprint import Fingerprint, IntensityStatistics
from autodiffseg.labels import LabelSpec
from autodiffseg.planners.planner import Planned, make_plan
from autodiffseg.planners.presets import CPU, DEFAULT, Preset, find_preset
from autodiffseg.plans import Plan

STATISTICS = IntensityStatistics(mean=0, median=0, std=1, min=0, max=1, percentile_00_5=0, percentile_99_5=1)


def fingerprint(spacing: Any, shape: Any, cases: int = 1, channels: int = 1, relative: float = 1.0) -> Fingerprint:
    return Fingerprint(
        dataset="Dataset001_Toy",
        cases=tuple(f"case_{index:04d}" for index in range(cases)),
        spacings=(spacing,) * cases,
        shapes=(shape,) * cases,
        shapes_after_crop=(shape,) * cases,
        median_relative_size_after_cropping=relative,
        intensities=(STATISTICS,) * channels,
        class_frequencies={},
        class_presence={},
        raw_hash="abc",
    )


def spec(classes: int) -> LabelSpec:
    return LabelSpec(labels={"background": 0, **{f"class {index}": index for index in range(1, classes)}})


def plan(
    seen: Fingerprint, classes: int = 2, preset: Preset = DEFAULT, names: tuple[str, ...] | None = None
) -> Planned:
    channels = names or ("MR",) * len(seen.intensities)
    return make_plan(seen, channels=channels, spec=spec(classes), preset=preset, name=preset.name)


# (spacing, shape, cases, channels, labels) of ten datasets; the medians stand for all cases.
DATASETS = {
    "hippocampus": ((1, 1, 1), (36, 50, 35), 260, 1, 3),
    "heart": ((1.37, 1.25, 1.25), (115, 320, 232), 20, 1, 2),
    "prostate": ((3.6, 0.62, 0.62), (20, 320, 319), 32, 2, 3),
    "brats": ((1, 1, 1), (140, 171, 137), 484, 4, 4),
    "liver": ((1, 0.77, 0.77), (432, 512, 512), 131, 1, 3),
    "acdc": ((10, 1.56, 1.56), (9, 237, 208), 200, 1, 4),
    "abdomen": ((5, 0.68, 0.68), (104, 768, 512), 300, 1, 16),
    "ultrasound": ((999, 1, 1), (1, 480, 512), 3910, 1, 2),
    "colour": ((999, 1, 1), (1, 256, 256), 50, 3, 2),
    "toy": ((3, 0.8, 0.8), (22.5, 60, 64), 6, 1, 3),
}

# What nnU-Net 2.8.1's planners make of them (its ExperimentPlanner for `default`, its ResEnc M, L and XL planners):
# (dataset, preset, configuration): (patch, batch, halvings per axis, first kernel); None is not known.
K3, K2, FLAT = (3, 3, 3), (3, 3), (1, 3, 3)
GOLDEN = {
    ("hippocampus", "default", "3d_fullres"): ((40, 56, 40), 9, (3, 3, 3), K3),
    ("hippocampus", "default", "2d"): ((56, 40), 366, (3, 3), K2),
    ("hippocampus", "residual-m", "3d_fullres"): ((40, 56, 40), 58, (3, 3, 3), K3),
    ("hippocampus", "residual-m", "2d"): ((56, 40), 1618, (3, 3), K2),
    ("hippocampus", "residual-l", "3d_fullres"): ((40, 56, 40), 178, (3, 3, 3), K3),
    ("hippocampus", "residual-l", "2d"): ((56, 40), 4554, (3, 3), K2),
    ("hippocampus", "residual-xl", "3d_fullres"): ((40, 56, 40), 183, (3, 3, 3), K3),
    ("hippocampus", "residual-xl", "2d"): ((56, 40), 6711, (3, 3), K2),
    ("heart", "default", "3d_fullres"): ((80, 192, 160), 2, (4, 5, 5), K3),
    ("heart", "default", "2d"): ((320, 256), 40, (6, 6), K2),
    ("heart", "residual-l", "3d_fullres"): ((112, 288, 224), 2, None, None),
    ("heart", "residual-l", "2d"): (None, 113, None, None),
    ("prostate", "default", "3d_fullres"): ((20, 320, 256), 2, (2, 6, 6), FLAT),
    ("prostate", "default", "2d"): ((320, 320), 32, (6, 6), K2),
    ("prostate", "residual-m", "3d_fullres"): ((20, 256, 256), 2, None, None),
    ("prostate", "residual-m", "2d"): (None, 32, None, None),
    ("prostate", "residual-l", "3d_fullres"): ((20, 320, 320), 5, None, None),
    ("prostate", "residual-l", "2d"): (None, 90, None, None),
    ("prostate", "residual-xl", "3d_fullres"): (None, 8, None, None),
    ("prostate", "residual-xl", "2d"): (None, 133, None, None),
    ("brats", "default", "3d_fullres"): ((128, 128, 128), 2, (5, 5, 5), K3),
    ("brats", "default", "2d"): ((192, 160), 105, (5, 5), K2),
    ("brats", "residual-m", "3d_fullres"): ((128, 128, 128), 2, None, None),
    ("brats", "residual-m", "2d"): (None, 107, None, None),
    ("brats", "residual-l", "3d_fullres"): ((160, 192, 160), 3, None, None),
    ("brats", "residual-l", "2d"): (None, 301, None, None),
    ("brats", "residual-xl", "3d_fullres"): (None, 5, None, None),
    ("brats", "residual-xl", "2d"): (None, 444, None, None),
    ("liver", "default", "3d_fullres"): ((128, 128, 128), 2, (5, 5, 5), K3),
    ("liver", "default", "3d_lowres"): ((128, 128, 128), None, None, None),
    ("liver", "default", "2d"): ((512, 512), 12, (7, 7), K2),
    ("liver", "residual-m", "3d_fullres"): ((128, 128, 128), 2, (5, 5, 5), K3),
    ("liver", "residual-m", "3d_lowres"): ((128, 128, 128), None, None, None),
    ("liver", "residual-m", "2d"): (None, 12, None, None),
    ("liver", "residual-l", "3d_fullres"): ((160, 224, 192), 2, None, None),
    ("liver", "residual-l", "3d_lowres"): ((160, 224, 192), None, None, None),
    ("liver", "residual-l", "2d"): (None, 35, None, None),
    ("liver", "residual-xl", "3d_fullres"): ((192, 256, 256), 2, (5, 6, 6), None),
    ("liver", "residual-xl", "3d_lowres"): ((192, 256, 256), None, None, None),
    ("liver", "residual-xl", "2d"): (None, 52, None, None),
    ("acdc", "default", "3d_fullres"): ((10, 256, 224), 7, (1, 5, 5), FLAT),
    ("acdc", "default", "2d"): ((256, 224), 56, (5, 5), K2),
    ("acdc", "residual-l", "3d_fullres"): (None, 17, None, None),
    ("acdc", "residual-l", "2d"): (None, 161, None, None),
    ("abdomen", "default", "3d_fullres"): ((32, 288, 192), 2, (3, 5, 5), FLAT),
    ("abdomen", "default", "3d_lowres"): ((64, 224, 128), None, None, None),
    ("abdomen", "default", "2d"): ((768, 512), 8, (7, 7), K2),
    ("abdomen", "residual-m", "3d_fullres"): ((32, 288, 160), None, None, None),
    ("abdomen", "residual-m", "3d_lowres"): ((64, 192, 128), None, None, None),
    ("abdomen", "residual-m", "2d"): ((640, 384), 13, (6, 6), None),
    ("abdomen", "residual-l", "3d_fullres"): ((48, 384, 256), None, (3, 6, 6), None),
    ("abdomen", "residual-l", "3d_lowres"): ((64, 320, 224), None, (4, 6, 5), None),
    ("abdomen", "residual-l", "2d"): ((768, 512), 23, None, None),
    ("abdomen", "residual-xl", "3d_fullres"): ((64, 448, 256), None, None, None),
    ("abdomen", "residual-xl", "2d"): (None, 34, None, None),
    ("ultrasound", "default", "2d"): ((512, 512), 12, (7, 7), K2),
    ("ultrasound", "residual-l", "2d"): (None, 35, None, None),
    ("colour", "default", "2d"): ((256, 256), 2, (6, 6), K2),
    ("colour", "residual-l", "2d"): (None, 50, None, None),
    ("toy", "default", "3d_fullres"): ((24, 64, 64), 2, (2, 4, 4), FLAT),
    ("toy", "default", "2d"): ((64, 64), 6, (4, 4), K2),
}

# (spacing, median shape) of the low resolution.
LOWRES = {
    ("liver", "default"): ((2.427, 1.869, 1.869), (178, 211, 211)),
    ("liver", "residual-l"): ((1.605, 1.236, 1.236), None),
    ("liver", "residual-xl"): ((1.344, 1.035, 1.035), None),
    ("abdomen", "default"): ((5, 1.651, 1.651), None),
    ("abdomen", "residual-m"): ((5, 1.751, 1.751), None),
    ("abdomen", "residual-l"): ((5, 1.029, 1.029), None),
}


@functools.cache
def golden(dataset: str, preset: str) -> Planned:
    spacing, shape, cases, channels, labels = DATASETS[dataset]
    seen = fingerprint(spacing, tuple(map(int, shape)), cases, channels)
    if dataset == "toy":  # half of its cases have a slice more, so the median ends in .5
        seen = seen.model_copy(update={"shapes_after_crop": ((22, 60, 64), (23, 60, 64)) * 3})
    return plan(seen, classes=labels, preset=find_preset(preset))


@pytest.mark.parametrize("row", GOLDEN, ids="-".join)
def test_plans_are_those_of_nnunet(row: tuple[str, str, str]) -> None:
    dataset, preset, name = row
    patch, _, halvings, kernel = GOLDEN[row]
    found = golden(dataset, preset).plan.configuration(name)
    strides = zip(*found.network.strides, strict=True)
    planned = (found.patch_size, tuple(int(math.log2(math.prod(axis))) for axis in strides), found.network.kernels[0])
    for ours, theirs in zip(planned, (patch, halvings, kernel), strict=True):
        assert theirs is None or ours == theirs
    assert found.network.kernels[-1] == (3,) * found.dimensions
    assert len(found.network.features) == 1 + max(planned[1])


@pytest.mark.parametrize("row", GOLDEN, ids="-".join)
def test_batches_are_those_of_nnunet_within_the_bounds_of_their_own(row: tuple[str, str, str]) -> None:
    dataset, preset, name = row
    theirs = GOLDEN[row][1]
    if theirs is None:
        return
    made = golden(dataset, preset)
    batch, flat = made.reasons[name].batch, name == "2d"
    share = 0.05 if preset == "default" else 1.0  # nnU-Net's residual presets take up to the whole dataset
    _, shape, cases, _, _ = DATASETS[dataset]
    part = round(math.prod(shape) * cases * share / math.prod(made.plan.configuration(name).patch_size))
    assert max(2, min(batch.by_memory, part)) == theirs
    useful = min(max(batch.by_dataset, 12 if flat else 2), 128 if flat else 32)
    assert batch.size == max(2, min(batch.by_memory, useful))


@pytest.mark.parametrize("row", LOWRES, ids="-".join)
def test_low_resolutions_are_those_of_nnunet(row: tuple[str, str]) -> None:
    spacing, shape = LOWRES[row]
    made = golden(*row).plan
    low, full, cascade = (made.configuration(name) for name in ("3d_lowres", "3d_fullres", "3d_cascade_fullres"))
    assert low.spacing == pytest.approx(spacing, abs=5e-4)
    assert shape is None or low.median_shape == shape
    assert (low.batch_dice, full.batch_dice) == (False, True)
    assert (cascade.inherits_from, cascade.previous_stage) == ("3d_fullres", "3d_lowres")
    assert made.data_id("3d_cascade_fullres") == made.data_id("3d_fullres")


def test_a_low_resolution_is_planned_where_nnunet_plans_one_and_nowhere_else() -> None:
    found = {row[:2] for row in GOLDEN if "3d_lowres" in golden(*row[:2]).plan.configurations}
    assert found == {*LOWRES, ("liver", "residual-m")}
    dropped = golden("abdomen", "residual-xl")
    assert dropped.lowres is not None
    assert dropped.lowres.share < 0.25
    assert 1 < dropped.lowres.fewer < 2
    assert not dropped.plan.configuration("3d_fullres").batch_dice
    assert set(golden("colour", "default").plan.configurations) == {"2d"}
    assert golden("colour", "default").lowres is None


def test_the_medians_of_cases_enter_with_their_halves() -> None:
    seen = fingerprint((3, 0.8, 0.8), (22, 60, 64), cases=6)
    seen = seen.model_copy(update={"shapes_after_crop": ((22, 60, 64), (23, 60, 64)) * 3})
    made = plan(seen, classes=3).plan
    three, two = made.configuration("3d_fullres"), made.configuration("2d")
    assert (three.patch_size, three.batch_size) == ((24, 64, 64), 2)
    assert three.network.strides == ((1, 1, 1), (1, 2, 2), (2, 2, 2), (2, 2, 2), (1, 2, 2))
    assert three.network.kernels == ((1, 3, 3), *(((3, 3, 3),) * 4))
    assert (two.patch_size, two.batch_size) == ((64, 64), 12)


def test_features_double_up_to_the_most_of_each_dimensionality() -> None:
    made = plan(fingerprint((1, 0.77, 0.77), (432, 512, 512), 131), classes=3).plan
    assert made.configuration("3d_fullres").network.features == (32, 64, 128, 256, 320, 320)
    assert made.configuration("2d").network.features == (32, 64, 128, 256, 512, 512, 512, 512)


def test_the_cpu_preset_plans_a_small_network_for_hippocampus() -> None:
    made = plan(fingerprint((1, 1, 1), (36, 50, 35), 208), classes=3, preset=CPU).plan
    three = made.configuration("3d_fullres")
    assert (three.patch_size, three.batch_size) == ((40, 56, 40), 2)
    assert three.network.features == (16, 32, 64, 128)
    assert three.network.kernels == ((3, 3, 3),) * 4
    assert three.network.strides == ((1, 1, 1), *(((2, 2, 2),) * 3))
    assert (made.iterations, three.network.deep_supervision) == (5000, False)


@pytest.mark.parametrize("name", DATASETS)
def test_the_cpu_preset_stays_within_its_bounds(name: str) -> None:
    for found in golden(name, "cpu").plan.configurations.values():
        limits = CPU.limits(found.dimensions)
        assert math.prod(found.patch_size) <= limits.max_patch_voxels
        assert math.prod(found.patch_size) >= 0.3 * min(limits.max_patch_voxels, math.prod(found.median_shape))
        assert len(found.network.features) <= 4
        assert max(found.network.features) <= 128
        assert found.batch_size == 2 if found.dimensions == 3 else 4 <= found.batch_size <= 8


def test_the_thin_axis_comes_first_whatever_its_spacing() -> None:
    made = plan(fingerprint((1, 1, 1), (64, 80, 1), cases=10)).plan  # a 2D image stored as (X, Y, 1), turned
    assert made.transpose == (2, 0, 1)
    assert set(made.configurations) == {"2d"}
    assert made.configuration("2d").median_shape == (64, 80)


def test_everything_is_planned_in_transposed_order() -> None:
    made = plan(fingerprint((0.5, 4.0, 0.5), (256, 20, 200), cases=20)).plan
    assert made.transpose == (1, 0, 2)
    assert made.configuration("3d_fullres").spacing == (4.0, 0.5, 0.5)
    assert made.configuration("3d_fullres").median_shape == (20, 256, 200)
    assert made.configuration("2d").spacing == (0.5, 0.5)


def test_left_and_right_classes_are_not_mirrored_into_each_other() -> None:
    seen = fingerprint((1, 1, 1), (36, 50, 35), cases=5)
    sided = LabelSpec(labels={"background": 0, "lung_left": 1, "lung_right": 2})
    made = make_plan(seen, channels=["CT"], spec=sided, preset=DEFAULT, name="default").plan
    assert made.configuration("3d_fullres").mirror_axes == (0, 1)
    assert made.configuration("2d").mirror_axes == (0,)
    assert plan(seen, 3).plan.configuration("3d_fullres").mirror_axes == (0, 1, 2)


def test_the_axis_that_is_not_mirrored_is_the_one_that_was_seen() -> None:
    seen = fingerprint((1, 1, 1), (36, 50, 35), cases=5).model_copy(update={"left_right_axes": (0,) * 5})
    sided = LabelSpec(labels={"background": 0, "lung_left": 1, "lung_right": 2})
    made = make_plan(seen, channels=["CT"], spec=sided, preset=DEFAULT, name="default").plan
    assert made.configuration("3d_fullres").mirror_axes == (1, 2)
    assert made.configuration("2d").mirror_axes == (0, 1)


def test_two_stages_never_have_deep_supervision() -> None:
    made = plan(fingerprint((1, 1, 1), (12, 12, 12), cases=5)).plan
    network = made.configuration("3d_fullres").network
    assert len(network.features) == 2
    assert not network.deep_supervision
    assert plan(fingerprint((1, 1, 1), (16, 16, 16))).plan.configuration("3d_fullres").network.deep_supervision


def test_the_masked_zscore_is_planned_where_cropping_takes_a_quarter() -> None:
    seen = fingerprint((1, 1, 1), (36, 50, 35), channels=2, relative=0.74)
    schemes = plan(seen, names=("FLAIR", "CT")).plan.configuration("2d").normalisation
    assert [(scheme.scheme, scheme.use_mask) for scheme in schemes] == [("zscore", True), ("ct", False)]


def test_planning_twice_gives_the_same_file() -> None:
    seen = fingerprint((1.37, 1.25, 1.25), (115, 320, 232), 20)
    first = plan(seen).plan
    assert plan(seen).plan.model_dump_json() == first.model_dump_json()
    assert Plan.parse(first.model_dump_json(), source="") == first


def test_case_order_does_not_matter() -> None:
    shapes = ((30, 40, 50), (36, 44, 60), (41, 52, 54))
    seen = fingerprint((1, 1, 2), (1, 1, 1), cases=3)
    one = plan(seen.model_copy(update={"shapes_after_crop": shapes}))
    other = plan(seen.model_copy(update={"shapes_after_crop": shapes[::-1]}))
    assert one.plan == other.plan
