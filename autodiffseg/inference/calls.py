"""Network calls one after the other or several at once, with their results in order."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")


def ordered_calls(
    call: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    at_once: int,
    threads: int | None,
) -> Iterator[Result]:
    """`call` of every item, in the order of the items.

    On a processor calls side by side, of one thread each, beat one call of all threads: nobody waits for the slowest
    thread at the end of every layer. What a call of one thread computes does not depend on how many cores there are,
    which calls of several threads cannot promise: they part sums among threads.

    Args:
        call: works in any thread.
        items: made as they are needed, a few ahead.
        at_once: calls at a time, in threads of their own.
        threads: of torch for each of these; None calls here, one by one, with whatever torch has.
    """
    if threads is None:
        yield from map(call, items)
        return
    here = torch.get_num_threads()
    begun: deque[Future[Result]] = deque()
    pool = ThreadPoolExecutor(at_once, initializer=torch.set_num_threads, initargs=(threads,))
    try:
        for item in items:
            begun.append(pool.submit(call, item))
            if len(begun) > 2 * at_once:  # some ahead, so that nobody is idle while the result is used
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(here)  # the number is a thread's own, but threads that begin later take the last one


@contextmanager
def deterministic_kernels() -> Iterator[None]:
    """In the block every kernel of CUDA gives the same bits whenever it gets the same input.

    On a processor all do that by themselves, with one thread.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # else matrix products on CUDA refuse
    cudnn = torch.backends.cudnn
    before = (torch.are_deterministic_algorithms_enabled(), cudnn.deterministic, cudnn.benchmark)
    torch.use_deterministic_algorithms(True)
    cudnn.deterministic, cudnn.benchmark = True, False  # the search for the fastest kernel may end differently
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0])
        cudnn.deterministic, cudnn.benchmark = before[1:]
