"""What a training will take, told before it begins: GPU memory, or hours on a CPU; and what it took, remembered."""

from __future__ import annotations

from collections.abc import Callable

import torch

from autodiffseg.errors import UserError
from autodiffseg.memory.calibration import Reading, overhead_of, predicted_bytes, remember
from autodiffseg.memory.estimate import GB, TrainingMemory
from autodiffseg.memory.visible_gpu import VisibleGpu, read_gpu, visible_gpu

from .expected_time import expected_seconds
from .learner import Learner
from .loop import Loop
from .training_memory import training_memory

SETTLED = 2
"""Updates after which a GPU has been asked for all that training needs: the optimiser's state is there."""


class Forecast:
    """Tells what one training takes, and measures it on a GPU."""

    def __init__(self, loop: Loop) -> None:
        """Look at a training that is about to begin or to go on."""
        self.loop = loop
        self.trainer = loop.trainer
        self.memory: TrainingMemory | None = None

    def lines(self) -> list[str]:
        """What the user should know before the first update; nothing when a training goes on, or is planned for a CPU.

        A trainer that cannot be run without data is no reason to stop: it is said, and training begins.
        """
        trainer, device = self.trainer, self.trainer.device
        if self.loop.update > 0:
            return []
        try:
            gpu = visible_gpu(device)
            if gpu is not None:
                torch.cuda.reset_peak_memory_stats(device)
                self.memory = memory_of(trainer)
                return [memory_line(self.loop.record.trainer, trainer, self.memory, gpu)]
            if device.type == "cpu" and trainer.plan.preset != "cpu":
                return [time_line(self.loop, expected_seconds(trainer, self.loop.record.iterations))]
        except UserError as error:
            return [str(error)]
        return []

    def after_update(self, update: int, read: Callable[[torch.device], Reading] = read_gpu) -> None:
        """Remember what the GPU says once the first updates are over."""
        if update == SETTLED and self.memory is not None:
            remember(self.memory.peak, lambda: read(self.trainer.device))


def memory_of(trainer: Learner) -> TrainingMemory:
    """The tensors of one update of a trainer as it is set up.

    Raises:
        UserError: when the trainer cannot be run without data.
    """
    name = trainer.configuration_name
    return training_memory(
        type(trainer), trainer.plan, name, trainer.dataset, trainer.options, precision=trainer.precision
    )


def memory_line(name: str, trainer: Learner, memory: TrainingMemory, gpu: VisibleGpu) -> str:
    """What a training is predicted to take of a GPU, and the cure where that is more than there is."""
    needed = predicted_bytes(memory.peak, overhead_of(gpu.name, torch.__version__))
    told = (
        f"GPU memory: about {needed / GB:.1f} GB predicted for {name}, {memory.peak / GB:.1f} of them tensors; "
        f"{gpu.name} has {gpu.memory / GB:.1f} GB."
    )
    if needed <= gpu.memory:
        return told
    plan, size = trainer.plan, int(gpu.memory / GB)
    preset = f"--preset {plan.preset} " if plan.preset != "imported" else ""
    return (
        f"{told} That is unlikely to fit. Plan for this GPU: autodiffseg plan-and-preprocess {plan.dataset} {preset}"
        f"--gpu-memory {size} --name {plan.name}-{size}gb"
    )


def time_line(loop: Loop, seconds: float) -> str:
    """How long a plan for a GPU will train on this CPU, and the cure."""
    if seconds >= 5400:
        told = f"{seconds / 3600:,.0f} hours"
    else:
        told = f"{seconds / 60:.0f} minutes" if seconds >= 90 else f"{max(1.0, seconds):.0f} seconds"
    return (
        f"Plan '{loop.trainer.plan.name}' is for a GPU: on this CPU its {loop.record.iterations:,} updates take about "
        f"{told}. For a CPU: autodiffseg plan-and-preprocess {loop.trainer.plan.dataset} --preset cpu, "
        "then train with --plan cpu."
    )
