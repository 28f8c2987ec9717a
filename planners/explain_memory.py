"""The part of the explanation that says what the trainers take of a GPU's memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from autodiffseg.memory.estimate import GB
from autodiffseg.plans import Plan

from .trainer_memory import TrainerMemory


def explain_fit(limit: int, memory: TrainerMemory, notes: Sequence[str], *, counted: bool) -> Iterator[str]:
    """What was held against the card, and what had to become smaller.

    Args:
        limit: bytes of the card.
        memory: of the trainers.
        notes: what became smaller.
        counted: whether the trainers' steps were counted; False where they are surely small enough.
    """
    yield "## What fits on the GPU"
    yield ""
    trainers = ", ".join(f"`{name}`" for name in memory.trainers)
    yield f"- Must fit on a card of {limit / GB:.3g} GB: {trainers}."
    if not counted:
        yield "- By a bound on their tensors they surely do."
    elif not notes:
        yield f"- The costliest, `{memory.costliest}`, was counted: everything fits as the budget above planned it."
    else:
        yield f"- The costliest, `{memory.costliest}`, was counted and did not fit as the budget alone had planned:"
        yield from (f"  {note}." for note in notes)
    yield from _untraceable(memory)
    yield ""


def memory_table(plan: Plan, memory: TrainerMemory) -> Iterator[str]:
    """A table of what every trainer takes in every configuration."""
    yield "## GPU memory per trainer"
    yield ""
    yield "| configuration | trainer | GPU | tensors at the peak | weights | optimiser | the rest |"
    yield "|---|---|---|---|---|---|---|"
    for name in plan.configurations:
        for trainer in memory.trainers:
            found = memory.of(trainer, plan, name)
            if found is None:
                yield f"| `{name}` | `{trainer}` | not known | | | | |"
                continue
            parts = (found.peak, found.parameters, found.optimiser, found.activations + found.gradients)
            numbers = " | ".join(f"{number / GB:.2f}" for number in parts)
            yield f"| `{name}` | `{trainer}` | **{memory.predicted(trainer, plan, name) / GB:.1f}** | {numbers} |"
    yield ""
    yield (
        "GB of 1024³ bytes, in half precision: the tensors of the trainer's own update, counted without a GPU, times "
        f"1.05, plus {memory.overhead / GB:.1f} for the driver, cuDNN and what the allocator keeps. The rest: "
        "activations, the batch, the first gradients and temporaries."
    )
    yield from _untraceable(memory)
    yield ""


def _untraceable(memory: TrainerMemory) -> Iterator[str]:
    for reason in memory.untraceable.values():
        yield f"- {reason}"
