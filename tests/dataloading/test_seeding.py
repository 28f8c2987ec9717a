"""Random states during and after a batch."""

import random

import numpy as np
import pytest
import torch

from autodiffseg.dataloading.seeding import seeded_libraries


def draw():
    return np.random.rand(), random.random(), torch.rand(1).item()


def test_draws_follow_from_seed_and_number_alone():
    results = []
    for seed, n in [(0, 3), (0, 4), (1, 3), (0, 3)]:
        with seeded_libraries(seed, n):
            results.append(draw())
    assert results[0] == results[3]
    assert len({number for result in results[:3] for number in result}) == 9


def test_the_callers_randomness_goes_on_as_if_nothing_happened():
    for state in (np.random.seed, random.seed, torch.manual_seed):
        state(7)
    expected = [draw(), draw()]
    for state in (np.random.seed, random.seed, torch.manual_seed):
        state(7)
    first = draw()
    with pytest.raises(KeyError), seeded_libraries(0, 0):
        {}[draw()]
    assert [first, draw()] == expected


def test_one_thread_and_no_autocast_inside_and_the_callers_threads_after():
    torch.set_num_threads(2)
    try:
        with torch.autocast("cpu", dtype=torch.bfloat16), seeded_libraries(0, 0):
            assert torch.get_num_threads() == 1
            assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32
            assert not torch.is_grad_enabled()
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)
