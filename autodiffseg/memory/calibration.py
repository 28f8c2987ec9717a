"""From bytes of tensors to bytes of a GPU: what comes on top, measured once per GPU and remembered."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from autodiffseg.errors import UserError
from autodiffseg.records import Record

CACHE = "AUTODIFFSEG_CACHE"
"""Environment variable: the folder in which measurements are remembered."""
FILE = "gpu_memory.json"
FRAGMENTS = 1.05
"""Of the bytes of tensors: the allocator cannot use its blocks without gaps."""
OVERHEAD = 2_000_000_000
"""Bytes on top, where nothing was measured: context of the driver, workspaces of cuDNN, blocks kept for later."""
CONTEXT = 500_000_000
"""Bytes that the driver takes outside of torch's allocator, which a measurement does not see."""


class Reading(NamedTuple):
    """What a GPU says after the first updates."""

    gpu: str
    """Name of the model."""
    torch: str
    """Version."""
    reserved: int
    """Most bytes that torch's allocator has taken from the driver."""


class Measurement(Record):
    """What was found on one GPU with one version of torch."""

    reserved_bytes: int
    """Most that torch's allocator had taken from the driver."""
    tensor_bytes: int
    """Counted for the same step without a GPU."""
    residual_bytes: int
    """What the allocator had taken beyond 1.05 times the tensors; the largest seen yet."""


class Measurements(Record):
    """The file of all measurements."""

    measurements: dict[str, Measurement] = {}
    """By GPU and version of torch."""


def predicted_bytes(tensors: int, overhead: int = OVERHEAD) -> int:
    """Bytes of a GPU that a step takes whose tensors take `tensors` at most."""
    return round(tensors * FRAGMENTS) + overhead


def overhead_of(gpu: str | None, torch: str) -> int:
    """Bytes on top of the tensors: measured on this model of GPU, else the general value. None is no GPU."""
    if gpu is None:
        return OVERHEAD
    found = _load().measurements.get(_key(gpu, torch))
    return OVERHEAD if found is None else max(0, found.residual_bytes) + CONTEXT


def remember(tensors: int, read: Callable[[], Reading]) -> Measurement:
    """Keep what a GPU says after a step whose tensors were counted as `tensors` bytes, for the next prediction.

    The largest residual is kept: a plan has to fit whichever trainer comes.
    """
    reading = read()
    known, key = _load(), _key(reading.gpu, reading.torch)
    residual = reading.reserved - round(tensors * FRAGMENTS)
    before = known.measurements.get(key)
    found = Measurement(reserved_bytes=reading.reserved, tensor_bytes=tensors, residual_bytes=residual)
    if before is not None and before.residual_bytes >= residual:
        return before
    Measurements(measurements={**known.measurements, key: found}).save(cache_folder() / FILE)
    return found


def cache_folder() -> Path:
    """Where measurements are remembered: $AUTODIFFSEG_CACHE, else the platform's folder for caches."""
    if given := os.environ.get(CACHE):
        return Path(given)
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "autodiffseg"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "autodiffseg"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "autodiffseg"


def _key(gpu: str, torch: str) -> str:
    return f"{gpu}, torch {torch}"


def _load() -> Measurements:
    """The measurements; none when the file is missing or broken: it is only a cache."""
    try:
        return Measurements.load(cache_folder() / FILE)
    except UserError:
        return Measurements()
