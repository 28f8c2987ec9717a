"""Peak memory of a piece of work within a process, as Linux counts it; the standard library alone."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple


class Cost(NamedTuple):
    """What a piece of work took."""

    before_bytes: int
    """Resident memory of the process before."""
    added_bytes: int
    """How far resident memory rose above that."""
    cpu_seconds: float


def cost_of(work: Callable[[], object]) -> Cost:
    """Do the work once."""
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew (proc(5))
    before = _kilobytes("VmRSS")
    start = time.process_time()
    work()
    seconds = time.process_time() - start
    return Cost(before * 1024, (_kilobytes("VmHWM") - before) * 1024, seconds)


def _kilobytes(key: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1])
    raise ValueError(f"/proc/self/status has no {key}; this needs Linux")
