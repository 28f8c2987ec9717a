"""The tracker counts each storage once, from its making to its end."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from autodiffseg.memory.live_tensors import CUDA_BLOCK, LiveTensors

DEVICES = ["cpu", "meta"]
KIB = 1024


def kib(device: str) -> Tensor:
    """A new tensor of one KiB."""
    return torch.ones(256, device=device)


@pytest.mark.parametrize("device", DEVICES)
def test_a_view_costs_nothing_and_its_base_is_freed_with_the_last_view(device: str) -> None:
    with LiveTensors() as tracker:
        base = kib(device)
        view = base.view(16, 16)[:4]
        assert tracker.current == KIB
        del base
        assert tracker.current == KIB
        del view
        assert (tracker.current, tracker.peak) == (0, KIB)


@pytest.mark.parametrize("device", DEVICES)
def test_the_peak_is_what_was_alive_at_once_not_what_was_made(device: str) -> None:
    with LiveTensors() as tracker:
        for _ in range(5):
            kept = kib(device) + 1  # the first summand is gone after the sum
            del kept
    assert tracker.peak == 2 * KIB


@pytest.mark.parametrize("device", DEVICES)
def test_an_operator_in_place_makes_nothing(device: str) -> None:
    with LiveTensors() as tracker:
        kib(device).mul_(2).add_(1)
    assert tracker.peak == KIB


def test_sizes_are_rounded_up_to_blocks() -> None:
    with LiveTensors() as rounded, LiveTensors(block=1) as exact:
        one, more = torch.empty(1), torch.empty(CUDA_BLOCK // 4 + 1)
    assert (rounded.peak, exact.peak) == (3 * CUDA_BLOCK, 4 + more.nbytes)
    assert one.nbytes == 4


def test_what_the_backward_pass_makes_is_seen() -> None:
    weight = torch.empty(256, device="meta", requires_grad=True)
    with LiveTensors() as tracker:
        tracker.label([weight], "parameters")
        (weight * 2).sum().backward()  # type: ignore[no-untyped-call]
        assert weight.grad is not None
        tracker.label([weight.grad], "gradients")
        assert dict(+tracker.parts) == {"parameters": KIB, "gradients": KIB}


def test_parts_sum_to_the_whole_and_go_with_their_tensors() -> None:
    with LiveTensors() as tracker:
        first, second = kib("meta"), kib("meta")
        tracker.label([first], "state")
        tracker.label([first], "state")  # twice is once
        assert dict(tracker.parts) == {"activations": KIB, "state": KIB}
        del first
        assert dict(+tracker.parts) == {"activations": KIB}
        assert sum(tracker.peak_parts.values()) == tracker.peak == 2 * KIB
        assert second.numel() == 256


def test_a_storage_that_grows_is_counted_anew() -> None:
    with LiveTensors() as tracker:
        out = torch.empty(0)
        tracker.label([out], "results")
        torch.add(kib("cpu"), 1, out=out)
        assert tracker.current == KIB
        assert dict(+tracker.parts) == {"results": KIB}
