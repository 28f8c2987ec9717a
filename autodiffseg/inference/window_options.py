"""WindowOptions: how a case is cut into windows, and what is averaged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Mode = Literal["tile", "synchronised", "volume"]
"""Each window goes its whole way alone; all windows go step by step, from one common x_t; one window holds the case."""


@dataclass(frozen=True)
class WindowOptions:
    """How a case is cut into windows, and what is averaged."""

    mode: Mode = "tile"
    """Each window goes its whole way alone (`tile`), all go step by step on one common x_t (`synchronised`), or one
    window holds the whole case (`volume`)."""
    step_size: float = 0.5
    """Largest distance between windows as a fraction of the patch, in (0, 1]."""
    mirror_axes: tuple[int, ...] | None = None
    """Patch axes along which windows are mirrored as well; None: the plan's."""
    rotate_mirrors: bool = False
    """One mirrored version in each sample, another in the next, instead of all in each."""
    deterministic: bool = False
    """The same bits whatever the number of threads and patches at a time."""
    patches: int | None = None
    """Of one network call, mirrored ones included; it changes probabilities by rounding alone. None: as many as the
    device's memory holds, up to what pays."""

    def __post_init__(self) -> None:
        """Refuse numbers that cannot work."""
        if not 0 < self.step_size <= 1 or (self.patches is not None and self.patches < 1):
            raise ValueError(
                f"got step_size {self.step_size}, patches {self.patches}; "
                "needed are 0 < step_size <= 1 (else windows leave gaps), patches >= 1"
            )
