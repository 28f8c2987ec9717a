"""How long a training will take on this CPU: operations of one update over the speed of a convolution here."""

from __future__ import annotations

import time

import torch
from torch.utils.flop_counter import FlopCounterMode

from autodiffseg.memory.stand_in import meta_stands_for
from autodiffseg.networks.blocks import ConvBlock

from .learner import Learner
from .memory_layout import training_layout
from .precision import Precision, autocast
from .training_memory import bare_loop, meta_batch, meta_twin

CHANNELS = 32
SIZES = {2: (320, 320), 3: (48, 48, 48)}
"""Patch of the convolutions that are timed, by dimensions: too large for a cache, as those of training are."""
REACHED = 0.8
"""Of the speed of those blocks, whole updates reach this: 0.76 to 0.83 in three networks on one machine."""
ENOUGH = 2.0
"""Seconds: a slow machine is timed once, not twice."""


def expected_seconds(trainer: Learner, updates: int) -> float:
    """Seconds for so many updates on this machine's CPU.

    Multiplications and additions of the trainer's own update are counted without computing it, and two convolution
    blocks are timed, forwards and backwards. What is between the convolutions goes with them in both.

    Raises:
        UserError: when the trainer cannot be run without data.
    """
    speed = operations_per_second(trainer.configuration.dimensions, trainer.precision)
    return update_operations(trainer) * updates / (REACHED * speed)


def update_operations(trainer: Learner) -> int:
    """Floating-point operations of one update of a trainer, counted on tensors without content."""
    with meta_stands_for("cpu"), meta_twin(trainer) as twin:
        loop = bare_loop(twin)
        with FlopCounterMode(display=False) as counter:
            loop.step(meta_batch(twin))
    return int(counter.get_total_flops())


def operations_per_second(dimensions: int, precision: Precision) -> float:
    """Speed of this machine's CPU in two convolution blocks, after a run to warm up."""
    ones, threes = (1,) * dimensions, (3,) * dimensions
    blocks = torch.nn.ModuleList(ConvBlock(CHANNELS, CHANNELS, threes, ones, conditioned=False) for _ in range(2)).to(
        memory_format=training_layout(torch.device("cpu"), precision, dimensions)
    )  # type: ignore[call-overload]
    image = torch.ones(1, CHANNELS, *SIZES[dimensions])

    def run() -> None:
        with autocast(torch.device("cpu"), precision):
            x = image
            for block in blocks:
                x = block(x, None)
        x.float().sum().backward()  # type: ignore[no-untyped-call]  # torch's own

    with FlopCounterMode(display=False) as counter:
        run()
    times: list[float] = []
    while len(times) < 2 and sum(times) < ENOUGH:
        began = time.perf_counter()
        run()
        times.append(time.perf_counter() - began)
    return float(counter.get_total_flops()) / min(times)
