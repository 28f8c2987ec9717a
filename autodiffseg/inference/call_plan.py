"""CallPlan: how many patches a network call takes, how many calls run at once, and where the whole case lies."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from autodiffseg.errors import UserError
from autodiffseg.memory.calibration import FRAGMENTS, overhead_of
from autodiffseg.memory.estimate import GB
from autodiffseg.preprocessing.free_memory import free_memory_bytes

CallBytes = Callable[[int, tuple[int, ...]], int]
"""`call_bytes(patches, patch)`: bytes of tensors that a network call takes at most, the weights left out."""

CPU = torch.device("cpu")
CPU_VOXELS = {2: 2**16, 3: 2**18}
"""Of the patches of a call, by dimensions. Measured in calls of one thread: 256x256 and 64x64x64 patches take the least
processor time one at a time, 40x56x40 two at a time (torch does not use oneDNN for a single small one), 40x56 sixteen
at a time (half of that of single ones)."""
CPU_PATCHES = 16
CUDA_VOXELS = 2**23
"""Of the patches of a call: with so many no GPU is idle, and more would only take memory."""
CUDA_PATCHES = 128
CPU_COPIES = 1.5
"""Times the bytes of tensors: on a processor convolutions keep copies of their input and output, in an order of their
own, beside them. Measured: a process grew by 1.1 to 1.2 times."""


@dataclass(frozen=True)
class CallPlan:
    """How the network is called for one case."""

    patches: int
    """Of one call, mirrored ones included."""
    at_once: int
    """Most calls that may run side by side."""
    threads: int | None
    """Of torch, which these share; None: calls are made one by one, with all that torch has."""
    home: torch.device
    """Where whole volumes lie: the image, x_t and the sums."""

    def share_out(self, calls: int, *, deterministic: bool) -> tuple[int, int | None]:
        """How many of so many calls run side by side, and the threads of each: several where there are threads to
        spare, unless bits matter."""
        if self.threads is None:
            return 1, None
        at_once = max(1, min(self.at_once, calls))
        return at_once, 1 if deterministic else max(1, self.threads // at_once)


def plan_calls(
    patch: Sequence[int],
    case_bytes: int,
    call_bytes: CallBytes | None,
    *,
    device: torch.device,
    patches: int | None,
    deterministic: bool,
) -> CallPlan:
    """What this machine has memory for, now.

    Args:
        patch: voxels along each axis.
        case_bytes: of the volumes that a case needs as a whole.
        call_bytes: of a network call; None: nobody knows.
        device: where the network runs.
        patches: of one call, if the caller wants so many.
        deterministic: one patch in every call, since results depend a little on what shares a call, and calls of one
            thread each.
    """
    wanted = 1 if deterministic else patches
    if device.type != "cuda":
        return _on_processor(patch, call_bytes, device, wanted)
    free = _free_cuda_bytes(device)
    one = 0 if call_bytes is None else cuda_bytes(call_bytes(1, tuple(patch)), device)
    home = device if case_bytes + one <= free else CPU
    left = free - (case_bytes if home == device else 0)
    return CallPlan(wanted or patches_that_fit(patch, call_bytes, left, device), 1, None, home)


def patches_that_fit(patch: Sequence[int], call_bytes: CallBytes | None, free: int, device: torch.device) -> int:
    """How many patches of one call fit into `free` bytes of a CUDA device, one at least; not more than pays."""
    enough = max(1, min(CUDA_VOXELS // math.prod(patch), CUDA_PATCHES))
    if call_bytes is None:
        return min(enough, 2)
    one, two = (cuda_bytes(call_bytes(count, tuple(patch)), device) for count in (1, 2))
    return max(1, min(enough, 1 + (free - one) // max(1, two - one)))


def cuda_bytes(tensors: int, device: torch.device) -> int:
    """Bytes of a GPU that a call takes whose tensors take `tensors`."""
    name = torch.cuda.get_device_properties(device).name if device.type == "cuda" else None
    return round(tensors * FRAGMENTS) + overhead_of(name, torch.__version__)


def free_bytes(device: torch.device) -> int | None:
    """Bytes that a call may take on a device; None where the system does not tell."""
    return _free_cuda_bytes(device) if device.type == "cuda" else free_memory_bytes()


def taken_bytes(tensors: int, device: torch.device) -> int:
    """Bytes that a call takes of a device's memory whose tensors take `tensors`."""
    return cuda_bytes(tensors, device) if device.type == "cuda" else round(tensors * CPU_COPIES)


def require_room(call: int, volumes: int, case: str, home: torch.device, device: torch.device) -> None:
    """Refuse a case that does not fit into the memory as one window.

    Args:
        call: bytes of tensors of a network call with the whole case.
        volumes: bytes of volumes beside it, at `home`.
        case: its name.
        home: where these volumes lie.
        device: where the network runs.

    Raises:
        UserError: when it needs more than is free.
    """
    needed = taken_bytes(call, device) + (volumes if home == device else 0)
    free = free_bytes(device)
    if free is not None and needed > free:
        raise UserError(
            f"Case '{case}' needs about {needed / GB:.1f} GB at once in --mode volume, {free / GB:.1f} GB are free on "
            f"{device}; use --mode synchronised or --mode tile."
        )


def _on_processor(
    patch: Sequence[int], call_bytes: CallBytes | None, device: torch.device, patches: int | None
) -> CallPlan:
    patches = patches or min(max(1, CPU_VOXELS[len(patch)] // math.prod(patch)), CPU_PATCHES)
    if device.type != "cpu" or not _threads_are_a_calls_own():
        return CallPlan(patches, 1, None, device)
    threads, free = torch.get_num_threads(), free_memory_bytes()
    if call_bytes is None or free is None or threads == 1:
        return CallPlan(patches, threads, threads, device)
    each = taken_bytes(call_bytes(patches, tuple(patch)), device)
    return CallPlan(patches, max(1, min(threads, free // max(1, each))), threads, device)


def _threads_are_a_calls_own() -> bool:
    """Whether torch can be told a number of threads for one thread of the program alone."""
    return bool(torch.backends.openmp.is_available())  # type: ignore[no-untyped-call]  # torch's own


def _free_cuda_bytes(device: torch.device) -> int:
    """What the driver has left, and what torch's allocator holds without use."""
    kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return int(torch.cuda.mem_get_info(device)[0]) + kept
