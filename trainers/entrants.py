"""Which runs of a dataset can be compared, which cannot and why, and what each cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from autodiffseg import registry
from autodiffseg.checkpoint_file import checkpoint_id
from autodiffseg.errors import UserError
from autodiffseg.evaluation.comparison import Entrant
from autodiffseg.evaluation.summary import SUMMARY, Summary, load_summary
from autodiffseg.runs import VALIDATION, RunRecord, dataset_runs, fold_folder, fold_records
from autodiffseg.workspace import Workspace

Scored = dict[str, tuple[RunRecord, Summary]]
"""Fold -> its record and its scores."""


def find_entrants(
    workspace: Workspace,
    dataset: str,
    classes: Mapping[str, str],
    trainers: Sequence[str],
    *,
    configuration: str | None,
    plan: str | None,
) -> tuple[list[Entrant], list[str]]:
    """The runs that can be compared, and sentences about those that cannot.

    Args:
        workspace: where the results lie.
        dataset: full name.
        classes: class key -> name, as the dataset declares them now.
        trainers: only runs of these; none means all.
        configuration: only runs of this one.
        plan: only runs of this one.

    Raises:
        UserError: when a named trainer has no run, or no run is left.
    """
    found = {run: fold_records(run) for run in dataset_runs(workspace, dataset)}
    first = {run: next(iter(records.values())) for run, records in found.items()}
    fitting = [
        run
        for run, record in first.items()
        if configuration in (None, record.configuration) and plan in (None, record.plan)
    ]
    _refuse_unknown(trainers, [first[run] for run in fitting])
    chosen: dict[Path, Scored] = {}
    left_out = []
    for run in fitting:
        if trainers and not any(_is_called(first[run], name) for name in trainers):
            continue
        for fold, record in found[run].items():
            path = fold_folder(run, fold) / VALIDATION / SUMMARY
            summary = load_summary(path) if path.is_file() else None
            reason = _why_not(fold, record, summary, classes) or _why_stale(run, fold, record)
            if summary is None or reason:
                left_out.append(f"fold {fold} of {run.name}: {reason}")
            else:
                chosen.setdefault(run, {})[fold] = (record, summary)
    if not chosen:
        why = f" Left out: {' '.join(left_out)}" if left_out else ""
        raise UserError(
            f"{workspace.results(dataset)} holds no validated run that fits; train one with `autodiffseg train`.{why}"
        )
    several_plans = len({first[run].plan for run in chosen}) > 1
    several_configurations = len({first[run].configuration for run in chosen}) > 1
    entrants = []
    for run, scored in chosen.items():
        record = first[run]
        parts = [_shown(record)]
        parts += [record.plan] if several_plans else []
        parts += [record.configuration] if several_configurations else []
        parts += [record.tag] if record.tag else []
        if any(summary.notes.get("checkpoint") == "best" for _, summary in scored.values()):
            parts.append("(best checkpoint: chosen on these cases)")
        cases = {case.case: case for _, summary in scored.values() for case in summary.cases}
        entrants.append(Entrant(" ".join(parts), cases, cost(scored)))
    return entrants, left_out


def cost(scored: Scored) -> dict[str, str]:
    """What the folds of a run cost, as table cells."""
    records = [record for record, _ in scored.values()]
    updates = sorted({record.iterations_done for record in records})
    unfinished = any(not record.finished for record in records)
    minutes = sum(record.training_seconds for record in records) / 60 / len(records)
    passes = sorted({str(summary.notes.get("passes", "–")) for _, summary in scored.values()})
    before = " (+ previous stage)" if any(record.previous_run for record in records) else ""
    return {
        "Parameters [M]": f"{records[0].parameters / 1e6:.2f}",
        "Passes per patch": ", ".join(passes),
        "Updates": "–".join(str(number) for number in dict.fromkeys((updates[0], updates[-1])))
        + (" (unfinished)" if unfinished else ""),
        "Training [min/fold]": f"{minutes:.1f}{before}",
        "Device": f"{records[0].device} {records[0].precision}",
        "Folds": ",".join(scored),
    }


def _why_not(fold: str, record: RunRecord, summary: Summary | None, classes: Mapping[str, str]) -> str:
    """Why a fold cannot be compared; "" when it can."""
    if fold == "all":
        return "it validates on what it was trained on."
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
