"""Conditions of a run: what must hold before it begins, what its record says of them, and which it is gone on with."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, NamedTuple

import torch

from autodiffseg.dataset import DatasetJson
from autodiffseg.errors import UserError
from autodiffseg.few_labels import keep_labelled
from autodiffseg.fingerprint import Fingerprint
from autodiffseg.folds import Fold, load_folds, select_fold
from autodiffseg.invocation import command_line
from autodiffseg.plans import ConfigurationPlan, Plan
from autodiffseg.preprocessing.case_store import CaseStore
from autodiffseg.runs import RECORD, RunRecord
from autodiffseg.workspace import Workspace

from .checkpoints import LAST
from .learner import Learner
from .options import without_places
from .precision import Precision, choose_device, choose_precision
from .provenance import git_revision, hardware, versions
from .run_request import LearningRequest, RunRequest


class Surroundings(NamedTuple):
    """What a training finds when it begins."""

    dataset: str
    """Full name."""
    plan: Plan
    configuration: ConfigurationPlan
    declared: DatasetJson
    store: CaseStore
    splits: Path
    """File of the folds."""
    device: torch.device
    precision: Precision

    def fold(self, name: str) -> Fold:
        """The fold that is called so.

        Raises:
            UserError: when there is none.
        """
        return select_fold(load_folds(self.splits), name, self.store.cases(), source=self.splits)

    def labelled(self, request: RunRequest) -> Fold:
        """The fold that is asked for, with those of its training cases alone that shall count as labelled.

        Raises:
            UserError: when there is none, or it has fewer.
        """
        fold, count = self.fold(request.fold), request.n_labelled
        if count is None:
            return fold
        return keep_labelled(fold, count, seed=request.label_seed, group=self.declared.group, name=request.fold)


def surroundings(request: LearningRequest, workspace: Workspace) -> Surroundings:
    """Look for all that is named in a request.

    Raises:
        UserError: when something does not exist, or cases are not preprocessed.
    """
    device = choose_device(request.device)
    precision = choose_precision(request.precision, device)
    dataset = workspace.planned_dataset(request.dataset)
    plan = workspace.plan(dataset, workspace.choose_plan(dataset, request.plan))
    return Surroundings(
        dataset=dataset,
        plan=plan,
        configuration=plan.configuration(request.configuration),
        declared=DatasetJson.load(workspace.dataset_json_path(dataset)),
        store=preprocessed_cases(workspace, dataset, plan, request.configuration, called=request.dataset),
        splits=workspace.splits_path(dataset),
        device=device,
        precision=precision,
    )


def preprocessed_cases(workspace: Workspace, dataset: str, plan: Plan, configuration: str, *, called: str) -> CaseStore:
    """The preprocessed cases of a configuration; the user called the dataset `called`.

    Raises:
        UserError: when some of the dataset's are missing; the message names the command that makes them.
    """
    store = CaseStore(workspace.preprocessed(dataset) / plan.data_id(configuration))
    expected = Fingerprint.load(workspace.fingerprint_path(dataset)).cases
    missing = set(expected) - set(store.cases())
    if missing:
        preset = "" if plan.preset == "imported" else f"--preset {plan.preset} "  # an imported plan is kept by its name
        raise UserError(
            f"{len(missing)} of {len(expected)} cases of {dataset} are not preprocessed for {configuration}. "
            f"Run `autodiffseg plan-and-preprocess {called} -c {configuration} {preset}--name {plan.name}`."
        )
    return store


def is_begun(folder: Path, *, go_on: bool) -> bool:
    """Whether the folder holds a training to go on with.

    Raises:
        UserError: when it does and that was not asked for.
    """
    begun = (folder / LAST).is_file()  # a training that failed before its first checkpoint may be repeated at will
    if begun and not go_on:
        raise UserError(f"{folder} holds an earlier training. Go on with --continue, or give this one a --tag.")
    return begun


def made_by(learner: Learner, plan: Plan) -> dict[str, Any]:
    """What run.json says of plan, options, machine and software."""
    return {
        "options": learner.options.model_dump(mode="json"),
        "plan_hash": hash_of_plan(plan),
        "parameters": sum(parameter.numel() for parameter in learner.network.parameters()),
        "device": str(learner.device),
        "precision": learner.precision,
        "versions": versions(),
        "hardware": hardware(learner.device),
        "git_revision": git_revision(),
        "command": command_line(),
    }


def hash_of_plan(plan: Plan) -> str:
    """As run.json has it: a plan of one name may have been changed."""
    return hashlib.sha256(plan.model_dump_json().encode()).hexdigest()[:16]


def same_run(now: RunRecord, learner: Learner, folder: Path) -> RunRecord:
    """The record of the training in `folder`, which keeps telling of its first sitting; the others must be like it.

    A backbone may have moved since: whether it is the same is asked where its hash is kept, in the checkpoint.

    Raises:
        UserError: when the conditions differ: the record would no longer be true.
    """
    before = RunRecord.load(folder / RECORD)
    known = learner.Options.check(before.options, source=f"{folder / RECORD}, options").model_dump(mode="json")
    before = before.model_copy(update={"options": known})
    for field in ("trainer", "plan_hash", "seed", "options", "iterations", "precision", "training_cases"):
        old, new = getattr(before, field), getattr(now, field)
        if field == "options":
            old, new = without_places(old), without_places(new)
        if old != new:
            told = f"{old}, asked for is {new}" if len(f"{old}{new}") < 200 else "other values"
            raise UserError(
                f"--continue: {folder / RECORD} has {field} {told}. Ask for the same, or give the new training a --tag."
            )
    if before.previous_segmentations != now.previous_segmentations:
        raise UserError(
            f"--continue: {folder} was begun beside other segmentations of {now.previous_run} than its validations "
            "hold now. Validate its folds as they were then, or give the new training a --tag."
        )
    return before
