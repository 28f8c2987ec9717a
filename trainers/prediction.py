"""Sampling, predictor and stored cases: what `predict` and `validate` share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

import numpy as np
import numpy.typing as npt
import torch

from autodiffseg.diffusion.respacing import respaced_steps
from autodiffseg.errors import UserError
from autodiffseg.inference.mirroring import checked_axes
from autodiffseg.inference.patch_model import PatchModel
from autodiffseg.inference.predictor import CasePredictor
from autodiffseg.inference.window_options import WindowOptions
from autodiffseg.labels import LabelSpec
from autodiffseg.plans import Plan
from autodiffseg.sampling import Sampling, Variance

from .base import Trainer
from .call_memory import make_call_bytes
from .prediction_options import PredictionOptions


def choose_sampling(
    plan: Plan,
    steps: int | None = None,
    sampler: str | None = None,
    eta: float | None = None,
    variance: str | None = None,
) -> Sampling:
    """The sampling that is asked for; what is None is the plan's.

    Raises:
        UserError: when there is no such sampler or variance, eta is outside [0, 1], either is meant for the other
            sampler, or the plan's schedule cannot be walked in so many steps.
    """
    name = sampler or plan.diffusion.sampler
    if name not in ("ddpm", "ddim"):
        raise UserError(f"--sampler {name}: ddpm and ddim are possible.")
    if eta is not None and not 0 <= eta <= 1:
        raise UserError(f"--eta {eta:g}: DDIM's share of fresh noise is from 0 to 1.")
    if variance is not None and variance not in get_args(Variance):
        raise UserError(f"--variance {variance}: {' and '.join(get_args(Variance))} are possible.")
    if eta is not None and name != "ddim":
        raise UserError("--eta is for DDIM; ask for --sampler ddim with it, or leave it out.")
    if variance is not None and name != "ddpm":
        raise UserError("--variance is for DDPM; ask for --sampler ddpm with it, or leave it out.")
    count = plan.diffusion.sampling_steps if steps is None else steps
    respaced_steps(plan.diffusion.base_steps, count, plan.diffusion.respacing)
    chosen: dict[str, object] = {"steps": count, "sampler": name}
    if name == "ddim":
        chosen["eta"] = plan.diffusion.eta if eta is None else eta
    else:
        chosen["variance"] = variance or plan.diffusion.variance
    return Sampling.model_validate(chosen)


def make_predictor(
    models: Sequence[PatchModel],
    plan: Plan,
    configuration: str,
    spec: LabelSpec,
    *,
    device: torch.device,
    sampling: Sampling | None = None,
    options: PredictionOptions | None = None,
    answer: int | None = None,
) -> CasePredictor:
    """The predictor of trainers of one plan and configuration; without `sampling` the plan's is used.

    Of read-outs that average several answers `answer` is the one that is wanted; None: their mean.
    """
    options = options or PredictionOptions()
    trainers = [model for model in models if isinstance(model, Trainer)]
    settings = plan.configuration(configuration)
    mirror_axes = checked_axes(_mirror_axes(options, trainers), settings)
    if len(trainers) == len(models) and all(trainer.pairs_mirrors for trainer in trainers):
        models, mirror_axes = [trainer.in_turn(mirror_axes, answer) for trainer in trainers], ()
    elif answer is not None:
        models = [trainer.in_turn((), answer) for trainer in trainers]
    return CasePredictor(
        models,
        settings,
        channels=spec.channels,
        device=device,
        sampling=sampling or choose_sampling(plan),
        seed=options.seed,
        options=WindowOptions(
            mode=options.mode,
            step_size=options.step_size,
            mirror_axes=mirror_axes,
            rotate_mirrors=options.rotate_mirrors,
            deterministic=options.deterministic,
        ),
        call_bytes=make_call_bytes(trainers) if len(trainers) == len(models) else None,
    )


def _mirror_axes(options: PredictionOptions, trainers: Sequence[Trainer]) -> tuple[int, ...] | None:
    """The axes that are asked for, else those that all trainers know; None: the plan's."""
    if not options.mirroring:
        return ()
    if options.mirror_axes is not None or not trainers:
        return options.mirror_axes
    first, *others = (trainer.mirror_axes for trainer in trainers)
    return tuple(axis for axis in first if all(axis in axes for axes in others))


def with_segmentation(
    image: npt.NDArray[np.float32], segmentation: npt.NDArray[np.integer], spec: LabelSpec
) -> npt.NDArray[np.float32]:
    """What a cascade sees: `(C, Z, Y, X)` and, as further channels, the foreground of a label map `(Z, Y, X)`."""
    channels = spec.foreground_channels(torch.from_numpy(np.asarray(segmentation)))
    return np.concatenate([image, channels.numpy()])
