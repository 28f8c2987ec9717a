"""supervised: image in, segmentation out. The recycling paper's "no diffusion"."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from autodiffseg.dataloading.batches import Batch
from autodiffseg.losses.segmentation import Loss
from autodiffseg.networks.unet import UNet
from autodiffseg.sampling import NoiseSource, Sampling

from .base import Trainer


class SupervisedTrainer(Trainer):
    """The network sees the image alone; one call is the prediction."""

    def build_network(self) -> UNet:
        """A U-Net without mask input and without noise level."""
        return UNet(self.configuration.network, image_channels=self.image_channels, classes=self.spec.channels)

    def loss(self, batch: Batch, rng: torch.Generator) -> Loss:
        """Segmentation loss of the image's logits."""
        target, known = self.spec.one_hot(batch.label)
        return self.segmentation_loss(self.logits(batch.image), target, known)

    def predict_steps(self, patch: Tensor, noise: NoiseSource, sampling: Sampling) -> Iterator[Tensor]:
        """One step, whatever the sampling."""
        yield self.probabilities(patch)
