"""A quick look at validation patches during training: Dice pooled over a few fixed batches."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from autodiffseg.dataloading.batches import BatchSource
from autodiffseg.sampling import NoiseSource, Sampling

from .base import Trainer
from .learner import Learner
from .randomness import generator


def patch_dice(trainer: Trainer, source: BatchSource, sampling: Sampling, *, batches: int) -> float:
    """Mean over foreground classes of the Dice of all voxels of `batches` batches together; in [0, 1].

    Not comparable with the Dice of whole cases; it serves to see progress and to choose `best`. The batches and the
    noise are the same at every look. Classes that are absent in prediction and reference do not count; NaN when all
    are.
    """
    overlap = total = torch.zeros(len(trainer.spec.foreground), device=trainer.device)
    with evaluation_mode(trainer), torch.inference_mode():
        for n in range(batches):
            batch = source.batch(n)
            target, known = trainer.spec.one_hot(batch.label.to(trainer.device))
            *_, probabilities = trainer.predict_steps(
                batch.image.to(trainer.device), batch_noise(trainer, batch.image, n), sampling
            )
            predicted = decided(probabilities, regions=trainer.spec.has_regions) * known
            first = 0 if trainer.spec.has_regions else 1
            axes = [0, *range(2, target.ndim)]
            overlap = overlap + (predicted * target)[:, first:].sum(axes)
            total = total + (predicted + target)[:, first:].sum(axes)
    return float((2 * overlap / total)[total > 0].mean())


def decided(probabilities: Tensor, *, regions: bool) -> Tensor:
    """Hard masks `(B, K, *patch)` in {0, 1} of probabilities: one class a voxel, or each region over 0.5."""
    if regions:
        return (probabilities > 0.5).float()
    chosen = probabilities.argmax(dim=1, keepdim=True)
    return torch.zeros_like(probabilities).scatter_(1, chosen, 1.0)


def batch_noise(trainer: Learner, image: Tensor, n: int) -> NoiseSource:
    """Noise for the patches of batch `n`: the same whenever it is asked for."""

    def noise(step: int, channels: int) -> Tensor:
        shape = (len(image), channels, *image.shape[2:])
        return torch.randn(shape, generator=generator(trainer.device, n, step), device=trainer.device)

    return noise


@contextmanager
def evaluation_mode(trainer: Learner) -> Iterator[None]:
    """Switch the network to evaluation and back."""
    trainer.network.eval()
    try:
        yield
    finally:
        trainer.network.train()
