"""ReadOutHead: the small perceptron that reads a segmentation out of a frozen network's features, voxel by voxel."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from autodiffseg.networks.blocks import CONVOLUTIONS
from autodiffseg.networks.channels_last import channels_last
from autodiffseg.networks.voxel_features import features_at

Interpolation = Literal["nearest", "linear"]
HeadNorm = Literal["batch", "layer"]
NORMS = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
MODES = {2: "bilinear", 3: "trilinear"}


class ReadOutHead(nn.Module):
    """A perceptron of 1×1 convolutions over all feature maps of a voxel (arXiv 2112.03126, arXiv 2311.07421).

    As the papers have it, maps are brought to full resolution and stacked; then come a 1×1 convolution, ReLU, norm, and
    so on down to the classes. Nothing stands between the stack and the first convolution, so this is the sum of one
    projection per map, and a projection before the interpolation is the same as one after it (up to rounding, and with
    equal gradients). Here maps are projected where they are, those of one resolution are summed, and only these sums
    are brought to full resolution. The stack, 800 channels of 128³ voxels for each timestep, is never made.

    Many timesteps lie on the batch axis of *one* call: a batch norm then takes its statistics over all of them, as it
    does in the papers and as prediction relies on. A head that reads several timesteps at once is given the maps of all
    of them, with their channels repeated.

    Shape:
        features: one map `(B, channels[i], *spatial_i)` for each entry of `channels`, in that order, none finer than
        `size` -> logits `(B, classes, *size)`.
    """

    def __init__(
        self,
        channels: Sequence[int],
        classes: int,
        *,
        dimensions: int,
        hidden: Sequence[int] = (128, 32),
        norm: HeadNorm = "batch",
        interpolation: Interpolation = "nearest",
    ) -> None:
        """Build the layers, with torch's own random weights.

        Args:
            channels: of every feature map.
            classes: channels of the logits.
            dimensions: spatial axes, 2 or 3.
            hidden: widths of the hidden layers, the papers' by default; none gives a linear probe.
            norm: "batch", the papers', keeps running statistics for prediction; "layer" normalises the channels of each
                voxel by themselves, so that no voxel depends on another.
            interpolation: of the maps. "nearest" is arXiv 2311.07421's, "linear" (voxel centres kept in place) arXiv
                2112.03126's.
        """
        super().__init__()
        self.dimensions = dimensions
        self.interpolation: Interpolation = interpolation
        convolution = CONVOLUTIONS[dimensions]
        widths = (*hidden, classes)
        self.projections = nn.ModuleList(
            convolution(width, widths[0], 1, bias=number == len(channels) - 1)  # one bias is enough for a sum
            for number, width in enumerate(channels)
        )
        _initialise_as_one_layer(self.projections)
        self.tail = nn.Sequential()
        for before, after in pairwise(widths):
            self.tail.append(nn.ReLU(inplace=True))
            self.tail.append(NORMS[dimensions](before) if norm == "batch" else ChannelNorm(before))
            self.tail.append(convolution(before, after, 1))

    def forward(self, features: Iterable[Tensor], size: Sequence[int]) -> Tensor:
        """Logits of every voxel of a grid of `size`; `features` may be made while they are read.

        Raises:
            ValueError: when there are not as many maps as the head has projections, or one is finer than `size`.
        """
        maps: dict[tuple[int, ...], Tensor] = {}
        for project, feature in zip(self.projections, features, strict=True):
            _add(maps, project(_in_quick_layout(feature)))
        logits: Tensor = self.tail(self._at_full_resolution(maps, tuple(size)))
        return logits

    def forward_points(self, features: Iterable[Tensor], size: Sequence[int], points: Tensor) -> Tensor:
        """Logits of some voxels alone: those that `forward` gives there, but for the statistics of a batch norm.

        Costs the memory of these voxels: training on a few of a 3D patch fits where the whole grid would not.

        Args:
            features: as for `forward`.
            size: of the whole grid, voxels.
            points: `(N, 1 + dimensions)` int64: which of the batch, and the voxel of the grid.

        Returns:
            `(N, classes)`.

        Raises:
            ValueError: when there are not as many maps as the head has projections.
        """
        found = (features_at(feature, size, points, interpolation=self.interpolation) for feature in features)
        return self.forward_rows(found)

    def forward_rows(self, rows: Iterable[Tensor]) -> Tensor:
        """Logits `(N, classes)` of voxels whose features `(N, channels[i])` were taken from the maps already.

        So the maps of one timestep can be let go before those of the next are made (`features_at` takes the features).

        Raises:
            ValueError: when there are not as many tensors as the head has projections.
        """
        total: Tensor | None = None
        for project, found in zip(self.projections, rows, strict=True):
            part = project(_as_patches(found, self.dimensions))
            total = part if total is None else total.add_(part)
        logits: Tensor = self.tail(total)  # (P, K, n, 1, …)
        return logits.flatten(2).transpose(1, 2).flatten(0, 1)  # (N, K)

    def _at_full_resolution(self, maps: dict[tuple[int, ...], Tensor], size: tuple[int, ...]) -> Tensor:
        """The sum of maps of all resolutions on the grid of `size`; takes `maps` apart.

        Where each grid divides the next, the nearest voxel's nearest voxel is the nearest one: a map then goes to the
        next resolution only, and one map of full resolution is made instead of one for each resolution.
        """
        coarse_to_fine = sorted({*maps, size}, key=math.prod)
        if coarse_to_fine[-1] != size:
            raise ValueError(f"a feature map of {coarse_to_fine[-1]} voxels is finer than the grid of {size}")
        for shape, finer in pairwise(coarse_to_fine):
            nested = all(b % a == 0 and c % b == 0 for a, b, c in zip(shape, finer, size, strict=True))
            target = finer if self.interpolation == "nearest" and nested else size
            mode = "nearest" if self.interpolation == "nearest" else MODES[self.dimensions]
            _add(maps, F.interpolate(maps.pop(shape), target, mode=mode))
        return maps[size]


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of each voxel.

    Shape:
        x `(B, C, *spatial)` -> the same.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Normalise every voxel by itself."""
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)


def _add(maps: dict[tuple[int, ...], Tensor], x: Tensor) -> None:
    """Add `x` to the map of its resolution, in place: what made that map does not need it for its gradient."""
    shape = tuple(x.shape[2:])
    maps[shape] = maps[shape].add_(x) if shape in maps else x


def _in_quick_layout(feature: Tensor) -> Tensor:
    """On a CPU with channels last; with channels first one thread finds the nearest voxel up to 50 times as slowly."""
    if feature.device.type != "cpu":
        return feature
    return feature.contiguous(memory_format=channels_last(feature.ndim - 2))


def _as_patches(rows: Tensor, dimensions: int) -> Tensor:
    """`(N, C)` as up to 32 thin patches `(P, C, n, 1, …)`: a few long ones torch convolves slowly on a CPU."""
    patches = rows.reshape(math.gcd(len(rows), 32), -1, rows.shape[1]).transpose(1, 2)
    return patches[(..., *(None,) * (dimensions - 1))]


def _initialise_as_one_layer(projections: nn.ModuleList) -> None:
    """Draw all weights as torch does for one layer that reads the whole stack, so that no narrow map is the louder."""
    channels = sum(parameter.shape[1] for parameter in projections.parameters() if parameter.ndim > 1)
    bound = 1 / math.sqrt(channels)
    for parameter in projections.parameters():
        nn.init.uniform_(parameter, -bound, bound)
