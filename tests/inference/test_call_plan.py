"""How the network is called: by the memory there is."""

from __future__ import annotations

import pytest
import torch

from autodiffseg.inference import call_plan
from autodiffseg.inference.call_plan import CallPlan, cuda_bytes, patches_that_fit, plan_calls
from autodiffseg.memory.calibration import OVERHEAD

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
GB = 10**9


def linear(patches: int, patch: tuple[int, ...]) -> int:
    """A network with 1 GB of tensors for each patch, and another for all."""
    return (1 + patches) * GB


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A GPU with so many free bytes."""
    free = [20 * GB]
    monkeypatch.setattr(call_plan, "_free_cuda_bytes", lambda device: free[0])
    monkeypatch.setattr(call_plan, "cuda_bytes", lambda tensors, device: tensors + 2 * GB)
    return free


def plan(case_bytes: int, device: torch.device = CUDA, deterministic: bool = False) -> CallPlan:
    return plan_calls((64, 64, 64), case_bytes, linear, device=device, patches=None, deterministic=deterministic)


def test_a_gpu_gets_as_many_patches_as_its_free_memory_holds(gpu: list[int]) -> None:
    assert plan(2 * GB).patches == 15  # 20 - 2 for the case - 2 on top - 1 for the network's own
    gpu[0] = 10 * GB
    assert plan(2 * GB).patches == 5
    gpu[0] = GB
    assert plan(2 * GB).patches == 1
    gpu[0] = 10**13
    assert plan(2 * GB).patches == 32


def test_a_case_that_does_not_fit_beside_a_call_lies_on_the_cpu(gpu: list[int]) -> None:
    assert plan(16 * GB).home == CUDA
    assert plan(16 * GB).patches == 1
    assert plan(17 * GB).home == CPU
    assert plan(17 * GB).patches == 17  # then the GPU is free for calls


def test_deterministic_calls_take_one_patch_whatever_the_memory(gpu: list[int]) -> None:
    for gpu[0] in (GB, 10**13):
        assert plan(GB, deterministic=True).patches == 1
    assert plan(GB, CPU, deterministic=True).patches == 1


def test_what_a_call_takes_of_a_gpu_is_more_than_its_tensors() -> None:
    assert cuda_bytes(GB, CPU) == 1.05 * GB + OVERHEAD


def test_without_an_estimate_a_gpu_gets_few_patches() -> None:
    assert patches_that_fit((64, 64, 64), None, 0, CUDA) == 2


@pytest.mark.parametrize(("free", "at_once"), [(100 * GB, 4), (7 * GB, 2), (GB, 1), (None, 4)])
def test_on_a_cpu_memory_limits_how_many_calls_run_at_once(
    monkeypatch: pytest.MonkeyPatch, free: int | None, at_once: int
) -> None:
    monkeypatch.setattr(call_plan, "free_memory_bytes", lambda: free)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    assert plan(GB, CPU).at_once == at_once  # 3 GB each


@pytest.mark.parametrize(
    ("patch", "patches"), [((64, 64, 64), 1), ((40, 56, 40), 2), ((256, 256), 1), ((40, 56), 16), ((512, 512), 1)]
)
def test_on_a_cpu_a_call_takes_what_was_measured_to_be_quickest(patch: tuple[int, ...], patches: int) -> None:
    planned = plan_calls(patch, GB, None, device=CPU, patches=None, deterministic=False)
    assert planned.patches == patches


@pytest.mark.parametrize(
    ("at_once", "calls", "shared", "alone"),
    [(8, 100, (8, 1), (8, 1)), (8, 2, (2, 4), (2, 1)), (3, 100, (3, 2), (3, 1)), (8, 0, (1, 8), (1, 1))],
)
def test_calls_share_all_threads_unless_bits_matter(
    at_once: int, calls: int, shared: tuple[int, int], alone: tuple[int, int]
) -> None:
    planned = CallPlan(1, at_once, 8, CPU)
    assert planned.share_out(calls, deterministic=False) == shared
    assert planned.share_out(calls, deterministic=True) == alone


def test_on_a_gpu_calls_are_made_one_by_one() -> None:
    assert CallPlan(4, 1, None, CUDA).share_out(9, deterministic=False) == (1, None)
