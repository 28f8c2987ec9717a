"""Do the trainers fit on the card? Their own steps are counted, and a plan that is too large is made smaller."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from autodiffseg.errors import UserError
from autodiffseg.memory.calibration import predicted_bytes
from autodiffseg.memory.estimate import GB
from autodiffseg.plans import Plan

from .planner import Planned
from .presets import Preset
from .trainer_memory import TrainerMemory

ROUNDS = 200
"""Most plans that are tried; each has a smaller patch than the one before."""


@dataclass(frozen=True)
class Sized:
    """A plan that fits."""

    planned: Planned
    notes: tuple[str, ...]
    """What was made smaller, each a clause."""


def surely_fits(planned: Planned, *, channels: int, limit: int) -> bool:
    """Whether every configuration is so small that nothing need be counted.

    Eight bytes per element of a convolution's output and 40 per voxel and output channel are more than any trainer of
    ours was ever counted to take (4.9 to 6.6 where activations dominate), and 3e9 hold the largest planned network with
    its gradients and its optimiser. That is said of leaky rectifiers, which work in place, and of networks without
    attention; others are always counted.

    Args:
        planned: with the elements of each configuration.
        channels: outputs of the network.
        limit: bytes of the card.
    """
    for name, reasons in planned.reasons.items():
        configuration = planned.plan.configuration(name)
        if configuration.network.activation != "leaky_relu" or configuration.network.transformer_layers:
            return False
        outputs = 40 * channels * math.prod(configuration.patch_size)
        tensors = (8 * reasons.patch.elements + outputs) * configuration.batch_size + 3_000_000_000
        if predicted_bytes(tensors) > limit:
            return False
    return True


def size_plan(make: Callable[[Preset], Planned], preset: Preset, memory: TrainerMemory, *, limit: int) -> Sized:
    """Plan, and make smaller what does not fit: the batch first, then the patch, whose depth follows.

    The search ends: a patch that is not smaller than in the round before is the smallest there is.

    Args:
        make: the planner; a smaller budget of the preset gives smaller patches.
        preset: to begin with.
        memory: of the trainers that must fit.
        limit: bytes of the card.

    Raises:
        UserError: when not even the smallest patch fits.
    """
    first: dict[str, tuple[int, ...]] = {}
    last: dict[str, tuple[int, ...]] = {}
    for _ in range(ROUNDS):
        planned = make(preset)
        sized = {name: _fitting_batch(planned, name, preset, memory, limit) for name in planned.reasons}
        if None not in sized.values():
            return _with_batches(planned, {name: size for name, size in sized.items() if size is not None}, first)
        for name in (name for name, size in sized.items() if size is None):
            patch = planned.plan.configuration(name).patch_size
            if last.get(name) == patch:
                raise UserError(_refusal(planned, name, preset, memory, limit))
            first.setdefault(name, patch)
            last[name] = patch
            preset = _smaller_budget(planned, name, preset, memory, limit)
    raise AssertionError(f"{ROUNDS} patches were tried")


def _fitting_batch(planned: Planned, name: str, preset: Preset, memory: TrainerMemory, limit: int) -> int | None:
    """The largest batch up to the planned one that fits; None when the smallest that the preset allows does not."""
    planned_size = planned.plan.configuration(name).batch_size
    smallest = min(planned_size, preset.limits(planned.plan.configuration(name).dimensions).min_batch)

    def needed(size: int) -> int:
        return memory.most(_with_batch(planned.plan, name, size), _largest_of(planned.plan, name))

    most = needed(planned_size)
    if most <= limit:
        return planned_size
    # Were all tensors in proportion to the batch, this would be it; weights are not, so it mostly fits with room left.
    room = max(0.0, (limit - memory.overhead) / (most - memory.overhead))
    low = max(smallest, math.floor(planned_size * room))
    low_bytes = needed(low)
    if low_bytes > limit and low > smallest:
        low, low_bytes = smallest, needed(smallest)
    if low_bytes > limit:
        return None
    size = low + math.floor((limit - low_bytes) / (most - low_bytes) * (planned_size - low))
    while size > low and needed(size) > limit:
        size -= 1
    return size


def _smaller_budget(planned: Planned, name: str, preset: Preset, memory: TrainerMemory, limit: int) -> Preset:
    """The preset with a budget by which the patch of `name` is smaller, by as much as seems to be needed."""
    dimensions = planned.plan.configuration(name).dimensions
    limits = preset.limits(dimensions)
    needed = memory.most(_with_batch(planned.plan, name, limits.min_batch), _largest_of(planned.plan, name))
    room = max(0.0, (limit - memory.overhead) / (needed - memory.overhead))
    measured = planned.reasons[name].patch.elements / limits.budget_batch * limits.fit_batch
    # A little more than in proportion, since weights do not shrink with the patch; a round more costs little.
    smaller = replace(limits, budget=min(limits.budget, measured * min(0.9999, 1.03 * room)))
    return replace(preset, two=smaller) if dimensions == 2 else replace(preset, three=smaller)


def _with_batch(plan: Plan, name: str, size: int) -> Plan:
    """The plan with another batch in `name` and in what inherits from it."""
    changed = {
        key: configuration.model_copy(update={"batch_size": size})
        if name in (key, configuration.inherits_from)
        else configuration
        for key, configuration in plan.configurations.items()
    }
    return plan.model_copy(update={"configurations": changed})


def _largest_of(plan: Plan, name: str) -> str:
    """The cascade that has the same patch and is shown a segmentation more, if there is one; else `name` itself."""
    children = (key for key, found in plan.configurations.items() if found.inherits_from == name)
    return next(children, name)


def _with_batches(planned: Planned, sizes: dict[str, int], first: dict[str, tuple[int, ...]]) -> Sized:
    notes, plan = [], planned.plan
    for name, size in sizes.items():
        configuration = plan.configuration(name)
        if name in first:
            was, now = (" × ".join(map(str, patch)) for patch in (first[name], configuration.patch_size))
            notes.append(f"`{name}`: the patch was {was} and became {now}")
        if size != configuration.batch_size:
            notes.append(f"`{name}`: the batch was {configuration.batch_size} and became {size}")
            plan = _with_batch(plan, name, size)
    return Sized(planned._replace(plan=plan), tuple(notes))


def _refusal(planned: Planned, name: str, preset: Preset, memory: TrainerMemory, limit: int) -> str:
    configuration = planned.plan.configuration(name)
    smallest = preset.limits(configuration.dimensions).min_batch
    needed = memory.most(_with_batch(planned.plan, name, smallest), _largest_of(planned.plan, name))
    patch = " × ".join(map(str, configuration.patch_size))
    return (
        f"{limit / GB:.3g} GB do not hold a training of {memory.costliest}: {name} with its smallest patch, {patch}, "
        f"and batch {smallest} takes {needed / GB:.1f} GB. Give a larger --gpu-memory, or plan with --preset cpu."
    )
