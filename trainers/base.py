"""Trainer: what every way of training shares. A trainer answers: what does the network see, and what is the loss?"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import ClassVar

import torch
from torch import Tensor

from autodiffseg.dataloading.batches import Batch
from autodiffseg.dataset import DatasetJson
from autodiffseg.diffusion.trajectory import Trajectory
from autodiffseg.losses.segmentation import Loss, probabilities_of, segmentation_loss
from autodiffseg.memory.estimate import TrainingMemory
from autodiffseg.networks.unet import UNet
from autodiffseg.plans import Plan
from autodiffseg.runs import RunRecord
from autodiffseg.sampling import NoiseSource, Sampling

from .options import TrainerOptions
from .precision import Precision, autocast


class Trainer(ABC):
    """One network, its loss and its prediction for one configuration of a plan.

    The loop, data, checkpoints, validation and logging are given; a subclass overrides `build_network`, `loss` and
    `predict_steps`, or less. Everything random in `loss` is drawn from the generator it is given, so that update n of
    a run is the same whether or not the run was interrupted before.
    """

    Options: ClassVar[type[TrainerOptions]] = TrainerOptions

    def __init__(
        self,
        plan: Plan,
        configuration: str,
        dataset: DatasetJson,
        options: TrainerOptions,
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
        if device.type == "cpu":
            # A tenth faster per update on a CPU; on CUDA it makes instance norm slower.
            layout = torch.channels_last_3d if self.configuration.dimensions == 3 else torch.channels_last
            self.network = self.network.to(memory_format=layout)  # type: ignore[call-overload]  # typed for tensors only

    def prepare_prediction(self) -> None:
        """Switch the network to evaluation; it is not trained any more.

        On a CPU patches are predicted one at a time, and that is a tenth faster with channels first.
        """
        self.network.eval()
        if self.device.type == "cpu":
            self.network = self.network.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]  # typed for tensors only

    @abstractmethod
    def build_network(self) -> UNet:
        """The network, on the CPU, with random weights."""

    @abstractmethod
    def loss(self, batch: Batch, rng: torch.Generator) -> Loss:
        """The loss of one batch that lies on `device`, with gradient; `rng` is on the same device."""

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

    def kept(self) -> Iterable[Tensor]:
        """The tensors beside the network that stay in memory while it is trained; they count as its weights do."""
        return self.state().values()

    def after_update(self) -> None:
        """Called after every update of the weights."""
        return

    def passes(self, sampling: Sampling) -> int:
        """Network calls that one prediction of a patch takes."""
        return 1

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

    def probabilities(
        self, image: Tensor, mask: Tensor | None = None, level: Tensor | None = None, *, network: UNet | None = None
    ) -> Tensor:
        """The finest probabilities `(B, K, *patch)` of one call of `network` (None: the trained one), float32."""
        return probabilities_of(self.finest(image, mask, level, network=network), regions=self.spec.has_regions)

    def finest(
        self, image: Tensor, mask: Tensor | None = None, level: Tensor | None = None, *, network: UNet | None = None
    ) -> Tensor:
        """The finest output `(B, K, *patch)` of one call of `network` (None: the trained one), like `logits`."""
        chosen = self.network if network is None else network
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
