"""finetune-ddpm: the whole pretrained denoiser, given an output layer of its own and trained on to segment."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Self, cast

import torch
from pydantic import Field, model_validator
from torch import Tensor

from autodiffseg.dataloading.batches import Batch
from autodiffseg.diffusion.schedule import alpha_bar, level
from autodiffseg.losses.segmentation import Loss
from autodiffseg.networks.unet import UNet
from autodiffseg.plans import DiffusionPlan
from autodiffseg.sampling import NoiseSource, Sampling

from .backbone import USUAL_NOISE, Backbone
from .options import TrainerOptions
from .pretrained import PretrainedOptions, PretrainedTrainer

LEVEL = "cleanest"
"""Of the network: the level of the least noise that it was pretrained on, which it is told of every image."""


class FinetuneDdpmOptions(PretrainedOptions):
    """What finetune-ddpm adds."""

    learning_rate: float = Field(default=3e-4, gt=0)
    """Peak of the schedule, AdamW's step. A third of the usual one, so that less of the pretraining is unlearned; the
    factor has not been chosen by measurement."""
    from_scratch: bool = False
    """Keep the random weights and read no backbone: the twin that shows what pretraining is worth. Its learning rate is
    best set to that of `supervised`, 0.001. `train --from-scratch` sets it."""

    @model_validator(mode="after")
    def _a_backbone_is_read(self) -> Self:
        if self.from_scratch and self.backbone is not None:
            raise ValueError(
                f"from_scratch=true reads no backbone, and backbone={self.backbone} names one; leave one out"
            )
        return self


class FinetuneDdpmTrainer(PretrainedTrainer):
    """Supervised training (no noise) that begins where pretraining ended, in encoder and decoder alike.

    The network is the denoiser, level conditioning included; it is told the level of its least noise. Only the output
    layer is new. There is no deep supervision, whatever the plan says: a denoiser has none. (arXiv 2307.14066 finetunes
    a denoiser so.)
    """

    Options: ClassVar[type[TrainerOptions]] = FinetuneDdpmOptions
    network: UNet

    @property
    def needs_backbone(self) -> bool:
        """Whether training begins with pretrained weights."""
        return not cast(FinetuneDdpmOptions, self.options).from_scratch

    def build_network(self) -> UNet:
        """The denoiser with an output channel per class or region; its level is the usual one until one is read."""
        network = self.denoiser(classes=self.spec.channels)
        network.register_buffer(LEVEL, least_noise(USUAL_NOISE))
        return network

    def take_over(self, backbone: Backbone) -> None:
        """Take all weights but those of the output layer, and the level of the least noise."""
        own = self.network.state_dict()
        new = {name: value for name, value in own.items() if name.startswith("heads.")}
        taken = {name: value for name, value in backbone.weights.items() if name not in new}
        self.network.load_state_dict({**taken, **new, LEVEL: least_noise(backbone.record.diffusion)})

    def loss(self, batch: Batch, rng: torch.Generator) -> Loss:
        """Segmentation loss of the image's logits."""
        target, known = self.spec.one_hot(batch.label)
        return self.segmentation_loss(self.logits(batch.image, None, self._level(batch.image)), target, known)

    def predict_steps(self, patch: Tensor, noise: NoiseSource, sampling: Sampling) -> Iterator[Tensor]:
        """One step, whatever the sampling."""
        yield self.probabilities(patch, None, self._level(patch))

    def _level(self, image: Tensor) -> Tensor:
        """What the network is told of a batch, `(B,)`."""
        return self.network.get_buffer(LEVEL).expand(len(image))


def least_noise(diffusion: DiffusionPlan) -> Tensor:
    """log ᾱ/(1-ᾱ) of a schedule's first base step, a float32 scalar on the CPU."""
    with torch.device("cpu"):  # on the meta device there are no values
        return level(alpha_bar(diffusion)[0]).float()
