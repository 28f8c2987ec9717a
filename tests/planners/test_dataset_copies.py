"""Folds that lie in the workspace are honoured, and what is wrong with them is told."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from autodiffseg.dataset import RawDataset
from autodiffseg.folds import Fold, save_folds
from autodiffseg.planners.dataset_copies import plan_folds
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
