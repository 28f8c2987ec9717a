"""Our overlap metrics against the summary.json of a public nnU-Net run."""

from __future__ import annotations

from pathlib import Path

import pytest

from autodiffseg.dataset import RawDataset
from autodiffseg.evaluation.folder import evaluate_folder
from autodiffseg.evaluation.placement import require_same_orientation
from autodiffseg.evaluation.summary import load_summary

pytestmark = [pytest.mark.real, pytest.mark.slow]


def test_all_rows_equal_nnunets_own(real_data: Path) -> None:
    dataset = RawDataset(real_data / "Dataset004_Hippocampus")
    rows = 0
    for fold in sorted((real_data / "Reference_nnUNet_Hippocampus").glob("fold_*")):
        (path,) = fold.rglob("summary.json")
        theirs = {case.case: case for case in load_summary(path).cases}
        cases = sorted(set(theirs) & set(dataset.cases))
        labels = dataset.folder / "labelsTr"
        files = [f"{case}.nii.gz" for case in cases]
        require_same_orientation({file: (path.parent / file, labels / file) for file in files})
        ours = evaluate_folder(path.parent, labels, dataset.spec, ending=".nii.gz", cases=cases)
        for case in ours.cases:
            for key, scores in case.metrics.items():
                for metric in ("Dice", "IoU", "TP", "FP", "FN", "TN", "n_pred", "n_ref"):
                    assert scores[metric] == pytest.approx(theirs[case.case].metrics[key][metric], abs=1e-9)
                rows += 1
    assert rows == 416
