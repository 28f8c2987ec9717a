"""A running average of a network's weights, as a network of its own that is never trained."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from autodiffseg.networks.unet import UNet


class WeightAverage:
    """average = d·average + (1-d)·weights after every update, with d = min(decay, (1+n)/(10+n)) after n of them.

    The rising d lets go of the random weights of the beginning.
    """

    def __init__(self, network: UNet, *, decay: float) -> None:
        """Begin at the weights that `network` has now."""
        self.network = copy.deepcopy(network).requires_grad_(False)
        self.decay = decay
        self.updates = torch.zeros((), device=next(network.parameters()).device)

    @torch.no_grad()
    def update(self, network: UNet) -> None:
        """Take the weights of `network` in, after an update."""
        share = 1 - ((1 + self.updates) / (10 + self.updates)).clamp(max=self.decay)
        for average, weight in zip(self.network.parameters(), network.parameters(), strict=True):
            average.lerp_(weight, share)
        self.updates.add_(1)

    @property
    def state(self) -> dict[str, Tensor]:
        """The averaged weights and the number of updates."""
        return {"updates": self.updates, **{f"network.{key}": v for key, v in self.network.state_dict().items()}}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Go on from a state."""
        self.updates.copy_(state["updates"])
        prefix = "network."
        self.network.load_state_dict({k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)})
