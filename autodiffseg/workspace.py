"""Workspace: the one folder in which raw, preprocessed and trained things lie, and how a dataset is found in it."""

from __future__ import annotations

import os
import re
from pathlib import Path

from autodiffseg.dataset import RawDataset
from autodiffseg.errors import UserError
from autodiffseg.plans import Plan

NNUNET_RAW = "nnUNet_raw"


class Workspace:
    """`raw/`, `preprocessed/` and `results/` under one root."""

    def __init__(self, root: Path | None = None) -> None:
        """Use `root`, else the environment variable AUTODIFFSEG_WORKSPACE, else ./autodiffseg_workspace."""
        self.root = root or Path(os.environ.get("AUTODIFFSEG_WORKSPACE") or "autodiffseg_workspace")

    @property
    def raw(self) -> Path:
        """Raw datasets in the nnU-Net layout."""
        return self.root / "raw"

    def preprocessed(self, dataset: str) -> Path:
        """Fingerprint, plans, folds and preprocessed cases of a dataset."""
        return self.root / "preprocessed" / dataset

    def results(self, dataset: str) -> Path:
        """Trained models of a dataset."""
        return self.root / "results" / dataset

    def fingerprint_path(self, dataset: str) -> Path:
        """The fingerprint of a dataset."""
        return self.preprocessed(dataset) / "fingerprint.json"

    def splits_path(self, dataset: str) -> Path:
        """The cross-validation folds of a dataset."""
        return self.preprocessed(dataset) / "splits_final.json"

    def dataset_json_path(self, dataset: str) -> Path:
        """The copy of dataset.json beside the preprocessed cases: training needs no raw images."""
        return self.preprocessed(dataset) / "dataset.json"

    def reference_labels(self, dataset: str) -> Path:
        """Copies of the label files in their own geometry: what validation is scored against."""
        return self.preprocessed(dataset) / "reference_labels"

    def plan_path(self, dataset: str, name: str) -> Path:
        """The file of the plan called `name`."""
        return self.preprocessed(dataset) / "plans" / f"{name}.json"

    def plan(self, dataset: str, name: str) -> Plan:
        """Load the plan called `name`.

        Raises:
            UserError: when there is none; the message lists those that exist and names the command that makes one.
        """
        path = self.plan_path(dataset, name)
        if not path.is_file():
            known = sorted(plan.stem for plan in path.parent.glob("*.json"))
            have = f" it has: {', '.join(known)}." if known else ""
            raise UserError(
                f"{path} does not exist;{have} Run `autodiffseg plan-and-preprocess {dataset}` "
                f"(`--preset cpu` makes the plan 'cpu')."
            )
        # A plan is called by its file, so that a copied and edited one has results of its own.
        return Plan.load(path).model_copy(update={"name": name})

    def choose_plan(self, dataset: str, name: str | None) -> str:
        """The plan called `name`, else the dataset's only one, else `default`."""
        if name is not None:
            return name
        plans = [path.stem for path in self.plan_path(dataset, "any").parent.glob("*.json")]
        return plans[0] if len(plans) == 1 else "default"

    def raw_dataset(self, dataset: str) -> RawDataset:
        """A raw dataset named by path, by number (4, 004) or by name (Dataset004_Hippocampus, Hippocampus).

        Names and numbers are looked for in `raw/` of the workspace, then in `$nnUNet_raw`.

        Raises:
            UserError: when nothing or more than one thing has that name; the message says where was searched.
        """
        if (Path(dataset) / "dataset.json").is_file():
            return RawDataset(Path(dataset))
        roots = [self.raw, *([Path(os.environ[NNUNET_RAW])] if os.environ.get(NNUNET_RAW) else [])]
        for root in roots:
            found = [path for path in _folders(root) if _is_called(path.name, dataset)]
            if len(found) > 1:
                names = ", ".join(path.name for path in found)
                raise UserError(f"'{dataset}' may mean {names} in {root}; give the whole name.")
            if found:
                return RawDataset(found[0])
        searched = " and ".join(str(root) for root in roots)
        raise UserError(
            f"No dataset '{dataset}': it is no folder with a dataset.json, and {searched} has none of that name or "
            "number. Give its path, or set nnUNet_raw to the folder that holds it."
        )

    def planned_dataset(self, dataset: str) -> str:
        """The full name of a dataset that has been planned, named by path, number or name.

        Raises:
            UserError: when it has not been planned; the message names the command.
        """
        name = Path(dataset).resolve().name if (Path(dataset) / "dataset.json").is_file() else dataset
        found = [path.name for path in _folders(self.root / "preprocessed") if _is_called(path.name, name)]
        if len(found) > 1:
            raise UserError(f"'{dataset}' may mean {', '.join(found)}; give the whole name.")
        if not found:
            raise UserError(
                f"Dataset '{dataset}' has not been planned in {self.root}. "
                f"Run `autodiffseg plan-and-preprocess {dataset}`, or name the workspace with --workspace."
            )
        return found[0]


def _folders(root: Path) -> list[Path]:
    return sorted(path for path in root.iterdir() if path.is_dir()) if root.is_dir() else []


def _is_called(folder: str, name: str) -> bool:
    """Whether a folder `Dataset004_Hippocampus` is meant by its name, `Hippocampus`, `004` or `4`."""
    match = re.fullmatch(r"Dataset(\d+)_(.+)", folder)
    if folder == name or match is None:
        return folder == name
    return match.group(2) == name or (name.isdigit() and int(match.group(1)) == int(name))
