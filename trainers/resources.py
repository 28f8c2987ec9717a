"""Resources: what predicting may take of the machine."""

from __future__ import annotations

from dataclasses import dataclass

from autodiffseg.preprocessing.parallel import default_processes

MOST_WRITERS = 3


def default_writers() -> int:
    """Threads that write: half of the cores, three at most, since each may hold a case more."""
    return max(1, min(MOST_WRITERS, default_processes() // 2))


@dataclass(frozen=True)
class Resources:
    """What predicting may take of the machine; it does not change the predictions."""

    memory_gb: float | None = None
    """GB (1e9 bytes) of memory for probabilities; what does not fit is kept on disk. None: half of what is free."""
    workers: int = 1
    """Threads that write while the network goes on; then another one reads ahead. 0: one after the other."""
