"""WindowSum: the weighted mean over windows, plane by plane; what no later window touches is handed out at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor


class Planes(NamedTuple):
    """Finished planes of a case: consecutive slices along its first axis."""

    first: int
    """Index of the first of them."""
    values: npt.NDArray[np.float32]
    """`(S, K, planes, Y, X)`"""


class WindowSum:
    """Sums up windows that come in the order of their first plane, as `windows.origins` gives them.

    It holds as many planes as one window, not the whole case: that bounds the memory of the device however long a case
    is. Each voxel is summed in float32 in the order in which its windows come.
    """

    def __init__(self, shape: Sequence[int], weight: Tensor, terms: int) -> None:
        """Begin a case.

        Args:
            shape: voxels (z, y, x), in which every window lies.
            weight: `(*window)`, of each voxel of a window; its device holds the sum.
            terms: how many answers each window is the sum of.
        """
        self._weight = weight
        self._terms = terms
        self._shape = tuple(shape)
        self._first = 0
        self._weights = torch.zeros((len(weight), *shape[1:]), device=weight.device)
        self._total: Tensor | None = None

    def add(self, window: Tensor, origin: Sequence[int]) -> Iterator[tuple[int, Tensor]]:
        """Add one window `(S, K, *window)` at `origin`.

        Yields:
            First the planes before it, if any became final: index of the first and their mean `(S, K, n, Y, X)`.
        """
        if origin[0] < self._first:
            raise ValueError(f"a window at plane {origin[0]} comes after those before {self._first} were handed out")
        if self._total is None:
            self._total = torch.zeros((*window.shape[:2], *self._weights.shape), device=window.device)
        if origin[0] > self._first:
            yield self._hand_out(origin[0] - self._first)
        inside = tuple(slice(at, at + size) for at, size in zip(origin[1:], window.shape[3:], strict=True))
        self._total[:, :, :, *inside] += window * self._weight
        self._weights[:, *inside] += self._weight

    def finish(self) -> tuple[int, Tensor]:
        """The planes that are left, as `add` yields them."""
        return self._hand_out(self._shape[0] - self._first)

    def _hand_out(self, count: int) -> tuple[int, Tensor]:
        """Mean of the next `count` planes, which leave; the others move up."""
        assert self._total is not None
        first, mean = self._first, self._total[:, :, :count] / (self._weights[:count] * self._terms)
        for held in (self._total.movedim(2, 0), self._weights):  # (planes, …)
            kept = held[count:].clone()
            held[: len(kept)] = kept
            held[len(kept) :] = 0
        self._first += count
        return first, mean
