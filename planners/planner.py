"""The planner: from a fingerprint to a plan, and the reasons."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from autodiffseg.errors import UserError
from autodiffseg.fingerprint import Fingerprint
from autodiffseg.labels import LabelSpec
from autodiffseg.plans import ConfigurationPlan, Plan

from .batch_size import BatchPlan, plan_batch
from .diffusion_settings import plan_diffusion
from .left_right import mirror_axes
from .lowres import LowresPlan, plan_lowres
from .normalisation import plan_normalisation
from .patch import PatchPlan, plan_patch
from .presets import Preset
from .spacing import median_shape_at, target_spacing, transpose_order


class Reasons(NamedTuple):
    """What the rules saw on their way to one configuration."""

    patch: PatchPlan
    batch: BatchPlan


class Planned(NamedTuple):
    """A plan and what it comes from."""

    plan: Plan
    reasons: dict[str, Reasons]
    """Per configuration that was planned by itself; a cascade has its parent's."""
    lowres: LowresPlan | None
    """The search for a low resolution; None for 2D images."""
    raw_spacing: tuple[float, float, float]
    """Target, raw (z, y, x) mm."""


class _Shapes(NamedTuple):
    """The cases on the target grid, in transposed axis order."""

    raw_spacing: tuple[float, float, float]
    """Target, raw (z, y, x) mm."""
    transpose: tuple[int, int, int]
    spacing: tuple[float, ...]
    """The target in transposed order, mm."""
    median: tuple[float, ...]
    """Of the cases, voxels; may end in .5."""


def make_plan(
    fingerprint: Fingerprint,
    *,
    channels: Sequence[str],
    spec: LabelSpec,
    preset: Preset,
    name: str,
    spacing: tuple[float, float, float] | None = None,
    target_size: tuple[int, int] | None = None,
) -> Planned:
    """Plan every configuration that the dataset has use for. The result depends on the arguments alone.

    `2d` always; `3d_fullres` where the cases have depth; `3d_lowres` and `3d_cascade_fullres` where a patch covers less
    than a quarter of the median case.

    Args:
        fingerprint: the dataset in numbers.
        channels: names of the image channels, from dataset.json.
        spec: the labels.
        preset: how large the network may be.
        name: of the plan.
        spacing: target, raw (z, y, x) mm, instead of the one that the rules find.
        target_size: pixels (y, x) to which every image is resampled, instead of a target spacing.

    Raises:
        UserError: when `target_size` is asked for and the cases have depth.
    """
    shapes = _look(fingerprint, spacing)
    flat = shapes.median[0] == 1
    if target_size is not None:
        if not flat:
            raise UserError(
                f"--target-size is for 2D images; the median case of {fingerprint.dataset} has "
                f"{shapes.median[0]:g} slices. Use --overwrite-target-spacing."
            )
        shapes = shapes._replace(spacing=(shapes.spacing[0], 1.0, 1.0), median=(1.0, *map(float, target_size)))

    maker = _Maker(fingerprint, shapes, channels=channels, spec=spec, preset=preset)
    maker.add("2d", shapes.spacing[1:], shapes.median[1:], batch_dice=True, target_size=target_size)
    lowres = None
    if not flat:
        lowres = maker.add_3d()
    plan = Plan(
        name=name,
        preset=preset.name,
        dataset=fingerprint.dataset,
        fingerprint_hash=fingerprint.raw_hash,
        transpose=shapes.transpose,
        intensities=fingerprint.intensities,
        configurations=maker.configurations,
        diffusion=plan_diffusion(fingerprint, spec).plan,
        iterations=preset.iterations,
    )
    return Planned(plan, maker.reasons, lowres, shapes.raw_spacing)


def _look(fingerprint: Fingerprint, spacing: tuple[float, float, float] | None) -> _Shapes:
    raw = spacing or target_spacing(fingerprint.spacings, fingerprint.shapes_after_crop)
    order = transpose_order(raw, fingerprint.shapes_after_crop)
    median = median_shape_at(raw, fingerprint.spacings, fingerprint.shapes_after_crop)
    return _Shapes(raw, order, tuple(raw[axis] for axis in order), tuple(median[axis] for axis in order))


class _Maker:
    """Makes configurations one by one, with their reasons."""

    def __init__(
        self, fingerprint: Fingerprint, shapes: _Shapes, *, channels: Sequence[str], spec: LabelSpec, preset: Preset
    ) -> None:
        self.shapes, self.spec, self.preset = shapes, spec, preset
        self.cases, self.left_right_axes = len(fingerprint.cases), fingerprint.left_right_axes
        self.normalisation = plan_normalisation(channels, fingerprint.median_relative_size_after_cropping)
        self.configurations: dict[str, ConfigurationPlan] = {}
        self.reasons: dict[str, Reasons] = {}

    def add_3d(self) -> LowresPlan:
        """Full resolution and, where it is worth it, low resolution and cascade."""
        spacing, median = self.shapes.spacing, self.shapes.median
        patch = plan_patch(spacing, median, channels=self.spec.channels, preset=self.preset)
        lowres = plan_lowres(spacing, median, patch.topology.patch, channels=self.spec.channels, preset=self.preset)
        # nnU-Net's rule: where a patch is a small part of a case, one patch seldom shows enough of a class.
        self.add("3d_fullres", spacing, median, batch_dice=lowres.patch is not None, patch=patch)
        if lowres.patch is not None:
            self.add("3d_lowres", lowres.spacing, lowres.median_shape, batch_dice=False, patch=lowres.patch)
            full = self.configurations["3d_fullres"]
            self.configurations["3d_cascade_fullres"] = full.model_copy(
                update={"inherits_from": "3d_fullres", "previous_stage": "3d_lowres"}
            )
        return lowres

    def add(
        self,
        name: str,
        spacing: Sequence[float],
        median: Sequence[float],
        *,
        batch_dice: bool,
        patch: PatchPlan | None = None,
        target_size: tuple[int, int] | None = None,
    ) -> None:
        """One configuration of two or three axes."""
        patch = patch or plan_patch(spacing, median, channels=self.spec.channels, preset=self.preset)
        whole = median if len(median) == 3 else (self.shapes.median[0], *median)
        batch = plan_batch(
            patch.topology.patch, elements=patch.elements, median_shape=whole, cases=self.cases, preset=self.preset
        )
        self.reasons[name] = Reasons(patch, batch)
        self.configurations[name] = ConfigurationPlan(
            dimensions=2 if len(spacing) == 2 else 3,
            spacing=tuple(spacing),
            target_size=target_size,
            median_shape=tuple(max(1, round(length)) for length in median),
            patch_size=patch.topology.patch,
            batch_size=batch.size,
            batch_dice=batch_dice,
            normalisation=self.normalisation,
            network=patch.network,
            mirror_axes=mirror_axes(self.spec.foreground, self.shapes.transpose, len(spacing), self.left_right_axes),
        )
