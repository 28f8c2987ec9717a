"""AdditiveBody: the recycling paper's U-Net between input and head, whose skips are added block by block."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from autodiffseg.networks.blocks import CONVOLUTIONS, TRANSPOSED, ConvBlock, ResidualBlock, initialise
from autodiffseg.networks.conditioning import ConditionedInstanceNorm
from autodiffseg.networks.transformer import Transformer
from autodiffseg.plans import NetworkPlan


class AdditiveBody(nn.Module):
    """Residual blocks, with as many in the decoder as the encoder has results to hand over (arXiv 2308.16355).

    A stage of the encoder is its entry (the stem, or a convolution as wide as its stride) and `encoder_blocks` residual
    blocks. Each of their results is a skip. The decoder adds them, last in first out, one before each of its blocks, so
    that nothing becomes wider, as it does by concatenation. At the bottom attention stands between two residual blocks.
    The noise level scales and shifts the norms of the stem and of the residual blocks.

    Shape:
        x `(B, inputs, *patch)`, embedding `(B, E)` or None -> the decoder's outputs, coarse to fine, without the
        coarsest stage.
    """

    def __init__(self, plan: NetworkPlan, inputs: int, *, conditioned: bool) -> None:
        """Build the stages of a plan with `skips: add`."""
        super().__init__()
        dimensions = len(plan.kernels[0])
        ones, last = (1,) * dimensions, len(plan.features) - 1

        def blocks(stage: int, count: int) -> nn.ModuleList:
            width, kernel = plan.features[stage], plan.kernels[stage]
            return nn.ModuleList(
                ResidualBlock(width, width, kernel, ones, conditioned=conditioned, activation=plan.activation)
                for _ in range(count)
            )

        self.stem = ConvBlock(
            inputs, plan.features[0], plan.kernels[0], ones, conditioned=conditioned, activation=plan.activation
        )
        steps = list(zip(plan.features, plan.features[1:], plan.strides[1:], strict=False))  # fine, coarse, stride
        self.downsample = nn.ModuleList(
            Resize(CONVOLUTIONS[dimensions](fine, coarse, stride, stride, bias=False)) for fine, coarse, stride in steps
        )
        self.upsample = nn.ModuleList(
            Resize(TRANSPOSED[dimensions](coarse, fine, stride, stride, bias=False))
            for fine, coarse, stride in reversed(steps)
        )
        self.encoder = nn.ModuleList(blocks(stage, count) for stage, count in enumerate(plan.encoder_blocks))
        self.decoder = nn.ModuleList(blocks(stage, plan.decoder_blocks[stage]) for stage in range(last, -1, -1))
        self.bottom = blocks(last, 2)
        self.attention = Transformer(plan.features[-1], plan.transformer_layers) if plan.transformer_layers else None

    def forward(self, x: Tensor, embedding: Tensor | None) -> list[Tensor]:
        """Apply the body."""
        skips = []
        for stage, blocks in enumerate(self.encoder):
            x = self.stem(x, embedding) if stage == 0 else self.downsample[stage - 1](x)
            skips.append(x)
            for block in _listed(blocks):
                x = block(x, embedding)
                skips.append(x)
        x = self.bottom[0](x, embedding)
        if self.attention is not None:
            x = self.attention(x)
        x = self.bottom[1](x, embedding)
        features = []
        for number, blocks in enumerate(self.decoder):
            if number > 0:
                x = self.upsample[number - 1](x)
            for block in _listed(blocks):
                x = block(x + skips.pop(), embedding)
            features.append(x)
        return features[1:]


class Resize(nn.Module):
    """A strided convolution, or a transposed one, and an instance norm.

    Shape:
        x `(B, inputs, *spatial)` -> `(B, outputs, *spatial / stride)`, transposed `(B, outputs, *spatial * stride)`.
    """

    def __init__(self, conv: nn.Conv2d | nn.Conv3d | nn.ConvTranspose2d | nn.ConvTranspose3d) -> None:
        """Take over a convolution without bias."""
        super().__init__()
        initialise(conv)
        self.conv = conv
        self.norm = ConditionedInstanceNorm(conv.out_channels, conditioned=False)

    def forward(self, x: Tensor) -> Tensor:
        """Apply both."""
        result: Tensor = self.norm(self.conv(x), None)
        return result


def _listed(blocks: Any) -> nn.ModuleList:
    """Typed: what a list of module lists holds is a module to the type checker."""
    assert isinstance(blocks, nn.ModuleList)
    return blocks
