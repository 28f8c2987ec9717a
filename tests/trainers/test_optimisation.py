"""The learning-rate schedule and the optimiser's groups."""

from __future__ import annotations

import itertools

import pytest
from torch import nn

from autodiffseg.trainers.optimisation import learning_rate, make_optimiser
from autodiffseg.trainers.options import TrainerOptions

OPTIONS = TrainerOptions(learning_rate=1.0, warmup=10)


def test_the_rate_rises_linearly_then_falls_to_zero() -> None:
    rates = [learning_rate(update, 110, OPTIONS) for update in range(110)]
    assert rates[:10] == pytest.approx([0.1 * (i + 1) for i in range(10)])
    assert rates[10] == 1.0
    assert rates[60] == pytest.approx(0.5)
    assert 0 < rates[-1] < 1e-3
    assert all(a > b for a, b in itertools.pairwise(rates[10:]))


def test_a_short_training_has_a_short_warm_up() -> None:
    assert learning_rate(0, 5, TrainerOptions(learning_rate=1.0, warmup=100)) == 1.0


def test_norms_and_biases_are_not_decayed() -> None:
    network = nn.Sequential(nn.Conv3d(1, 2, 3), nn.InstanceNorm3d(2, affine=True))
    groups = make_optimiser(network, TrainerOptions(weight_decay=0.1)).param_groups
    assert [(len(group["params"]), group["weight_decay"]) for group in groups] == [(1, 0.1), (3, 0.0)]
