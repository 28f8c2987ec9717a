"""PeakMemory: the most memory taken since a moment, of a GPU by tensors or of this process."""

from __future__ import annotations

import re
from pathlib import Path

import torch

STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class PeakMemory:
    """Begins to watch when it is made; whoever watches last has set the peaks of all to zero."""

    def __init__(self, device: torch.device) -> None:
        """Watch what tensors take on a CUDA device, elsewhere what the whole process takes."""
        self._device = device
        self._resident = False
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
            return
        try:
            RESET.write_text("5")  # proc(5): sets the peak of the resident memory to what it is now
            self._resident = True
        except OSError:  # another system than Linux
            pass

    def gb(self) -> float | None:
        """The peak in 1e9 bytes; None where the system does not tell."""
        if self._device.type == "cuda":
            return torch.cuda.max_memory_allocated(self._device) / 1e9
        found = re.search(r"^VmHWM:\s+(\d+) kB", STATUS.read_text(), flags=re.MULTILINE) if self._resident else None
        return int(found[1]) * 1024 / 1e9 if found else None
