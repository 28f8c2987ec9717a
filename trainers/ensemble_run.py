"""The run of an ensemble: what its members lack, and the record that names them once they are trained."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from autodiffseg.checkpoint_file import checkpoint_id
from autodiffseg.errors import UserError
from autodiffseg.evaluation.validated import is_validated
from autodiffseg.invocation import command_line
from autodiffseg.runs import RECORD, RunRecord, fold_folder, run_name
from autodiffseg.workspace import Workspace

from .backbone import backbone_digest
from .checkpoints import LAST, load_trainer, trainer_class
from .ensemble import Ensemble
from .model_folder import find_checkpoints
from .options import read_settings, without_places
from .provenance import git_revision, versions
from .run_request import RunRequest
from .validation import TrainedFold

if TYPE_CHECKING:
    import torch


class MemberState(NamedTuple):
    """A member of an ensemble, and what there is of it."""

    request: RunRequest
    folder: Path
    """Of its fold."""
    record: RunRecord | None
    """None when its training has no checkpoint yet."""

    @property
    def trained(self) -> bool:
        """Whether its training has finished."""
        return self.record is not None and self.record.finished

    @property
    def validated(self) -> bool:
        """Whether its last checkpoint has been validated."""
        return self.record is not None and is_validated(self.folder, self.record)


def member_states(ensemble: Ensemble, workspace: Workspace, *, go_on: bool) -> list[MemberState]:
    """What there is of each member; trainings that do not fit what is asked for are refused before work starts.

    Raises:
        UserError: when one was begun and is not to be gone on with, or was trained with other options.
    """
    states = []
    for request in ensemble.members:
        folder = run_folder(request, workspace)
        begun = (folder / LAST).is_file()
        state = MemberState(request, folder, RunRecord.load(folder / RECORD) if begun else None)
        if begun and not state.trained and not go_on:
            raise UserError(f"{folder} holds an unfinished training. Go on with --continue, or give all a --tag.")
        if state.record is not None:
            _refuse_other_training(request, state.record, folder)
        states.append(state)
    return states


def run_folder(request: RunRequest, workspace: Workspace) -> Path:
    """The folder of the fold that is asked for.

    Raises:
        UserError: when the dataset or its plan does not exist.
    """
    dataset = workspace.planned_dataset(request.dataset)
    plan = workspace.choose_plan(dataset, request.plan)
    run = workspace.results(dataset) / run_name(request.trainer, plan, request.configuration, request.whole_tag)
    return fold_folder(run, request.fold)


def ensemble_record(folders: Sequence[Path], *, trainer: str, tag: str, options: dict[str, Any]) -> RunRecord:
    """The record of an ensemble whose members, in `folders` of their folds, are all trained.

    Raises:
        UserError: when they were not trained on the same cases by the same plan.
    """
    records = [RunRecord.load(folder / RECORD) for folder in folders]
    first = records[0]
    for record, folder in zip(records[1:], folders[1:], strict=True):
        for field in ("plan_hash", "training_cases", "validation_cases"):
            if getattr(record, field) != getattr(first, field):
                raise UserError(
                    f"{folder} was trained on other cases or by another plan than {folders[0]} ({field}); an ensemble "
                    "is validated on what no member was trained on. Train its members anew, with a --tag."
                )
    return first.model_copy(
        update={
            "trainer": trainer,
            "tag": tag,
            "options": options,
            "members": {folder.parent.name: checkpoint_id(folder / LAST) for folder in folders},
            "previous_run": "",  # each member has its own
            "previous_checkpoints": {},
            "previous_segmentations": "",
            "backbone": "",
            "transductive": any(record.transductive for record in records),
            "seen": tuple(dict.fromkeys(each for record in records for each in record.seen)),
            "iterations": sum(record.iterations for record in records),
            "iterations_done": sum(record.iterations_done for record in records),
            "finished": all(record.finished for record in records),
            "training_seconds": sum(record.training_seconds for record in records),
            "parameters": sum(record.parameters for record in records),
            "device": " + ".join(dict.fromkeys(record.device for record in records)),
            "precision": " + ".join(dict.fromkeys(record.precision for record in records)),
            "versions": versions(),
            "git_revision": git_revision(),
            "command": command_line(),
        }
    )


def member_folders(record: RunRecord, folder: Path) -> list[Path]:
    """Where the members of the ensemble in `folder` lie, each with the same fold.

    Raises:
        UserError: when one is gone.
    """
    found = [fold_folder(folder.parent.parent / name, record.fold) for name in record.members]
    for path in found:
        if not (path / RECORD).is_file():
            raise UserError(f"{folder.parent} is an ensemble; its member {path} must lie beside it, and does not.")
    return found


def refresh_record(folder: Path) -> list[Path]:
    """Bring the record of an ensemble's fold up to date with its members; their folders, none for other folds.

    Raises:
        UserError: when a member is gone, or was trained on other cases since.
    """
    before = RunRecord.load(folder / RECORD) if (folder / RECORD).is_file() else None
    if before is None or not before.members:
        return []
    folders = member_folders(before, folder)
    ensemble_record(folders, trainer=before.trainer, tag=before.tag, options=before.options).save(folder / RECORD)
    return folders


def load_members(folders: Sequence[Path], checkpoint: str, device: torch.device, precision: str) -> list[TrainedFold]:
    """The trained folds of an ensemble's members.

    Raises:
        UserError: when a checkpoint is missing or cannot be read.
    """
    found = []
    for folder in folders:
        fold = folder.name.removeprefix("fold_")
        path = find_checkpoints(folder.parent, (fold,), checkpoint)[fold]
        found.append(TrainedFold(load_trainer(path, device, precision), folder))
    return found


def _refuse_other_training(request: RunRequest, record: RunRecord, folder: Path) -> None:
    """Raise UserError where an earlier training contradicts what was asked for in so many words."""
    asked = read_settings(trainer_class(request.trainer).Options, request.settings).model_dump(mode="json")
    named = [setting.partition("=")[0] for setting in request.settings]
    wanted = without_places({name: asked[name] for name in named})
    found = {name: record.options.get(name) for name in wanted}
    if "backbone" in named:
        path = asked["backbone"]
        wanted["backbone"], found["backbone"] = "" if path is None else backbone_digest(Path(path)), record.backbone
    if request.iterations is not None:
        wanted["iterations"], found["iterations"] = request.iterations, record.iterations
    for name, value in wanted.items():
        if found[name] != value:
            raise UserError(
                f"{folder} was trained with {name} {found[name]}, asked for is {value}. Ask for the same, or give the "
                "ensemble and its members a --tag."
            )
