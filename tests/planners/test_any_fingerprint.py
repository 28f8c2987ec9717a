"""The planner on fingerprints that no dataset has: it ends soon, and what it plans can be written, read and built."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autodiffseg.fingerprint import Fingerprint, IntensityStatistics
from autodiffseg.labels import LabelSpec
from autodiffseg.planners.planner import make_plan
from autodiffseg.planners.presets import PRESETS, Preset
from autodiffseg.plans import ConfigurationPlan, Plan

SECONDS = 5.0
"""Of processor time; most take a hundredth, and small patches for huge cases the longest search."""

lengths = st.one_of(st.integers(1, 12), st.integers(1, 600), st.integers(1, 5000))
spacings = st.floats(-3, 3).map(lambda exponent: 10**exponent)


@st.composite
def fingerprints(draw: st.DrawFn) -> Fingerprint:
    """One to four cases of any shape and spacing; half of the time all alike."""
    count = draw(st.integers(1, 4))
    case = st.tuples(st.tuples(lengths, lengths, lengths), st.tuples(spacings, spacings, spacings))
    cases = [draw(case)] * count if draw(st.booleans()) else [draw(case) for _ in range(count)]
    content: dict[str, Any] = {
        "dataset": "Dataset001_Any",
        "cases": [f"case {index}" for index in range(count)],
        "spacings": [spacing for _, spacing in cases],
        "shapes": [shape for shape, _ in cases],
        "shapes_after_crop": [shape for shape, _ in cases],
        "median_relative_size_after_cropping": draw(st.floats(1e-6, 1.0)),
        "intensities": [dict.fromkeys(IntensityStatistics.model_fields, 0.0)] * draw(st.integers(1, 5)),
        "class_frequencies": {},
        "class_presence": {},
        "raw_hash": "",
    }
    return Fingerprint.model_validate(content)


def check(configuration: ConfigurationPlan, preset: Preset) -> None:
    """What the record does not hold by itself."""
    network = configuration.network
    coarsest = [size // step for size, step in zip(configuration.patch_size, network.divisor, strict=True)]
    assert min(coarsest) >= 1
    assert max(network.features) <= preset.limits(configuration.dimensions).max_features
    assert len(network.features) >= 2
    assert len(network.features) > 2 or not network.deep_supervision  # two stages would be weighted 0/0


@pytest.mark.parametrize("preset", PRESETS.values(), ids=list(PRESETS))
@settings(max_examples=60)
@given(
    fingerprint=fingerprints(), classes=st.integers(1, 30), spacing=st.none() | st.tuples(spacings, spacings, spacings)
)
def test_any_fingerprint_is_planned_within_seconds(
    preset: Preset, fingerprint: Fingerprint, classes: int, spacing: tuple[float, float, float] | None
) -> None:
    spec = LabelSpec(labels={"background": 0, **{f"class {value}": value for value in range(1, classes + 1)}})
    channels = ["CT"] * len(fingerprint.intensities)
    begun = time.process_time()
    plan = make_plan(fingerprint, channels=channels, spec=spec, preset=preset, name="any", spacing=spacing).plan
    assert time.process_time() - begun < SECONDS
    assert Plan.parse(plan.model_dump_json(), source="plan") == plan
    for configuration in plan.configurations.values():
        check(configuration, preset)
