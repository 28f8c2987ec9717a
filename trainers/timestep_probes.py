"""Probes of single noise levels: a training for each base step of a pretrained denoiser, and its scores."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from autodiffseg.dataset import DatasetJson
from autodiffseg.diffusion.schedule import alpha_bar
from autodiffseg.errors import UserError
from autodiffseg.evaluation.shifted_set import ShiftedSet
from autodiffseg.evaluation.summary import SUMMARY, Summary, load_summary
from autodiffseg.evaluation.timestep_tables import ReadStep
from autodiffseg.evaluation.validated import is_validated
from autodiffseg.plans import DiffusionPlan
from autodiffseg.runs import RECORD, VALIDATION, RunRecord

from .backbone import Backbone, read_backbone
from .checkpoints import trainer_class
from .ensemble_run import run_folder
from .options import read_settings, without_places
from .run_conditions import Surroundings, hash_of_plan, surroundings
from .run_request import RunRequest
from .shifted_prediction import scored_shifted_set
from .training_session import TrainingSession


def read_timesteps(text: str) -> tuple[int, ...]:
    """Base steps from text with commas between them, ascending.

    Raises:
        UserError: for anything else than different whole numbers.
    """
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts or not all(part.isdecimal() for part in parts) or len(set(map(int, parts))) < len(parts):
        raise UserError(f"--timesteps {text}: give different whole numbers with commas between them, as in 1,10,500.")
    return tuple(sorted(map(int, parts)))


@dataclass(frozen=True)
class TimestepProbes:
    """Trains and scores the probe of one step at a time."""

    session: TrainingSession
    request: RunRequest
    """Of all probes, but for the step."""
    backbone: Path
    declared: DatasetJson
    shifted: ShiftedSet | None

    def read(self, step: int) -> ReadStep:
        """Train what lacks of a probe, and give its scores.

        Raises:
            UserError: when the backbone has no such step, or the training cannot be made.
        """
        tag = "-".join(part for part in (self.request.tag, f"t{step}") if part)
        request = replace(self.request, tag=tag, settings=[*self.request.settings, f"timesteps={step}"])
        folder = run_folder(request, self.session.place)
        if not self._is_done(folder, request):
            folder = self.session.train(request)
        record = RunRecord.load(folder / RECORD)
        domains: dict[str, Summary] = {record.dataset: load_summary(folder / VALIDATION / SUMMARY)}
        if self.shifted is not None:
            domains[self.shifted.name] = scored_shifted_set(
                self.shifted,
                folder.parent,
                record,
                self.declared,
                device=self.request.device,
                precision=self.request.precision,
                console=self.session.console,
            )
        return ReadStep(step, self.decibels(step), domains, record.transductive)

    def decibels(self, step: int) -> float:
        """The signal-to-noise ratio of a step in dB.

        Raises:
            UserError: when the backbone was not trained on such a step, or cannot be read.
        """
        return decibels_of(self._backbone.record.diffusion, step)

    @cached_property
    def _backbone(self) -> Backbone:
        return read_backbone(self.backbone)

    def _is_done(self, folder: Path, request: RunRequest) -> bool:
        """Whether the probe in a folder is trained, as is asked for, and validated."""
        if not (folder / RECORD).is_file():
            return False
        record = RunRecord.load(folder / RECORD)
        return (
            record.finished
            and record.iterations == (request.iterations or self._found.plan.iterations)
            and record.plan_hash == hash_of_plan(self._found.plan)
            and record.training_cases == self._found.labelled(request).train
            and record.backbone == self._backbone.digest
            and _is_set_as(record, request, folder)
            and is_validated(folder, record)
        )

    @cached_property
    def _found(self) -> Surroundings:
        """What a probe would be trained on now."""
        return surroundings(self.request, self.session.place)


def _is_set_as(record: RunRecord, request: RunRequest, folder: Path) -> bool:
    """Whether a run has the options that are asked for; wherever the backbone lay, its hash tells which it was."""
    options = trainer_class(request.trainer).Options
    made = options.check(record.options, source=f"{folder / RECORD}, options")
    asked = read_settings(options, request.settings)
    return without_places(made.model_dump()) == without_places(asked.model_dump())


def decibels_of(diffusion: DiffusionPlan, step: int) -> float:
    """10·log₁₀ ᾱ/(1-ᾱ) of a base step.

    Raises:
        UserError: when the schedule has no such step.
    """
    if not 0 <= step < diffusion.base_steps:
        raise UserError(f"--timesteps {step}: the backbone was trained on the steps 0 to {diffusion.base_steps - 1}.")
    bar = float(alpha_bar(diffusion)[step])
    return 10 * math.log10(bar / (1 - bar)) if bar > 0 else -math.inf
