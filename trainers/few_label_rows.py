"""The rows of a label curve: trained runs by method and number of labels, with their scores in every domain."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from autodiffseg.dataset import DatasetJson
from autodiffseg.evaluation.caveats import chosen_caveat, seen_caveat
from autodiffseg.evaluation.comparison import Entrant
from autodiffseg.evaluation.label_curves import Domain, Place
from autodiffseg.evaluation.shifted_set import ShiftedSet
from autodiffseg.evaluation.summary import CaseScores, Summary, class_keys
from autodiffseg.runs import RunRecord, asked_tag, fold_records
from autodiffseg.workspace import Workspace

from .entrants import Wanted, find_entrants
from .options import without_places

Trainings = dict[Place, dict[str, Mapping[str, CaseScores]]]
ScoreShifted = Callable[[ShiftedSet, Path, RunRecord], Summary]
"""The scores of a shifted set by a fold of a run."""


@dataclass(frozen=True)
class FewLabelRows:
    """What has been trained, and how it did."""

    domains: list[Domain]
    """The validation cases first, then the shifted sets."""
    passes: dict[Place, str]
    """Network calls of one prediction of a patch."""
    left_out: list[str]
    """Runs without scores, in sentences."""
    folders: list[Path] = field(default_factory=list)
    """Of the runs."""
    notes: list[str] = field(default_factory=list)
    """Rows whose trainings differ in more than their seeds, and rows whose scores may be too good, in sentences."""


def find_rows(
    workspace: Workspace,
    dataset: str,
    declared: DatasetJson,
    wanted: Wanted,
    shifted: Sequence[ShiftedSet],
    score: ScoreShifted,
) -> FewLabelRows:
    """Put runs that differ in their seeds together as trainings of one row.

    Args:
        workspace: where results lie.
        dataset: full name.
        declared: its dataset.json.
        wanted: which runs; `each_training` is taken for granted.
        shifted: sets to be scored too.
        score: gives their scores.

    Raises:
        UserError: when no run fits.
    """
    classes = class_keys(declared.spec)
    entrants, left_out = find_entrants(workspace, dataset, classes, wanted)
    inside: Trainings = {}
    outside: dict[str, Trainings] = {each.name: {} for each in shifted}
    passes: dict[Place, str] = {}
    folders = []
    trained: dict[Place, list[_Trained]] = {}
    for entrant in entrants:
        (run,) = entrant.facts["runs"]
        folder = Path(run["folder"])
        records = {fold: record for fold, record in fold_records(folder).items() if fold in run["folds"]}
        first = next(iter(records.values()))
        place = Place(labels_of(first, declared), _method(first, entrants))
        name = f"{first.label_seed}.{first.seed}"
        if name in inside.get(place, {}):
            left_out.append(f"{folder.name}, for another run of {place.method} has as many labels and the same seeds")
            continue
        trained.setdefault(place, []).extend(
            _Trained(record, entrant.facts["checkpoints"]) for record in records.values()
        )
        inside.setdefault(place, {})[name] = entrant.cases
        passes[place] = entrant.cost["Passes per patch"]
        for each in shifted:
            for fold, record in records.items():
                scored = {case.case: case for case in score(each, folder, record).cases}
                outside[each.name].setdefault(place, {})[f"{name}.{fold}"] = scored
        folders.append(folder)
    group = declared.group if declared.has_groups else None
    domains = [Domain(dataset, classes, inside, group)]
    domains += [Domain(each.name, each.classes, outside[each.name], each.group) for each in shifted]
    notes = [_unlike(place, found) for place, found in trained.items()]
    return FewLabelRows(domains, passes, left_out, folders, [note for note in notes if note] + _caveats(trained))


def labels_of(record: RunRecord, declared: DatasetJson) -> int:
    """Training cases that count as labelled, or groups of such; of a run on all, how many these are."""
    return record.n_labelled or len({declared.group(case) for case in record.training_cases})


def _method(record: RunRecord, among: Sequence[Entrant]) -> str:
    """Trainer, and what tells it from the others."""
    parts = [record.trainer.rpartition(":")[2]]
    for name in ("plan", "configuration"):
        several = len({entrant.facts[name] for entrant in among}) > 1
        parts += [str(getattr(record, name))] if several else []
    several = len({entrant.facts["asked_tag"] for entrant in among}) > 1
    parts += [asked_tag(record)] if several and asked_tag(record) else []
    return " ".join(parts)


class _Trained(NamedTuple):
    """A fold of a training."""

    record: RunRecord
    checkpoints: Sequence[str]
    """That are validated, of all folds of the training: last or best."""


def _unlike(place: Place, trained: Sequence[_Trained]) -> str:
    """What tells that trainings of one row differ in more than their seeds; "" when they do not."""
    records = [one.record for one in trained]
    folds = {record.fold for record in records}
    seen = [{record.transductive for record in records if record.fold == fold} for fold in folds]
    found: dict[str, set[Any]] = {
        "iterations": {record.iterations for record in records},
        "options": {str(without_places(record.options)) for record in records},
        "backbone": {record.backbone for record in records},
        "plan": {record.plan_hash for record in records},
        "what their pretrained weights have seen": max(seen, key=len),  # folds of one training may differ in it
        "the checkpoint that is validated": {name for one in trained for name in one.checkpoints},
    }
    several = [name for name, values in found.items() if len(values) > 1]
    if not several:
        return ""
    return f"{_shown(place)}: its trainings differ in {' and '.join(several)} too, not in their seeds alone."


def _caveats(trained: Mapping[Place, Sequence[_Trained]]) -> list[str]:
    """Which rows are scored on what their weights have seen, or were chosen on; in the order of the table."""
    rows = sorted(trained.items())
    seen = [_shown(place) for place, found in rows if any(one.record.transductive for one in found)]
    chosen = [_shown(place) for place, found in rows if any("best" in one.checkpoints for one in found)]
    return ([seen_caveat(seen)] if seen else []) + ([chosen_caveat(chosen)] if chosen else [])


def _shown(place: Place) -> str:
    return f"{place.method} with {place.labels} label{'s' * (place.labels > 1)}"


def commands_of(runs: Sequence[Path]) -> list[str]:
    """The command lines that trained them, where they are known."""
    return [record.command or str(run) for run in runs for record in fold_records(run).values()]
