"""What training needs of the raw dataset, copied beside the preprocessed cases: dataset.json, folds, labels."""

from __future__ import annotations

import filecmp
import shutil
from pathlib import Path

from autodiffseg.atomic import atomic_path
from autodiffseg.dataset import RawDataset
from autodiffseg.errors import UserError
from autodiffseg.folds import Fold, load_folds, make_folds, save_folds
from autodiffseg.workspace import Workspace

SPLITS = "splits_final.json"


def copy_dataset(dataset: RawDataset, workspace: Workspace) -> None:
    """Copy dataset.json and the label files; files that are there and alike are left alone."""
    _copy(dataset.folder / "dataset.json", workspace.dataset_json_path(dataset.name))
    labels = workspace.reference_labels(dataset.name)
    wanted = {f"{case}{dataset.json.file_ending}": dataset.label(case) for case in dataset.cases}
    for name, source in wanted.items():
        _copy(source, labels / name)
    for path in labels.iterdir() if labels.is_dir() else ():
        if path.name not in wanted:
            path.unlink()  # of a case that the raw dataset no longer has


def plan_folds(dataset: RawDataset, workspace: Workspace) -> tuple[list[Fold], str]:
    """The folds of a dataset: those of the workspace, else those of the raw folder, else nnU-Net's.

    Nothing is written; see `keep_folds`.

    Returns:
        The folds and lines for the user; "" when there is nothing to tell.

    Raises:
        UserError: when a file of folds is broken or names cases that do not exist, or a case has no group.
    """
    here, raw = workspace.splits_path(dataset.name), dataset.folder / SPLITS
    source = here if here.is_file() else raw
    if not source.is_file():
        groups = [dataset.group(case) for case in dataset.cases]
        folds = make_folds(dataset.cases, groups)
        return folds, _overlap(folds)
    folds = load_folds(source)
    named = {case for fold in folds for case in (*fold.train, *fold.val)}
    strangers = sorted(named - set(dataset.cases))
    if strangers:
        raise UserError(
            f"{source} names {len(strangers)} cases that the dataset does not have (first: {strangers[0]}); "
            "mend the file, or remove it to have new folds."
        )
    notes = [_split_group(folds, dataset, source) or _overlap(folds)]
    if source == here and raw.is_file() and load_folds(raw) != folds:
        notes.append(f"{raw} differs from {here}, which is used; remove the latter to have the former.")
    if missing := sorted(set(dataset.cases) - named):
        notes.append(
            f"{source}: {len(missing)} cases are in no fold (first: {missing[0]}); remove the file to have new folds."
        )
    return folds, "\n".join(filter(None, notes))


def _split_group(folds: list[Fold], dataset: RawDataset, source: Path) -> str:
    """A line on a group that a file of folds trains and validates on; "" when there is none."""
    for number, fold in enumerate(folds):
        split = {dataset.group(case) for case in fold.train} & {dataset.group(case) for case in fold.val}
        split -= set(fold.train) & set(fold.val)  # a case without a group is its own: `_overlap` tells of those
        if split:
            return (
                f"{source}: fold {number} trains and validates on cases of the same group (first: {min(split)}), so "
                "that its validation flatters; remove the file to have new folds."
            )
    return ""


def _overlap(folds: list[Fold]) -> str:
    """A line on cases that a fold both trains and validates on; "" when there are none."""
    shared = [sorted(set(fold.train) & set(fold.val)) for fold in folds]
    for number, cases in enumerate(shared):
        if cases:
            return (
                f"Fold {number} both trains and validates on {len(cases)} cases (first: {cases[0]}): its validation "
                "does not tell how the model does on other cases. More cases, or groups, would."
            )
    return ""


def keep_folds(folds: list[Fold], path: Path) -> None:
    """Write the folds unless they are there."""
    if not path.is_file():
        save_folds(path, folds)


def _copy(source: Path, target: Path) -> None:
    if target.is_file() and filecmp.cmp(source, target, shallow=False):
        return
    with atomic_path(target) as temporary:
        shutil.copyfile(source, temporary)
