"""One standard normal field per case, sample and step; any window of it can be had without the rest.

Windows that overlap must see the same noise: with independent noise their averaged predictions mix different samples
of the generative model. A value is a pure function of the key and its voxel, so it depends neither on the tiling, nor
on the batch, the order, the process or the device.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from threading import Lock

import torch
from torch import Tensor

from autodiffseg.inference.mirroring import Mirror, apply_mirrors
from autodiffseg.inference.philox import MASK, philox
from autodiffseg.sampling import NoiseSource

CHUNK = 2**21
"""Voxels whose numbers are made together."""


class NoiseField:
    """Standard normal noise in the coordinates of a case; negative ones (padding) are as good as any."""

    def __init__(self, case: str, *, seed: int, sample: int = 0) -> None:
        """The field of one sample of one case; other cases, seeds and samples have independent fields."""
        self.case = case
        self.seed = seed
        self.sample = sample

    def window(
        self, step: int, channels: int, *, origin: Sequence[int], shape: Sequence[int], device: torch.device
    ) -> Tensor:
        """The values of one window.

        Args:
            step: sampling step; each has its own field.
            channels: the first `channels` of the field, which does not depend on how many are asked for.
            origin: first voxel (z, y, x) of the window, any integers.
            shape: voxels of the window along (z, y, x).
            device: where the result is wanted.

        Returns:
            `(channels, *shape)` float32.
        """
        # MPS has no float64; the field must be the same everywhere, so there it is computed on the CPU.
        worker = torch.device("cpu") if device.type == "mps" else device
        groups = -(-channels // 4)
        planes = max(1, CHUNK // (groups * math.prod(shape[1:])))
        if shape[0] > planes:  # the numbers of ten rounds take some dozen times the memory of the result
            slabs = [
                self.window(
                    step,
                    channels,
                    origin=(origin[0] + first, *origin[1:]),
                    shape=(min(planes, shape[0] - first), *shape[1:]),
                    device=device,
                )
                for first in range(0, shape[0], planes)
            ]
            return torch.cat(slabs, dim=1)
        # Counter words: x, y, z and the group of four channels, each along an axis of its own.
        z, y, x = (
            torch.arange(start, start + size, device=worker).bitwise_and_(MASK).reshape(size, *(1,) * (2 - axis))
            for axis, (start, size) in enumerate(zip(origin, shape, strict=True))
        )
        group = torch.arange(groups, device=worker).reshape(groups, 1, 1, 1)
        bits = philox((x, y, z, group), self._key(step))
        full = (groups, *shape)
        normals = [value.expand(full) for pair in (bits[:2], bits[2:]) for value in _box_muller(*pair)]
        field = torch.stack(normals, dim=1)  # (groups, 4, *shape)
        return field.flatten(0, 1)[:channels].to(device)  # (channels, *shape)

    def _key(self, step: int) -> tuple[int, int]:
        # Not Python's hash(): it differs from process to process.
        text = json.dumps([self.case, self.seed, self.sample, step])
        digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
        return int.from_bytes(digest[:4], "little"), int.from_bytes(digest[4:], "little")


class WindowNoise:
    """The noise of a batch of windows, as models ask for it: a `NoiseSource`."""

    def __init__(
        self, field: NoiseField, origins: Sequence[Sequence[int]], shape: Sequence[int], *, device: torch.device
    ) -> None:
        """Cut from `field`.

        Args:
            field: of the case.
            origins: first voxel (z, y, x) of each window, in the case's coordinates.
            shape: voxels of a window: (z, y, x), or (y, x) for windows of one slice.
            device: where the models run.
        """
        self._field = field
        self._origins = origins
        self._shape = tuple(shape)
        self._device = device
        self._kept: dict[tuple[int, int], Tensor] = {}
        self._lock = Lock()

    def __call__(self, step: int, channels: int) -> Tensor:
        """Standard normal `(B, channels, *shape)` float32."""
        # Mirrored versions and models ask again, in threads of their own. On a CPU a field costs some percent of a
        # network call, so keep it.
        if self._device.type != "cpu":
            return self._made(step, channels)
        with self._lock:
            if (step, channels) not in self._kept:
                self._kept[step, channels] = self._made(step, channels)
            return self._kept[step, channels]

    def _made(self, step: int, channels: int) -> Tensor:
        grid = (*(1,) * (3 - len(self._shape)), *self._shape)
        windows = [
            self._field.window(step, channels, origin=origin, shape=grid, device=self._device)
            for origin in self._origins
        ]
        return torch.stack(windows).reshape(len(windows), channels, *self._shape)

    def mirrored(self, mirrors: Sequence[Mirror]) -> NoiseSource:
        """The same noise, mirrored as the windows are, version by version."""
        return lambda step, channels: apply_mirrors(self(step, channels), mirrors)


def _box_muller(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Two independent standard normals (float32) of two independent 32-bit words.

    Float64 inside, so that devices differ by less than 1e-6. The half keeps the logarithm finite; the largest
    magnitude possible is 6.8.
    """
    radius = (first.double() + 0.5).mul_(2.0**-32).log_().mul_(-2.0).sqrt_()
    angle = second.double().mul_(2.0 * math.pi * 2.0**-32)
    return (radius * angle.cos()).float(), radius.mul_(angle.sin()).float()
