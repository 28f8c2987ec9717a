"""LiveTensors: counts the bytes of all tensors that are alive, as operators make them and as they are freed."""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Iterable
from functools import partial
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

CUDA_BLOCK = 512
"""Bytes: the caching allocator of CUDA rounds every tensor up to a multiple."""
TRANSIENT = "activations"
"""What a tensor counts as until it is labelled: activations, what the backward pass makes of them, temporaries."""


class LiveTensors(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's own
    """While it is entered, every new storage is counted once, however many views it has, until it is freed.

    It stands below autograd, so that it sees what the backward pass makes as well. What an operator allocates for
    itself and frees before it returns is not seen. Works on the meta device, where tensors have sizes but no content.
    """

    def __init__(self, *, block: int = CUDA_BLOCK) -> None:
        """Start at nothing; storages are rounded up to multiples of `block` bytes."""
        super().__init__()  # type: ignore[no-untyped-call]
        self.block = block
        self.current = 0
        """Bytes alive now."""
        self.peak = 0
        """The most that were alive at once."""
        self.parts: Counter[str] = Counter()
        """Bytes alive now by label."""
        self.peak_parts: dict[str, int] = {}
        """Bytes by label at the peak."""
        self._live: dict[int, tuple[weakref.ref[Any], int, str]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operator and count what it made."""
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor):
                self._count(leaf, None)
        return result

    def label(self, tensors: Iterable[Tensor], part: str) -> None:
        """Count tensors, also ones that were there before, as `part`."""
        for tensor in tensors:
            self._count(tensor, part)

    def _count(self, tensor: Tensor, part: str | None) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata
        size = -(-storage.nbytes() // self.block) * self.block
        known = self._live.get(key)
        if known is None:
            reference = weakref.ref(storage, partial(self._freed, key))
        else:
            reference, _, before = known
            if known[1] == size and part in (None, before):
                return
            part = part or before
            self._forget(key)
        part = part or TRANSIENT
        self._live[key] = (reference, size, part)
        self.current += size
        self.parts[part] += size
        if self.current > self.peak:
            self.peak, self.peak_parts = self.current, dict(+self.parts)

    def _freed(self, key: int, _: object) -> None:
        self._forget(key)

    def _forget(self, key: int) -> None:
        found = self._live.pop(key, None)
        if found is not None:
            _, size, part = found
            self.current -= size
            self.parts[part] -= size
