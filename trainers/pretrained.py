"""PretrainedTrainer: a trainer that begins with the weights of a denoiser pretrained on unlabelled images."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import Any, ClassVar, cast

import torch
from pydantic import field_validator
from torch import Tensor

from autodiffseg.errors import UserError
from autodiffseg.networks.unet import UNet
from autodiffseg.runs import RunRecord, SeenCases

from .backbone import Backbone, backbone_network, read_backbone, require_fits
from .base import Trainer
from .checkpoints import hash_as_tensor
from .image_leak import require_images_unseen
from .options import TrainerOptions

DIGEST = "backbone"
"""Of the trainer's state: the hash of the backbone's file."""


class PretrainedOptions(TrainerOptions):
    """What trainers that read a backbone add."""

    backbone: str | None = None
    """Checkpoint of `pretrain`, or the folder that holds it: the denoiser that the training begins with. Prediction
    does not need it. `train --backbone` sets it."""

    @field_validator("backbone")
    @classmethod
    def _from_anywhere(cls, backbone: str | None) -> str | None:
        return None if backbone is None else str(Path(backbone).expanduser().resolve())


class PretrainedTrainer(Trainer):
    """Reads the backbone before the first update of every sitting; its hash alone goes into the checkpoints.

    A subclass builds its network from the plan alone, and says in `take_over` what becomes of the backbone's weights.
    """

    Options: ClassVar[type[TrainerOptions]] = PretrainedOptions
    backbone: Backbone | None = None
    """None until training begins, and in prediction."""
    transductive = False
    """Whether the backbone has seen images that are validated, as it was allowed to."""
    seen: tuple[SeenCases, ...] = ()
    """What the backbone has learnt from, and what the weights of `--init-from` had."""

    @property
    def needs_backbone(self) -> bool:
        """Whether training begins with pretrained weights at all."""
        return True

    @abstractmethod
    def take_over(self, backbone: Backbone) -> None:
        """Copy what is wanted of the backbone's weights into the network.

        Raises:
            UserError: when it cannot be used so.
        """

    def before_training(self, record: RunRecord) -> None:
        """Read the backbone, see that it fits and that it has not seen the cases that are to be validated.

        Memory is counted with random weights.

        Raises:
            UserError: when none is named, or it does not fit.
        """
        super().before_training(record)
        if self.device.type == "meta" or not self.needs_backbone:
            return
        path = cast(PretrainedOptions, self.options).backbone
        if path is None:
            raise UserError(
                f"{record.trainer} begins with a pretrained backbone: name its checkpoint with --backbone "
                f"(`autodiffseg pretrain {record.dataset} {self.configuration_name}` makes one)."
            )
        backbone = read_backbone(Path(path))
        require_fits(backbone, self.plan, self.configuration_name, self.image_channels)
        met = require_images_unseen(
            (backbone.record.seen,),
            backbone.path,
            dataset=record.dataset,
            fold=record.fold,
            validation_cases=record.validation_cases,
        )
        self.transductive = met or record.transductive  # the weights of --init-from may have seen them too
        self.seen = tuple(dict.fromkeys((*record.seen, backbone.record.seen)))
        self.take_over(backbone)
        self.backbone = backbone

    def recorded(self) -> dict[str, Any]:
        """The backbone's hash, what it has seen, and whether that is validated."""
        if self.backbone is None:
            return super().recorded()
        told = {"backbone": self.backbone.digest, "transductive": self.transductive, "seen": self.seen}
        return {**super().recorded(), **told}

    def state(self) -> dict[str, Tensor]:
        """The backbone's hash too."""
        own = {} if self.backbone is None else {DIGEST: hash_as_tensor(self.backbone.digest)}
        return {**super().state(), **own}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Go on with the same backbone.

        Raises:
            UserError: when the training was begun with another.
        """
        super().load_state(state)
        if self.backbone is not None and not torch.equal(hash_as_tensor(self.backbone.digest), state[DIGEST].cpu()):
            raise UserError(
                f"--continue: {self.backbone.path} is not the backbone that this training was begun with; put that "
                "file back, or give the new training a --tag."
            )

    def denoiser(self, *, classes: int | None = None) -> UNet:
        """The network that is pretrained for this plan, with random weights.

        Args:
            classes: channels of its output; None: the backbone's own, the noise of each channel of the image.

        Raises:
            UserError: for a cascade: no unlabelled image comes with the segmentation of a previous stage.
        """
        if self.configuration.previous_stage is not None:
            raise UserError(
                f"{self.configuration_name} is a cascade, whose images come with a segmentation, and pretraining has "
                f"none; use another configuration, such as {self.configuration.previous_stage}."
            )
        return UNet(
            backbone_network(self.plan, self.configuration_name),
            image_channels=self.image_channels,
            classes=self.image_channels if classes is None else classes,
            level_conditioning="film",
        )
