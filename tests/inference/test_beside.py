"""Work beside the caller: bounded, in order, and the same without threads."""

from __future__ import annotations

import threading
import time

import pytest

from autodiffseg.inference.beside import Beside, read_ahead


@pytest.mark.parametrize("threads", [0, 1, 3])
def test_results_and_failures_come_back(threads: int) -> None:
    with Beside(threads) as beside:
        futures = [beside.submit(lambda n=n: 12 // n) for n in (1, 0, 3)]
        assert (futures[0].result(), futures[2].result()) == (12, 4)
        with pytest.raises(ZeroDivisionError):
            futures[1].result()


def test_without_threads_work_is_done_at_once_in_this_one() -> None:
    with Beside(0) as beside:
        assert beside.submit(threading.get_ident).result() == threading.get_ident()


def test_no_more_is_taken_than_threads_work_on() -> None:
    gate, begun = threading.Event(), []
    with Beside(2) as beside:
        for number in range(2):
            beside.submit(lambda number=number: (begun.append(number), gate.wait(10)))
        waiting = threading.Thread(target=lambda: beside.submit(lambda: begun.append(2)))
        waiting.start()
        time.sleep(0.05)
        assert waiting.is_alive()  # nothing piles up
        gate.set()
        waiting.join(10)
    assert sorted(begun) == [0, 1, 2]


def test_an_error_in_the_block_waits_for_what_has_begun() -> None:
    gate, done = threading.Event(), []

    def work() -> None:
        gate.wait(10)
        done.append(1)

    def interrupted() -> None:
        with Beside(1) as beside:
            beside.submit(work)
            gate.set()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert done == [1]


@pytest.mark.parametrize("beside", [False, True])
def test_items_come_in_order_and_a_failure_comes_with_its_item(beside: bool) -> None:
    def read(item: int) -> int:
        if item == 2:
            raise ValueError(item)
        return item * item

    found = {}
    for item, result in read_ahead(range(4), read, beside=beside):
        found[item] = result.exception() or result.result()
    assert list(found) == [0, 1, 2, 3]
    assert (found[0], found[1], found[3]) == (0, 1, 9)
    assert isinstance(found[2], ValueError)
    assert not list(read_ahead([], read, beside=beside))


@pytest.mark.parametrize(("beside", "ahead"), [(False, 0), (True, 1)])
def test_one_item_is_read_ahead_and_no_more(beside: bool, ahead: int) -> None:
    read: list[int] = []
    for item, result in read_ahead(range(5), read.append, beside=beside):
        result.result()
        time.sleep(0.02)
        assert max(read) == min(item + ahead, 4)
