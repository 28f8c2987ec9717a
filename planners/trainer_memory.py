"""TrainerMemory: what trainers take of a GPU, asked of the trainers themselves by name."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from autodiffseg import registry
from autodiffseg.dataset import DatasetJson
from autodiffseg.errors import UserError
from autodiffseg.memory.calibration import overhead_of, predicted_bytes
from autodiffseg.memory.estimate import TrainingMemory
from autodiffseg.plans import ConfigurationPlan, Plan

TRAINERS = ("supervised", "diffusion", "recycling")
"""For whom a plan is made unless `--for` says otherwise."""


def require_trainers(names: Sequence[str]) -> None:
    """Refuse names that no trainer has.

    Raises:
        UserError: for an unknown name, with the nearest known one, and for what is no trainer.
    """
    for name in names:
        if not hasattr(registry.load(registry.TRAINERS, name), "training_memory"):
            raise UserError(f"--for {name}: that is no subclass of autodiffseg.trainers.base.Trainer.")


class TrainerMemory:
    """The memory of some trainers; each configuration is counted once, when it is first asked for."""

    def __init__(self, trainers: Sequence[str], dataset: DatasetJson, *, overhead: int | None = None) -> None:
        """Count `trainers`, known by name.

        Args:
            trainers: names of the registry.
            dataset: labels and channels.
            overhead: bytes that a card needs beyond tensors; None is what was measured on the GPU that is visible
                here, or the general value.
        """
        self.trainers = tuple(trainers)
        self.dataset = dataset
        self.untraceable: dict[str, str] = {}
        """Trainers that cannot be counted, and why."""
        self._given = overhead
        self._classes: dict[str, Any] = {}
        self._known: dict[tuple[str, ConfigurationPlan], TrainingMemory | None] = {}
        self._costliest: str | None = None

    @cached_property
    def overhead(self) -> int:
        """Bytes that a card needs beyond tensors."""
        if self._given is not None:
            return self._given
        import torch

        from autodiffseg.memory.visible_gpu import visible_gpu

        gpu = visible_gpu()
        return overhead_of(gpu and gpu.name, torch.__version__)

    def of(self, trainer: str, plan: Plan, configuration: str) -> TrainingMemory | None:
        """The tensors of one update; None when the trainer cannot be counted."""
        key = trainer, _what_counts(plan.configuration(configuration))
        if key not in self._known:
            if trainer not in self._classes:
                self._classes[trainer] = registry.load(registry.TRAINERS, trainer)
            try:
                self._known[key] = self._classes[trainer].training_memory(plan, configuration, self.dataset)
            except UserError as error:
                self.untraceable[trainer] = str(error)
                self._known[key] = None
        return self._known[key]

    def predicted(self, trainer: str, plan: Plan, configuration: str) -> int:
        """Bytes of a card; 0 when the trainer cannot be counted."""
        found = self.of(trainer, plan, configuration)
        return 0 if found is None else predicted_bytes(found.peak, self.overhead)

    def most(self, plan: Plan, configuration: str) -> int:
        """Bytes of a card for the costliest trainer.

        Which one that is, is found once, in the configuration that is asked for first and with one block a stage: the
        blocks are the same for all trainers, and it takes a third of the time.
        """
        if self._costliest is None and len(self.trainers) == 1:
            self._costliest = self.trainers[0]
        elif self._costliest is None:
            shallow = _shallow(plan, configuration)
            self._costliest = max(self.trainers, key=lambda name: self.predicted(name, shallow, configuration))
        return self.predicted(self._costliest, plan, configuration)

    @property
    def costliest(self) -> str:
        """The costliest trainer, once one was counted."""
        return self._costliest or self.trainers[-1]


def _what_counts(configuration: ConfigurationPlan) -> ConfigurationPlan:
    """The configuration without what memory does not depend on."""
    axes = configuration.dimensions
    nothing = {"spacing": (1.0,) * axes, "median_shape": (1,) * axes, "mirror_axes": (), "inherits_from": None}
    return configuration.model_copy(update=nothing)


def _shallow(plan: Plan, name: str) -> Plan:
    """The plan with one block or convolution per stage in configuration `name`."""
    found = plan.configuration(name)
    stages = len(found.network.features)
    decoder = (2,) * stages if found.network.skips == "add" else (1,) * (stages - 1)
    network = found.network.model_copy(update={"encoder_blocks": (1,) * stages, "decoder_blocks": decoder})
    changed = {**plan.configurations, name: found.model_copy(update={"network": network})}
    return plan.model_copy(update={"configurations": changed})
