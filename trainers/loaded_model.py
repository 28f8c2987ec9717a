"""LoadedModel: a trained model that takes part in a prediction, with what predict.json says of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from autodiffseg.checkpoint_file import checkpoint_id
from autodiffseg.dataset import DatasetJson
from autodiffseg.sampling import Sampling

from .member import Member
from .model_folder import find_checkpoints, load_models
from .prediction import choose_sampling
from .prediction_folder import ModelRecord
from .prediction_request import PredictionRequest
from .previous_stage import load_previous_stage


@dataclass(frozen=True)
class LoadedModel:
    """The folds of a model, ready to predict."""

    folder: Path
    """The one that holds `fold_*`."""
    checkpoints: Mapping[str, str]
    """Fold -> hash of its checkpoint file."""
    dataset: DatasetJson
    sampling: Sampling
    members: tuple[Member, ...]
    """All folds together, or each by itself; their weights add up to the model's."""
    weight: float
    """Beside other models."""
    steps: int
    """Whose probabilities a prediction can give."""

    @property
    def member(self) -> Member:
        """The first: what folds do not differ in is its."""
        return self.members[0]

    def record(self) -> ModelRecord:
        """What predict.json says of it."""
        previous = self.member.previous
        return ModelRecord(
            model=str(self.folder.resolve()),
            weight=self.weight,
            checkpoints=dict(self.checkpoints),
            previous_model=str(previous.model.resolve()) if previous else "",
            previous_checkpoints=previous.checkpoints if previous else {},
            configuration=self.member.configuration,
            sampling=self.sampling,
        )


def load_model(
    folder: Path,
    folds: Sequence[str],
    checkpoint: str,
    asked: PredictionRequest,
    *,
    weight: float = 1.0,
    folds_apart: bool = False,
) -> LoadedModel:
    """The folds asked for of a model, or all that have finished; with the previous stage of a cascade.

    Args:
        folder: the one that holds `fold_*`.
        folds: none means all that have finished.
        checkpoint: "last" or "best".
        asked: how they predict.
        weight: beside other models.
        folds_apart: make each fold a member of its own, so that it can be seen what they disagree about. The mean is
            the same; it takes as many volumes of probabilities as there are folds.

    Raises:
        UserError: when something is missing, cannot be read or cannot be averaged.
    """
    checkpoints = find_checkpoints(folder, folds, checkpoint)
    trainers = load_models(checkpoints, device=asked.device, precision=asked.precision)
    first = trainers[0]
    sampling = choose_sampling(first.plan, *asked.sampling)
    previous = load_previous_stage(folder, first, asked)
    draws = first.draws_noise
    steps = first.predicted_steps(sampling)
    turns = range(steps) if asked.options.rotate_timesteps and first.averages_answers else ()
    groups = [[trainer] for trainer in trainers] if folds_apart else [trainers]
    members = [
        Member(
            asked.predictor(group, samples=asked.options.samples if draws else 1),
            first.plan,
            first.configuration_name,
            first.spec,
            previous=previous,
            weight=weight / len(groups),
            draws=draws,
            answers=tuple(asked.predictor(group, samples=asked.options.samples, answer=number) for number in turns),
        )
        for group in groups
    ]
    ids = {fold: checkpoint_id(path) for fold, path in checkpoints.items()}
    return LoadedModel(folder, ids, first.dataset, sampling, tuple(members), weight, steps)
