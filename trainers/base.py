"""Trainer: what every way of training a segmentation shares."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import ClassVar, cast

import torch
from torch import Tensor

from autodiffseg.dataloading.batches import BatchSource
from autodiffseg.diffusion.trajectory import Trajectory
from autodiffseg.inference.patch_model import PatchModel
from autodiffseg.losses.segmentation import Loss, probabilities_of, segmentation_loss
from autodiffseg.networks.unet import UNet
from autodiffseg.sampling import NoiseSource, Sampling

from .learner import Learner, Look
from .options import TrainerOptions
from .precision import autocast


class Trainer(Learner):
    """One network, its loss and its prediction for one configuration of a plan.

    The loop, data, checkpoints, validation and logging are given; a subclass overrides `build_network`, `loss` and
    `predict_steps`, or less.
    """

    Options: ClassVar[type[TrainerOptions]] = TrainerOptions
    look_columns: ClassVar[dict[str, str]] = {"validation_patch_dice": "Dice on validation patches"}
    options: TrainerOptions

    @abstractmethod
    def predict_steps(self, patch: Tensor, noise: NoiseSource, sampling: Sampling) -> Iterator[Tensor]:
        """Probabilities `(B, K, *patch)` float32 after every sampling step; the last is the answer.

        Args:
            patch: `(B, C, *patch)` float32 on `device`.
            noise: standard normal noise of these patches.
            sampling: steps and sampler.
        """

    def trajectory(self, sampling: Sampling) -> Trajectory | None:
        """The steps of `predict_steps` one by one, for windows that go them together; None where there is one only."""
        return None

    def prepare_prediction(self) -> None:
        """Switch the network to evaluation; it is not trained any more.

        On a CPU patches are predicted one at a time, and that is a tenth faster with channels first.
        """
        self.network.eval()
        if self.device.type == "cpu":
            self.network = self.network.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]  # typed for tensors only

    def look(self, source: BatchSource, *, batches: int) -> Look:
        """The Dice of a few validation patches, sampled as planned."""
        from .patch_validation import patch_dice
        from .prediction import choose_sampling

        dice = patch_dice(self, source, choose_sampling(self.plan), batches=batches)
        return Look(dice, {"validation_patch_dice": dice})

    def passes(self, sampling: Sampling) -> int:
        """Network calls that one prediction of a patch takes."""
        return 1

    @property
    def averages_answers(self) -> bool:
        """Whether a prediction is the mean of answers, each of which can be had by itself."""
        return False

    @property
    def pairs_mirrors(self) -> bool:
        """Whether a prediction shows its passes the mirrored versions in turn, in place of one for each version."""
        return False

    def in_turn(self, axes: Sequence[int], answer: int | None) -> PatchModel:
        """What predicts where answers are averaged and something takes turns over them.

        Args:
            axes: patch axes; the answers see the versions mirrored along them in turn.
            answer: the number of the one that is wanted, as samples take turns with them; None: their mean.
        """
        return self

    def predicted_steps(self, sampling: Sampling) -> int:
        """How many probabilities `predict_steps` gives."""
        return self.passes(sampling)

    @property
    def mirror_axes(self) -> tuple[int, ...]:
        """Patch axes along which predictions are averaged by default: the plan's, if training mirrored along them."""
        return self.configuration.mirror_axes if self.options.augment else ()

    @property
    def draws_noise(self) -> bool:
        """Whether predictions on other noise differ; by default, whether something can be sampled in steps."""
        return self.passes(Sampling(steps=2)) > 1

    def probabilities(
        self, image: Tensor, mask: Tensor | None = None, level: Tensor | None = None, *, network: UNet | None = None
    ) -> Tensor:
        """The finest probabilities `(B, K, *patch)` of one call of `network` (None: the trained one), float32."""
        return probabilities_of(self.finest(image, mask, level, network=network), regions=self.spec.has_regions)

    def finest(
        self, image: Tensor, mask: Tensor | None = None, level: Tensor | None = None, *, network: UNet | None = None
    ) -> Tensor:
        """The finest output `(B, K, *patch)` of one call of `network` (None: the trained one), like `logits`."""
        chosen = cast(UNet, self.network) if network is None else network
        with autocast(self.device, self.precision):
            return chosen.denoise(chosen.encode(image), mask, level)

    def segmentation_loss(self, logits: Tensor | list[Tensor], target: Tensor, known: Tensor) -> Loss:
        """The losses with the run's weights; see `autodiffseg.losses.segmentation`."""
        return segmentation_loss(
            logits,
            target,
            known,
            regions=self.spec.has_regions,
            batch_dice=self.configuration.batch_dice,
            dice_weight=self.options.dice_weight,
            cross_entropy_weight=self.options.cross_entropy_weight,
            focal_weight=self.options.focal_weight,
            mse_weight=self.options.mse_weight,
        )
