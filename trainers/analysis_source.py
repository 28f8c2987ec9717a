"""AnalysisSource: a model's folds with their validation cases, predicted and scored step by step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from autodiffseg.errors import UserError
from autodiffseg.evaluation.scoring import score_label_maps
from autodiffseg.evaluation.step_scores import METRICS, StepScores
from autodiffseg.evaluation.summary import Scores, class_keys
from autodiffseg.images import read_label
from autodiffseg.inference.export import Prediction, restore_label
from autodiffseg.preprocessing.case_store import CaseStore
from autodiffseg.preprocessing.previous_stage import PreviousStageStore
from autodiffseg.runs import RECORD, RunRecord, finished_folds, fold_folder
from autodiffseg.sampling import Sampling
from autodiffseg.workspace import Workspace

from .base import Trainer
from .checkpoints import load_trainer
from .model_folder import find_checkpoints
from .prediction import make_predictor, with_segmentation
from .prediction_options import PredictionOptions
from .validation import shown_to_cascade


class SourceRequest(NamedTuple):
    """What is looked at, and how."""

    folds: Sequence[str] = ()
    """None means all that have finished, but for `all`, which validates on what it was trained on."""
    cases: int | None = None
    """Validation cases of each fold, the first ones; None means all."""
    checkpoint: str = "last"
    device: str | None = None
    precision: str = "auto"
    seed: int = 0
    mirroring: bool = True


@dataclass(frozen=True)
class Fold:
    """One trained fold."""

    name: str
    trainer: Trainer
    cases: tuple[str, ...]
    store: CaseStore
    shown: PreviousStageStore | None
    """What a cascade is shown."""


class AnalysisSource:
    """The validation cases of a model's folds, each predicted by the fold that did not train on it."""

    def __init__(self, model: Path, workspace: Workspace, request: SourceRequest) -> None:
        """Load what is asked for.

        Raises:
            UserError: when the model, a fold, a checkpoint or a case is missing.
        """
        from .precision import choose_device

        self.model, self.request, self._workspace = model, request, workspace
        device = choose_device(request.device)
        names = tuple(request.folds) or tuple(fold for fold in finished_folds(model) if fold != "all")
        if not names or "all" in names:
            raise UserError(f"{model}: fold 'all' validates on what it was trained on; train fold 0 to 4 for this.")
        checkpoints = find_checkpoints(model, names, request.checkpoint)
        self.folds = tuple(self._load(name, path, device) for name, path in checkpoints.items())

    @property
    def first(self) -> Trainer:
        """One of the trainers; what all have in common can be asked of it."""
        return self.folds[0].trainer

    @property
    def samples_in_steps(self) -> bool:
        """Whether the number of sampling steps that is asked for matters; where not, nothing is sampled in steps."""
        return self.first.passes(Sampling(steps=2)) != self.first.passes(Sampling(steps=3))

    @property
    def number_of_cases(self) -> int:
        """Over all folds."""
        return sum(len(fold.cases) for fold in self.folds)

    def require_noise(self) -> None:
        """Refuse a model that draws no noise.

        Raises:
            UserError: for such a model.
        """
        if not self.first.draws_noise:
            raise UserError(
                f"{self.model.name} answers in one pass and draws no noise, so there is nothing to vary; "
                "name a model of a diffusion trainer."
            )

    def require_sampling(self) -> None:
        """Refuse a model that has no sampling steps.

        Raises:
            UserError: for such a model.
        """
        self.require_noise()
        if not self.samples_in_steps:
            raise UserError(
                f"{self.model.name} reads its noise levels one by one and samples nothing, so it has no sampling steps "
                "to vary; `analyse steps` shows what each of its levels adds."
            )

    def told(self, sampling: Sampling) -> str:
        """How predictions come about, for a note: "DDPM, 5 steps", or of how many answers each is the mean."""
        if self.samples_in_steps:
            return f"{sampling.sampler.upper()}, {sampling.steps} steps"
        return f"mean of {self.first.predicted_steps(sampling)} answers from {self.first.passes(sampling)} passes"

    def score(
        self, sampling: Sampling, *, samples: int = 1, last_step: bool = False, on_sample: Callable[[], None]
    ) -> StepScores:
        """Predict and score all cases.

        Args:
            sampling: steps and sampler.
            samples: draws of each case; the n-th has the same noise whatever else is asked for.
            last_step: score the last step alone.
            on_sample: told of every draw of a case that is done.

        Raises:
            UserError: when a case cannot be read or the output is not finite.
        """
        scored: dict[str, list[list[dict[str, Scores]]]] = {}
        first_step = 1
        for fold in self.folds:
            trainer, request = fold.trainer, self.request
            predictor = make_predictor(
                [trainer],
                trainer.plan,
                trainer.configuration_name,
                trainer.spec,
                device=trainer.device,
                sampling=sampling,
                options=PredictionOptions(seed=request.seed, mirroring=request.mirroring),
            )
            for case in fold.cases:
                image = np.asarray(fold.store.image(case)[:])
                if fold.shown is not None:
                    image = with_segmentation(image, fold.shown.segmentation(case)[0], trainer.spec)
                scored[case] = []
                for sample in range(samples):
                    steps = predictor.predict_every_step(image, case, sample=sample)
                    first_step = len(steps) if last_step else 1
                    scored[case].append(self.score_steps(fold, case, steps[first_step - 1 :]))
                    on_sample()
        return StepScores.collect(class_keys(self.first.spec), scored, first_step=first_step)

    def score_steps(self, fold: Fold, case: str, steps: npt.NDArray[np.float32]) -> list[dict[str, Scores]]:
        """The scores of probabilities `(S, K, Z, Y, X)`, step by step, on the grid of the reference."""
        trainer = fold.trainer
        reference, grid = read_label(self.reference(trainer, case))
        return [
            score_label_maps(
                self.label_map(fold, case, step),
                reference,
                trainer.spec,
                spacing_mm=grid.spacing,
                metrics=METRICS,
            )
            for step in steps
        ]

    def label_map(self, fold: Fold, case: str, probabilities: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
        """The answer `(Z, Y, X)` on the grid of the reference, from probabilities `(K, Z, Y, X)`."""
        trainer = fold.trainer
        return restore_label([Prediction(probabilities, fold.store.properties(case), trainer.plan)], trainer.spec)

    def reference(self, trainer: Trainer, case: str) -> Path:
        """The file of the reference."""
        return self._workspace.reference_labels(trainer.plan.dataset) / f"{case}{trainer.dataset.file_ending}"

    def _load(self, name: str, checkpoint: Path, device: torch.device) -> Fold:
        folder = fold_folder(self.model, name)
        record = RunRecord.load(folder / RECORD)
        trainer = load_trainer(checkpoint, device, self.request.precision)
        store = CaseStore(self._workspace.preprocessed(record.dataset) / trainer.plan.data_id(record.configuration))
        cases = record.validation_cases[: self.request.cases]
        for case in cases:
            if not store.has(case) or not self.reference(trainer, case).is_file():
                raise UserError(
                    f"{self._workspace.preprocessed(record.dataset)} lacks the validation case {case} of {folder}; "
                    "name the workspace that it was trained in with --workspace, or preprocess the dataset again."
                )
        shown = shown_to_cascade(trainer, record, folder, self._workspace, store)
        return Fold(name, trainer, cases, store, shown)


def workspace_of(model: Path, given: Path | None) -> Workspace:
    """The workspace that is named, else the one that the model lies in, else the usual one."""
    root = model.resolve().parents[2] if len(model.resolve().parents) > 2 else None
    if given is None and root is not None and (root / "preprocessed" / model.resolve().parent.name).is_dir():
        return Workspace(root)
    return Workspace(given)
