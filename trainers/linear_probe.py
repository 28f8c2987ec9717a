"""linear-probe: no more than a linear map of the features at one noise level: what they know by themselves."""

from __future__ import annotations

from typing import ClassVar

from .options import TrainerOptions
from .read_out import Steps, Widths
from .tedm import TedmOptions, TedmTrainer


class LinearProbeOptions(TedmOptions):
    """Other defaults."""

    timesteps: Steps = (1,)
    """As for `tedm`; one by default."""
    hidden: Widths = ()
    """As for `tedm`; without any the head is linear."""


class LinearProbeTrainer(TedmTrainer):
    """TEDM without hidden layers, at one step."""

    Options: ClassVar[type[TrainerOptions]] = LinearProbeOptions
