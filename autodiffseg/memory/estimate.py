"""TrainingMemory: the bytes of tensors that one training step takes, by what they are."""

from __future__ import annotations

from dataclasses import dataclass

GB = 2**30
"""Bytes: a card that is sold with 24 GB has 24 times this, and nvidia-smi counts so."""


@dataclass(frozen=True)
class TrainingMemory:
    """What the tracker counted for one trainer and one configuration, in bytes of tensors.

    The parts are what is alive at the peak and sum to it.
    """

    peak: int
    """The most that is alive at once."""
    after_forward: int
    """Alive between the forward and the backward pass: what the backward pass needs."""
    parameters: int
    gradients: int
    """Few at the peak: it mostly stands at the beginning of the backward pass."""
    optimiser: int
    """The optimiser's state; AdamW keeps two numbers per parameter."""
    activations: int
    """The batch, activations kept for the backward pass, and temporaries."""
    buckets: int = 0
    """Copies of the gradients in which distributed training sends them to the other processes."""
