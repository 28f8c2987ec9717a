"""benchmarks/read_out_cost.py: that it measures, and what it holds against its limits."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest
import torch

from autodiffseg.networks.read_out_head import ReadOutHead

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def cost(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("read_out_cost")


def test_costs_are_told_in_forwards_of_the_same_patches(cost: Any) -> None:
    seconds = {"forward": 2.0, "voxels": 18.0, "dense": 32.0, "stacked": 64.0, "forward_one": 0.5, "predict": 5.0}
    found = cost.in_forwards(seconds, 8)
    assert found == {"voxels": 1.125, "dense": 2.0, "stacked": 4.0, "predict": 1.25}


def test_sampled_voxels_are_held_against_the_limits(cost: Any) -> None:
    networks = {"a": {"forwards": {"voxels": 1.1, "dense": 3}}, "b": {"forwards": {"voxels": 1.3, "dense": 1}}}
    found = cost.limits(networks, {"c": {"tedm, voxels": 10**10, "tedm, dense": 10**12}})
    assert [row["met"] for row in found.values()] == [True, False, True]


@pytest.mark.parametrize("dimensions", [2, 3])
def test_it_measures_a_small_network(cost: Any, dimensions: int) -> None:
    plan = cost.make_plan(size=16, stages=3, features=4, dimensions=dimensions)
    found = cost.time_network(plan, rounds=1)
    assert found["timesteps"] == 8
    assert set(found["seconds"]) == {"forward", "voxels", "dense", "stacked", "forward_one", "predict"}
    assert all(value > 0 for value in found["forwards"].values())


def test_a_stack_takes_more_memory_than_all_voxels_and_these_more_than_some(cost: Any) -> None:
    found = cost.count_memory(cost.make_plan(size=32, stages=3, features=16))
    for trainer in ("tedm", "ledme"):
        assert found[f"{trainer}, voxels"] < found[f"{trainer}, dense"] < found[f"{trainer}, stacked"]


def test_the_stacked_head_is_the_heads_twin(cost: Any) -> None:
    head = ReadOutHead((6, 4), 2, dimensions=2).eval()
    twin = cost.StackedHead(head).eval()
    with torch.no_grad():
        twin.first.weight.copy_(torch.cat([projection.weight for projection in head.projections], dim=1))
        twin.first.bias.copy_(head.projections[-1].bias)
    features = [torch.randn(2, 6, 4, 4), torch.randn(2, 4, 8, 8)]
    torch.testing.assert_close(twin(features, (8, 8)), head(features, (8, 8)))
