"""ledm: as ledme, with the three noise levels of arXiv 2112.03126."""

from __future__ import annotations

from typing import ClassVar

from .ledme import LedmeTrainer
from .options import TrainerOptions
from .read_out import ReadOutOptions, Steps


class LedmOptions(ReadOutOptions):
    """Other defaults."""

    timesteps: Steps = (50, 150, 250)
    """As for `ledme`. They were chosen on a linear schedule, on which these indices mean more noise than on the cosine
    schedule of this backbone and of the TEDM paper, which kept them."""


class LedmTrainer(LedmeTrainer):
    """LEDM."""

    Options: ClassVar[type[TrainerOptions]] = LedmOptions
