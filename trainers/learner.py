"""Learner: what the loop asks of all that it trains. It answers: what does the network see, and what is the loss?"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from autodiffseg.dataloading.batches import Batch, BatchSource
from autodiffseg.dataset import DatasetJson
from autodiffseg.losses.segmentation import Loss
from autodiffseg.memory.estimate import TrainingMemory
from autodiffseg.plans import Plan
from autodiffseg.runs import RunRecord

from .memory_layout import training_layout
from .options import LearningOptions
from .precision import Precision, autocast


class Look(NamedTuple):
    """What a look at validation patches found."""

    score: float
    """The greater the better; `best` follows it."""
    columns: dict[str, float]
    """For the logbook: the learner's `look_columns`."""


class Learner(ABC):
    """One network and its loss for one configuration of a plan.

    The loop, data, checkpoints and logging are given. Everything random in `loss` is drawn from the generator it is
    given, so that update n of a run is the same whether or not the run was interrupted before.
    """

    Options: ClassVar[type[LearningOptions]] = LearningOptions
    look_columns: ClassVar[dict[str, str]]
    """Column of the logbook that a look fills -> its title in the picture."""
    network: nn.Module

    def __init__(
        self,
        plan: Plan,
        configuration: str,
        dataset: DatasetJson,
        options: LearningOptions,
        *,
        device: torch.device,
        precision: Precision,
    ) -> None:
        """Build the network of one configuration, with random weights, on `device`.

        Raises:
            UserError: when the plan has no such configuration.
        """
        self.plan = plan
        self.configuration_name = configuration
        self.configuration = plan.configuration(configuration)
        self.dataset = dataset
        self.spec = dataset.spec
        self.options = options
        self.device = device
        self.precision: Precision = precision
        self.network = self.build_network().to(device)
        if device.type == "cuda":
            torch.backends.cudnn.benchmark = True  # patches are all of one size, so the search for kernels pays
        self.lay_out()

    def lay_out(self) -> None:
        """Put the weights into the memory layout that they train fastest in."""
        layout = training_layout(self.device, self.precision, self.configuration.dimensions)
        self.network.to(memory_format=layout)  # type: ignore[call-overload]  # typed for tensors only

    @abstractmethod
    def build_network(self) -> nn.Module:
        """The network, on the CPU, with random weights; most are a `UNet`."""

    @abstractmethod
    def loss(self, batch: Batch, rng: torch.Generator) -> Loss:
        """The loss of one batch that lies on `device`, with gradient; `rng` is on the same device.

        Its parts are columns of the logbook.
        """

    @abstractmethod
    def look(self, source: BatchSource, *, batches: int) -> Look:
        """How good the network is on `batches` validation batches: always the same ones, on the same noise."""

    def state(self) -> dict[str, Tensor]:
        """What training needs beside the network to go on as if it had not been interrupted; kept in checkpoints."""
        return {}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Go on from `state`, whose tensors may lie on another device."""
        return

    def before_training(self, record: RunRecord) -> None:
        """Called before the first update of every sitting, with what is to be done; never for prediction.

        Raises:
            UserError: when what training needs besides is missing or wrong.
        """
        return

    def recorded(self) -> dict[str, Any]:
        """Fields of run.json that are known once `before_training` is through."""
        return {}

    def kept(self) -> Iterable[Tensor]:
        """The tensors beside the network that stay in memory while it is trained; they count as its weights do."""
        return self.state().values()

    def after_update(self) -> None:
        """Called after every update of the weights."""
        return

    def after_look(self, folder: Path, update: int, source: BatchSource) -> None:
        """Called after every look at the patches of `source`; pictures of the training go to `folder`, the run's."""
        return

    def beside_weights(self, update: int) -> dict[str, Any]:
        """What every checkpoint holds beside the network's weights, after so many updates."""
        return {}

    def after_save(self, folder: Path, update: int) -> None:
        """Called once the last checkpoint, of `update`, is in `folder`; files that belong to it go there too."""
        return

    @classmethod
    def training_memory(
        cls, plan: Plan, configuration: str, dataset: DatasetJson, *, precision: Precision = "fp16"
    ) -> TrainingMemory:
        """Bytes of tensors that one update takes on CUDA with default options, counted without a GPU.

        Raises:
            UserError: when the trainer cannot be run without data.
        """
        from .training_memory import training_memory

        return training_memory(cls, plan, configuration, dataset, cls.Options(), precision=precision)

    @property
    def image_channels(self) -> int:
        """C, channels of an image; a cascade's has those of the previous stage's segmentation behind its own."""
        shown = len(self.spec.foreground) if self.configuration.previous_stage is not None else 0
        return len(self.configuration.normalisation) + shown

    def logits(self, image: Tensor, mask: Tensor | None = None, level: Tensor | None = None) -> Tensor | list[Tensor]:
        """One network call in the run's precision, in an autocast context of its own."""
        with autocast(self.device, self.precision):
            result: Tensor | list[Tensor] = self.network(image, mask, level)
        return result
