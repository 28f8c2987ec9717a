"""Which steps are trained on: all alike, or those more often whose loss is large, with weights that undo it."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

MOST_GROUPS = 20
"""Neighbouring steps share their history: of 1001 single steps it would take ten thousand updates to know."""
LEAST_SAMPLES = 10
"""Of every group, before the history is believed (arXiv 2102.09672 §3.3)."""
DECAY = 0.9
"""Of the running mean of squared losses."""
UNIFORM_SHARE = 0.01
"""Of the draws that stay uniform, so that no step is forgotten and no weight is above a hundred."""


def uniform_steps(steps: Tensor, count: int, rng: torch.Generator) -> Tensor:
    """`(count,)` of the `steps`, all with the same probability."""
    return steps[torch.randint(len(steps), (count,), generator=rng, device=steps.device)]


class LossAwareSteps:
    """Steps in proportion to the root of their mean squared loss, which makes the gradient's variance least.

    (arXiv 2102.09672 eq. 18, where the weight is 1/p as here; the recycling paper's released code multiplies by p.)
    The history is tensors, in place on the device: `state` goes into checkpoints, so that a resumed training draws as
    an uninterrupted one.
    """

    def __init__(self, steps: Tensor) -> None:
        """Draw from `steps`, `(T,)` int64, ascending; in equal groups, but for rounding."""
        self.steps = steps
        groups, device = min(len(steps), MOST_GROUPS), steps.device
        edges = [round(i * len(steps) / groups) for i in range(groups + 1)]
        self.first = torch.tensor(edges[:-1], device=device)
        self.size = torch.tensor([b - a for a, b in itertools.pairwise(edges)], device=device)
        self.squared = torch.zeros(groups, device=device)
        self.seen = torch.zeros(groups, device=device)

    @property
    def state(self) -> dict[str, Tensor]:
        """The history: running means of squared losses, and samples seen, per group."""
        return {"squared": self.squared, "seen": self.seen}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Go on with a history."""
        self.squared.copy_(state["squared"])
        self.seen.copy_(state["seen"])

    def probabilities(self) -> Tensor:
        """Of each group; uniform over steps until all groups are known."""
        uniform = self.size / self.size.sum()
        wanted = uniform * self.squared.sqrt()
        wanted = (1 - UNIFORM_SHARE) * wanted / wanted.sum().clamp(min=1e-12) + UNIFORM_SHARE * uniform
        known = (self.seen >= LEAST_SAMPLES).all() & (self.squared.sum() > 0)
        return torch.where(known, wanted, uniform)

    def draw(self, count: int, rng: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Steps, their weights and their groups, `(count,)` each.

        A weight is the step's probability under uniform sampling over its own, so the expectation of weight times loss
        is the uniform mean.
        """
        uniform, device = self.size / self.size.sum(), self.steps.device
        probabilities = self.probabilities()
        value = torch.rand(count, generator=rng, device=device)
        group = torch.searchsorted(probabilities.cumsum(0), value, right=True).clamp(max=len(self.size) - 1)
        within = torch.rand(count, generator=rng, device=device) * self.size[group]
        index = self.first[group] + within.long().clamp(max=self.size[group] - 1)
        return self.steps[index], (uniform / probabilities)[group], group

    @torch.no_grad()
    def learn(self, group: Tensor, losses: Tensor) -> None:
        """Take the losses `(count,)` of samples of `group` into the history; what is not finite is passed over."""
        finite = losses.isfinite()
        # A product instead of index_add, which on CUDA adds in any order.
        member = (group[:, None] == torch.arange(len(self.size), device=group.device)) & finite[:, None]  # (count, G)
        count = member.sum(0)
        mean = (member * torch.where(finite, losses, 0.0).square()[:, None]).sum(0) / count.clamp(min=1)
        kept = torch.where(self.seen > 0, DECAY**count, torch.zeros_like(self.squared))
        self.squared.copy_(torch.where(count > 0, kept * self.squared + (1 - kept) * mean, self.squared))
        self.seen.add_(count)
