"""The random states that transform libraries draw from, seeded for one batch and put back after it."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def seeded_libraries(seed: int, n: int) -> Iterator[None]:
    """Make what the block draws and computes on the CPU a pure function of (seed, n).

    Inside, the global states of numpy, Python and torch's CPU generator follow from (seed, n); afterwards they are as
    they were, so that the trainer's own randomness does not depend on where batches are made. (`torch.manual_seed`
    would seed the GPUs as well and is not used.) Torch computes with one thread, because the rounding of a sum depends
    on how many threads it is split over, without gradients and without autocast.
    """
    # The third number keeps these states apart from default_rng([seed, n]).
    words = np.random.SeedSequence([seed, n, 1]).generate_state(4)
    threads = torch.get_num_threads()
    with contextlib.ExitStack() as after:
        after.callback(np.random.set_state, np.random.get_state())
        after.callback(random.setstate, random.getstate())
        after.callback(torch.set_rng_state, torch.get_rng_state())
        if threads != 1:
            after.callback(torch.set_num_threads, threads)
            torch.set_num_threads(1)
        np.random.seed(words)
        random.seed(int(words[0]))
        torch.default_generator.manual_seed(int(words[1]))
        with torch.no_grad(), torch.autocast("cpu", enabled=False):
            yield
