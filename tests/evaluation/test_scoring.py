"""Scoring: the table of empty masks, regions, units, and no more than is asked for."""

from __future__ import annotations

import math

import numpy as np
import pytest

from autodiffseg.errors import UserError
from autodiffseg.evaluation.metrics import COUNTS, DEFAULT, LESION_COUNTS, find_metric, read_metrics
from autodiffseg.evaluation.scoring import score_label_maps
from autodiffseg.labels import LabelSpec

SPEC = LabelSpec(labels={"background": 0, "one": 1})
SHAPE, SPACING = (4, 5, 6), (3.0, 2.0, 1.0)
DIAGONAL = math.hypot(12, 10, 6)
NAN = math.nan
# Both empty, the reference alone, the prediction alone; the mask that is not empty has 2 of 120 voxels of 6 mm³.
EXPECTED = {
    "Dice": (NAN, 0, 0),
    "IoU": (NAN, 0, 0),
    "TP": (0, 0, 0),
    "FP": (0, 2, 0),
    "FN": (0, 0, 2),
    "TN": (120, 118, 118),
    "n_pred": (0, 2, 0),
    "n_ref": (0, 0, 2),
    "HD95": (NAN, DIAGONAL, DIAGONAL),
    "HD": (NAN, DIAGONAL, DIAGONAL),
    "ASSD": (NAN, DIAGONAL, DIAGONAL),
    "NSD@1mm": (NAN, 0, 0),
    "NSD@2mm": (NAN, 0, 0),
    "VolumeDifference": (0, 0.012, -0.012),
    "RelativeVolumeDifference": (NAN, NAN, -1),
    "Sensitivity": (NAN, NAN, 0),
    "Precision": (NAN, 0, NAN),
    "Specificity": (1, 118 / 120, 1),
    "LesionPrecision": (NAN, 0, NAN),
    "LesionRecall": (NAN, NAN, 0),
    "LesionF1": (NAN, 0, 0),
    "lesions_pred": (0, 1, 0),
    "lesions_ref": (0, 0, 1),
    "lesions_matched": (0, 0, 0),
}


def label(**boxes: tuple[slice, ...]) -> np.ndarray:
    result = np.zeros(SHAPE, dtype=np.int16)
    for name, box in boxes.items():
        result[box] = int(name.removeprefix("is"))
    return result


def test_the_table_of_empty_masks() -> None:
    empty, full = label(), label(is1=np.s_[1, 1, 2:4])
    pairs = ((empty, empty), (full, empty), (empty, full))
    found = [score_label_maps(prediction, reference, SPEC, spacing_mm=SPACING)["1"] for prediction, reference in pairs]
    for index, scores in enumerate(found):
        assert scores == pytest.approx({name: row[index] for name, row in EXPECTED.items()}, nan_ok=True)


def test_equal_masks_are_perfect() -> None:
    mask = label(is1=np.s_[1:3, 1:4, 2:5])
    scores = score_label_maps(mask, mask, SPEC, spacing_mm=SPACING)["1"]
    perfect = {"more": 1.0, "less": 0.0, "zero": 0.0}
    assert {name: scores[name] for name in DEFAULT} == {name: perfect[find_metric(name).better] for name in DEFAULT}


def test_precision_is_a_share_of_the_prediction_and_sensitivity_one_of_the_reference() -> None:
    prediction, reference = label(is1=np.s_[1, 1, 1:4]), label(is1=np.s_[1, 1, 3:5])
    scores = score_label_maps(prediction, reference, SPEC, spacing_mm=SPACING)["1"]
    assert (scores["Precision"], scores["Sensitivity"]) == pytest.approx((1 / 3, 1 / 2))


def test_a_region_is_scored_as_the_union_of_its_members() -> None:
    spec = LabelSpec(labels={"background": 0, "whole": (1, 3), "core": 3}, regions_class_order=(1, 3))
    prediction = label(is1=np.s_[0:2, 1:4, 1:5], is3=np.s_[2, 2, 2])
    reference = label(is1=np.s_[1:3, 1:4, 1:5], is3=np.s_[2, 2, 2:4])
    scores = score_label_maps(prediction, reference, spec, spacing_mm=SPACING)
    union = score_label_maps((prediction > 0) * 1, (reference > 0) * 1, SPEC, spacing_mm=SPACING)
    assert scores["(1, 3)"] == union["1"]
    assert scores["3"]["VolumeDifference"] == pytest.approx(-0.006)


def test_what_is_predicted_where_the_reference_ignores_is_outside_of_the_mask() -> None:
    spec = LabelSpec(labels={"background": 0, "one": 1, "ignore": 2})
    reference = label(is1=np.s_[1:3, 1:4, 1:3], is2=np.s_[:, :, 4:])
    prediction = label(is1=np.s_[1:3, 1:4, 1:3]) + label(is1=np.s_[1:3, 1:4, 5:])
    scores = score_label_maps(prediction, reference, spec, spacing_mm=SPACING)["1"]
    perfect = score_label_maps(label(is1=np.s_[1:3, 1:4, 1:3]), reference, spec, spacing_mm=SPACING)["1"]
    assert scores == perfect
    assert (scores["HD"], scores["NSD@1mm"], scores["LesionF1"], scores["FP"]) == (0, 1, 1, 0)


def test_no_more_than_is_asked_for_is_measured() -> None:
    mask = label(is1=np.s_[1:3, 1:4, 2:5])
    always = {"Dice", "IoU", *COUNTS}
    assert set(score_label_maps(mask, mask, SPEC, spacing_mm=SPACING, metrics=["Dice"])["1"]) == always
    asked = score_label_maps(mask, mask, SPEC, spacing_mm=SPACING, metrics=["NSD@1.5mm", "LesionF1"])["1"]
    assert set(asked) == {*always, "NSD@1.5mm", "LesionF1", *LESION_COUNTS}


def test_names_of_metrics() -> None:
    assert read_metrics(["HD95, NSD@0.5mm", "Dice", "HD95"]) == ("HD95", "NSD@0.5mm", "Dice")
    assert find_metric("HD95").title == "HD95 [mm]"
    for wrong in ("dice", "NSD", "NSD@mm", "NSD@1"):
        with pytest.raises(UserError, match=f"no metric '{wrong}'"):
            find_metric(wrong)
