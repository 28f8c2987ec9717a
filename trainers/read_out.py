"""ReadOutTrainer: a small head reads masks out of a frozen denoiser's features, at a few noise levels of the image.

| arXiv 2311.07421 | here |
|---|---|
| t, the steps that are read | `timesteps`; a *view* is the image with noise of its own at one of them |
| x_t = √ᾱ_t·x + √(1-ᾱ_t)·ε | what `ReadOutNetwork.features` makes of a view |
| the classifier | the head |
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, ClassVar, Literal, cast

import torch
from pydantic import Field, field_validator
from torch import Tensor

from autodiffseg.dataloading.batches import Batch
from autodiffseg.diffusion.schedule import alpha_bar
from autodiffseg.errors import UserError
from autodiffseg.inference.mirroring import Mirror, apply_mirrors, undo_mirrors
from autodiffseg.inference.patch_model import PatchModel
from autodiffseg.losses.segmentation import Loss, probabilities_of
from autodiffseg.losses.voxel_sampling import point_weights, sample_points, values_at
from autodiffseg.networks.channels_last import channels_last
from autodiffseg.networks.read_out_head import HeadNorm, Interpolation, ReadOutHead
from autodiffseg.networks.read_out_network import ReadOutNetwork
from autodiffseg.networks.voxel_features import features_at
from autodiffseg.plans import DiffusionPlan
from autodiffseg.sampling import NoiseSource, Sampling

from .answers_in_turn import AnswersInTurn, running_mean
from .backbone import Backbone
from .options import TrainerOptions
from .precision import autocast
from .pretrained import PretrainedOptions, PretrainedTrainer

Steps = Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)]
Widths = tuple[Annotated[int, Field(ge=1)], ...]
SHARE, MOST_VOXELS = 16, 16_384
"""One voxel in so many is trained on, but not more than so many of a patch."""


class ReadOutOptions(PretrainedOptions):
    """What all read-outs add."""

    timesteps: Steps = (1, 10, 25, 50, 200, 400, 600, 800)
    """Base steps of the backbone's schedule at which its features are read, in text with commas between them; 0 is the
    least noise. `train --timesteps` sets it."""
    hidden: Widths = (128, 32)
    """Widths of the head's hidden layers, in text with commas between them; nothing after the `=` makes it linear."""
    norm: HeadNorm = "batch"
    """After the head's hidden layers: batch norm as in the papers, or `layer`, over the channels of each voxel."""
    interpolation: Interpolation = "nearest"
    """Of coarse features: as in the TEDM paper's code, or `linear` as in LEDM's."""
    voxels: int | None = Field(default=None, ge=2)
    """Voxels of each patch that a step's answer is trained on, drawn anew for every step, and so weighted that the loss
    is that of all voxels on average; as many as a patch has, or more: all of them. None: a sixteenth of the patch, at
    most 16384, so that the head costs a fraction of the backbone. Batch norm needs two at least."""
    input_scale: Literal["pretraining", "reference"] = "pretraining"
    """The backbone is shown images as it was trained on them. `reference` brings back a slip of the TEDM paper's code,
    which pretrains on images x and reads the features of (x+1)/2."""

    @field_validator("timesteps", "hidden", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("timesteps")
    @classmethod
    def _once(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(value)) < len(value):
            raise ValueError(f"each step is read once, got {','.join(map(str, value))}")
        return value


class ReadOutTrainer(PretrainedTrainer):
    """Only the head is trained; what differs between read-outs is which views it sees together.

    Noise is fresh for every view and update in training; in prediction it comes from the case's field.
    """

    Options: ClassVar[type[TrainerOptions]] = ReadOutOptions
    network: ReadOutNetwork

    @property
    @abstractmethod
    def groups(self) -> tuple[tuple[int, ...], ...]:
        """Of each answer the views that it is read from, as indices of the steps; the answers are averaged."""

    def build_network(self) -> ReadOutNetwork:
        """The denoiser and its head; what noise the steps mean is not known until a backbone is read."""
        options = cast(ReadOutOptions, self.options)
        levels = self.configuration.network.features[-2::-1]  # of the decoder, coarse to fine
        head = ReadOutHead(
            levels * len(self.groups[0]),
            self.spec.channels,
            dimensions=self.configuration.dimensions,
            hidden=options.hidden,
            norm=options.norm,
            interpolation=options.interpolation,
        )
        return ReadOutNetwork(self.denoiser(), head, options.timesteps, torch.zeros(len(options.timesteps)))

    def lay_out(self) -> None:
        """On a CPU the head has channels last, as its maps are; the backbone, which has no backward pass, first."""
        if self.device.type == "cpu":
            layout = channels_last(self.configuration.dimensions)
            self.network.head.to(memory_format=layout)  # type: ignore[call-overload]  # typed for tensors only

    def take_over(self, backbone: Backbone) -> None:
        """Put its weights beneath the head, and take the levels of its schedule.

        The steps are put down anew as well: weights of another training, taken over before, came with those it read.
        """
        self.network.backbone.load_state_dict(backbone.weights)
        self.network.timesteps.copy_(torch.tensor(cast(ReadOutOptions, self.options).timesteps))
        self.network.log_snr.copy_(self._log_snr(backbone.record.diffusion))

    def loss(self, batch: Batch, rng: torch.Generator) -> Loss:
        """The mean over answers of the segmentation loss; one call of the head makes all of them.

        So its batch norm sees the statistics of all steps together, which prediction uses for each.
        """
        target, known = self.spec.one_hot(batch.label)
        count = self._voxels(math.prod(target.shape[2:]))
        if count is None:
            answers = self._at_all_voxels(batch.image, target, known, rng)
        else:
            answers = self._at_some_voxels(batch.image, target, known, rng, count=count)
        parts = {name: torch.stack([answer.parts[name] for answer in answers]).mean() for name in answers[0].parts}
        return Loss(torch.stack([answer.total for answer in answers]).mean(), parts)

    def predict_steps(self, patch: Tensor, noise: NoiseSource, sampling: Sampling) -> Iterator[Tensor]:
        """The mean of the answers so far, after each of them; nothing is sampled."""
        return running_mean(self.answers(patch, noise))

    def answers(
        self, patch: Tensor, noise: NoiseSource, *, mirrors: Sequence[Mirror] = ((),), only: int | None = None
    ) -> Iterator[Tensor]:
        """Probabilities `(B, K, *patch)` of each group of views by itself.

        Args:
            patch: `(B, C, *patch)`.
            noise: that of view n is its step n.
            mirrors: mirrored versions, which the groups see in turn; their answers are turned back.
            only: the number of the one answer that is wanted; None: all.
        """
        first = 0  # view of the group
        for number, group in enumerate(self.groups):
            first, views = first + len(group), range(first, first + len(group))
            if only not in (None, number):
                continue
            mirror = [mirrors[number % len(mirrors)]]
            image, features = apply_mirrors(patch, mirror), list[Tensor]()
            for view, step in zip(views, group, strict=True):
                features += self.features(image, apply_mirrors(noise(view, self.image_channels), mirror), step)
            with autocast(self.device, self.precision):
                logits = self.network.head(features, patch.shape[2:])
            yield next(undo_mirrors(probabilities_of(logits, regions=self.spec.has_regions), mirror))

    def in_turn(self, axes: Sequence[int], answer: int | None) -> PatchModel:
        """The mean over answers, or one of them."""
        return AnswersInTurn(self, axes, answer)

    def passes(self, sampling: Sampling) -> int:
        """One for each view, whatever the sampling."""
        return sum(map(len, self.groups))

    def predicted_steps(self, sampling: Sampling) -> int:
        """One for each answer."""
        return len(self.groups)

    @property
    def averages_answers(self) -> bool:
        """Where there are several."""
        return len(self.groups) > 1

    @property
    def draws_noise(self) -> bool:
        """Also where one view is all."""
        return True

    def features(self, image: Tensor, noise: Tensor, step: int) -> list[Tensor]:
        """The backbone's features of one view, coarse to fine, without gradient."""
        if cast(ReadOutOptions, self.options).input_scale == "reference":
            image = (image + 1) / 2
        with autocast(self.device, self.precision):
            return self.network.features(image, noise, step)

    def _at_all_voxels(self, image: Tensor, target: Tensor, known: Tensor, rng: torch.Generator) -> list[Loss]:
        """The loss of each answer."""
        groups, stacked = len(self.groups), list[Tensor]()
        for number, maps in enumerate(self._maps(image, rng)):
            for level, each in enumerate(maps):
                if number == 0:  # filled one by one: beside a list of all, their stack would take the memory twice
                    stacked.append(each if groups == 1 else each.new_empty((groups * len(each), *each.shape[1:])))
                if groups > 1:
                    stacked[level][number * len(each) : (number + 1) * len(each)] = each
        with autocast(self.device, self.precision):
            logits = self.network.head(stacked, target.shape[2:])  # (groups * B, K, *patch)
        return [self.segmentation_loss(each, target, known) for each in logits.chunk(groups)]

    def _at_some_voxels(
        self, image: Tensor, target: Tensor, known: Tensor, rng: torch.Generator, *, count: int
    ) -> list[Loss]:
        """The loss of each answer at `count` voxels of its own of every patch; no map of features outlives its view."""
        groups, size = len(self.groups), target.shape[2:]
        foreground = target if self.spec.has_regions else target[:, 1:]
        points = sample_points(foreground, known, groups * count, rng)  # (B * groups * count, 1 + dimensions)
        weights = point_weights(foreground, known, points)  # (B, 1, groups * count)
        # Those on foreground come first, so they are dealt out like cards.
        places = points.reshape(len(image), count, groups, -1).unbind(2)
        rows = [
            [
                features_at(each, size, place.flatten(0, 1), interpolation=self.network.head.interpolation)
                for each in maps
            ]
            for place, maps in zip(places, self._maps(image, rng), strict=True)
        ]
        with autocast(self.device, self.precision):
            logits = self.network.head.forward_rows(torch.cat(level) for level in zip(*rows, strict=True))
        found = logits.reshape(groups, len(image), count, -1).transpose(2, 3)  # (groups, B, K, count)
        return [
            self.segmentation_loss(each, values_at(target, place.flatten(0, 1)), weight)
            for each, place, weight in zip(
                found, places, weights.reshape(len(image), 1, count, groups).unbind(3), strict=True
            )
        ]

    def _maps(self, image: Tensor, rng: torch.Generator) -> Iterator[Iterator[Tensor]]:
        """The maps that each answer is read from, made as they are asked for, on fresh noise."""
        for group in self.groups:
            yield (
                each
                for step in group
                for each in self.features(image, torch.randn(image.shape, generator=rng, device=self.device), step)
            )

    def _voxels(self, of_patch: int) -> int | None:
        """How many of a patch's voxels an answer is trained on; None: all."""
        asked = cast(ReadOutOptions, self.options).voxels
        count = min(max(of_patch // SHARE, 2), MOST_VOXELS) if asked is None else asked
        return count if count < of_patch else None

    def _log_snr(self, diffusion: DiffusionPlan) -> Tensor:
        """log ᾱ/(1-ᾱ) of the steps that are read, `(S,)` on the CPU.

        Raises:
            UserError: when the schedule has no such step.
        """
        timesteps = cast(ReadOutOptions, self.options).timesteps
        if max(timesteps) >= diffusion.base_steps:
            raise UserError(
                f"--timesteps {','.join(map(str, timesteps))}: the backbone was trained on the steps 0 to "
                f"{diffusion.base_steps - 1}."
            )
        with torch.device("cpu"):  # on the meta device there are no values
            return torch.logit(alpha_bar(diffusion)[list(timesteps)])
