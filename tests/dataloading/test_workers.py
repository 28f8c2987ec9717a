"""Worker processes: order, and every way to stop."""

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from autodiffseg.dataloading.workers import results_in_order
from autodiffseg.errors import UserError

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="makers of a test module need fork; /proc tells who lives"),
    pytest.mark.timeout(60),
]
LARGE = partial(np.full, (1, 1, 64, 64, 64))
"""1 MB: many times what a pipe holds, so that a waiting worker stands in the middle of a message."""


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def wait_until_gone(pids, seconds):
    limit = time.monotonic() + seconds
    while any(map(alive, pids)) and time.monotonic() < limit:
        time.sleep(0.05)
    return not any(map(alive, pids))


def workers_of_this_process():
    return [child.pid for child in multiprocessing.active_children()]


def slow_if_even(n):
    time.sleep(0.05 * (n % 2 == 0))
    return n


def test_results_come_in_order_even_when_some_take_longer():
    with results_in_order(slow_if_even, start=3, stop=14, workers=3) as results:
        assert list(results) == list(range(3, 14))


def test_no_worker_is_left_at_the_end():
    with results_in_order(LARGE, start=0, stop=4, workers=2) as results:
        pids = workers_of_this_process()
        assert [int(result.max()) for result in results] == [0, 1, 2, 3]
    assert len(pids) == 2
    assert wait_until_gone(pids, 2)


@pytest.mark.parametrize("how", [ValueError, KeyboardInterrupt, None])
def test_no_worker_is_left_when_the_block_is_left_early(how):
    with contextlib.ExitStack() as expected:
        if how is not None:
            expected.enter_context(pytest.raises(how))
        with results_in_order(LARGE, start=0, stop=100, workers=2) as results:
            next(results)
            pids = workers_of_this_process()
            if how is not None:
                raise how
    assert len(pids) == 2
    assert wait_until_gone(pids, 2)


def test_a_worker_that_is_killed_is_reported_and_nothing_hangs():
    pids = []
    with pytest.raises(UserError, match="worker died"):
        kill_one_of_two(pids)
    assert len(pids) == 2
    assert wait_until_gone(pids, 2)


def kill_one_of_two(pids):
    with results_in_order(LARGE, start=0, stop=99, workers=2) as results:
        next(results)
        time.sleep(0.3)
        pids += workers_of_this_process()
        os.kill(pids[0], signal.SIGKILL)
        for _ in results:
            time.sleep(0.01)


def fail(error, n):
    if n == 2:
        raise error
    return n


def test_a_mistake_of_the_user_arrives_as_it_was_raised():
    received = []
    with (
        pytest.raises(UserError, match=r"^case 7 is damaged$"),
        results_in_order(partial(fail, UserError("case 7 is damaged")), start=0, stop=9, workers=2) as results,
    ):
        received.extend(results)
    assert received == [0, 1]
    assert workers_of_this_process() == []


def test_a_fault_of_the_code_arrives_with_its_type_notes_and_traceback():
    error = ZeroDivisionError("oops")
    error.add_note("while making a patch of case 7")
    with (
        pytest.raises(ZeroDivisionError, match=r"(?s)test_workers.py.*oops.*case 7"),
        results_in_order(partial(fail, error), start=0, stop=9, workers=2) as results,
    ):
        list(results)


def test_interrupts_are_held_back_only_while_workers_start():
    with results_in_order(slow_if_even, start=0, stop=2, workers=1):
        assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


TRAINING = """
import multiprocessing, time
from functools import partial
import signal
import numpy as np
from autodiffseg.dataloading.workers import results_in_order
for number in (signal.SIGINT, signal.SIGTERM):  # a shell's background jobs ignore the former
    signal.signal(number, signal.default_int_handler)
with results_in_order(partial(np.full, (1, 1, 64, 64, 64)), start=0, stop=10**6, workers=2) as results:
    next(results)
    print(*(child.pid for child in multiprocessing.active_children()), flush=True)
    while True:
        next(results)
        time.sleep(0.1)
"""


@pytest.mark.slow
@pytest.mark.parametrize("way", ["ctrl-c", "scancel", "kill -9"])
def test_nothing_is_left_of_a_training_that_is_stopped_from_outside(way):
    training = subprocess.Popen(
        [sys.executable, "-c", TRAINING],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    pids = [int(pid) for pid in training.stdout.readline().split()]
    assert len(pids) == 2
    time.sleep(0.5)
    if way == "ctrl-c":
        os.killpg(training.pid, signal.SIGINT)  # a terminal interrupts the workers too
    elif way == "scancel":
        os.killpg(training.pid, signal.SIGTERM)  # so does a cluster
    else:
        training.kill()
    _, complaints = training.communicate(timeout=20)
    assert wait_until_gone(pids, 5)
    assert complaints.count("Traceback") == (way != "kill -9")
    assert "worker died" not in complaints
