"""What is copied follows the raw dataset; folds that lie in the workspace are honoured, and their faults are told."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from autodiffseg.dataset import RawDataset
from autodiffseg.folds import Fold, save_folds
from autodiffseg.planners.dataset_copies import copy_dataset, plan_folds
from autodiffseg.workspace import Workspace


def test_folds_of_before_there_were_groups_are_told_to_split_them(phantom_raw: Path, tmp_path: Path) -> None:
    raw = RawDataset(shutil.copytree(phantom_raw, tmp_path / "raw" / phantom_raw.name))
    place = Workspace(tmp_path)
    first, *rest = raw.cases
    save_folds(place.splits_path(raw.name), [Fold(train=tuple(rest), val=(first,))])
    assert plan_folds(raw, place)[1] == ""
    described = json.loads((raw.folder / "dataset.json").read_text())
    described["groups"] = dict.fromkeys(raw.cases, "patient A")
    (raw.folder / "dataset.json").write_text(json.dumps(described))
    note = plan_folds(RawDataset(raw.folder), place)[1]
    assert note.startswith(f"{place.splits_path(raw.name)}: fold 0 trains and validates on cases of the same group")
    assert "(first: patient A)" in note


def test_the_reference_of_a_case_that_is_gone_goes_too(phantom_raw: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(phantom_raw, tmp_path / "raw" / phantom_raw.name)
    place = Workspace(tmp_path)
    copy_dataset(RawDataset(folder), place)
    gone, *rest = RawDataset(folder).cases
    (folder / "labelsTr" / f"{gone}.nii.gz").unlink()
    (folder / "imagesTr" / f"{gone}_0000.nii.gz").unlink()
    copy_dataset(RawDataset(folder), place)
    assert sorted(path.name for path in place.reference_labels(folder.name).iterdir()) == [
        f"{case}.nii.gz" for case in rest
    ]
