"""Which runs of a dataset can be compared, which cannot and why."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from autodiffseg import registry
from autodiffseg.checkpoint_file import checkpoint_id
from autodiffseg.errors import UserError
from autodiffseg.evaluation.comparison import Entrant
from autodiffseg.evaluation.seed_bootstrap import FEWEST_SEEDS
from autodiffseg.evaluation.summary import SUMMARY, CaseScores, Summary, load_summary
from autodiffseg.runs import VALIDATION, RunRecord, asked_tag, dataset_runs, fold_folder, fold_records, tag_without_seed
from autodiffseg.workspace import Workspace

from .options import without_places
from .run_cost import cost_cells, cost_numbers

Scored = dict[str, tuple[RunRecord, Summary]]
"""Fold -> its record and its scores."""
CASE_LISTS = {"training_cases", "validation_cases", "seen"}


@dataclass(frozen=True)
class Wanted:
    """Which runs to compare; an empty choice means all."""

    trainers: tuple[str, ...] = ()
    configurations: tuple[str, ...] = ()
    plan: str | None = None
    folds: tuple[str, ...] = ()
    each_training: bool = False
    """Whether trainings that differ in their seed alone keep a row each."""
    tag: str | None = None
    """Without the seed; "" is no tag, None any."""
    seeds: tuple[int, ...] = ()
    asked_tag: str | None = None
    """As it was typed, without what few labels and the seed add to it; None any."""
    counts: tuple[int | None, ...] = ()
    """Numbers of labels; None among them are the trainings on all."""
    label_seeds: tuple[int, ...] = ()
    """Of those on few labels."""

    def fits(self, record: RunRecord) -> bool:
        """Whether a run's configuration, plan, tag, seed and labels are asked for."""
        return (
            (not self.configurations or record.configuration in self.configurations)
            and self.plan in (None, record.plan)
            and self.tag in (None, tag_without_seed(record))
            and (not self.seeds or record.seed in self.seeds)
            and self.asked_tag in (None, asked_tag(record))
            and (not self.counts or record.n_labelled in self.counts)
            and (not self.label_seeds or record.n_labelled is None or record.label_seed in self.label_seeds)
        )


def find_entrants(
    workspace: Workspace, dataset: str, classes: Mapping[str, str], wanted: Wanted, *, required: bool = True
) -> tuple[list[Entrant], list[str]]:
    """The runs that can be compared, and sentences about those that cannot.

    Args:
        workspace: where the results lie.
        dataset: full name.
        classes: class key -> name, as the dataset declares them now.
        wanted: which runs.
        required: whether there must be any.

    Raises:
        UserError: when a named trainer has no run, or no run is left and one is required.
    """
    found = {run: fold_records(run) for run in dataset_runs(workspace, dataset)}
    first = {run: next(iter(records.values())) for run, records in found.items()}
    fitting = [run for run, record in first.items() if wanted.fits(record)]
    _refuse_unknown(wanted.trainers, [first[run] for run in fitting])
    chosen: dict[Path, Scored] = {}
    left_out = []
    for run in fitting:
        if wanted.trainers and not any(_is_called(first[run], name) for name in wanted.trainers):
            continue
        for fold, record in found[run].items():
            if wanted.folds and fold not in wanted.folds:
                continue
            path = fold_folder(run, fold) / VALIDATION / SUMMARY
            summary = load_summary(path) if path.is_file() else None
            reason = _why_not(fold, record, summary, classes) or _why_stale(run, fold, record)
            if summary is None or reason:
                left_out.append(f"fold {fold} of {run.name}: {reason}")
            else:
                chosen.setdefault(run, {})[fold] = (record, summary)
    if not chosen and required:
        why = f" Left out: {' '.join(left_out)}" if left_out else ""
        raise UserError(
            f"{workspace.results(dataset)} holds no validated run that fits; train one with `autodiffseg train`.{why}"
        )
    methods = _methods(chosen, merge=not wanted.each_training)
    shown = [first[runs[0]] for runs in methods]
    several_plans = len({record.plan for record in shown}) > 1
    several_configurations = len({record.configuration for record in shown}) > 1
    entrants = []
    for runs, record in zip(methods, shown, strict=True):
        parts = [_shown(record)]
        parts += [record.plan] if several_plans else []
        parts += [record.configuration] if several_configurations else []
        tag = record.tag if len(runs) == 1 else tag_without_seed(record)
        parts += [tag] if tag else []
        parts += [f"({len(runs)} trainings)"] if len(runs) > 1 else []
        references = workspace.reference_labels(dataset)
        entrants.append(_entrant(parts, {run: chosen[run] for run in runs}, references))
    return entrants, left_out


def _methods(chosen: Mapping[Path, Scored], *, merge: bool) -> list[list[Path]]:
    """Runs that are trainings of one method, by their seeds; fewer than three stay apart, each a method."""
    alike: dict[tuple[Any, ...], list[Path]] = {}
    for run, scored in chosen.items():
        record = next(iter(scored.values()))[0]
        options = str(without_places(record.options))
        method = (record.trainer, record.plan, record.configuration, tag_without_seed(record), options)
        planned = (record.plan_hash, record.iterations, record.backbone)  # a plan of one name may have been changed
        members = tuple(re.sub(rf"(__|-)seed-{record.seed}$", "", name) for name in record.members)
        alike.setdefault((*method, *planned, members), []).append(run)
    methods = []
    for runs in alike.values():
        by_seed = sorted(runs, key=lambda run: next(iter(chosen[run].values()))[0].seed)
        methods += [by_seed] if merge and len(runs) >= FEWEST_SEEDS else [[run] for run in by_seed]
    return methods


def _entrant(parts: list[str], runs: Mapping[Path, Scored], references: Path) -> Entrant:
    """The entrant of one run, or of several trainings of one method."""
    every = [pair for scored in runs.values() for pair in scored.values()]
    checkpoints = sorted({str(summary.notes.get("checkpoint", "last")) for _, summary in every})
    if "best" in checkpoints:
        parts = [*parts, "(best checkpoint: chosen on these cases)"]
    transductive = any(record.transductive for record, _ in every)
    if transductive:
        parts = [*parts, "(transductive)"]
    trainings = [
        {
            case.case: _found_here(case, fold_folder(run, fold) / VALIDATION, references)
            for fold, (_, summary) in scored.items()
            for case in summary.cases
        }
        for run, scored in runs.items()
    ]
    record = every[0][0]
    facts = {
        "kind": "run",
        **record.model_dump(include={"trainer", "plan", "configuration", "n_labelled", "label_seed"}),
        "tag": tag_without_seed(record),
        "asked_tag": asked_tag(record),
        "seeds": [next(iter(scored.values()))[0].seed for scored in runs.values()],
        "checkpoints": checkpoints,
        "transductive": transductive,
        "sampling": every[0][1].notes.get("sampling"),
        "numbers": cost_numbers(every),
        "runs": [
            {
                "folder": str(run.resolve()),
                "folds": {
                    fold: fold_record.model_dump(exclude=CASE_LISTS) for fold, (fold_record, _) in scored.items()
                },
            }
            for run, scored in runs.items()
        ],
    }
    return Entrant(" ".join(parts), trainings[0], cost_cells(every), tuple(trainings[1:]), facts)


def _found_here(case: CaseScores, predictions: Path, references: Path) -> CaseScores:
    """The scores with the paths of today: those in a summary are as `validate` was called, on whatever machine."""
    prediction, reference = (
        _lying_in(folder, file)
        for folder, file in ((predictions, case.prediction_file), (references, case.reference_file))
    )
    return replace(case, prediction_file=prediction, reference_file=reference)


def _lying_in(folder: Path, file: str) -> str:
    """A file of that name in a folder; as it was told where there is none."""
    path = folder / file.replace("\\", "/").rpartition("/")[2]
    return str(path.resolve()) if path.is_file() else file


def _why_not(fold: str, record: RunRecord, summary: Summary | None, classes: Mapping[str, str]) -> str:
    """Why a fold cannot be compared; "" when it can."""
    if fold == "all":
        return "it validates on what it was trained on."
    if summary is None and not record.finished:
        done = f"{record.iterations_done} of {record.iterations} updates"
        return f"its training has not finished ({done}); go on with `autodiffseg train … --continue`."
    if summary is None:
        return "not validated (`autodiffseg validate`)."
    if set(summary.classes) != set(classes):
        return f"scored on other classes ({', '.join(summary.classes.values())}); train it anew."
    updates = summary.notes.get("updates", record.iterations_done)
    if summary.notes.get("checkpoint") != "best" and updates != record.iterations_done:
        return f"validated after {updates} of its {record.iterations_done} updates (`autodiffseg validate`)."
    return ""


def _why_stale(run: Path, fold: str, record: RunRecord) -> str:
    """Why an ensemble's scores no longer speak of its members; "" when they do, or for any other run."""
    for name, weights in record.members.items():
        checkpoint = fold_folder(run.parent / name, fold) / "checkpoint_last.pt"
        if checkpoint.is_file() and checkpoint_id(checkpoint) != weights:
            return f"its member {name} was trained on since it was validated (`autodiffseg validate`)."
    return ""


def _refuse_unknown(trainers: Sequence[str], records: Sequence[RunRecord]) -> None:
    """Raise UserError for a named trainer that none of the runs has."""
    known = sorted({_shown(record) for record in records})
    for name in trainers:
        if known and not any(_is_called(record, name) for record in records):
            raise UserError(registry.unknown("trainer", name, known) + " These have runs that fit.")


def _is_called(record: RunRecord, name: str) -> bool:
    """Whether a run's trainer is called so; one of the user's own, my_trainers:Mixed, is by its class as well."""
    return name in (record.trainer, _shown(record))


def _shown(record: RunRecord) -> str:
    return record.trainer.rpartition(":")[2]
