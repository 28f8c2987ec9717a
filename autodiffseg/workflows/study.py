"""Study: the steps from a raw dataset to a comparison of trainers, and which of them are done."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from autodiffseg import registry
from autodiffseg.checkpoint_file import LAST
from autodiffseg.dataset import DatasetJson
from autodiffseg.errors import UserError
from autodiffseg.evaluation.shifted_set import ShiftedSet
from autodiffseg.evaluation.shifted_state import ShiftedState, shifted_state
from autodiffseg.evaluation.validated import is_validated
from autodiffseg.few_labels import keep_labelled
from autodiffseg.file_hashes import sha256_of
from autodiffseg.fingerprint import Fingerprint
from autodiffseg.folds import load_folds, select_fold
from autodiffseg.runs import RECORD, RunRecord, fold_folder, run_name, whole_tag
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


class Labels(NamedTuple):
    """How many training cases count as labelled, and which."""

    labelled: int | None = None
    """None: all."""
    seed: int = 0

    @property
    def options(self) -> list[str]:
        """Of `train`."""
        if self.labelled is None:
            return []
        return ["--n-labelled", str(self.labelled), *(["--label-seed", str(self.seed)] if self.seed else [])]

    @property
    def told(self) -> str:
        """For the reader, behind other words."""
        if self.labelled is None:
            return ""
        return f", {self.labelled} label{'s' * (self.labelled > 1)}" + (f" of seed {self.seed}" if self.seed else "")


@dataclass(frozen=True)
class Study:
    """Trainers × configurations × numbers of labels × seeds × folds of one dataset under one plan."""

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
    """Of the last step."""
    counts: tuple[int | None, ...] = (None,)
    """Numbers of labels; None is all."""
    label_seeds: tuple[int, ...] = (0,)
    backbone: Path | None = None
    """For the trainers that read one."""
    shifted: ShiftedSet | None = None
    """What every model is tried on."""

    def steps(self) -> Iterator[Step]:
        """All steps in order, as far as they are done now.

        Raises:
            UserError: when a run exists that was trained for another number of updates than asked for.
        """
        yield self._planning()
        # Fold by fold, so that there is something to compare early on.
        for configuration in self.configurations:
            for labels in self.labels:
                for seed in self.seeds:
                    for fold in self.folds:
                        for trainer in self.trainers:
                            run = _Run(trainer, configuration, fold, seed, labels)
                            yield self._training(run)
                            if self.shifted is not None:
                                yield self._prediction(run, self.shifted)
        if self.counts == (None,):
            yield self._comparison()
        if self.counts != (None,) or self.shifted is not None:
            yield self._label_curves()

    @property
    def labels(self) -> Iterator[Labels]:
        """Few ones first: they are soonest done where trainings are as long as their number of labels asks for."""
        for labelled in self.counts:
            for seed in self.label_seeds if labelled is not None else (0,):
                yield Labels(labelled, seed)

    def check_labels(self) -> None:
        """Refuse more labels than a fold has, as soon as there are folds.

        Raises:
            UserError: for such a number.
        """
        path = self.workspace.splits_path(self.dataset)
        if not path.is_file():
            return
        declared, folds = DatasetJson.load(self.workspace.dataset_json_path(self.dataset)), load_folds(path)
        for name in self.folds:
            fold = select_fold(folds, name, [*folds[0].train, *folds[0].val], source=path)
            for labelled in self.counts:
                if labelled is not None:
                    keep_labelled(fold, labelled, seed=0, group=declared.group, name=name)

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

    def _training(self, run: _Run) -> Step:
        """Train a fold from the start or go on with it, validate it alone, or nothing."""
        trainer, configuration, fold, seed, labels = run
        title, tag, folder, record = run.title, self._tag(run), fold_folder(self._folder(run), fold), self._record(run)
        common = ["--trainer", trainer, "--plan", self.plan, *self.place]
        common += ["--device", self.device] if self.device is not None else []
        place = [self.dataset, configuration, fold]
        train = ["train", *place, *common, "--continue"]
        train += ["--tag", self.tag] if self.tag else []
        train += ["--seed", str(seed)] if seed else []
        train += labels.options
        train += ["--backbone", str(self.backbone)] if self.backbone is not None and reads_backbone(trainer) else []
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
        if record.backbone and self.backbone is not None and record.backbone != self._backbone_digest:
            raise UserError(
                f"{folder} began with another backbone than {self.backbone} is. Name that one, or keep the two apart "
                "with --tag."
            )
        if not record.finished:
            begun = train if self.iterations is not None else [*train, "--iterations", str(record.iterations)]
            left = record.iterations - record.iterations_done
            return Step(f"go on with {title}", begun, (trainer, configuration), left)
        if not is_validated(folder, record):
            tagged = ["--tag", tag] if tag else []
            return Step(f"validate {title}", ["validate", *place, *common, *tagged])
        return Step(f"train {title}", [])

    def _prediction(self, run: _Run, shifted: ShiftedSet) -> Step:
        """Predict the shifted set by a fold, as far as that has not been done by its weights of now."""
        title, model, record = f"predict {shifted.name} by {run.title}", self._folder(run), self._record(run)
        state = ShiftedState.NONE
        if record is not None and record.finished:
            declared = DatasetJson.load(self.workspace.dataset_json_path(self.dataset))
            state = shifted_state(shifted, model, record, ending=declared.file_ending)
        if state in (ShiftedState.PREDICTED, ShiftedState.SCORED):
            return Step(title, [])
        out = shifted.predictions(fold_folder(model, run.fold))
        words = ["predict", "-i", str(shifted.images), "-o", str(out), "--model", str(model), "--fold", run.fold]
        words += ["--no-postprocessing"]  # as the validation is scored
        words += ["--continue"] if state is ShiftedState.PART else []
        words += ["--device", self.device] if self.device is not None else []
        return Step(title, words)

    def _comparison(self) -> Step:
        words = [*self._chosen(), "--html", str(self.html)]
        return Step("compare", ["compare", self.dataset, *words, *self.place])

    def _label_curves(self) -> Step:
        words = self._chosen()
        words += ["--n-labelled", *("all" if labelled is None else str(labelled) for labelled in self.counts)]
        words += ["--label-seeds", *map(str, self.label_seeds)]
        if self.shifted is not None:
            words += ["--shifted", str(self.shifted.images), str(self.shifted.labels), self.shifted.name]
        words += ["--html", str(self.html)] if self.counts != (None,) else []
        words += ["--device", self.device] if self.device is not None else []
        return Step("put in the order of labels", ["analyse", "labels", self.dataset, *words, *self.place])

    def _chosen(self) -> list[str]:
        """Options that choose the runs of this study."""
        words = ["--plan", self.plan, *(word for trainer in self.trainers for word in ("--trainer", trainer))]
        words += [word for configuration in self.configurations for word in ("--configuration", configuration)]
        words += [word for fold in self.folds for word in ("--fold", fold)]
        words += ["--tag", self.tag]  # "" too: runs of other tags may have other folds, and be of another length
        words += [word for seed in self.seeds for word in ("--seed", str(seed))]
        return words + (["--baseline", self.baseline] if self.baseline is not None else [])

    def _tag(self, run: _Run) -> str:
        return whole_tag(self.tag, run.seed, run.labels.labelled, run.labels.seed)

    @cached_property
    def _backbone_digest(self) -> str:
        """As run.json has it."""
        assert self.backbone is not None
        return sha256_of(self.backbone / LAST if self.backbone.is_dir() else self.backbone)

    def _folder(self, run: _Run) -> Path:
        """Of the run that holds a fold."""
        name = run_name(run.trainer, self.plan, run.configuration, self._tag(run))
        return self.workspace.results(self.dataset) / name

    def _record(self, run: _Run) -> RunRecord | None:
        path = fold_folder(self._folder(run), run.fold) / RECORD
        return RunRecord.load(path) if path.is_file() else None


class _Run(NamedTuple):
    """One fold of one run."""

    trainer: str
    configuration: str
    fold: str
    seed: int
    labels: Labels

    @property
    def title(self) -> str:
        seed = f", seed {self.seed}" if self.seed else ""
        return f"{self.trainer}, {self.configuration}, fold {self.fold}{self.labels.told}{seed}"


def reads_backbone(trainer: str) -> bool:
    """Whether a trainer begins with a pretrained backbone; an ensemble's members are not asked."""
    if trainer in registry.known(registry.ENSEMBLES):
        return False
    return "backbone" in registry.load(registry.TRAINERS, trainer).Options.model_fields
