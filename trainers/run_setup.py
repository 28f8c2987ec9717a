"""Setting up a run: every check that can be made before work starts, then the trainer, its data and its record."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from autodiffseg.dataloading.batches import BatchSource
from autodiffseg.dataset import DatasetJson
from autodiffseg.errors import UserError
from autodiffseg.fingerprint import Fingerprint
from autodiffseg.folds import load_folds, select_fold
from autodiffseg.invocation import command_line
from autodiffseg.preprocessing.case_store import CaseStore
from autodiffseg.runs import RECORD, RunRecord, check_tag, fold_folder, run_name
from autodiffseg.workspace import Workspace

from .checkpoints import LAST, initialise_from, trainer_class
from .loop import Loop
from .options import read_settings
from .precision import choose_device, choose_precision
from .provenance import git_revision, hardware, versions


@dataclass(frozen=True)
class RunRequest:
    """What the user asked for, as typed."""

    dataset: str
    configuration: str
    fold: str
    trainer: str
    plan: str | None
    tag: str
    seed: int
    iterations: int | None
    device: str | None
    precision: str
    settings: Sequence[str]


def prepare(
    request: RunRequest, workspace: Workspace, *, go_on: bool, init_from: Path | None
) -> tuple[Loop, Path, list[str]]:
    """A loop ready to run, the folder of its fold, and what the user should be told.

    Raises:
        UserError: when anything is missing, contradictory, or would overwrite an earlier training.
    """
    cls = trainer_class(request.trainer)
    options = read_settings(cls.Options, request.settings)
    device = choose_device(request.device)
    precision = choose_precision(request.precision, device)
    dataset = workspace.planned_dataset(request.dataset)
    plan = workspace.plan(dataset, workspace.choose_plan(dataset, request.plan))
    configuration = plan.configuration(request.configuration)
    dataset_json = DatasetJson.load(workspace.dataset_json_path(dataset))
    store = CaseStore(workspace.preprocessed(dataset) / plan.data_id(request.configuration))
    splits = workspace.splits_path(dataset)
    expected = Fingerprint.load(workspace.fingerprint_path(dataset)).cases
    missing = set(expected) - set(store.cases())
    if missing:
        raise UserError(
            f"{len(missing)} of {len(expected)} cases of {dataset} are not preprocessed for {request.configuration}. "
            f"Run `autodiffseg plan-and-preprocess {request.dataset} -c {request.configuration} --preset {plan.preset} "
            f"--name {plan.name}`."
        )
    fold = select_fold(load_folds(splits), request.fold, store.cases(), source=splits)

    tag = "-".join(part for part in (request.tag, f"seed-{request.seed}" if request.seed else "") if part)
    check_tag(tag)
    run = workspace.results(dataset) / run_name(request.trainer, plan.name, request.configuration, tag)
    folder = fold_folder(run, request.fold)
    begun = (folder / LAST).is_file()  # a training that failed before its first checkpoint may be repeated at will
    if begun and not go_on:
        raise UserError(f"{folder} holds an earlier training. Go on with --continue, or give this one a --tag.")

    torch.manual_seed(request.seed)
    trainer = cls(plan, request.configuration, dataset_json, options, device=device, precision=precision)
    notes = []
    if init_from is not None and not begun:
        taken, all_of_them = initialise_from(trainer, init_from)
        notes.append(f"{taken} of {all_of_them} weights taken from {init_from}.")
    record = RunRecord(
        dataset=dataset,
        trainer=request.trainer,
        plan=plan.name,
        configuration=request.configuration,
        tag=tag,
        fold=request.fold,
        seed=request.seed,
        options=options.model_dump(mode="json"),
        plan_hash=hashlib.sha256(plan.model_dump_json().encode()).hexdigest()[:16],
        training_cases=fold.train,
        validation_cases=fold.val,
        iterations=request.iterations or plan.iterations,
        parameters=sum(parameter.numel() for parameter in trainer.network.parameters()),
        device=str(device),
        precision=precision,
        versions=versions(),
        hardware=hardware(device),
        git_revision=git_revision(),
        command=command_line(),
    )
    if begun:
        # The record keeps telling of the first sitting; the others must be like it.
        record = _same_run(RunRecord.load(folder / RECORD), record, folder)
    sources = [
        BatchSource(store, cases, configuration, trainer.spec, seed=request.seed, augment=augment)
        for cases, augment in ((fold.train, options.augment), (fold.val, False))
    ]
    loop = Loop(trainer, record, folder, *sources)
    if begun:
        loop.resume()
        notes.append(f"Going on after update {loop.update}.")
    else:
        record.save(folder / RECORD)
    return loop, folder, notes


def _same_run(before: RunRecord, now: RunRecord, folder: Path) -> RunRecord:
    """The record of a training that is gone on with; refuse other conditions: it would no longer be true."""
    for field in ("trainer", "plan_hash", "seed", "options", "iterations", "precision", "training_cases"):
        old, new = getattr(before, field), getattr(now, field)
        if old != new:
            told = f"{old}, asked for is {new}" if len(f"{old}{new}") < 200 else "other values"
            raise UserError(
                f"--continue: {folder / RECORD} has {field} {told}. Ask for the same, or give the new training a --tag."
            )
    return before
