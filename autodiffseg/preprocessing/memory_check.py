"""Refusal, before work starts, of a grid so fine that no case can be brought onto it in the memory of this machine."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from autodiffseg.byte_sizes import shown_bytes
from autodiffseg.errors import UserError
from autodiffseg.plans import Plan
from autodiffseg.preprocessing.case_memory import largest_cases, preprocessing_bytes
from autodiffseg.preprocessing.free_memory import free_memory_bytes

OVERESTIMATE = 2.0
"""The estimate is at most this factor above what a case takes, as tests hold it to: what is refused is hopeless."""


def require_memory(images: Iterable[Sequence[Path]], plan: Plan, configuration: str) -> None:
    """Refuse a configuration whose largest case does not fit into the free memory, even on one process.

    Args:
        images: the files of each case that is to be preprocessed, one per channel; none need no memory.
        plan: says the grid.
        configuration: of the plan.

    Raises:
        UserError: when it cannot be preprocessed here.
    """
    sizes, free = largest_cases(images), free_memory_bytes()
    if not sizes or free is None:
        return
    needed = preprocessing_bytes(sizes, plan, configuration)
    if needed / OVERESTIMATE <= free:
        return
    settings = plan.configuration(configuration)
    grid = " × ".join(f"{value:g}" for value in settings.target_size or settings.spacing)
    unit, cure = (
        ("pixels", "a smaller --target-size")
        if settings.target_size
        else ("mm", "a coarser --overwrite-target-spacing")
    )
    raise UserError(
        f"{configuration} of plan '{plan.name}' resamples to {grid} {unit}, for which the largest case needs about "
        f"{shown_bytes(needed)} of memory, and {shown_bytes(free)} are free; give {cure}, leave the configuration out "
        "with -c, or see whether the voxel sizes in the files are right."
    )
