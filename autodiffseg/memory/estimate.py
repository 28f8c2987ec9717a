"""TrainingMemory: the bytes of tensors that one training step takes, by what they are."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TrainingMemory:
    """What the tracker counted for one trainer and one configuration, in bytes of tensors.

    `parameters`, `gradients`, `optimiser` and `activations` are what is alive at the peak and sum to `peak` less
    `averaged` and `buckets`.
    """

    peak: int
    """The most that is alive at once, terms below included."""
    after_forward: int
    """Alive between the forward and the backward pass: what the backward pass needs."""
    parameters: int
    gradients: int
    """Few at the peak: it stands at the beginning of the backward pass."""
    optimiser: int
    """The optimiser's state; AdamW keeps two numbers per parameter."""
    activations: int
    """Batch, activations kept for the backward pass, and temporaries."""
    averaged: int = 0
    """A running average of the weights, if one is kept."""
    buckets: int = 0
    """Gradient buckets of distributed training."""
