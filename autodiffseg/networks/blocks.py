"""Convolution blocks: a plain one and a residual one, in 2D and 3D, each told the noise level."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from torch import Tensor, nn

from autodiffseg.networks.conditioning import ConditionedInstanceNorm

# By number of axes; Any, because torch types kernel sizes per class.
CONVOLUTIONS: dict[int, Any] = {2: nn.Conv2d, 3: nn.Conv3d}
TRANSPOSED: dict[int, Any] = {2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
POOLINGS: dict[int, Any] = {2: nn.AvgPool2d, 3: nn.AvgPool3d}
SLOPE = 0.01
"""Of the leaky rectifier; also what the He initialisation assumes."""
Activation = Literal["leaky_relu", "gelu"]


def activation_layer(name: Activation) -> nn.Module:
    """The non-linearity of that name; the leaky rectifier works in place, GELU (tanh form) needs its input again."""
    return nn.LeakyReLU(SLOPE, inplace=True) if name == "leaky_relu" else nn.GELU(approximate="tanh")


def convolution(
    inputs: int, outputs: int, kernel: Sequence[int], stride: Sequence[int], *, bias: bool
) -> nn.Conv2d | nn.Conv3d:
    """A convolution that keeps the extent (but for the stride), He-initialised."""
    padding = tuple(size // 2 for size in kernel)
    conv: nn.Conv2d | nn.Conv3d = CONVOLUTIONS[len(kernel)](
        inputs, outputs, tuple(kernel), tuple(stride), padding, bias=bias
    )
    initialise(conv)
    return conv


def initialise(conv: nn.Conv2d | nn.Conv3d | nn.ConvTranspose2d | nn.ConvTranspose3d) -> None:
    """He initialisation for leaky rectifiers (arXiv 1502.01852); biases start at zero."""
    nn.init.kaiming_normal_(conv.weight, a=SLOPE)
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)


class ConvBlock(nn.Module):
    """Convolution, conditioned instance norm, activation.

    The convolution has no bias: the norm would take it away again.

    Shape:
        x `(B, inputs, *spatial)` -> `(B, outputs, *spatial / stride)`.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: Sequence[int],
        stride: Sequence[int],
        *,
        conditioned: bool,
        activation: Activation | None = "leaky_relu",
    ) -> None:
        """Without `activation` the last step is left to the caller, as a residual sum needs it."""
        super().__init__()
        self.conv = convolution(inputs, outputs, kernel, stride, bias=False)
        self.norm = ConditionedInstanceNorm(outputs, conditioned=conditioned)
        self.activation = nn.Identity() if activation is None else activation_layer(activation)

    def forward(self, x: Tensor, embedding: Tensor | None) -> Tensor:
        """Apply the block; `embedding` is None without conditioning."""
        result: Tensor = self.activation(self.norm(self.conv(x), embedding))
        return result


class ResidualBlock(nn.Module):
    """Two convolutions and a shortcut (arXiv 1512.03385); a strided shortcut is pooled, then projected.

    Shape:
        x `(B, inputs, *spatial)` -> `(B, outputs, *spatial / stride)`.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: Sequence[int],
        stride: Sequence[int],
        *,
        conditioned: bool,
        activation: Activation = "leaky_relu",
    ) -> None:
        """The first convolution carries the stride."""
        super().__init__()
        ones = (1,) * len(kernel)
        self.first = ConvBlock(inputs, outputs, kernel, stride, conditioned=conditioned, activation=activation)
        self.second = ConvBlock(outputs, outputs, kernel, ones, conditioned=conditioned, activation=None)
        self.pool = POOLINGS[len(kernel)](tuple(stride), tuple(stride)) if any(s > 1 for s in stride) else nn.Identity()
        self.projection = (
            ConvBlock(inputs, outputs, ones, ones, conditioned=False, activation=None) if inputs != outputs else None
        )
        self.activation = activation_layer(activation)

    def forward(self, x: Tensor, embedding: Tensor | None) -> Tensor:
        """Apply the block; `embedding` is None without conditioning."""
        shortcut = self.pool(x)
        if self.projection is not None:
            shortcut = self.projection(shortcut, None)
        result: Tensor = self.activation(self.second(self.first(x, embedding), embedding) + shortcut)
        return result


class Stage(nn.Module):
    """Blocks in a row at one resolution; the first carries the stride and changes the width."""

    def __init__(
        self,
        block: type[ConvBlock] | type[ResidualBlock],
        inputs: int,
        outputs: int,
        kernel: Sequence[int],
        stride: Sequence[int],
        *,
        depth: int,
        conditioned: bool,
        activation: Activation = "leaky_relu",
    ) -> None:
        """`depth` blocks of one kind."""
        super().__init__()
        ones = (1,) * len(kernel)
        self.blocks = nn.ModuleList(
            block(
                inputs if i == 0 else outputs,
                outputs,
                kernel,
                stride if i == 0 else ones,
                conditioned=conditioned,
                activation=activation,
            )
            for i in range(depth)
        )

    def forward(self, x: Tensor, embedding: Tensor | None) -> Tensor:
        """Apply all blocks."""
        for block in self.blocks:
            x = block(x, embedding)
        return x
