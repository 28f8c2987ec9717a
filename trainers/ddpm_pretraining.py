"""pretraining: a denoiser of images without labels (DDPM), whose features others read.

| symbol | here |
|---|---|
| x_0, x_t | `image`, `x_t` |
| ε | `noise` |
| ᾱ_t | `alpha_bar[t]` |
| t, of T | `t`, index of a base step; `base_steps` |
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple, cast

import torch
from pydantic import Field
from torch import Tensor

from autodiffseg.dataloading.batches import Batch, BatchSource
from autodiffseg.diffusion.process import noised
from autodiffseg.diffusion.schedule import alpha_bar, alpha_bar_on, level, require_apart
from autodiffseg.labels import UNKNOWN
from autodiffseg.losses.known_mean import known_mean
from autodiffseg.losses.segmentation import Loss
from autodiffseg.networks.unet import UNet
from autodiffseg.plans import DiffusionPlan
from autodiffseg.preprocessing.unlabelled_pool import require_no_cascade
from autodiffseg.runs import RunRecord

from .backbone import (
    FILE,
    USUAL_NOISE,
    BackboneRecord,
    backbone_network,
    build_backbone,
    checkpoint_content,
    preprocessing_of,
)
from .learner import Learner, Look
from .options import LearningOptions
from .precision import autocast
from .randomness import generator
from .sample_sheet import draw_sheet, generated_images
from .weight_average import WeightAverage

NAME = "pretraining"
"""In run.json and in the name of the run's folder; it is no trainer of `train`, for it segments nothing."""
SHEETS = "samples"
"""Folder of the sample sheets."""

logger = logging.getLogger(__name__)


class PretrainingOptions(LearningOptions):
    """What pretraining adds."""

    loss: Literal["l1", "l2"] = "l1"
    """Of the predicted noise: mean absolute or squared error over known voxels. The TEDM paper's is l1."""
    schedule: Literal["cosine", "linear"] = "cosine"
    """How noise grows over the base steps; `linear` shows less of the image at the same step."""
    base_steps: int = Field(default=1000, ge=2)
    """T; a step is drawn uniformly for every image. What reads the features is told the noise level, not the step."""
    average_decay: float = Field(default=0.9999, ge=0, lt=1)
    """Of the running average of the weights, which is what others read; less at first."""
    augmentation_strength: float = Field(default=1.0, ge=0)
    """Of mirroring, scaling, brightness and contrast, where `augment` is on; 0 leaves the images as they are."""
    sheet_every: int = Field(default=4, ge=0)
    """Looks between two sheets of generated images; 0 makes none."""


class Seen(NamedTuple):
    """Which images a pretraining learns from, as its record tells."""

    images: int = 0
    digest: str = ""
    labelled: tuple[str, ...] = ()
    """Labelled cases and test images among them."""
    transductive: bool = False
    fold: str = ""
    """The fold whose training images are among them."""


class DdpmPretrainingTrainer(Learner):
    """The network sees an image with noise and how noisy it is, and predicts the noise (arXiv 2006.11239 eq. 14).

    It is the planned one without deep supervision. The image is as the plan normalises it, and not scaled to [-1, 1]:
    what reads the features does the same to its images, since it has the same plan.
    """

    Options: ClassVar[type[LearningOptions]] = PretrainingOptions
    look_columns: ClassVar[dict[str, str]] = {"validation_loss": "Noise error on images kept back"}
    network: UNet
    seen = Seen()
    _iterations = 0
    _sheets = True

    def build_network(self) -> UNet:
        """A U-Net with as many outputs as channels, told the noise level.

        Raises:
            UserError: for a cascade, whose images come with a segmentation, and for a schedule with equal steps.
        """
        require_no_cascade(self.plan, self.configuration_name)
        with torch.device("cpu"):  # on the meta device there are no values to look at
            require_apart(alpha_bar(self.diffusion), self.diffusion, plan_name=self.plan.name)
        return build_backbone(self.record(0))

    @cached_property
    def diffusion(self) -> DiffusionPlan:
        """The noise that images get."""
        options = cast(PretrainingOptions, self.options)
        return USUAL_NOISE.model_copy(update={"schedule": options.schedule, "base_steps": options.base_steps})

    @cached_property
    def alpha_bar(self) -> Tensor:
        """ᾱ of every base step, `(T,)`, on the device; float64, or float32 on MPS, which has no other."""
        return alpha_bar_on(self.device, self.diffusion)

    @cached_property
    def average(self) -> WeightAverage:
        """The averaged weights; they begin when they are first asked for."""
        return WeightAverage(self.network, decay=cast(PretrainingOptions, self.options).average_decay)

    def loss(self, batch: Batch, rng: torch.Generator) -> Loss:
        """Error of the predicted noise, at a step drawn for every image, over voxels of the image."""
        t = torch.randint(len(self.alpha_bar), (len(batch.image),), generator=rng, device=self.device)
        noise = torch.randn(batch.image.shape, generator=rng, device=self.device)
        return Loss(self._error(self.network, batch, noise, t), {})

    def look(self, source: BatchSource, *, batches: int) -> Look:
        """The averaged network's error: its score is minus the loss.

        The steps are spread evenly over all, the same at every look, as the noise is.
        """
        network, total = self.average.network, torch.zeros((), device=self.device)
        network.eval()
        count = self.configuration.batch_size
        spread = (torch.arange(batches * count, device=self.device) + 0.5) / (batches * count)
        steps = (spread * len(self.alpha_bar)).long().reshape(count, batches).T  # (batches, B): each from low to high
        with torch.no_grad():
            for n in range(batches):
                batch = source.batch(n)
                image, label = batch.image.to(self.device), batch.label.to(self.device)
                noise = torch.randn(image.shape, generator=generator(self.device, n), device=self.device)
                total += self._error(network, Batch(image, label, batch.cases), noise, steps[n])
        loss = float(total) / batches
        return Look(-loss, {"validation_loss": loss})

    def predicted_noise(self, network: UNet, x_t: Tensor, alpha_bar_t: Tensor) -> Tensor:
        """ε̂ `(B, C, *patch)` float32 of images with noise `(B, C, *patch)` at the levels `(B,)`."""
        with autocast(self.device, self.precision):
            result: Tensor = network(x_t, None, level(alpha_bar_t).float())
        return result.float()

    def before_training(self, record: RunRecord) -> None:
        """Remember when the training ends: its last look has a sheet too."""
        self._iterations = record.iterations

    def after_update(self) -> None:
        """Take the new weights into the average."""
        self.average.update(self.network)

    def after_look(self, folder: Path, update: int, source: BatchSource) -> None:
        """Draw a sheet of images kept back and of generated ones, now and then; none where that takes too long."""
        options = cast(PretrainingOptions, self.options)
        if not (options.sheet_every and self._sheets):
            return
        if update % (options.validate_every * options.sheet_every) and update != self._iterations:
            return
        real = source.batch(0).image.to(self.device)
        network = self.average.network.eval()

        def predict(x_t: Tensor, bar: float) -> Tensor:
            return self.predicted_noise(network, x_t, self.alpha_bar.new_full((len(x_t),), bar))

        found = generated_images(predict, real, alpha_bar(self.diffusion), rng=generator(self.device, 0))
        if found is None:
            self._sheets = False
            logger.info("No sheets of generated images are made: one would take too long here.")
            return
        draw_sheet(real[: len(found)].cpu(), found.cpu(), folder / SHEETS / f"update_{update:07d}.png", update=update)

    def state(self) -> dict[str, Tensor]:
        """The average."""
        return self.average.state

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Go on from the average."""
        self.average.load_state(state)

    def kept(self) -> Iterable[Tensor]:
        """The averaged weights."""
        return self.average.network.parameters()

    def record(self, updates: int) -> BackboneRecord:
        """What the network is and has seen, after so many updates."""
        options = cast(PretrainingOptions, self.options)
        return BackboneRecord(
            dataset=self.plan.dataset,
            plan=self.plan.name,
            configuration=self.configuration_name,
            network=backbone_network(self.plan, self.configuration_name),
            image_channels=self.image_channels,
            preprocessing=preprocessing_of(self.plan, self.configuration_name),
            diffusion=self.diffusion,
            loss=options.loss,
            updates=updates,
            ema_decay=options.average_decay,
            pool_images=self.seen.images,
            pool_digest=self.seen.digest,
            labelled=self.seen.labelled,
            transductive=self.seen.transductive,
            fold=self.seen.fold,
        )

    def beside_weights(self, update: int) -> dict[str, Any]:
        """What makes the checkpoint a backbone: the record and the averaged weights."""
        return checkpoint_content(self.record(update), dict(self.average.network.state_dict()))

    def after_save(self, folder: Path, update: int) -> None:
        """Write the record for people."""
        self.record(update).save(folder / FILE)

    def _error(self, network: UNet, batch: Batch, noise: Tensor, t: Tensor) -> Tensor:
        """Mean error of the noise that `network` predicts, a scalar."""
        bars = self.alpha_bar[t]
        difference = self.predicted_noise(network, noised(batch.image, bars, noise), bars) - noise
        voxelwise = difference.abs() if cast(PretrainingOptions, self.options).loss == "l1" else difference.square()
        return known_mean(voxelwise.mean(1, keepdim=True), (batch.label != UNKNOWN)[:, None])
