"""The planner against plans that nnU-Net's own planner made from the same numbers."""

from __future__ import annotations

import math
from typing import Any

import pytest

from autodiffseg.fingerprint import Fingerprint, IntensityStatistics
from autodiffseg.labels import LabelSpec
from autodiffseg.planners.planner import Planned, make_plan
from autodiffseg.planners.presets import CPU, DEFAULT, Preset
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


# (spacing, shape, cases, channels, labels), then per configuration (patch, batch, stages, halvings, first kernel):
# what nnU-Net 2.8.1's default planner makes of a fingerprint with these medians.
GOLDEN = {
    "hippocampus": (
        ((1, 1, 1), (36, 50, 35), 260, 1, 3),
        ((40, 56, 40), 9, 4, (3, 3, 3), (3, 3, 3)),
        ((56, 40), 366, 4, (3, 3), (3, 3)),
    ),
    "heart": (
        ((1.37, 1.25, 1.25), (115, 320, 232), 20, 1, 2),
        ((80, 192, 160), 2, 6, (4, 5, 5), (3, 3, 3)),
        ((320, 256), 40, 7, (6, 6), (3, 3)),
    ),
    "prostate": (
        ((3.6, 0.62, 0.62), (20, 320, 319), 32, 2, 3),
        ((20, 320, 256), 2, 7, (2, 6, 6), (1, 3, 3)),
        ((320, 320), 32, 7, (6, 6), (3, 3)),
    ),
    "brats": (
        ((1, 1, 1), (140, 171, 137), 484, 4, 4),
        ((128, 128, 128), 2, 6, (5, 5, 5), (3, 3, 3)),
        ((192, 160), 105, 6, (5, 5), (3, 3)),
    ),
    "liver": (
        ((1, 0.77, 0.77), (432, 512, 512), 131, 1, 3),
        ((128, 128, 128), 2, 6, (5, 5, 5), (3, 3, 3)),
        ((512, 512), 12, 8, (7, 7), (3, 3)),
    ),
    "acdc": (
        ((10, 1.56, 1.56), (9, 237, 208), 200, 1, 4),
        ((10, 256, 224), 7, 6, (1, 5, 5), (1, 3, 3)),
        ((256, 224), 56, 6, (5, 5), (3, 3)),
    ),
    "abdomen": (
        ((5, 0.68, 0.68), (104, 768, 512), 300, 1, 16),
        ((32, 288, 192), 2, 6, (3, 5, 5), (1, 3, 3)),
        ((768, 512), 8, 8, None, (3, 3)),
    ),
    "ultrasound": (((999, 1, 1), (1, 480, 512), 3910, 1, 2), None, ((512, 512), 12, 8, (7, 7), (3, 3))),
    "colour": (((999, 1, 1), (1, 256, 256), 50, 3, 2), None, ((256, 256), 2, 7, (6, 6), (3, 3))),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_the_default_preset_plans_what_nnunet_plans(name: str) -> None:
    (spacing, shape, cases, channels, labels), three, two = GOLDEN[name]
    made = plan(fingerprint(spacing, shape, cases, channels), classes=labels).plan
    assert set(made.configurations) == ({"2d", "3d_fullres"} if three else {"2d"})
    for configuration, wanted in (("2d", two), ("3d_fullres", three)):
        if wanted is None:
            continue
        patch, batch, stages, halvings, kernel = wanted
        found = made.configuration(configuration)
        assert (found.patch_size, found.batch_size, len(found.network.features)) == (patch, batch, stages)
        assert found.network.kernels[0] == kernel
        assert found.network.kernels[-1] == (3,) * found.dimensions
        if halvings is not None:
            strides = zip(*found.network.strides, strict=True)
            assert tuple(int(math.log2(math.prod(axis))) for axis in strides) == halvings


def test_the_medians_of_cases_enter_with_their_halves() -> None:
    seen = fingerprint((3, 0.8, 0.8), (22, 60, 64), cases=6)
    seen = seen.model_copy(update={"shapes_after_crop": ((22, 60, 64), (23, 60, 64)) * 3})
    made = plan(seen, classes=3).plan
    three, two = made.configuration("3d_fullres"), made.configuration("2d")
    assert (three.patch_size, three.batch_size) == ((24, 64, 64), 2)
    assert three.network.strides == ((1, 1, 1), (1, 2, 2), (2, 2, 2), (2, 2, 2), (1, 2, 2))
    assert three.network.kernels == ((1, 3, 3), *(((3, 3, 3),) * 4))
    assert (two.patch_size, two.batch_size) == ((64, 64), 6)


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


@pytest.mark.parametrize("name", GOLDEN)
def test_the_cpu_preset_stays_within_its_bounds(name: str) -> None:
    (spacing, shape, cases, channels, labels), _, _ = GOLDEN[name]
    for found in plan(fingerprint(spacing, shape, cases, channels), labels, CPU).plan.configurations.values():
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
