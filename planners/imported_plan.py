"""Plans of nnU-Net as plans of ours: same patch, spacing, network, normalisation and batch, key by key."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from autodiffseg.errors import UserError
from autodiffseg.plans import Plan, Scheme

from .nnunet_network import OldArchitecture, network_plan
from .nnunet_plan import DEFAULT_RESAMPLING, NnunetConfiguration, NnunetPlan, with_inherited

ITERATIONS = 250_000
"""nnU-Net's 1000 epochs of 250 updates."""
SCHEMES: dict[str, Scheme] = {
    "CTNormalization": "ct",
    "ZScoreNormalization": "zscore",
    "RescaleTo01Normalization": "rescale",
    "RGBTo01Normalization": "rgb",
    "NoNormalization": "none",
}
RESAMPLING: dict[str, dict[str, object]] = {
    "data": {"is_seg": False, "order": 3, "order_z": 0, "force_separate_z": None},
    "seg": {"is_seg": True, "order": 1, "order_z": 0, "force_separate_z": None},
}
"""What our preprocessing does: cubic images, linear labels, slice by slice (nearest across) when anisotropic."""
OTHER_RESAMPLING = ("resample_torch_fornnunet", "resample_torch_simple")
"""Functions that go to the same grid by another interpolation."""
KNOWN = {
    *OldArchitecture.model_fields, "num_pool_per_axis", "data_identifier", "next_stage",
    "resampling_fn_probabilities", "resampling_fn_probabilities_kwargs",
}  # fmt: skip
"""Keys that are read elsewhere, or say nothing that the others do not; probabilities are always resampled linearly."""


class Imported(NamedTuple):
    """A plan made from another one, and what the user should know."""

    plan: Plan
    notes: tuple[str, ...]


def import_plan(content: object, *, source: str) -> Imported:
    """The plan of ours that decides the same.

    The file is read as data: no class or function that it names is imported. It says nothing of the raw files, so that
    `fingerprint_hash` is empty, nor of mirroring, which nnU-Net does along every axis.

    Args:
        content: parsed JSON, of any release of nnU-Net v2.
        source: what error messages call it.

    Raises:
        UserError: when a key is missing or wrong, or asks for what we do not have; the message names it.
    """
    theirs = NnunetPlan.check(content, source=source)
    notes = list(_notes_of_plan(theirs))
    configurations = {}
    for name, whole in with_inherited(theirs.configurations, source=source).items():
        own = f"{source}, configuration '{name}'"
        given = NnunetConfiguration.check(whole, source=own)
        try:
            configurations[name] = _configuration(given, own)
        except ValueError as error:
            raise UserError(f"{own}: {error}.") from error
        notes += [f"{name}: {note}" for note in _notes_of_configuration(given)]
    if not configurations:
        raise UserError(f"{source} has no configuration.")
    plan = {
        "name": theirs.plans_name,
        "preset": "imported",
        "dataset": theirs.dataset_name,
        "fingerprint_hash": "",
        "transpose": theirs.transpose_forward,
        "intensities": _intensities(theirs, source),
        "configurations": configurations,
        "iterations": ITERATIONS,
    }
    return Imported(Plan.check(plan, source=source), tuple(notes))


def _configuration(given: NnunetConfiguration, source: str) -> dict[str, Any]:
    dimensions = len(given.patch_size)
    if given.preprocessor_name != "DefaultPreprocessor":
        raise ValueError(f"preprocessor_name '{given.preprocessor_name:.80}' has no counterpart here")
    for kind in ("data", "seg"):
        function = getattr(given, f"resampling_fn_{kind}")
        if function not in (DEFAULT_RESAMPLING, *OTHER_RESAMPLING):
            raise ValueError(f"resampling_fn_{kind} '{function:.80}' has no counterpart here")
    unknown = [scheme for scheme in given.normalization_schemes if scheme not in SCHEMES]
    if unknown:
        raise ValueError(
            f"normalization_schemes has '{unknown[0]:.80}', which has no counterpart here; there are "
            f"{', '.join(SCHEMES)}"
        )
    if len(given.use_mask_for_norm) != len(given.normalization_schemes):
        raise ValueError("use_mask_for_norm needs as many entries as normalization_schemes")
    architecture = given.architecture or OldArchitecture.check(given.model_extra, source=source).renewed(dimensions)
    return {
        "inherits_from": given.inherits_from,
        "previous_stage": given.previous_stage,
        "dimensions": dimensions,
        "spacing": given.spacing,
        "median_shape": tuple(round(length) for length in given.median_image_size_in_voxels),
        "patch_size": given.patch_size,
        "batch_size": given.batch_size,
        "batch_dice": given.batch_dice,
        "normalisation": [
            {"scheme": SCHEMES[scheme], "use_mask": masked and SCHEMES[scheme] == "zscore"}
            for scheme, masked in zip(given.normalization_schemes, given.use_mask_for_norm, strict=True)
        ],
        "network": network_plan(architecture, dimensions),
        "mirror_axes": tuple(range(dimensions)),
    }


def _intensities(theirs: NnunetPlan, source: str) -> list[dict[str, float]]:
    found = theirs.foreground_intensity_properties_per_channel or theirs.foreground_intensity_properties_by_modality
    if not found:
        raise UserError(f"{source}: key 'foreground_intensity_properties_per_channel' is missing.")
    if sorted(found) != sorted(str(channel) for channel in range(len(found))):
        raise UserError(
            f"{source}: foreground_intensity_properties_per_channel must number its channels from 0, "
            f"got {', '.join(found):.80}."
        )
    return [found[str(channel)].model_dump() for channel in range(len(found))]


def _notes_of_plan(theirs: NnunetPlan) -> Iterator[str]:
    if theirs.label_manager not in (None, "LabelManager"):
        yield f"label_manager '{theirs.label_manager:.80}' is not used: labels are read from dataset.json"
    if theirs.image_reader_writer is not None and "Reorient" in theirs.image_reader_writer:
        yield (
            f"image_reader_writer '{theirs.image_reader_writer:.80}' turned the images before planning, which we do "
            "not: see that transpose and spacing fit"
        )


def _notes_of_configuration(given: NnunetConfiguration) -> Iterator[str]:
    for kind, ours in RESAMPLING.items():
        if (function := getattr(given, f"resampling_fn_{kind}")) != DEFAULT_RESAMPLING:
            yield f"resampling_fn_{kind} '{function:.80}': we resample by splines instead"
            continue
        kwargs = getattr(given, f"resampling_fn_{kind}_kwargs")
        other = [key for key, value in kwargs.items() if value != ours.get(key)]
        if other:
            yield f"resampling_fn_{kind}_kwargs: {', '.join(other):.80} not taken over, we resample by our rule"
    strange = sorted(set(given.model_extra or ()) - KNOWN)
    if strange:
        yield f"not looked at: {', '.join(strange):.200}"
