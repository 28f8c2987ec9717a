"""How much memory new processes may take: what the machine has left, within the limits of its control groups."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path


def free_memory_bytes(root: Path = Path("/")) -> int | None:
    """Bytes that can be allocated without swapping, or None where the system does not tell.

    Inside a container the machine's own figure says too much: the limits of the control groups (version 2 and 1) count
    as well. Memory that only caches files is free.

    Args:
        root: of the file system; another one for tests.
    """
    limits = [*_group_limits(root)]
    if (machine := _available(root)) is not None:
        limits.append(machine)
    return max(0, min(limits)) if limits else None


def _available(root: Path) -> int | None:
    """MemAvailable of Linux, else the free pages where sysconf knows them."""
    lines = _read(root / "proc/meminfo").splitlines()
    for line in lines:
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # Windows, macOS
        return None


def _group_limits(root: Path) -> Iterator[int]:
    """What is left under the limit of each control group that this process is in, its ancestors' too."""
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            mount, names = root / "sys/fs/cgroup", ("memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            mount = root / "sys/fs/cgroup/memory"
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        group = mount / path.lstrip("/")
        # In a container the path may be the host's: then the mount itself is the process's own group.
        for folder in (group, *group.parents):
            left = _left(folder, *names)
            if left is not None:
                yield left
            if folder == mount:
                break


def _left(group: Path, limit_name: str, usage_name: str, cache_name: str) -> int | None:
    limit, usage = _read(group / limit_name).strip(), _read(group / usage_name).strip()
    if not (limit.isdecimal() and usage.isdecimal()):  # "max", or no such group
        return None
    cached = 0
    for line in _read(group / "memory.stat").splitlines():
        if line.startswith(f"{cache_name} "):
            cached = int(line.split()[1])
    return int(limit) - int(usage) + cached


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return ""
