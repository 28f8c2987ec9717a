"""The models of one prediction, loaded, fit to be averaged, and in an order that does not depend on the user's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from autodiffseg.errors import UserError

from .loaded_model import LoadedModel, load_model
from .model_choice import choose_models
from .prediction_options import PredictionOptions, WantedOutputs
from .prediction_request import PredictionRequest


def load_model_set(
    models: Sequence[Path],
    folds: Sequence[str],
    checkpoint: str,
    asked: PredictionRequest,
    *,
    folds_apart: bool = False,
) -> list[LoadedModel]:
    """All models asked for, with their weights.

    A sum of floating-point numbers depends on their order; so the models are ordered by their weights' hashes.

    Args:
        models: folders.
        folds: of each; none means all that have finished.
        checkpoint: "last" or "best".
        asked: how they predict.
        folds_apart: make each fold a member of its own.

    Raises:
        UserError: when something is missing or cannot be read, or the models do not fit together.
    """
    loaded = [
        load_model(choice.folder, choice.folds, checkpoint, asked, weight=choice.weight, folds_apart=folds_apart)
        for choice in choose_models(models, folds)
    ]
    for model in loaded[1:]:
        require_alike(loaded[0], model)
    return sorted(loaded, key=lambda model: sorted(model.checkpoints.values()))


def require_alike(first: LoadedModel, other: LoadedModel) -> None:
    """Refuse to average models that do not speak of the same thing.

    Raises:
        UserError: when they were trained on different datasets, labels, channels or kinds of file.
    """
    ours, theirs = first.dataset, other.dataset
    for what, mine, its in (
        ("dataset", first.member.plan.dataset, other.member.plan.dataset),
        ("labels", _labels(first), _labels(other)),
        ("channels", ", ".join(ours.channels), ", ".join(theirs.channels)),
        ("files", ours.file_ending, theirs.file_ending),
    ):
        if mine != its:
            raise UserError(
                f"{first.folder} and {other.folder} cannot be averaged: their {what} differ ({mine}; {its}). "
                "Predict with one of them, or with models of the same dataset."
            )


def refuse_contradictions(models: Sequence[LoadedModel], options: PredictionOptions, wanted: WantedOutputs) -> None:
    """Refuse options that the models cannot follow.

    Raises:
        UserError: names the option and the models.
    """
    names = " and ".join(model.folder.name for model in models)
    drawing = [model for model in models if model.member.draws]
    if options.samples > 1 and not drawing:
        one = len(models) == 1
        answers = f"{'answers' if one else 'answer'} in one pass and {'draws' if one else 'draw'} no noise"
        raise UserError(f"--num-samples {options.samples}: {names} {answers}, so all would be equal.")
    if options.rotate_mirrors and options.samples == 1:
        raise UserError("--rotate-mirrors: versions take turns over samples; ask for some with --num-samples.")
    if options.rotate_timesteps:
        turning = [len(model.member.answers) for model in models if model.member.answers]
        if not turning:
            raise UserError(f"--rotate-timesteps: {names} average no noise levels; leave it out.")
        if options.samples == 1 or any(options.samples % count for count in turning):
            raise UserError(
                f"--rotate-timesteps: {max(turning)} noise levels take turns over samples; ask for --num-samples "
                f"{max(turning)}, or a multiple of it."
            )
    several = sorted({model.steps for model in drawing if model.steps > 1})
    if wanted.steps and len(several) > 1:
        told = " and ".join(map(str, several))
        raise UserError(
            f"--save-steps: {names} take different numbers of steps; give one with --steps, or leave it out ({told})."
        )


def _labels(model: LoadedModel) -> str:
    spec = model.dataset.spec
    foreground = ", ".join(f"{name} {'+'.join(map(str, members))}" for name, members in spec.foreground.items())
    order = f" painted in the order {', '.join(map(str, spec.regions_class_order))}" if spec.regions_class_order else ""
    return foreground + order
