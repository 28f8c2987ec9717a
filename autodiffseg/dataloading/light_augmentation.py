"""Light augmentation: mirroring, a little scaling, brightness and contrast, none of which makes an image unreal."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from numpy.random import Generator
from torch import Tensor

from autodiffseg.dataloading.augmentation import SCALING_PROBABILITY, Augmentation, SpatialChange
from autodiffseg.plans import ConfigurationPlan

SCALING = 1.1
"""Largest factor of size, either way, at strength 1."""
CONTRAST = 1.1
"""Largest factor of the intensities, either way, at strength 1."""
BRIGHTNESS = 0.1
"""Largest shift of the intensities, in units of the normalised image, at strength 1."""


class LightAugmentation(Augmentation):
    """Augments patches for a network that must learn what images look like.

    nnU-Net's noise, blur and coarsening would be learnt as part of them. Scaling interpolates and so blurs a little,
    which is why most patches are not scaled.
    """

    def __init__(self, configuration: ConfigurationPlan, strength: float) -> None:
        """Build the transforms.

        Args:
            configuration: patch, mirror axes and masked channels.
            strength: >= 0; multiplies the ranges of scaling, contrast and brightness (on a logarithmic scale for
                factors).
        """
        super().__init__(configuration)
        self.strength = strength
        masked = [index for index, channel in enumerate(configuration.normalisation) if channel.use_mask]
        self._intensity = _Intensity(strength, masked)

    def draw_spatial(self, rng: Generator) -> SpatialChange | None:
        """Scale with probability 0.2, smaller as often as larger; never turn."""
        if rng.random() >= SCALING_PROBABILITY:
            return None
        limit = self.strength * math.log(SCALING)
        return SpatialChange(angles=(0.0, 0.0, 0.0), scale=math.exp(rng.uniform(-limit, limit)))


class _Intensity:
    """Contrast and brightness of each channel, drawn from torch's global state; zero outside the mask stays zero."""

    def __init__(self, strength: float, masked: Sequence[int]) -> None:
        self.strength = strength
        self.masked = list(masked)

    def __call__(self, *, image: Tensor, segmentation: Tensor) -> dict[str, Tensor]:
        """Image `(C, *patch)` and labels, which stay as they are."""
        drawn = self.strength * (2 * torch.rand(2, len(image), *[1] * (image.ndim - 1)) - 1)
        changed = image * CONTRAST ** drawn[0] + BRIGHTNESS * drawn[1]
        empty = (segmentation[:1] < 0).repeat(len(image), *[1] * (image.ndim - 1))  # padding
        empty[self.masked] |= image[self.masked] == 0
        return {"image": torch.where(empty, image, changed), "segmentation": segmentation}
