"""Precision: which number type the network computes in, and the gradient scaler that fp16 needs."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Literal

import torch

from autodiffseg.errors import UserError
from autodiffseg.memory.autocast_policy import AutocastPolicy
from autodiffseg.memory.stand_in import place_of_meta

Precision = Literal["fp32", "bf16", "fp16"]
TYPES: dict[Precision, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def choose_device(name: str | None) -> torch.device:
    """The device called `name`; None is CUDA where there is one, else the CPU.

    Raises:
        UserError: when there is no such device here.
    """
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UserError(f"--device {name}: cuda, cuda:1, cpu and mps are possible.") from None
    if device.type not in ("cuda", "cpu", "mps"):
        raise UserError(f"--device {name}: cuda, cuda:1, cpu and mps are possible.")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UserError(f"--device {name}: this machine has {torch.cuda.device_count()} CUDA devices; use cpu.")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise UserError(f"--device {name}: not available here; use cpu.")
    return device


def choose_precision(name: str, device: torch.device) -> Precision:
    """The precision called `name`; `auto` is the fastest that the device computes natively.

    CUDA: bf16 where supported, else fp16 with a gradient scaler. CPU: bf16 where the processor has it, else fp32.

    Raises:
        UserError: for an unknown name, or fp16 on a CPU, whose convolutions have no fp16 gradients.
    """
    if name == "auto":
        if device.type == "cuda":
            return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
        return "bf16" if device.type == "cpu" and cpu_has_bf16() else "fp32"
    if name not in TYPES:
        raise UserError(f"--precision {name}: auto, fp32, bf16 and fp16 are possible.")
    if name == "fp16" and device.type != "cuda":
        raise UserError("--precision fp16 needs a CUDA device; use bf16 or fp32 here.")
    return name


def cpu_has_bf16() -> bool:
    """Whether the processor computes in bf16 itself; others imitate it, many times slower than fp32."""
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def autocast(device: torch.device, precision: Precision) -> AbstractContextManager[object]:
    """A context in which the network computes in `precision`.

    Each network call gets a context of its own: leaving it empties the cache of cast weights. A cached cast made in
    a pass without gradient would otherwise be used again in the next pass, whose weights would then silently get no
    gradient. On the meta device, which torch's autocast leaves alone, a stand-in casts.
    """
    if device.type == "meta":
        return nullcontext() if precision == "fp32" else AutocastPolicy(TYPES[precision], place=place_of_meta())
    return torch.autocast(device.type, dtype=TYPES[precision], enabled=precision != "fp32")
