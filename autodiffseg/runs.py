"""Runs: where a training lies in the results folder, and the record it leaves there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from autodiffseg.errors import UserError
from autodiffseg.records import Record
from autodiffseg.workspace import Workspace

RECORD = "run.json"
VALIDATION = "validation"
PREDICTION_RECORD = "predict.json"
"""What `predict` leaves beside its label maps: how they came about."""


class SeenCases(Record):
    """Cases that weights have learnt from."""

    dataset: str
    """Whose ids these are. Of a pretraining: the one with whose plan the images were preprocessed."""
    cases: tuple[str, ...]
    labels: bool = False
    """Whether from their labels, not from their images alone."""
    transductive: bool = False
    """Of images: whether they may be cases that the result is tested on."""
    fold: str = ""
    """Of images: the fold whose training images they are; "" for none."""


class RunRecord(Record):
    """run.json of one fold: everything that is needed to say how its numbers came about."""

    schema_version: int = 1
    dataset: str
    trainer: str
    plan: str
    configuration: str
    tag: str
    """What distinguishes runs that are otherwise alike; "" when nothing does."""
    fold: str
    seed: int
    options: dict[str, Any]
    """Every option of the trainer, defaults included."""
    plan_hash: str
    training_cases: tuple[str, ...] = ()
    n_labelled: int | None = None
    """Training cases that were kept of the fold's, or groups where cases belong to such; None: all."""
    label_seed: int = 0
    """Of the order in which they were chosen."""
    validation_cases: tuple[str, ...] = ()
    """The cases of the fold when the training began; a split that changes later does not concern it."""
    previous_run: str = ""
    """Of a cascade: folder name of the run whose segmentations it was shown; it lies beside this one."""
    previous_checkpoints: dict[str, str] = {}
    """Fold of `previous_run` -> hash of the checkpoint that its segmentations came from."""
    previous_segmentations: str = ""
    """Hash of all segmentations that were shown."""
    members: dict[str, str] = {}
    """Of an ensemble, which has no weights of its own: folder name of each member's run, beside this one -> hash of the
    checkpoint of its fold. Numbers of updates, seconds and parameters are then sums over the members."""
    backbone: str = ""
    """SHA-256 of the file of the pretrained backbone that the training began with; "" for none."""
    transductive: bool = False
    """True where the weights that it began with have seen images that are validated, without their labels, as they were
    allowed to."""
    seen: tuple[SeenCases, ...] = ()
    """What the weights that the training began with had learnt from: backbone, and what `--init-from` named."""
    iterations: int
    """Network updates asked for."""
    iterations_done: int = 0
    finished: bool = False
    """True once all updates are done and the last checkpoint is written."""
    training_seconds: float = 0.0
    """Wall time of the updates, over all sittings."""
    peak_memory_gb: float = 0.0
    """Most memory during the updates in 1e9 bytes: by tensors on a GPU, else by the process without its workers; 0 is
    unknown."""
    parameters: int = 0
    device: str = ""
    precision: str = ""
    versions: dict[str, str] = {}
    hardware: str = ""
    git_revision: str = ""
    command: str = ""

    @property
    def learnt_from(self) -> tuple[SeenCases, ...]:
        """What the weights of this training have learnt from in the end, its own cases last."""
        own = SeenCases(dataset=self.dataset, cases=self.training_cases, labels=True)
        if self.transductive and not self.seen:  # a record of before there was `seen`: which cases it were is not known
            return SeenCases(dataset=self.dataset, cases=self.validation_cases, transductive=True), own
        return *self.seen, own


def run_name(trainer: str, plan: str, configuration: str, tag: str = "") -> str:
    """Folder name of a run. A trainer of the user's own is named by its class alone."""
    trainer = trainer.rpartition(":")[2]
    return "__".join([trainer, plan, configuration, *([tag] if tag else [])])


def whole_tag(tag: str, seed: int, n_labelled: int | None = None, label_seed: int = 0) -> str:
    """The tag of a run's folder: the user's, which few labels it has, and the seed where it is not 0."""
    return "-".join(part for part in (tag, label_tag(n_labelled, label_seed), f"seed-{seed}" if seed else "") if part)


def label_tag(count: int | None, seed: int) -> str:
    """What a few-label run has in the tag of its folder: n3-ls0; "" for a run on all cases."""
    return "" if count is None else f"n{count}-ls{seed}"


def tag_without_seed(record: RunRecord) -> str:
    """What trainings have in common that differ in their seed alone."""
    return re.sub(rf"(^|-)seed-{record.seed}$", "", record.tag)


def asked_tag(record: RunRecord) -> str:
    """The tag as the user typed it: that of the folder without what was added."""
    added = label_tag(record.n_labelled, record.label_seed)
    tag = tag_without_seed(record)
    return re.sub(rf"(^|-){added}$", "", tag) if added else tag


def check_tag(tag: str) -> None:
    """Refuse a tag that would make a folder of another name than it seems.

    Raises:
        UserError: for other characters than letters, digits, dot, dash and single underscores.
    """
    if tag and (not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", tag) or "__" in tag):
        raise UserError(f"--tag {tag}: letters, digits, '.', '-' and single '_' are possible.")


def fold_folder(run: Path, fold: str) -> Path:
    """The folder of one fold of a run."""
    return run / f"fold_{fold}"


def fold_records(run: Path) -> dict[str, RunRecord]:
    """The records of the folds of a run, by fold, in the order of the folds ("all" last)."""
    found = {path.name.removeprefix("fold_"): path / RECORD for path in run.glob("fold_*") if (path / RECORD).is_file()}
    return {
        fold: RunRecord.load(found[fold]) for fold in sorted(found, key=lambda fold: (fold == "all", fold.zfill(6)))
    }


def dataset_runs(workspace: Workspace, dataset: str) -> list[Path]:
    """The run folders of a dataset, sorted by name."""
    results = workspace.results(dataset)
    return sorted(path for path in results.iterdir() if fold_records(path)) if results.is_dir() else []


def finished_folds(model: Path) -> tuple[str, ...]:
    """The folds of a model folder whose training has finished.

    Raises:
        UserError: when the folder is no model, or nothing in it has finished.
    """
    records = fold_records(model) if model.is_dir() else {}
    if not records:
        raise UserError(f"{model} is no model folder: it holds no fold_*/{RECORD}. Name the folder that holds fold_0.")
    finished = tuple(fold for fold, record in records.items() if record.finished)
    if not finished:
        raise UserError(f"{model}: no fold has finished training; finish with `autodiffseg train … --continue`.")
    return finished
