"""nnU-Net's U-Net as its paper and its plans describe it, written plainly: the yardstick for speed and memory.

Isensee et al. 2021: per stage two times convolution, instance norm, leaky ReLU; strided convolutions down, transposed
convolutions up; a logit layer at every decoder resolution.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from autodiffseg.plans import NetworkPlan


def convolutions(
    channels_in: int, channels_out: int, kernel: tuple[int, ...], stride: tuple[int, ...]
) -> nn.Sequential:
    """Two times convolution, norm, activation; the first has the stride."""
    convolution, norm = (nn.Conv3d, nn.InstanceNorm3d) if len(kernel) == 3 else (nn.Conv2d, nn.InstanceNorm2d)
    layers: list[nn.Module] = []
    for first, last, step in ((channels_in, channels_out, stride), (channels_out, channels_out, (1,) * len(kernel))):
        padding = tuple(size // 2 for size in kernel)
        layers += [
            convolution(first, last, kernel, step, padding),  # type: ignore[arg-type]  # 2 or 3 numbers, as the class
            norm(last, affine=True),
            nn.LeakyReLU(0.01, inplace=True),
        ]
    return nn.Sequential(*layers)


class PlainUNet(nn.Module):
    """`(B, C, *patch)` -> logits `(B, K, *patch)` and those of the coarser resolutions."""

    def __init__(self, plan: NetworkPlan, channels_in: int, classes: int) -> None:
        """Build it stage by stage, as many convolutions per stage as nnU-Net has (two)."""
        super().__init__()
        features, kernels, strides = plan.features, plan.kernels, plan.strides
        up = nn.ConvTranspose3d if len(kernels[0]) == 3 else nn.ConvTranspose2d
        head = nn.Conv3d if len(kernels[0]) == 3 else nn.Conv2d
        inputs = (channels_in, *features[:-1])
        self.encoder = nn.ModuleList(map(convolutions, inputs, features, kernels, strides))
        coarse_to_fine = range(len(features) - 2, -1, -1)
        self.ups = nn.ModuleList(
            up(features[i + 1], features[i], strides[i + 1], strides[i + 1])  # type: ignore[arg-type]
            for i in coarse_to_fine
        )
        self.decoder = nn.ModuleList(
            convolutions(2 * features[i], features[i], kernels[i], (1,) * len(kernels[i])) for i in coarse_to_fine
        )
        self.heads = nn.ModuleList(head(features[i], classes, 1) for i in coarse_to_fine)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Logits, finest first."""
        skips = []
        for stage in self.encoder:
            image = stage(image)
            skips.append(image)
        x = skips.pop()
        logits = []
        for up, stage, head in zip(self.ups, self.decoder, self.heads, strict=True):
            x = stage(torch.cat([up(x), skips.pop()], dim=1))
            logits.append(head(x))
        return logits[::-1]
