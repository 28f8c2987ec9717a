"""ledme: the head sees the features of all noise levels side by side (LEDMe of arXiv 2311.07421)."""

from __future__ import annotations

from typing import cast

from .read_out import ReadOutOptions, ReadOutTrainer


class LedmeTrainer(ReadOutTrainer):
    """One answer, from the views of all steps together, each of which has weights of its own in the head."""

    @property
    def groups(self) -> tuple[tuple[int, ...], ...]:
        """All views."""
        return (tuple(range(len(cast(ReadOutOptions, self.options).timesteps))),)
