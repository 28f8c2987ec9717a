"""Calls side by side: results in order, no more at once than allowed, torch left as it was."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
import torch

from autodiffseg.inference.calls import deterministic_kernels, ordered_calls


def squares(count: int, **options: object) -> Iterator[int]:
    def square(number: int) -> int:
        time.sleep(0.001 * (number % 3))
        return number**2

    settings = {"at_once": 3, "threads": 1} | options
    return ordered_calls(square, range(count), **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("threads", [None, 1])
@pytest.mark.parametrize("count", [0, 1, 20])
def test_results_come_in_order(threads: int | None, count: int) -> None:
    assert list(squares(count, threads=threads)) == [number**2 for number in range(count)]


def test_each_call_has_the_threads_it_is_given_and_torch_keeps_its_own() -> None:
    before = torch.get_num_threads()
    seen = list(ordered_calls(lambda _: torch.get_num_threads(), range(9), at_once=2, threads=3))
    assert seen == [3] * 9
    assert torch.get_num_threads() == before


def test_no_more_run_at_once_than_allowed() -> None:
    running, most, lock = 0, 0, threading.Lock()

    def call(_: int) -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.002)
        with lock:
            running -= 1

    list(ordered_calls(call, range(30), at_once=4, threads=1))
    assert 2 <= most <= 4


def test_items_are_made_a_few_ahead_alone() -> None:
    made = 0

    def items() -> Iterator[int]:
        nonlocal made
        for number in range(100):
            made += 1
            yield number

    results = ordered_calls(lambda number: number, items(), at_once=2, threads=1)
    assert next(results) == 0
    assert made <= 6


def test_an_error_reaches_the_caller_and_nothing_runs_on() -> None:
    def call(number: int) -> int:
        if number == 2:
            raise ValueError("two")
        return number

    begun = threading.active_count()
    results = ordered_calls(call, range(50), at_once=2, threads=1)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ValueError, match="two"):
        next(results)
    assert threading.active_count() == begun


def test_deterministic_kernels_are_asked_for_within_and_not_after() -> None:
    cudnn = torch.backends.cudnn
    before = (torch.are_deterministic_algorithms_enabled(), cudnn.deterministic, cudnn.benchmark)
    with deterministic_kernels():
        assert torch.are_deterministic_algorithms_enabled()
        assert cudnn.deterministic
        assert not cudnn.benchmark
    assert (torch.are_deterministic_algorithms_enabled(), cudnn.deterministic, cudnn.benchmark) == before
