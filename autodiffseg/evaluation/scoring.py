"""Scoring one prediction against one reference: every metric of every class or region."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from autodiffseg.evaluation.lesions import count_lesions
from autodiffseg.evaluation.mask_pair import MaskPair
from autodiffseg.evaluation.metrics import COUNTS, DEFAULT, LESION_COUNTS, OVERLAP, tolerance_mm
from autodiffseg.evaluation.overlap import LabelMap, Overlap, class_overlaps
from autodiffseg.evaluation.summary import Scores, class_keys
from autodiffseg.evaluation.surface import surface_distances
from autodiffseg.evaluation.surface_dice import weighed_distances
from autodiffseg.labels import LabelSpec

MM3_PER_ML = 1000.0


def score_label_maps(
    prediction: LabelMap,
    reference: LabelMap,
    spec: LabelSpec,
    *,
    spacing_mm: Sequence[float],
    metrics: Sequence[str] = DEFAULT,
) -> dict[str, Scores]:
    """Metrics of every foreground class or region, by its key; overlap and voxel counts always, the others if asked.

    Args:
        prediction: `(Z, Y, X)` integers.
        reference: `(Z, Y, X)` integers; where it is `spec.ignore` the masks are taken as empty.
        spec: what the integers mean.
        spacing_mm: mm along (z, y, x).
        metrics: names.
    """
    overlaps = class_overlaps(prediction, reference, spec)
    masks = _Masks(prediction, reference, spec, spacing_mm)
    scores = {}
    for key, name in class_keys(spec).items():
        pair = masks.pair(spec.foreground[name])
        found = _counted(overlaps[name], math.prod(spacing_mm)) | _measured(pair, metrics)
        written = dict.fromkeys((*OVERLAP, *COUNTS, *metrics))
        if any(metric.startswith("Lesion") for metric in metrics):
            written |= dict.fromkeys(LESION_COUNTS)
        scores[key] = {metric: found[metric] for metric in written}
    return scores


def _counted(overlap: Overlap, voxel_mm3: float) -> Scores:
    """What follows from voxel counts."""
    difference = overlap.n_pred - overlap.n_ref
    return {
        "Dice": overlap.dice,
        "IoU": overlap.iou,
        "TP": overlap.tp,
        "FP": overlap.fp,
        "FN": overlap.fn,
        "TN": overlap.tn,
        "n_pred": overlap.n_pred,
        "n_ref": overlap.n_ref,
        "VolumeDifference": difference * voxel_mm3 / MM3_PER_ML,
        "RelativeVolumeDifference": difference / overlap.n_ref if overlap.n_ref else math.nan,
        "Sensitivity": overlap.sensitivity,
        "Precision": overlap.precision,
        "Specificity": overlap.specificity,
    }


def _measured(pair: MaskPair, metrics: Sequence[str]) -> Scores:
    """What has to look at the masks; no more than is asked for."""
    found: Scores = {}
    if {"HD95", "HD", "ASSD"} & set(metrics):
        distances = surface_distances(pair)
        found |= {
            "HD95": distances.hd95_mm,
            "HD": distances.hausdorff_mm,
            "ASSD": distances.mean_surface_distance_mm,
        }
    tolerances = {metric: mm for metric in metrics if (mm := tolerance_mm(metric)) is not None}
    if tolerances:
        weighed = weighed_distances(pair)
        found |= {metric: weighed.surface_dice(mm) for metric, mm in tolerances.items()}
    if any(metric.startswith("Lesion") for metric in metrics):
        lesions = count_lesions(pair)
        found |= {"LesionPrecision": lesions.precision, "LesionRecall": lesions.recall, "LesionF1": lesions.f1}
        found |= dict(zip(LESION_COUNTS, lesions, strict=True))
    return found


class _Masks:
    """The masks of classes, each cut out of the box around its voxels."""

    def __init__(self, prediction: LabelMap, reference: LabelMap, spec: LabelSpec, spacing_mm: Sequence[float]) -> None:
        self.labels = (prediction, reference)
        self.ignore = spec.ignore
        self.spacing_mm = spacing_mm
        self.boxes = [ndimage.find_objects(label) for label in self.labels]

    def pair(self, members: Sequence[int]) -> MaskPair:
        """Prediction and reference of the class or region that holds these integers."""
        found = [boxes[member - 1] for boxes in self.boxes for member in members if 0 < member <= len(boxes)]
        boxes = [box for box in found if box is not None]
        shape = self.labels[0].shape
        box = tuple(
            slice(min(box[axis].start for box in boxes), max(box[axis].stop for box in boxes)) if boxes else slice(0)
            for axis in range(len(shape))
        )
        cut = [label[box] for label in self.labels]
        masks = [_mask(label, members) for label in cut]
        if self.ignore is not None:
            masks = [mask & (cut[1] != self.ignore) for mask in masks]
        start = [part.start or 0 for part in box]
        return MaskPair.of(masks[0], masks[1], spacing_mm=self.spacing_mm, start=start, shape=shape)


def _mask(label: LabelMap, members: Sequence[int]) -> npt.NDArray[np.bool_]:
    mask: npt.NDArray[np.bool_] = label == members[0]
    for member in members[1:]:
        mask |= label == member
    return mask
