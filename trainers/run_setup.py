"""Setting up a run: every check that can be made before work starts, then the trainer, its data and its record."""

from __future__ import annotations

from pathlib import Path

import torch

from autodiffseg.dataloading.batches import BatchSource
from autodiffseg.folds import Fold
from autodiffseg.preprocessing.previous_stage import Watch
from autodiffseg.runs import RECORD, RunRecord, SeenCases, check_tag, fold_folder, run_name
from autodiffseg.workspace import Workspace

from .base import Trainer
from .checkpoints import LAST, initialise_from, load_trainer, trainer_class
from .image_leak import require_weights_unseen, unknown_overlap
from .loop import Loop
from .missing_folds import require_complete
from .options import read_settings
from .out_of_fold import find_previous_run, previous_segmentations
from .precision import choose_device
from .run_conditions import is_begun, made_by, same_run, surroundings
from .run_request import RunRequest


def prepare(
    request: RunRequest, workspace: Workspace, *, go_on: bool, init_from: Path | None, watch: Watch | None = None
) -> tuple[Loop, Path, list[str]]:
    """A loop ready to run, the folder of its fold, and what the user should be told.

    Args:
        request: what is to be trained.
        workspace: where all lies.
        go_on: from the last checkpoint, if there is one.
        init_from: a checkpoint whose weights are taken over as far as they fit.
        watch: of a cascade: the progress of bringing its previous stage's segmentations to its grid.

    Raises:
        MissingFoldsError: when a cascade waits for folds of its previous stage.
        UserError: when anything is missing, contradictory, or would overwrite an earlier training.
    """
    cls = trainer_class(request.trainer)
    options = read_settings(cls.Options, request.settings)
    found = surroundings(request, workspace)
    dataset, plan, configuration = found.dataset, found.plan, found.configuration
    dataset_json, store, fold = found.declared, found.store, found.labelled(request)
    notes = [] if request.n_labelled is None else [_labelled(fold, found.fold(request.fold))]

    tag = request.whole_tag
    check_tag(tag)
    run = workspace.results(dataset) / run_name(request.trainer, plan.name, request.configuration, tag)
    folder = fold_folder(run, request.fold)
    begun = is_begun(folder, go_on=go_on)

    previous, shown = None, None
    if configuration.previous_stage is not None:
        name, ending = run_name(request.trainer, plan.name, configuration.previous_stage, tag), dataset_json.file_ending
        previous = find_previous_run(workspace, dataset, name, configuration.previous_stage, dataset_json.spec, ending)
        require_complete(previous, request, plan.iterations, workspace)
        cases = {*fold.train, *fold.val}
        shown = previous_segmentations(previous, cases, run, store, plan, request.configuration, ending, watch)

    torch.manual_seed(request.seed)
    trainer = cls(plan, request.configuration, dataset_json, options, device=found.device, precision=found.precision)
    seen, transductive = tuple[SeenCases, ...](), False
    if init_from is not None and not begun:
        seen, transductive = require_weights_unseen(
            init_from, dataset=dataset, fold=request.fold, validation_cases=fold.val
        )
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
        training_cases=fold.train,
        n_labelled=request.n_labelled,
        label_seed=request.label_seed,
        validation_cases=fold.val,
        previous_run=previous.folder.name if previous is not None else "",
        previous_checkpoints=previous.checkpoints() if previous is not None else {},
        previous_segmentations=shown.digest(shown.hashes) if shown is not None else "",
        transductive=transductive,
        seen=seen,
        iterations=request.iterations or plan.iterations,
        **made_by(trainer, plan),
    )
    if begun:
        record = same_run(record, trainer, folder)
    sources = [
        BatchSource(store, cases, configuration, trainer.spec, seed=request.seed, augment=augment, previous=shown)
        for cases, augment in ((fold.train, options.augment), (fold.val, False))
    ]
    loop = Loop(trainer, record, folder, *sources)
    notes += unknown_overlap(loop.record)
    if begun:
        loop.resume()
        notes.append(f"Going on after update {loop.update}.")
    else:
        loop.record.save(folder / RECORD)
    return loop, folder, notes


def load_finished(request: RunRequest, workspace: Workspace) -> tuple[Trainer, Path]:
    """The trainer of a fold that has been trained, ready to predict, and the fold's folder.

    Raises:
        UserError: when its checkpoint cannot be read.
    """
    dataset = workspace.planned_dataset(request.dataset)
    plan = workspace.choose_plan(dataset, request.plan)
    run = workspace.results(dataset) / run_name(request.trainer, plan, request.configuration, request.whole_tag)
    folder = fold_folder(run, request.fold)
    return load_trainer(folder / LAST, choose_device(request.device), request.precision), folder


def _labelled(few: Fold, fold: Fold) -> str:
    """Which training cases are kept."""
    named = ", ".join(few.train[:3]) + (", …" if len(few.train) > 3 else "")
    return f"{len(few.train)} of the fold's {len(fold.train)} training cases count as labelled: {named}."
