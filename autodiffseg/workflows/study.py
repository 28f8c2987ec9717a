"""Study: the steps from a raw dataset to a comparison of trainers, and which of them are done."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from autodiffseg import registry
from autodiffseg.checkpoint_file import LAST
from autodiffseg.errors import UserError
from autodiffseg.evaluation.summary import SUMMARY, load_summary
from autodiffseg.fingerprint import Fingerprint
from autodiffseg.runs import RECORD, VALIDATION, RunRecord, fold_folder, run_name, whole_tag
from autodiffseg.workspace import Workspace


@dataclass(frozen=True)
class Step:
    """One command of a study."""

    name: str
    """For the reader: what it makes."""
    arguments: list[str]
    """Of the command, its name first; none when the step is done."""
    training: tuple[str, str] | None = None
    """Trainer and configuration that are trained, for an estimate of the time."""
    updates_left: int | None = None
    """Of a training that goes on; None for one that begins."""

    @property
    def done(self) -> bool:
        """Whether nothing is left to do."""
        return not self.arguments


@dataclass(frozen=True)
class Study:
    """Trainers × configurations × seeds × folds of one dataset under one plan."""

    workspace: Workspace
    place: list[str]
    """Options that name the workspace; none when it is the default."""
    asked_as: str
    """The dataset as the user named it."""
    dataset: str
    """Its full name."""
    trainers: tuple[str, ...]
    configurations: tuple[str, ...]
    folds: tuple[str, ...]
    seeds: tuple[int, ...]
    plan: str
    preset: str | None
    tag: str
    iterations: int | None
    """None: the plan's."""
    device: str | None
    baseline: str | None
    html: Path

    def steps(self) -> Iterator[Step]:
        """All steps in order, as far as they are done now.

        Raises:
            UserError: when a run exists that was trained for another number of updates than asked for.
        """
        yield self._planning()
        # Fold by fold, so that there is something to compare early on.
        for configuration in self.configurations:
            for seed in self.seeds:
                for fold in self.folds:
                    for trainer in self.trainers:
                        yield self._training(trainer, configuration, fold, seed)
        yield self._comparison()

    @property
    def is_planned(self) -> bool:
        """Whether the plan is there and every case is preprocessed for all configurations."""
        if not self.workspace.plan_path(self.dataset, self.plan).is_file():
            return False
        plan = self.workspace.plan(self.dataset, self.plan)
        cases = set(Fingerprint.load(self.workspace.fingerprint_path(self.dataset)).cases)
        return all(
            configuration in plan.configurations and cases <= self._stored(plan.data_id(configuration))
            for configuration in self.configurations
        )

    def _stored(self, data_id: str) -> set[str]:
        from autodiffseg.preprocessing.case_store import CaseStore

        return set(CaseStore(self.workspace.preprocessed(self.dataset) / data_id).cases())

    def _planning(self) -> Step:
        title = f"plan '{self.plan}' and preprocess {', '.join(self.configurations)}"
        if self.is_planned:
            return Step(title, [])
        chosen = [word for configuration in self.configurations for word in ("-c", configuration)]
        preset = ["--preset", self.preset] if self.preset is not None else []
        return Step(title, ["plan-and-preprocess", self.asked_as, *chosen, *preset, "--name", self.plan, *self.place])

    def _training(self, trainer: str, configuration: str, fold: str, seed: int) -> Step:
        """Train a fold from the start or go on with it, validate it alone, or nothing."""
        tag = whole_tag(self.tag, seed)
        run = self.workspace.results(self.dataset) / run_name(trainer, self.plan, configuration, tag)
        folder = fold_folder(run, fold)
        record = RunRecord.load(folder / RECORD) if (folder / RECORD).is_file() else None
        title = f"{trainer}, {configuration}, fold {fold}" + (f", seed {seed}" if seed else "")
        common = ["--trainer", trainer, "--plan", self.plan, *self.place]
        common += ["--device", self.device] if self.device is not None else []
        place = [self.dataset, configuration, fold]
        train = ["train", *place, *common, "--continue"]
        train += ["--tag", self.tag] if self.tag else []
        train += ["--seed", str(seed)] if seed else []
        train += ["--iterations", str(self.iterations)] if self.iterations is not None else []
        train += ["--train-missing"] if "cascade" in configuration else []
        if trainer in registry.known(registry.ENSEMBLES):
            return Step(f"train and validate what lacks of {title}", train)  # it looks at its members itself
        if record is None or not (folder / LAST).is_file():
            return Step(f"train {title}", train, (trainer, configuration))
        if self.iterations is not None and record.iterations != self.iterations:
            raise UserError(
                f"{folder} is a training of {record.iterations:,} updates, --iterations asks for {self.iterations:,}. "
                "Ask for the same, or keep the two apart with --tag."
            )
        if not record.finished:
            begun = train if self.iterations is not None else [*train, "--iterations", str(record.iterations)]
            left = record.iterations - record.iterations_done
            return Step(f"go on with {title}", begun, (trainer, configuration), left)
        if not _is_validated(folder, record):
            tagged = ["--tag", tag] if tag else []
            return Step(f"validate {title}", ["validate", *place, *common, *tagged])
        return Step(f"train {title}", [])

    def _comparison(self) -> Step:
        words = [word for trainer in self.trainers for word in ("--trainer", trainer)]
        words += [word for configuration in self.configurations for word in ("--configuration", configuration)]
        words += [word for fold in self.folds for word in ("--fold", fold)]
        words += ["--tag", self.tag]  # "" too: runs of other tags may have other folds, and be of another length
        words += [word for seed in self.seeds for word in ("--seed", str(seed))]
        words += ["--baseline", self.baseline] if self.baseline is not None else []
        words += ["--html", str(self.html)]
        return Step("compare", ["compare", self.dataset, "--plan", self.plan, *words, *self.place])


def _is_validated(folder: Path, record: RunRecord) -> bool:
    """Whether the scores are of the last checkpoint as it is now."""
    path = folder / VALIDATION / SUMMARY
    if not path.is_file():
        return False
    notes = load_summary(path).notes
    return notes.get("checkpoint", "last") == "last" and notes.get("updates") == record.iterations_done
