"""From a raw dataset to preprocessed cases: check, fingerprint, plan, folds, preprocessing, in this order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from autodiffseg import registry
from autodiffseg.atomic import write_text
from autodiffseg.dataset import RawDataset
from autodiffseg.errors import UserError
from autodiffseg.fingerprint import Fingerprint
from autodiffseg.plans import Plan
from autodiffseg.preprocessing.memory_check import require_memory
from autodiffseg.workspace import Workspace

from .configuration_names import CONFIGURATIONS
from .current_fingerprint import check_raw, known_fingerprint, new_fingerprint
from .dataset_copies import copy_dataset, keep_folds, plan_folds
from .existing_plan import choose_plan
from .explain import explain_plan
from .explain_transfer import explain_transfer
from .fitted_plan import Fit, fitted_plan, table_of
from .plan_source import Source
from .planner import Planned, make_plan
from .presets import Preset
from .reporter import Reporter
from .transferred_plan import Transferred, transfer_plan


@dataclass(frozen=True)
class PlanRequest:
    """What a person asked for."""

    name: str
    """Of the plan."""
    preset: Preset
    configurations: Sequence[str] = ()
    """To be preprocessed; none means all of the plan."""
    spacing: tuple[float, float, float] | None = None
    """Target, raw (z, y, x) mm, instead of the rules' own."""
    target_size: tuple[int, int] | None = None
    """Pixels (y, x) of every image, instead of a spacing."""
    source: Source | None = None
    """A plan that was made elsewhere, to be taken over instead of planning."""
    fit: Fit = field(default_factory=Fit)
    """Whom the plan must fit, and how that is told."""
    overwrite: bool = False
    """Replace a plan of that name even if it was edited."""
    asked: Sequence[str] = ()
    """Options that shape the plan and were given."""


@dataclass(frozen=True)
class Prepared:
    """What has been made."""

    plan: Plan
    path: Path
    """Of the plan file."""
    explanation: str
    """Of the plan that is made of the dataset now, as Markdown."""
    is_explained: bool
    """Whether `plan` is that plan; an edited one that was kept is not."""
    configurations: tuple[str, ...]
    """Those that were asked for; they are preprocessed now."""
    waiting: tuple[str, ...]
    """Those of the plan that are not preprocessed yet."""


def prepare(
    raw: RawDataset, workspace: Workspace, request: PlanRequest, *, processes: int, reporter: Reporter
) -> Prepared:
    """Plan and preprocess a dataset. Nothing is written before everything has been checked.

    Raises:
        UserError: when the dataset is unsound, an edited plan would be lost, or a configuration does not exist.
    """
    path = workspace.plan_path(raw.name, request.name)
    planned_names = CONFIGURATIONS if request.source is None else request.source.plan.configurations
    for configuration in request.configurations:
        if configuration not in planned_names and not path.is_file():
            raise UserError(registry.unknown("configuration", configuration, list(planned_names)))
    known = known_fingerprint(raw, workspace, processes=processes)
    if known.current:
        reporter.tell("The raw files have not changed: integrity check and fingerprint are those of before.")
    else:
        check_raw(raw, processes=processes, reporter=reporter)
    folds, note = plan_folds(raw, workspace)  # after the check: it needs cases, and a group for each
    reporter.tell(note)
    if known.current and known.earlier is not None:
        fingerprint, before = known.earlier, None
    else:
        fingerprint, before = new_fingerprint(raw, workspace, processes=processes, reporter=reporter), known.earlier
    planned, memory = _plan(raw, fingerprint, request)
    overwrite = request.overwrite or _is_its_own_source(path, request)
    earlier = None if overwrite or not path.is_file() else _plan_of_before(raw, before, request)
    choice = choose_plan(path, planned.plan, before=earlier, overwrite=overwrite, asked=request.asked)
    reporter.tell(choice.note)
    if isinstance(planned, Transferred):
        for note in planned.notes:
            reporter.tell(f"Note: {note}.")
    wanted = tuple(request.configurations) or tuple(choice.plan.configurations)
    for configuration in wanted:
        choice.plan.configuration(configuration)  # refuses what the plan does not have
        missing = _missing(raw, workspace, choice.plan, configuration)
        require_memory((raw.images(case) for case in missing), choice.plan, configuration)

    keep_folds(folds, workspace.splits_path(raw.name))
    copy_dataset(raw, workspace)
    text = "\n".join((_explain(planned, raw, fingerprint, request), *memory))
    if choice.text is not None:
        write_text(path.with_name(f"{request.name}_explained.md"), text)
        write_text(path, choice.text)
    # After the plan: stopped in between, the next run sees once more that the raw data have changed and all is well.
    fingerprint.save(workspace.fingerprint_path(raw.name))
    _preprocess(raw, workspace, choice.plan, wanted, processes, reporter)
    waiting = tuple(name for name in choice.plan.configurations if _missing(raw, workspace, choice.plan, name))
    return Prepared(choice.plan, path, text, choice.is_planned, wanted, waiting)


def _plan(
    raw: RawDataset, fingerprint: Fingerprint, request: PlanRequest
) -> tuple[Planned | Transferred, tuple[str, ...]]:
    """The plan, and what its explanation says of memory."""
    channels = raw.json.channels
    if request.source is not None:
        taken = transfer_plan(request.source, fingerprint, channels=channels, spec=raw.spec, name=request.name)
        return taken, table_of(taken.plan, request.fit, raw.json)

    def make(preset: Preset) -> Planned:
        return make_plan(
            fingerprint,
            channels=channels,
            spec=raw.spec,
            preset=preset,
            name=request.name,
            spacing=request.spacing,
            target_size=request.target_size,
        )

    return fitted_plan(make, request.preset, request.fit, raw.json)


def _plan_of_before(raw: RawDataset, before: Fingerprint | None, request: PlanRequest) -> Plan | None:
    """What planning made of the earlier raw data; None where that cannot be told from what is declared now."""
    if before is None or len(before.intensities) != len(raw.json.channels):
        return None
    try:
        return _plan(raw, before, request)[0].plan
    except UserError:  # as where --target-size is asked for, and the earlier images had depth
        return None


def _is_its_own_source(path: Path, request: PlanRequest) -> bool:
    """Whether a plan is taken over from the very file that it goes into, so that nothing of it is lost."""
    source = request.source
    return source is not None and path.is_file() and source.path.samefile(path)


def _explain(planned: Planned | Transferred, raw: RawDataset, fingerprint: Fingerprint, request: PlanRequest) -> str:
    if isinstance(planned, Transferred):
        return explain_transfer(planned)
    return explain_plan(planned, fingerprint, channels=raw.json.channels, spec=raw.spec, preset=request.preset)


def _missing(raw: RawDataset, workspace: Workspace, plan: Plan, configuration: str) -> tuple[str, ...]:
    """The cases that are still to be preprocessed for a configuration."""
    from autodiffseg.preprocessing.case_store import CaseStore
    from autodiffseg.preprocessing.run import missing_cases

    return missing_cases(raw, CaseStore(workspace.preprocessed(raw.name) / plan.data_id(configuration)))


def _preprocess(
    raw: RawDataset, workspace: Workspace, plan: Plan, wanted: Sequence[str], processes: int, reporter: Reporter
) -> None:
    from autodiffseg.preprocessing.cut_labels import CutLabel, describe_cut_labels
    from autodiffseg.preprocessing.run import preprocess_dataset

    cut: list[CutLabel] = []
    for configuration in wanted:
        folder = workspace.preprocessed(raw.name) / plan.data_id(configuration)
        missing = len(_missing(raw, workspace, plan, configuration))
        with reporter.progress(f"Preprocessing {configuration}", missing) as advance:
            cut += preprocess_dataset(
                raw, plan, configuration, folder, processes=processes, on_case=advance, tell=reporter.tell_once
            )
    reporter.tell(describe_cut_labels(cut))
