"""The alternatives to a plan, for its explanation: other spacings, and what the other presets would plan."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from autodiffseg.fingerprint import Fingerprint
from autodiffseg.labels import LabelSpec

from .planner import Planned, make_plan
from .presets import PRESETS
from .spacing import FINE_PERCENTILE, target_spacing

AXES = "zyx"


def spacing_alternatives(planned: Planned, fingerprint: Fingerprint) -> Iterator[str]:
    """A table of the spacings seen along each raw axis, and which of them became the target."""
    if "2d" in planned.plan.configurations and planned.plan.configuration("2d").target_size is not None:
        yield "- Target spacing: none, every image is resampled to the size that `--target-size` gives."
        return
    seen = np.array(fingerprint.spacings, dtype=float)
    ruled = target_spacing(fingerprint.spacings, fingerprint.shapes_after_crop)
    chosen = planned.raw_spacing
    spread = np.percentile(seen, (0, FINE_PERCENTILE, 50, 90, 100), axis=0)  # (5, 3)
    spread[2] = np.median(seen, axis=0)  # numpy's 50th percentile may differ from it in the last digit
    yield "- Target spacing, mm:"
    yield ""
    yield f"| axis | finest | {FINE_PERCENTILE}th percentile | median | 90th percentile | coarsest | target | it is |"
    yield "|---|---|---|---|---|---|---|---|"
    for axis, name in enumerate(AXES):
        numbers = (*spread[:, axis], chosen[axis])
        if chosen != ruled:
            why = "as `--overwrite-target-spacing` asks"
        elif ruled[axis] == spread[2, axis]:
            why = "the median"
        else:
            why = f"the {FINE_PERCENTILE}th percentile, not finer than the other axes: this axis is anisotropic"
        yield f"| {name} | {' | '.join(f'{number:.4g}' for number in numbers)} | {why} |"
    yield ""


def preset_alternatives(
    planned: Planned, fingerprint: Fingerprint, *, channels: Sequence[str], spec: LabelSpec
) -> Iterator[str]:
    """A table of what each preset would plan for the same cases."""
    size = planned.plan.configuration("2d").target_size
    yield "## What the presets would plan"
    yield ""
    yield "| preset | configuration | spacing | patch | batch | stages |"
    yield "|---|---|---|---|---|---|"
    for preset in PRESETS.values():
        spacing = None if size else planned.raw_spacing
        other = make_plan(
            fingerprint, channels=channels, spec=spec, preset=preset, name="", spacing=spacing, target_size=size
        )
        for name in other.reasons:
            found = other.plan.configuration(name)
            grid = " × ".join(f"{value:.4g}" for value in found.spacing) if found.target_size is None else "by size"
            patch, stages = " × ".join(map(str, found.patch_size)), len(found.network.features)
            yield f"| `{preset.name}` | `{name}` | {grid} | {patch} | {found.batch_size} | {stages} |"
    yield ""
    yield "; ".join(f"`{preset.name}`: {preset.summary}" for preset in PRESETS.values()) + "."
    yield ""
