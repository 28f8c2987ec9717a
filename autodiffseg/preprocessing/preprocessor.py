"""What preprocessing does to one case: transpose, crop, normalise, resample."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from autodiffseg.errors import UserError
from autodiffseg.geometry import Geometry
from autodiffseg.labels import OUTSIDE, LabelSpec
from autodiffseg.plans import ConfigurationPlan, Plan
from autodiffseg.preprocessing.case_store import CaseProperties, PreprocessedCase
from autodiffseg.preprocessing.crop import box_slices, mask_box, nonzero_mask
from autodiffseg.preprocessing.locations import class_locations, class_voxels
from autodiffseg.preprocessing.normalise import normalise
from autodiffseg.preprocessing.resample import resample_image, resample_label, separate_axis, target_shape

Number = TypeVar("Number", int, float)

logger = logging.getLogger(__name__)


def preprocess_case(
    image: npt.NDArray[np.float32],
    geometry: Geometry,
    *,
    case: str,
    plan: Plan,
    configuration: str,
    spec: LabelSpec,
    label: npt.NDArray[Any] | None = None,
) -> PreprocessedCase:
    """Bring one case onto the grid and the intensities of a configuration.

    The order is nnU-Net's: transpose, crop to nonzero, normalise, resample. The resampling is skipped when the shape
    does not change. A 2D configuration keeps the spacing of the first axis.

    Args:
        image: `(C, Z, Y, X)` as read.
        geometry: of the raw image, raw axis order.
        case: its id, for the record and for messages.
        label: `(Z, Y, X)` integers on the grid of the image; None for prediction.

    Returns:
        Image `(C, Z, Y, X)` float32, label `(1, Z, Y, X)` int16 with OUTSIDE where the label is 0 and the image
        empty, properties and locations; all in the transposed axis order.

    Raises:
        UserError: when the case does not fit the plan or the label not the image.
    """
    settings = plan.configuration(configuration)
    if label is not None and label.shape != image.shape[1:]:
        raise UserError(f"the label has shape {label.shape}, the image {image.shape[1:]} (z, y, x).")
    image = image.transpose(0, *(axis + 1 for axis in plan.transpose))
    before = _three(geometry.spacing[axis] for axis in plan.transpose)

    mask = nonzero_mask(image)
    box = mask_box(mask)
    inside = box_slices(box)
    mask = mask[inside]
    normalised = normalise(
        image[:, *inside], mask, schemes=settings.normalisation, intensities=plan.intensities
    )  # (C, z, y, x), the size of the box

    after = _target_spacing(before, settings)
    shape = _three(target_shape(mask.shape, before, after))
    separate = separate_axis(before, after)
    resampled = resample_image(normalised, shape, separate=separate)

    target: npt.NDArray[np.int16] | None = None
    if label is not None:
        target = _prepare_label(label.transpose(plan.transpose), mask, inside, case)
        target = resample_label(target, shape, separate=separate)
    properties = CaseProperties(
        case=case,
        geometry=geometry,
        crop=box,
        spacing_before=before,
        spacing=after,
        shape=shape,
        class_voxels={} if target is None else class_voxels(target, spec),
    )
    return PreprocessedCase(
        image=np.ascontiguousarray(resampled),
        label=None if target is None else np.ascontiguousarray(target[None]),
        properties=properties,
        locations={} if target is None else class_locations(target, spec),
    )


def _target_spacing(before: tuple[float, float, float], settings: ConfigurationPlan) -> tuple[float, float, float]:
    return _three(settings.spacing if settings.dimensions == 3 else (before[0], *settings.spacing))


def _prepare_label(
    label: npt.NDArray[Any], mask: npt.NDArray[np.bool_], inside: tuple[slice, slice, slice], case: str
) -> npt.NDArray[np.int16]:
    """Crop the label and mark the empty surroundings of the body."""
    cropped = label[inside].astype(np.int16)
    lost = int(np.count_nonzero(label)) - int(np.count_nonzero(cropped))
    if lost:
        logger.warning("Case %s: %d labelled voxels lie where every channel is zero; they are cut away.", case, lost)
    cropped[(cropped == 0) & ~mask] = OUTSIDE
    return cropped


def _three(values: Iterable[Number]) -> tuple[Number, Number, Number]:
    first, second, third = values
    return first, second, third
