"""TiledCase: a case with its padding, and the windows that it is cut into."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from autodiffseg.inference.window_options import Mode
from autodiffseg.inference.windows import gaussian_weight, origins, padding
from autodiffseg.plans import ConfigurationPlan

Origin = tuple[int, int, int]


class TiledCase:
    """A padded image and its windows; other volumes of the same size are cut alike."""

    def __init__(
        self,
        image: npt.NDArray[np.float32],
        configuration: ConfigurationPlan,
        *,
        mode: Mode,
        step_size: float,
        home: torch.device,
        device: torch.device,
    ) -> None:
        """Pad `image` `(C, Z, Y, X)` with zeros so that windows fit.

        Args:
            image: a preprocessed case.
            configuration: patch size and, for the window that holds the whole case, what it must be divisible by.
            mode: `volume` has one window, in 2D one per slice.
            step_size: largest distance between windows as a fraction of the patch.
            home: where whole volumes lie.
            device: where windows are wanted.
        """
        self.shape = image.shape[1:]
        self.window = window_of(self.shape, configuration, mode)
        self.patch = self.window[3 - configuration.dimensions :]
        """Axes of a window as the models see it: one of 2D has no slice axis."""
        self.device = device
        pads = padding(self.shape, self.window)
        self.before = [low for low, _ in pads]
        # np.pad always copies, so the memory is torch's to keep.
        padded = np.pad(image, ((0, 0), *pads)).astype(np.float32, copy=False)
        self.image = torch.from_numpy(padded).to(home)
        self.origins: list[Origin] = origins(padded.shape[1:], self.window, step_size)
        whole = mode == "volume"
        self.weight = torch.ones(self.window, device=home) if whole else gaussian_weight(self.window, home)
        """`(*window)`"""

    @property
    def padded(self) -> torch.Size:
        """Voxels (z, y, x) with the padding."""
        return self.image.shape[1:]

    @cached_property
    def weights(self) -> Tensor:
        """Sum of the weights of all windows at each voxel, `(*padded)`."""
        total = torch.zeros(self.padded, device=self.image.device)
        for origin in self.origins:
            total[self.box(origin)] += self.weight
        return total

    def batches(self, size: int) -> list[list[Origin]]:
        """The windows in order, `size` at a time."""
        return [self.origins[n : n + size] for n in range(0, len(self.origins), size)]

    def places(self, batch: Sequence[Origin]) -> list[list[int]]:
        """First voxels of windows in the coordinates of the case, in which padding is negative or beyond the end."""
        return [[at - low for at, low in zip(origin, self.before, strict=True)] for origin in batch]

    def cut(self, volume: Tensor, batch: Sequence[Origin]) -> Tensor:
        """Windows of a volume `(c, *padded)`, as the models see them: `(B, c, *patch)` on their device."""
        windows = torch.stack([volume[:, *self.box(origin)] for origin in batch])
        return windows.reshape(len(batch), len(volume), *self.patch).to(self.device)

    def as_windows(self, answers: Tensor) -> Tensor:
        """`(…, *patch)` as the models see it, at home and with all three axes: `(…, *window)`."""
        ahead = answers.shape[: answers.ndim - len(self.patch)]
        return answers.to(self.image.device).reshape(*ahead, *self.window)

    def box(self, origin: Sequence[int]) -> tuple[slice, ...]:
        """The place of a window in a padded volume."""
        return tuple(slice(start, start + size) for start, size in zip(origin, self.window, strict=True))


def window_of(shape: Sequence[int], configuration: ConfigurationPlan, mode: Mode) -> tuple[int, ...]:
    """Voxels (z, y, x) of a window: the plan's patch, or a whole case, as large as a patch or larger.

    A whole case is padded to what the network can halve.
    """
    flat = 3 - configuration.dimensions
    patch = (*(1,) * flat, *configuration.patch_size)
    if mode != "volume":
        return patch
    divisor = (*(1,) * flat, *configuration.network.divisor)
    larger = [length if axis < flat else max(length, shape[axis]) for axis, length in enumerate(patch)]
    return tuple(math.ceil(length / step) * step for length, step in zip(larger, divisor, strict=True))


def whole_volumes(image: Sequence[int], window: Sequence[int], mode: Mode, *, channels: int, steps: int) -> int:
    """Numbers that are held beside those of network calls.

    Args:
        image: shape `(C, Z, Y, X)`.
        window: voxels (z, y, x).
        mode: alone, windows are summed up as far as one window reaches; together, the whole case is held: the steps
            that are kept, their sum over models, the sum of this step, x_t and its next, and the answer before.
        channels: K.
        steps: whose probabilities are wanted.
    """
    padded = [max(size, length) for size, length in zip(image[1:], window, strict=True)]
    plane = math.prod(padded[1:])
    if mode == "synchronised":
        return plane * padded[0] * (image[0] + 1 + channels * (2 * steps + 4))
    return plane * (padded[0] * image[0] + window[0] * (steps * channels + 1))
