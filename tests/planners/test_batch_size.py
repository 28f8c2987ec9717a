"""The batch: memory, share of the dataset, bounds."""

from __future__ import annotations

from dataclasses import replace

from autodiffseg.planners.batch_size import BatchPlan, plan_batch
from autodiffseg.planners.presets import CPU, DEFAULT

PATCH = (10, 10, 10)


def batch(elements: int, shape: tuple[int, ...] = (10, 10, 10), cases: int = 1000) -> BatchPlan:
    return plan_batch(PATCH, elements=elements, median_shape=shape, cases=cases, preset=DEFAULT)


def test_memory_alone() -> None:
    assert batch(112_000_000) == BatchPlan(size=10, by_memory=10, by_dataset=50)  # 560e6 / 112e6 · 2


def test_never_more_than_a_twentieth_of_the_dataset() -> None:
    assert batch(1_000_000, cases=80) == BatchPlan(size=4, by_memory=1120, by_dataset=4)


def test_a_small_dataset_of_slices_leaves_a_batch_of_twelve_while_memory_lasts() -> None:
    def size(elements: int) -> int:
        return plan_batch((10, 10), elements=elements, median_shape=(1, 10, 10), cases=20, preset=DEFAULT).size

    assert size(1_000_000) == 12  # memory would hold 1020
    assert size(85_000_000) == 12
    assert size(170_000_000) == 6


def test_more_than_128_slices_or_32_volumes_are_not_planned() -> None:
    assert batch(1000, cases=100_000).size == 32
    flat = plan_batch((10, 10), elements=1000, median_shape=(1, 10, 10), cases=100_000, preset=DEFAULT)
    assert (flat.size, flat.by_dataset) == (128, 5000)


def test_two_at_least() -> None:
    assert batch(10**12).size == 2
    assert batch(1_000_000, cases=1).size == 2


def test_the_largest_of_the_preset() -> None:
    small = plan_batch((10, 10), elements=100, median_shape=(10, 10, 10), cases=1000, preset=CPU)
    assert small.size == 8
    bounded = replace(DEFAULT, three=replace(DEFAULT.three, max_batch=3))
    found = plan_batch(PATCH, elements=1, median_shape=(10, 10, 10), cases=1000, preset=bounded)
    assert found.size == 3
