"""LabelSpec: what the integers of a label map mean, and how they become network channels.

Two kinds of target exist. *Classes* exclude each other: K channels with background first, softmax, argmax. *Regions*
may overlap: one channel per region and no background channel, sigmoid, threshold 0.5 painted in
`regions_class_order`. Values below zero are ours, never the dataset's.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from autodiffseg.records import Record

if TYPE_CHECKING:
    from torch import Tensor

OUTSIDE = -1
"""Label value of voxels outside the nonzero mask of a cropped case: known background, not part of the body."""
UNKNOWN = -2
"""Label value of padding: nothing is known there, so no loss is counted and x0 is 0 in every channel."""


class LabelSpec(Record):
    """The labels of a dataset, as declared in its dataset.json."""

    labels: dict[str, int | tuple[int, ...]]
    """Name -> integer, or -> the integers of a region; `background` is 0; `ignore`, if there is one, the highest."""
    regions_class_order: tuple[int, ...] | None = None
    """The integer painted for each region, in painting order (later ones win)."""

    @cached_property
    def ignore(self) -> int | None:
        """The integer that means "not annotated", or None."""
        value = self.labels.get("ignore")
        return value if isinstance(value, int) else None

    @cached_property
    def has_regions(self) -> bool:
        """Whether targets are overlapping regions instead of exclusive classes."""
        return any(not isinstance(value, int) for value in self.labels.values())

    @cached_property
    def foreground(self) -> dict[str, tuple[int, ...]]:
        """Foreground classes or regions: name -> the integers that belong to it, in channel order."""
        return {
            name: (value,) if isinstance(value, int) else tuple(value)
            for name, value in self.labels.items()
            if name != "ignore" and value != 0
        }

    @cached_property
    def channels(self) -> int:
        """Network output channels: classes with background, or regions without."""
        return len(self.foreground) + (0 if self.has_regions else 1)

    @cached_property
    def values(self) -> frozenset[int]:
        """Every integer that may stand in a label file."""
        members: set[int] = {0}
        for value in self.labels.values():
            members.update((value,) if isinstance(value, int) else value)
        return frozenset(members)

    def one_hot(self, label: Tensor) -> tuple[Tensor, Tensor]:
        """Channels of a label map, and where it is known.

        Args:
            label: `(B, *patch)` integers; may hold OUTSIDE and UNKNOWN.

        Returns:
            `(B, K, *patch)` float32 in {0, 1}, all zero where unknown; and `(B, 1, *patch)` bool, False where the
            label is UNKNOWN or `ignore`.
        """
        import torch

        known = label != UNKNOWN
        if self.ignore is not None:
            known = known & (label != self.ignore)
        channels = []
        if not self.has_regions:
            channels.append((label == 0) | (label == OUTSIDE))
        channels += self._foreground_masks(label)
        return torch.stack(channels, dim=1).float() * known[:, None], known[:, None]

    def foreground_channels(self, label: Tensor) -> Tensor:
        """The channels of one label map without background: how a segmentation is shown to a network.

        Args:
            label: `(*patch)` integers.

        Returns:
            `(F, *patch)` float32 in {0, 1}, one channel per entry of `foreground`; all zero where unknown.
        """
        import torch

        return torch.stack(self._foreground_masks(label)).float()  # no class holds `ignore` or UNKNOWN

    def _foreground_masks(self, label: Tensor) -> list[Tensor]:
        """Where each foreground class or region is, bool, each of the label's shape."""
        masks = []
        for members in self.foreground.values():
            mask = label == members[0]
            for member in members[1:]:
                mask = mask | (label == member)
            masks.append(mask)
        return masks

    def decode(self, probabilities: npt.NDArray[np.floating]) -> npt.NDArray[np.uint8]:
        """Label map of probabilities `(K, Z, Y, X)`: argmax, or regions over 0.5 painted in their order."""
        if not self.has_regions:
            lookup = np.array([0, *(members[0] for members in self.foreground.values())], dtype=np.uint8)
            painted: npt.NDArray[np.uint8] = lookup[probabilities.argmax(axis=0)]
            return painted
        assert self.regions_class_order is not None
        result = np.zeros(probabilities.shape[1:], dtype=np.uint8)
        for value, channel in zip(self.regions_class_order, probabilities, strict=True):
            result[channel > 0.5] = value
        return result
