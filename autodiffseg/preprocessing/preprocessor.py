"""What preprocessing does to one case: transpose, crop, normalise, resample."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from autodiffseg.errors import UserError
from autodiffseg.geometry import Geometry
from autodiffseg.labels import OUTSIDE, UNKNOWN, LabelSpec
from autodiffseg.plans import ConfigurationPlan, Plan
from autodiffseg.preprocessing.case_store import CaseProperties, PreprocessedCase
from autodiffseg.preprocessing.crop import box_slices, mask_box, nonzero_mask
from autodiffseg.preprocessing.locations import class_locations, class_voxels
from autodiffseg.preprocessing.normalise import normalise
from autodiffseg.preprocessing.resample import resample_image, resample_label, separate_axis, target_shape

Number = TypeVar("Number", int, float)


def preprocess_case(
    image: npt.NDArray[np.float32],
    geometry: Geometry,
    *,
    case: str,
    plan: Plan,
    configuration: str,
    spec: LabelSpec,
    label: npt.NDArray[Any] | None = None,
    annotations: Sequence[npt.NDArray[Any] | None] = (),
) -> PreprocessedCase:
    """Bring one case onto the grid and the intensities of a configuration.

    The order is nnU-Net's: transpose, crop to nonzero, normalise, resample. The resampling is skipped when the shape
    does not change. A 2D configuration keeps the slices along the first axis, and with a `target_size` gives each of
    them that size, whatever the spacing.

    Args:
        image: `(C, Z, Y, X)` as read.
        geometry: of the raw image, raw axis order.
        case: its id, for the record and for messages.
        label: `(Z, Y, X)` integers on the grid of the image, the reference; None for prediction.
        annotations: the same by each annotator; None for one who did not look at this case.

    Returns:
        Image `(C, Z, Y, X)` float32, label `(1 + annotators, Z, Y, X)` int16 with OUTSIDE where the label is 0 and
        the image empty (UNKNOWN for an annotator who is missing), properties and locations; all in the transposed axis
        order.

    Raises:
        UserError: when the case does not fit the plan or the label not the image.
    """
    settings = plan.configuration(configuration)
    for given in (label, *annotations):
        if given is not None and given.shape != image.shape[1:]:
            raise UserError(f"the label has shape {given.shape}, the image {image.shape[1:]} (z, y, x).")
    image = image.transpose(0, *(axis + 1 for axis in plan.transpose))
    before = _three(geometry.spacing[axis] for axis in plan.transpose)

    mask = nonzero_mask(image)
    box = mask_box(mask)
    inside = box_slices(box)
    mask = mask[inside]
    normalised = normalise(
        image[:, *inside], mask, schemes=settings.normalisation, intensities=plan.intensities
    )  # (C, z, y, x), the size of the box

    shape, after = target_grid(mask.shape, before, settings)
    # Slices of a 2D configuration have nothing to do with each other, however long their pixels are.
    separate = 0 if settings.dimensions == 2 else separate_axis(before, after)
    resampled = resample_image(normalised, shape, separate=separate)
    del normalised  # the label needs the room

    targets: list[npt.NDArray[np.int16]] = []
    labelled = cut = 0
    for given in (label, *annotations) if label is not None else ():
        if given is None:
            targets.append(np.full(shape, UNKNOWN, np.int16))
            continue
        prepared = _prepare_label(given.transpose(plan.transpose), mask, inside)
        if not targets:  # the reference comes first
            labelled = _count_labelled(given, spec)
            cut = labelled - _count_labelled(prepared, spec)
        targets.append(resample_label(prepared, shape, separate=separate))
    properties = CaseProperties(
        case=case,
        geometry=geometry,
        crop=box,
        spacing_before=before,
        spacing=after,
        shape=shape,
        class_voxels=class_voxels(targets[0], spec) if targets else {},
        cut_voxels=cut,
        cut_share=cut / labelled if cut else 0.0,
    )
    return PreprocessedCase(
        image=np.ascontiguousarray(resampled),
        label=np.stack(targets) if targets else None,
        properties=properties,
        locations=class_locations(targets[0], spec) if targets else {},
    )


def target_grid(
    cropped: Sequence[int], before: tuple[float, float, float], settings: ConfigurationPlan
) -> tuple[tuple[int, int, int], tuple[float, float, float]]:
    """Shape and spacing (mm) of the grid of a configuration over the extent of a cropped case."""
    if settings.target_size is not None:
        shape = _three((cropped[0], *settings.target_size))
        return shape, _three(mm * old / new for mm, old, new in zip(before, cropped, shape, strict=True))
    after = _three(settings.spacing if settings.dimensions == 3 else (before[0], *settings.spacing))
    return _three(target_shape(cropped, before, after)), after


def _prepare_label(
    label: npt.NDArray[Any], mask: npt.NDArray[np.bool_], inside: tuple[slice, slice, slice]
) -> npt.NDArray[np.int16]:
    """Crop the label and mark the empty surroundings of the body."""
    cropped = label[inside].astype(np.int16)
    cropped[(cropped == 0) & ~mask] = OUTSIDE
    return cropped


def _count_labelled(label: npt.NDArray[Any], spec: LabelSpec) -> int:
    """Voxels of any foreground class; the ignore label is none."""
    count = int(np.count_nonzero(label > 0))
    return count if spec.ignore is None else count - int(np.count_nonzero(label == spec.ignore))


def _three(values: Iterable[Number]) -> tuple[Number, Number, Number]:
    first, second, third = values
    return first, second, third
