"""A plan that its trainers fit with: the planner's own, held against the card, and what to tell of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from autodiffseg.dataset import DatasetJson
from autodiffseg.memory.estimate import GB
from autodiffseg.plans import Plan

from .explain_memory import explain_fit, memory_table
from .gpu_memory import Sized, size_plan, surely_fits
from .planner import Planned
from .presets import Preset
from .trainer_memory import TRAINERS, TrainerMemory


@dataclass(frozen=True)
class Fit:
    """What a person wants of the memory model."""

    trainers: Sequence[str] = TRAINERS
    """That must fit."""
    count_all: bool = False
    """Whether to count even where a bound says that everything fits; for a card that a person named."""
    table: bool = False
    """Whether the memory of every trainer is told."""


class Fitted(NamedTuple):
    """A plan, and what its explanation says of memory."""

    planned: Planned
    explanation: tuple[str, ...]
    """Markdown lines."""


def fitted_plan(make: Callable[[Preset], Planned], preset: Preset, fit: Fit, dataset: DatasetJson) -> Fitted:
    """Plan by a preset so that the trainers fit on its card. Presets for CPUs have none, and everything fits.

    Raises:
        UserError: when not even the smallest patch fits.
    """
    if preset.card_gb is None:
        return Fitted(make(preset), ())
    limit = round(preset.card_gb * GB)
    memory = TrainerMemory(fit.trainers, dataset)
    planned = make(preset)
    counted = fit.count_all or not surely_fits(planned, channels=dataset.spec.channels, limit=limit)
    sized = size_plan(make, preset, memory, limit=limit) if counted else Sized(planned, ())
    plan = sized.planned.plan.model_copy(
        update={"gpu_memory_gb": preset.gpu_memory_gb, "planned_for": tuple(fit.trainers)}
    )
    lines = [*explain_fit(limit, memory, sized.notes, counted=counted)]
    if fit.table:
        lines += memory_table(plan, memory)
    return Fitted(sized.planned._replace(plan=plan), tuple(lines))


def table_of(plan: Plan, fit: Fit, dataset: DatasetJson) -> tuple[str, ...]:
    """What the trainers take with a plan that was made elsewhere, if it is asked for: Markdown lines."""
    return tuple(memory_table(plan, TrainerMemory(fit.trainers, dataset))) if fit.table else ()
