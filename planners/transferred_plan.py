"""A plan of one dataset for another: the same spacing, patch, network and normalisation, on the other's cases."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from autodiffseg.errors import UserError
from autodiffseg.fingerprint import Fingerprint
from autodiffseg.labels import LabelSpec
from autodiffseg.plans import ConfigurationPlan, DiffusionPlan, Plan

from .diffusion_settings import plan_diffusion
from .left_right import mirror_axes
from .normalisation import plan_normalisation
from .plan_source import Source
from .spacing import target_spacing, transpose_order

FAR = 2.0
"""A target spacing that differs by more than this factor from what would be planned is worth a word."""


class Transferred(NamedTuple):
    """A plan for another dataset than it was made for."""

    plan: Plan
    origin: str
    """Where it comes from, for a sentence."""
    notes: tuple[str, ...]
    """What of it could not be taken over or may not suit the dataset."""


def transfer_plan(
    made: Source, fingerprint: Fingerprint, *, channels: Sequence[str], spec: LabelSpec, name: str
) -> Transferred:
    """The plan with the name, raw data and cases of another dataset.

    As nnU-Net's move of plans does, it keeps everything that is computed with, the intensity statistics included, so
    that a network trained on one dataset sees the other as its own. What describes the other dataset follows it: the
    median shape; the kind of its labels and their leakage curve; mirroring, which leaves out the axis between left and
    right classes. Where nobody has decided on the diffusion (nnU-Net has none), that is planned.

    Args:
        made: the plan, made elsewhere.
        fingerprint: of the dataset that the plan is for from now on.
        channels: names of its channels.
        spec: its labels.
        name: of the new plan.

    Raises:
        UserError: when the datasets differ in the number of channels.
    """
    source = made.plan
    if len(channels) != len(source.intensities):
        raise UserError(
            f"The plan '{source.name}' of {source.dataset} is for {len(source.intensities)} channels, "
            f"{fingerprint.dataset} has {len(channels)} ({', '.join(channels)})."
        )
    configurations, notes = {}, [*made.notes, *_notes_of_dataset(source, fingerprint, channels)]
    for key, given in source.configurations.items():
        sizes = _sizes(source, given, fingerprint)
        allowed = mirror_axes(spec.foreground, source.transpose, given.dimensions, fingerprint.left_right_axes)
        configurations[key] = given.model_copy(
            update={
                "median_shape": tuple(max(1, round(length)) for length in np.median(sizes, axis=0).tolist()),
                "mirror_axes": tuple(axis for axis in given.mirror_axes if axis in allowed),
            }
        )
        notes += [f"{key}: {note}" for note in _notes_of_configuration(source, given, fingerprint, sizes, allowed)]
    diffusion = own = plan_diffusion(fingerprint, spec).plan
    if source.diffusion != DiffusionPlan():
        diffusion = source.diffusion.model_copy(update={"encoding": own.encoding, "leakage": own.leakage})
    if diffusion.log_snr_shift != own.log_snr_shift:
        notes.append(f"log_snr_shift stays {diffusion.log_snr_shift:g}, the labels would give {own.log_snr_shift:g}")
    plan = source.model_copy(
        update={
            "name": name,
            "dataset": fingerprint.dataset,
            "fingerprint_hash": fingerprint.raw_hash,
            "configurations": configurations,
            "diffusion": diffusion,
            "gpu_memory_gb": None,  # nobody has asked whether it fits with these labels
            "planned_for": (),
        }
    )
    return Transferred(plan, made.origin, tuple(notes))


def _axes(source: Plan, configuration: ConfigurationPlan) -> list[int]:
    """Raw axes in the order of the configuration's tuples."""
    return list(source.transpose[3 - configuration.dimensions :])


def _sizes(source: Plan, configuration: ConfigurationPlan, fingerprint: Fingerprint) -> npt.NDArray[np.float64]:
    """Every case on the configuration's grid, voxels `(cases, dimensions)`."""
    if configuration.target_size is not None:
        return np.tile(np.array(configuration.target_size, dtype=float), (len(fingerprint.cases), 1))
    axes = _axes(source, configuration)
    shapes = np.array(fingerprint.shapes_after_crop, dtype=float)[:, axes]
    spacings = np.array(fingerprint.spacings, dtype=float)[:, axes]
    sizes: npt.NDArray[np.float64] = np.maximum(1, np.round(shapes * spacings / np.array(configuration.spacing)))
    return sizes


def _notes_of_dataset(source: Plan, fingerprint: Fingerprint, channels: Sequence[str]) -> Iterator[str]:
    own = transpose_order(
        target_spacing(fingerprint.spacings, fingerprint.shapes_after_crop), fingerprint.shapes_after_crop
    )
    if own[0] != source.transpose[0]:
        yield (
            f"the plan takes slices across raw axis {source.transpose[0]} (of z, y, x), "
            f"{fingerprint.dataset} has its own across axis {own[0]}"
        )
    schemes = next(iter(source.configurations.values())).normalisation if source.configurations else ()
    planned = plan_normalisation(channels, fingerprint.median_relative_size_after_cropping)
    for channel, given, would in zip(channels, schemes, planned, strict=False):
        if given.scheme != would.scheme:
            yield f"channel '{channel}' is normalised by `{given.scheme}`, its name would give `{would.scheme}`"


def _notes_of_configuration(
    source: Plan,
    configuration: ConfigurationPlan,
    fingerprint: Fingerprint,
    sizes: npt.NDArray[np.float64],
    allowed: tuple[int, ...],
) -> Iterator[str]:
    largest = [int(length) for length in sizes.max(axis=0)]
    # One divisor more than a case is what planning itself may ask for, so that every axis can be halved.
    spare = [
        patch - length >= step
        for patch, length, step in zip(configuration.patch_size, largest, configuration.network.divisor, strict=True)
    ]
    if any(spare):
        yield f"the patch {_by(configuration.patch_size)} is larger than every case at that spacing ({_by(largest)})"
    if configuration.target_size is None:
        own = target_spacing(fingerprint.spacings, fingerprint.shapes_after_crop)
        would = [own[axis] for axis in _axes(source, configuration)]
        ratios = [max(a / b, b / a) for a, b in zip(would, configuration.spacing, strict=True)]
        if max(ratios) > FAR:
            yield f"the target spacing {_by(configuration.spacing)} mm is far from the dataset's own, {_by(would)} mm"
    if held := [axis for axis in configuration.mirror_axes if axis not in allowed]:
        yield f"axis {held[0]} is not mirrored: the dataset has left and right classes"


def _by(values: Sequence[float]) -> str:
    return " × ".join(f"{value:.4g}" for value in values)
