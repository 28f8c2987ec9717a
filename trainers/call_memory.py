"""How much memory a network call of prediction takes, counted on the meta device: nothing is computed."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import cache

import torch
from torch import Tensor

from autodiffseg.errors import UserError
from autodiffseg.inference.call_plan import CallBytes
from autodiffseg.memory.autocast_lists import Place
from autodiffseg.memory.live_tensors import LiveTensors
from autodiffseg.memory.stand_in import meta_stands_for
from autodiffseg.sampling import Sampling

from .base import Trainer
from .training_memory import meta_twin

logger = logging.getLogger(__name__)


def make_call_bytes(trainers: Sequence[Trainer]) -> CallBytes:
    """`call_bytes(patches, patch)` of the costliest of `trainers`, which are of one plan and configuration.

    Every pair is counted once. A trainer that cannot be run without data counts as nothing, and is told of.
    """
    kinds = {(type(trainer), trainer.options.model_dump_json()): trainer for trainer in trainers}

    @cache
    def call_bytes(patches: int, patch: tuple[int, ...]) -> int:
        return max(_traced(trainer, patches, patch) for trainer in kinds.values())

    return call_bytes


def _traced(trainer: Trainer, patches: int, patch: tuple[int, ...]) -> int:
    """Most bytes of tensors alive while patches are predicted in two steps; the weights are not among them."""
    meta = torch.device("meta")
    place: Place = "cpu" if trainer.device.type == "cpu" else "cuda"

    def noise(step: int, channels: int) -> Tensor:
        return torch.empty((patches, channels, *patch), device=meta)

    try:
        with meta_stands_for(place), torch.no_grad(), meta_twin(trainer) as twin, LiveTensors() as tracker:
            twin.network.eval()
            image = torch.empty((patches, trainer.image_channels, *patch), device=meta)
            for _ in twin.predict_steps(image, noise, Sampling(steps=2)):
                pass
    except UserError as error:
        logger.warning("%s Patches are put together without a look at the memory.", error)
        return 0
    return int(tracker.peak)
