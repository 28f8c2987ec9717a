"""AutocastPolicy: what autocast does to number types, for the meta device, which torch's own autocast leaves alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map

from autodiffseg.memory.autocast_lists import LISTS, Place

HALVES = (torch.float16, torch.bfloat16)


class AutocastPolicy(TorchFunctionMode):
    """Casts the arguments of torch's functions as autocast of `place` would.

    Enter it where `torch.autocast` would be entered, and anew each time: the casts of weights are kept and forgotten
    with it, as autocast does. A function of torch that is written in Python is judged by its own name, not by what it
    calls.
    """

    def __init__(self, dtype: torch.dtype, *, place: Place) -> None:
        """Compute in `dtype`, float16 or bfloat16."""
        super().__init__()
        self.dtype = dtype
        self.lists = LISTS[place]
        self._weights: dict[int, tuple[Tensor, Tensor]] = {}

    def __torch_function__(self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call `func` with arguments of the right types."""
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if name in self.lists.lower:
            args, kwargs = tree_map(self._to_half, (args, kwargs))
        elif name in self.lists.fp32:
            args, kwargs = tree_map(_to_float, (args, kwargs))
        elif name in self.lists.fp32_result:
            if args and isinstance(args[0], Tensor) and args[0].dtype in HALVES and kwargs.get("dtype") is None:
                kwargs = {**kwargs, "dtype": torch.float32}
        elif name in self.lists.promote:
            widest = _widest((args, kwargs))
            args, kwargs = tree_map(lambda value: _cast(value, widest), (args, kwargs))
        return func(*args, **kwargs)

    def __exit__(self, *error: object) -> None:
        """Leave, and forget the casts of the weights."""
        self._weights.clear()
        super().__exit__(*error)  # type: ignore[no-untyped-call]  # torch's own

    def __enter__(self) -> Self:
        """Begin to cast."""
        super().__enter__()  # type: ignore[no-untyped-call]  # torch's own
        return self

    def _to_half(self, value: Any) -> Any:
        if not _castable(value) or value.dtype == self.dtype:
            return value
        if not (value.requires_grad and value.is_leaf and value.dtype == torch.float32 and not value._is_view()):
            return value.to(self.dtype)
        kept = self._weights.get(id(value))
        if kept is None:
            kept = self._weights[id(value)] = (value, value.to(self.dtype))
        return kept[1]


def _castable(value: Any) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point() and value.dtype != torch.float64


def _cast(value: Any, dtype: torch.dtype) -> Any:
    return value.to(dtype) if _castable(value) and value.dtype != dtype else value


def _to_float(value: Any) -> Any:
    return _cast(value, torch.float32)


def _widest(values: Any) -> torch.dtype:
    """Float32 as soon as one tensor is; else the half type that there is."""
    found: set[torch.dtype] = set()
    tree_map(lambda value: found.add(value.dtype) if _castable(value) else None, values)
    return torch.float32 if len(found) != 1 else found.pop()
