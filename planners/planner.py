"""The planner: from a fingerprint to a plan, and the reasons."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from autodiffseg.fingerprint import Fingerprint
from autodiffseg.labels import LabelSpec
from autodiffseg.plans import ConfigurationPlan, Plan

from .batch_size import BatchPlan, plan_batch
from .left_right import mirror_axes
from .normalisation import plan_normalisation
from .patch import PatchPlan, plan_patch
from .presets import Preset
from .spacing import median_shape_at, target_spacing, transpose_order


class Reasons(NamedTuple):
    """What the rules saw on their way to one configuration."""

    patch: PatchPlan
    batch: BatchPlan


class Planned(NamedTuple):
    """A plan and, per configuration, what it comes from."""

    plan: Plan
    reasons: dict[str, Reasons]


def make_plan(
    fingerprint: Fingerprint, *, channels: Sequence[str], spec: LabelSpec, preset: Preset, name: str
) -> Planned:
    """Plan `2d` and, where the cases have depth, `3d_fullres`. The result depends on the arguments alone.

    Args:
        fingerprint: the dataset in numbers.
        channels: names of the image channels, from dataset.json.
        spec: the labels.
        preset: how large the network may be.
        name: of the plan.
    """
    spacing = target_spacing(fingerprint.spacings, fingerprint.shapes_after_crop)
    transpose = transpose_order(spacing, fingerprint.shapes_after_crop)
    median = median_shape_at(spacing, fingerprint.spacings, fingerprint.shapes_after_crop)
    spacing_transposed = tuple(spacing[axis] for axis in transpose)
    median_transposed = tuple(median[axis] for axis in transpose)
    normalisation = plan_normalisation(channels, fingerprint.median_relative_size_after_cropping)

    configurations: dict[str, ConfigurationPlan] = {}
    reasons: dict[str, Reasons] = {}
    wanted = {"2d": 2} if median_transposed[0] == 1 else {"2d": 2, "3d_fullres": 3}
    for configuration, dimensions in wanted.items():
        own_spacing = spacing_transposed[3 - dimensions :]
        own_median = median_transposed[3 - dimensions :]
        patch = plan_patch(own_spacing, own_median, channels=spec.channels, preset=preset)
        batch = plan_batch(
            patch.topology.patch,
            elements=patch.elements,
            median_shape=median_transposed,
            cases=len(fingerprint.cases),
            preset=preset,
        )
        reasons[configuration] = Reasons(patch, batch)
        configurations[configuration] = ConfigurationPlan(
            dimensions=2 if dimensions == 2 else 3,
            spacing=own_spacing,
            median_shape=tuple(round(length) for length in own_median),
            patch_size=patch.topology.patch,
            batch_size=batch.size,
            # nnU-Net: slices of one batch come from many cases and often miss classes; 3D patches seldom do.
            batch_dice=dimensions == 2,
            normalisation=normalisation,
            network=patch.network,
            mirror_axes=mirror_axes(spec.foreground, transpose, dimensions),
        )
    plan = Plan(
        name=name,
        preset=preset.name,
        dataset=fingerprint.dataset,
        fingerprint_hash=fingerprint.raw_hash,
        transpose=transpose,
        intensities=fingerprint.intensities,
        configurations=configurations,
        iterations=preset.iterations,
    )
    return Planned(plan, reasons)
