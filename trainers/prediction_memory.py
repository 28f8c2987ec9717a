"""How much memory the probabilities of cases take, told before the first is predicted."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

from autodiffseg.byte_sizes import shown_bytes
from autodiffseg.inference.probability_store import ITEM_BYTES
from autodiffseg.preprocessing.case_memory import largest_cases
from autodiffseg.preprocessing.free_memory import free_memory_bytes
from autodiffseg.preprocessing.preprocessor import target_grid

from .member import Member
from .prediction_outputs import PredictionOutputs
from .resources import Resources

SHARE = 0.5
"""Of the free memory: the image, the network and the export need the rest."""


def memory_bytes(resources: Resources) -> float:
    """What probabilities may take together: what was asked for, else a share of what is free."""
    if resources.memory_gb is not None:
        return resources.memory_gb * 1e9
    free = free_memory_bytes()
    return math.inf if free is None else SHARE * free


def arrays_at_a_time(outputs: PredictionOutputs, resources: Resources) -> int:
    """Arrays of one member that live together: one is filled, each worker writes one, and the mean of several draws.

    Without workers the draw before stays until the next one is there.
    """
    several = outputs.samples > 1
    return 1 + max(resources.workers, several) + several


def array_limit(members: Sequence[Member], outputs: PredictionOutputs, resources: Resources) -> float:
    """Bytes up to which one array is kept in memory."""
    return memory_bytes(resources) / (len(members) * arrays_at_a_time(outputs, resources))


def forecast(
    members: Sequence[Member],
    images: Iterable[Sequence[Path]],
    outputs: PredictionOutputs,
    resources: Resources,
    *,
    steps: int,
) -> str:
    """One line: what the largest case will take, and whether memory or disk.

    Args:
        members: who predict.
        images: the files of each case.
        outputs: what is written.
        resources: what it may take.
        steps: how many are written, each of which has probabilities of its own.

    Returns:
        "" when no header can be read.
    """
    largest, told = 0.0, ""
    for size in largest_cases(images):
        for member in members:
            z, y, x = member.plan.transpose
            shape, spacing = size.shape, size.spacing
            settings = member.plan.configuration(member.configuration)
            grid, _ = target_grid((shape[z], shape[y], shape[x]), (spacing[z], spacing[y], spacing[x]), settings)
            channels = member.spec.channels * steps
            if channels * math.prod(grid) > largest:
                largest = channels * math.prod(grid)
                told = f"{channels} channels on {' × '.join(map(str, grid))} voxels"
    if not told:
        return ""
    one, allowed = largest * ITEM_BYTES, memory_bytes(resources)
    together = one * len(members) * arrays_at_a_time(outputs, resources)
    where = "in memory"
    if one > array_limit(members, outputs, resources):
        source = "--memory" if resources.memory_gb is not None else "half of the free memory"
        where = f"on disk in {outputs.folder}: {source} is {shown_bytes(allowed)}"
    return (
        f"Probabilities of the largest case take up to {shown_bytes(one)} ({told}), {shown_bytes(together)} with what "
        f"is written at the same time; they are kept {where}."
    )
