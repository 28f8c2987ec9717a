"""UNet: the planned network, the same for every trainer but for its mask channels and its noise-level layers."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from autodiffseg.networks.additive import AdditiveBody
from autodiffseg.networks.blocks import CONVOLUTIONS, TRANSPOSED, ConvBlock, ResidualBlock, Stage, initialise
from autodiffseg.networks.conditioning import LevelEmbedding
from autodiffseg.networks.transformer import Transformer
from autodiffseg.plans import NetworkPlan

LevelConditioning = Literal["film", "none"]


class UNet(nn.Module):
    """A U-Net from a plan, in 2D or 3D.

    The noised mask, if there is one, is concatenated to the image (both papers do so); the noise level scales and
    shifts every norm. `encode` and `denoise` are `forward` in two halves, so that what does not change over the
    sampling steps is computed once; with concatenation that is nothing, and `encode` hands the image on. With additive
    skips everything between input and heads is `AdditiveBody`.

    Shape:
        image `(B, image_channels, *patch)`, mask `(B, mask_channels, *patch)` in [0, 1] or None, level `(B,)` or
        None -> logits `(B, classes, *patch)`; with deep supervision and in training mode a list of them, finest
        first, each half as large as the one before. `patch` must be divisible by the product of the strides.
    """

    def __init__(
        self,
        plan: NetworkPlan,
        *,
        image_channels: int,
        classes: int,
        mask_channels: int = 0,
        level_conditioning: LevelConditioning = "none",
    ) -> None:
        """Build the stages of `plan`."""
        super().__init__()
        dimensions = len(plan.kernels[0])
        conditioned = level_conditioning == "film"
        self.mask_channels = mask_channels
        self.deep_supervision = plan.deep_supervision
        self.divisor = plan.divisor
        self.embedding = LevelEmbedding() if conditioned else None

        inputs = image_channels + mask_channels
        self.additive = AdditiveBody(plan, inputs, conditioned=conditioned) if plan.skips == "add" else None
        if self.additive is None:
            self._build_concatenating(plan, inputs, conditioned=conditioned)
        self.heads = nn.ModuleList()
        for i in reversed(range(len(plan.features) - 1)):  # coarse to fine
            # The coarsest level is never supervised (nnU-Net's rule), unless it is the only one.
            if i == 0 or (plan.deep_supervision and i < len(plan.features) - 2):
                head = CONVOLUTIONS[dimensions](plan.features[i], classes, 1)
                initialise(head)
                self.heads.append(head)

    def _build_concatenating(self, plan: NetworkPlan, inputs: int, *, conditioned: bool) -> None:
        """Encoder, bottom and decoder of a plan with `skips: concat`."""
        dimensions, activation = len(plan.kernels[0]), plan.activation
        ones = (1,) * dimensions
        block: type[ConvBlock] | type[ResidualBlock] = ConvBlock if plan.encoder == "plain" else ResidualBlock
        widths = [inputs, *plan.features]
        self.stem: ConvBlock | None = None
        if plan.encoder == "residual":
            self.stem = ConvBlock(
                inputs, plan.features[0], plan.kernels[0], ones, conditioned=conditioned, activation=activation
            )
            widths[0] = plan.features[0]
        self.encoder = nn.ModuleList(
            Stage(
                block,
                widths[i],
                widths[i + 1],
                plan.kernels[i],
                plan.strides[i],
                depth=depth,
                conditioned=conditioned,
                activation=activation,
            )
            for i, depth in enumerate(plan.encoder_blocks)
        )
        self.bottom = Transformer(plan.features[-1], plan.transformer_layers) if plan.transformer_layers else None
        self.upsample, self.decoder = nn.ModuleList(), nn.ModuleList()
        for i in reversed(range(len(plan.features) - 1)):  # coarse to fine
            fine, coarse, stride = plan.features[i], plan.features[i + 1], plan.strides[i + 1]
            up = TRANSPOSED[dimensions](coarse, fine, stride, stride)
            initialise(up)
            self.upsample.append(up)
            self.decoder.append(
                Stage(
                    ConvBlock,
                    2 * fine,
                    fine,
                    plan.kernels[i],
                    ones,
                    depth=plan.decoder_blocks[i],
                    conditioned=conditioned,
                    activation=activation,
                )
            )

    def forward(self, image: Tensor, mask: Tensor | None = None, level: Tensor | None = None) -> Tensor | list[Tensor]:
        """Logits, or the list of them (finest first) in training mode with deep supervision."""
        features = self.forward_features(image, mask, level)
        if not (self.training and self.deep_supervision):
            return self._finest(features)
        supervised = features[-len(self.heads) :]
        return [head(x) for head, x in zip(self.heads, supervised, strict=True)][::-1]

    def encode(self, image: Tensor) -> Tensor:
        """What all sampling steps share: with concatenation, the image itself."""
        return image

    def denoise(self, context: Tensor, mask: Tensor | None = None, level: Tensor | None = None) -> Tensor:
        """The finest logits `(B, K, *patch)` from `encode`'s result."""
        return self._finest(self.forward_features(context, mask, level))

    def forward_features(self, image: Tensor, mask: Tensor | None, level: Tensor | None) -> list[Tensor]:
        """The decoder's outputs, coarse to fine, each `(B, features, *spatial)`."""
        self._check(image, mask, level)
        embedding = self.embedding(level) if self.embedding is not None else None
        x = image if mask is None else torch.cat([image, mask], dim=1)
        if self.additive is not None:
            features: list[Tensor] = self.additive(x, embedding)
            return features
        if self.stem is not None:
            x = self.stem(x, embedding)
        skips = []
        for stage in self.encoder:
            x = stage(x, embedding)
            skips.append(x)
        skips.pop()
        if self.bottom is not None:
            x = self.bottom(x)
        features = []
        for up, stage in zip(self.upsample, self.decoder, strict=True):
            x = stage(torch.cat([up(x), skips.pop()], dim=1), embedding)
            features.append(x)
        return features

    def _finest(self, features: list[Tensor]) -> Tensor:
        logits: Tensor = self.heads[-1](features[-1])
        return logits

    def _check(self, image: Tensor, mask: Tensor | None, level: Tensor | None) -> None:
        if any(size % divisor for size, divisor in zip(image.shape[2:], self.divisor, strict=True)):
            raise ValueError(
                f"patch {tuple(image.shape[2:])} is not divisible by {self.divisor}, this network's strides"
            )
        if (0 if mask is None else mask.shape[1]) != self.mask_channels:
            raise ValueError(f"this network takes {self.mask_channels} mask channels")
        if (level is None) != (self.embedding is None):
            raise ValueError("a noise level is needed exactly when the network is conditioned on it")
