"""Both lungs as one class, as the TEDM paper scores them: a lung that is found on the wrong side is no error there."""

from __future__ import annotations

from pathlib import Path

from autodiffseg.evaluation.comparison import SHOWN
from autodiffseg.evaluation.folder import read_pair
from autodiffseg.evaluation.scoring import score_label_maps
from autodiffseg.evaluation.summary import CaseScores, Summary, class_keys
from autodiffseg.labels import LabelSpec

LUNGS = LabelSpec(labels={"background": 0, "lungs": (1, 2)}, regions_class_order=(1,))
"""Both JSRT and the shifted set call the right lung 1 and the left one 2."""


def lungs_as_one(scored: Summary) -> Summary:
    """The same label maps, scored anew.

    Raises:
        UserError: when one cannot be read.
    """
    return Summary(class_keys(LUNGS), tuple(_anew(case) for case in scored.cases))


def _anew(case: CaseScores) -> CaseScores:
    prediction, reference, spacing_mm = read_pair(Path(case.prediction_file), Path(case.reference_file))
    scores = score_label_maps(prediction, reference, LUNGS, spacing_mm=spacing_mm, metrics=SHOWN)
    return CaseScores(case.case, scores, case.prediction_file, case.reference_file)
