"""diffusion: standard diffusion training, on the label with noise (the recycling paper's "Diff.").

| symbol | here |
|---|---|
| x_0, x_t | `x0`, `x_t` |
| ᾱ_t | `alpha_bar[t]` |
| t | `t`, index of a base step |
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property, partial
from typing import ClassVar, cast

import torch
from torch import Tensor

from autodiffseg.dataloading.batches import Batch
from autodiffseg.diffusion.parametrisation import mask_logits
from autodiffseg.diffusion.process import network_view, noised, x0_of
from autodiffseg.diffusion.respacing import respaced_steps
from autodiffseg.diffusion.samplers import posterior_variance
from autodiffseg.diffusion.schedule import alpha_bar, alpha_bar_on, level, require_apart
from autodiffseg.diffusion.trajectory import Trajectory
from autodiffseg.errors import UserError
from autodiffseg.losses.noise_error import noise_error
from autodiffseg.losses.resolutions import at_resolution, over_resolutions
from autodiffseg.losses.segmentation import Loss, probabilities_of
from autodiffseg.losses.variational_bound import variational_bound
from autodiffseg.networks.unet import UNet
from autodiffseg.plans import DiffusionPlan
from autodiffseg.sampling import NoiseSource, Sampling

from .base import Trainer
from .diffusion_options import DiffusionOptions
from .options import TrainerOptions
from .timestep_sampling import LossAwareSteps, uniform_steps


class DiffusionTrainer(Trainer):
    """The network sees the image and a noised mask, and predicts the clean mask (x0) as logits, or the noise.

    In training the noised mask is the label with noise. At low noise it gives the label away, which is what the other
    trainers of this family avoid: they override `noised_mask` alone.
    """

    Options: ClassVar[type[TrainerOptions]] = DiffusionOptions
    network: UNet

    def build_network(self) -> UNet:
        """A U-Net with one mask channel per class or region, told the noise level.

        Raises:
            UserError: when the plan encodes masks otherwise than dataset.json declares them, its schedule has steps of
                the same noise, or the options ask for training steps or a prediction that it cannot give.
        """
        self._trained_steps()
        self._check_schedule()
        declared = "regions" if self.spec.has_regions else "classes"
        if self.plan.diffusion.encoding not in (None, declared):
            raise UserError(
                f"Plan '{self.plan.name}' has the diffusion encoding '{self.plan.diffusion.encoding}', but "
                f"dataset.json declares {declared}; set `encoding` to '{declared}' or plan anew."
            )
        return UNet(
            self.configuration.network,
            image_channels=self.image_channels,
            classes=self.spec.channels,
            mask_channels=self.mask_channels,
            level_conditioning=cast(DiffusionOptions, self.options).level_conditioning,
        )

    @cached_property
    def diffusion(self) -> DiffusionPlan:
        """The plan's noise schedule with this trainer's shift: the one of training and prediction alike."""
        shift = cast(DiffusionOptions, self.options).log_snr_shift
        return self.plan.diffusion if shift is None else self.plan.diffusion.model_copy(update={"log_snr_shift": shift})

    @cached_property
    def alpha_bar(self) -> Tensor:
        """ᾱ of every base step, `(T,)`, on the device; float64, or float32 on MPS, which has no other."""
        return alpha_bar_on(self.device, self.diffusion)

    @property
    def mask_channels(self) -> int:
        """Channels that the network sees beside the image: one for each class or region."""
        return self.spec.channels

    @cached_property
    def timesteps(self) -> Tensor:
        """The base steps that are trained on, ascending, int64 on the device; the last base step is among them."""
        return self._trained_steps().to(self.device)

    def following(self, t: Tensor) -> Tensor:
        """The next noisier step that is trained on, `(B,)` -> `(B,)`; that of the last is itself."""
        index = torch.searchsorted(self.timesteps, t, right=True)
        return self.timesteps[index.clamp(max=len(self.timesteps) - 1)]

    def loss(self, batch: Batch, rng: torch.Generator) -> Loss:
        """The loss of what the network makes of the image and a noised mask."""
        target, known = self.spec.one_hot(batch.label)
        if self.loss_aware is not None:
            return self._loss_aware_loss(self.loss_aware, batch.image, target, known, rng)
        t = uniform_steps(self.timesteps, len(target), rng)
        x_t, t = self.noised_mask(batch.image, x0_of(target) * known, t, rng)
        output = self.logits(batch.image, *self.mask_input(x_t, self.alpha_bar[t]))
        return self.denoising_loss(output, x_t, t, target, known)

    def _loss_aware_loss(
        self, steps: LossAwareSteps, image: Tensor, target: Tensor, known: Tensor, rng: torch.Generator
    ) -> Loss:
        """The same in expectation, with steps drawn by their losses."""
        drawn, weights, groups = steps.draw(len(target), rng)
        x_t, t = self.noised_mask(image, x0_of(target) * known, drawn, rng)
        output = self.logits(image, *self.mask_input(x_t, self.alpha_bar[t]))
        levels = [output] if isinstance(output, Tensor) else output
        alone = [slice(i, i + 1) for i in range(len(target))]
        samples = [
            self.denoising_loss([level[i] for level in levels], x_t[i], t[i], target[i], known[i]) for i in alone
        ]
        losses = torch.stack([sample.total for sample in samples])  # (B,)
        # A trainer may have moved a sample to another step: its loss says nothing about the one that was drawn.
        steps.learn(groups, torch.where(t == drawn, losses.detach(), torch.nan))
        parts = {
            name: (weights * torch.stack([sample.parts[name] for sample in samples])).mean()
            for name in samples[0].parts
        }
        return Loss((weights * losses).mean(), parts)

    def denoising_loss(
        self, output: Tensor | list[Tensor], x_t: Tensor, t: Tensor, target: Tensor, known: Tensor
    ) -> Loss:
        """The segmentation loss of the mask that the output amounts to, and what the options add to it.

        Args:
            output: of the network, `(B, K, *patch)`, or several, finest first, under deep supervision.
            x_t: what `noised_mask` gave, as its first K channels.
            t: its steps, `(B,)`.
            target: the label in {0, 1}, `(B, K, *patch)`.
            known: `(B, 1, *patch)` bool.
        """
        options, alpha_bar_t = cast(DiffusionOptions, self.options), self.alpha_bar[t]
        outputs = [output] if isinstance(output, Tensor) else output
        logits = outputs
        if options.prediction == "noise":
            x_t = x_t[:, : self.spec.channels]  # (B, K, *patch)
            logits = [self._mask_logits(each, at_resolution(x_t, each.shape[2:]), alpha_bar_t) for each in outputs]
        loss = self.segmentation_loss(logits, target, known)
        total = loss.total
        if options.prediction == "noise" and options.noise_weight:
            error = partial(noise_error, alpha_bar_t=alpha_bar_t)
            total = total + options.noise_weight * over_resolutions(outputs, error, x_t, target, known)
        if options.vlb_weight:
            probabilities = [probabilities_of(each, regions=self.spec.has_regions) for each in logits]
            bound = partial(
                variational_bound,
                alpha_bar_t=alpha_bar_t,
                alpha_bar_s=self._alpha_bar_before(t),
                first_variance=self._first_variance,
                variance=self.diffusion.variance,
            )
            total = total + options.vlb_weight * over_resolutions(probabilities, bound, target, known)
        return loss._replace(total=total)

    @cached_property
    def loss_aware(self) -> LossAwareSteps | None:
        """The history of losses by which steps are drawn, if they are."""
        aware = cast(DiffusionOptions, self.options).timestep_sampling == "loss-aware"
        return LossAwareSteps(self.timesteps) if aware else None

    def state(self) -> dict[str, Tensor]:
        """The history of losses, if steps are drawn by it."""
        return {} if self.loss_aware is None else self.loss_aware.state

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Go on with the history of losses."""
        if self.loss_aware is not None:
            self.loss_aware.load_state(state)

    def noised_mask(self, image: Tensor, x0: Tensor, t: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """The noised mask that a batch is trained on, and its steps.

        Args:
            image: `(B, C, *patch)`.
            x0: the label in {-1, 1}, 0 where unknown, `(B, K, *patch)`.
            t: a base step for each sample, `(B,)`.
            rng: where noise comes from.

        Returns:
            What `mask_input` shows the network: x_t `(B, K, *patch)`, or what `beside` puts with it; and `(B,)` the
            steps that it has the noise of.
        """
        return noised(x0, self.alpha_bar[t], self.standard_normal(x0.shape, rng)), t

    def trajectory(self, sampling: Sampling) -> Trajectory:
        """From pure noise to the mask, over the steps that `sampling` visits."""
        visited = respaced_steps(len(self.alpha_bar), sampling.steps, self.diffusion.respacing)
        levels = alpha_bar(self.diffusion)[visited].flip(0)
        return Trajectory(self.denoise, tuple(map(float, levels)), sampling, self.spec.channels)

    def denoise(self, patch: Tensor, x_t: Tensor, alpha_bar_t: float, previous: Tensor | None) -> Tensor:
        """Probabilities of one call; see `autodiffseg.diffusion.trajectory.Denoise`."""
        levels = torch.full((len(x_t),), alpha_bar_t, dtype=self.alpha_bar.dtype, device=self.device)
        return self.predicted_mask(patch, self.beside(x_t, previous), levels)

    def predict_steps(self, patch: Tensor, noise: NoiseSource, sampling: Sampling) -> Iterator[Tensor]:
        """The sampler, from pure noise to the mask."""
        return self.trajectory(sampling).walk(patch, noise)

    def passes(self, sampling: Sampling) -> int:
        """One a step."""
        return sampling.steps

    def beside(self, x_t: Tensor, prediction: Tensor | None) -> Tensor:
        """x_t with what else is shown of a sampling: here nothing.

        Args:
            x_t: `(B, K, *patch)`.
            prediction: probabilities of the step before; None at the first.

        Returns:
            `(B, mask_channels, *patch)`, masks scaled to [-1, 1].
        """
        return x_t

    def predicted_mask(self, image: Tensor, x_t: Tensor, alpha_bar_t: Tensor, *, network: UNet | None = None) -> Tensor:
        """Probabilities `(B, K, *patch)` of the clean mask by one call: what first passes and the sampler go on from.

        Args:
            image: `(B, C, *patch)`.
            x_t: what `beside` gives, `(B, mask_channels, *patch)`.
            alpha_bar_t: `(B,)`.
            network: None is the trained one.
        """
        shown = self.mask_input(x_t, alpha_bar_t)
        if cast(DiffusionOptions, self.options).prediction == "x0":
            return self.probabilities(image, *shown, network=network)
        noise = self.finest(image, *shown, network=network)
        logits = self._mask_logits(noise, x_t[:, : self.spec.channels], alpha_bar_t)
        return probabilities_of(logits, regions=self.spec.has_regions)

    def mask_input(self, x_t: Tensor, alpha_bar_t: Tensor) -> tuple[Tensor, Tensor | None]:
        """What the network is given of x_t: the mask, and the noise level if it is conditioned on it.

        The mask is in [0, 1], or beyond where the noise is predicted: what is clipped away could not be.
        """
        conditioned = self.network.embedding is not None
        clipped = cast(DiffusionOptions, self.options).prediction == "x0"
        return network_view(x_t, clipped=clipped), level(alpha_bar_t).float() if conditioned else None

    def standard_normal(self, shape: torch.Size, rng: torch.Generator) -> Tensor:
        """Noise on the device, float32."""
        return torch.randn(shape, generator=rng, device=self.device)

    def _trained_steps(self) -> Tensor:
        asked, base = cast(DiffusionOptions, self.options).training_steps, self.plan.diffusion.base_steps
        return respaced_steps(base, base if asked is None else asked, self.plan.diffusion.respacing)

    def _check_schedule(self) -> None:
        with torch.device("cpu"):  # on the meta device there are no values to look at
            levels = alpha_bar(self.diffusion)
        require_apart(levels, self.diffusion, plan_name=self.plan.name)
        if cast(DiffusionOptions, self.options).prediction == "noise" and levels[-1] == 0:
            raise UserError(
                f"Plan '{self.plan.name}' has a schedule that ends at pure noise, of which no mask follows: "
                "prediction=noise cannot begin there. Use --set prediction=x0, or set `zero_terminal_snr` to false."
            )

    def _mask_logits(self, output: Tensor, x_t: Tensor, alpha_bar_t: Tensor) -> Tensor:
        """Logits of the mask from what the network gave for x_t, both `(B, K, *patch)`."""
        prediction = cast(DiffusionOptions, self.options).prediction
        return mask_logits(output, x_t, alpha_bar_t, prediction=prediction, regions=self.spec.has_regions)

    def _alpha_bar_before(self, t: Tensor) -> Tensor:
        """ᾱ of the trained step before each of `t`, `(B,)`; 1, the clean mask's, before the first."""
        index = torch.searchsorted(self.timesteps, t) - 1
        return torch.where(index < 0, 1.0, self.alpha_bar[self.timesteps[index.clamp(min=0)]])

    @cached_property
    def _first_variance(self) -> Tensor:
        """Of the sampler at the first trained step, for its likelihood: that of the second, as in arXiv 2102.09672."""
        bars = self.alpha_bar[self.timesteps]
        return posterior_variance(bars[1], bars[0]) if len(bars) > 1 else 1 - bars[0]
