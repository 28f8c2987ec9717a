"""Numbered results made in worker processes, handed over in order, with every way to stop thought of.

The workers are those of torch's DataLoader, which is fed with numbers. batchgenerators' MultiThreadedAugmenter gives
the same order, but stops badly (seen in 0.25.5): when a worker is killed, as the kernel does when memory runs out,
half a message is left in its pipe, and the clean-up in the parent waits for the other half for ever; and when the
parent is killed, workers stay behind, blocked in a pipe that nobody reads.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from torch.utils.data import DataLoader, Dataset

from autodiffseg.errors import UserError


class Maker(Protocol):
    """Makes result number n; it must be picklable where processes are not forked."""

    def __call__(self, n: int, /) -> Any: ...


@contextmanager
def results_in_order(make: Maker, *, start: int, stop: int, workers: int) -> Iterator[Iterator[Any]]:
    """`make(start)` to `make(stop - 1)`, in order, from `workers` (>= 1) processes that keep two results each ready.

    Leaving the block ends the workers, whatever the reason. They ignore Ctrl-C, which is the parent's to handle, and
    end by themselves within two seconds when the parent is gone. On Linux they are forked, which costs milliseconds
    (they run single-threaded and touch no GPU); elsewhere they are spawned, which costs seconds.

    Raises:
        UserError: from the iterator, when `make` raised it; from anywhere in the block, when a worker was killed.
        Exception: from the iterator, of the type that `make` raised, with the worker's traceback in its message.
    """
    received: Any = None
    try:
        with _without_interrupts(), warnings.catch_warnings():
            # Python 3.12 warns of every fork beside threads; torch of more workers than cores, which are asked for.
            warnings.filterwarnings("ignore", message=".*fork", category=DeprecationWarning)
            warnings.filterwarnings("ignore", message=".*worker processes in total", category=UserWarning)
            received = iter(
                DataLoader(
                    _Numbered(make),
                    batch_size=None,
                    sampler=range(start, stop),
                    num_workers=workers,
                    collate_fn=_as_it_is,
                    worker_init_fn=_prepare_worker,
                    generator=torch.Generator(),  # else a number is drawn from the trainer's randomness
                    multiprocessing_context="fork" if sys.platform == "linux" else "spawn",
                )
            )
        yield _checked(received)
    except RuntimeError as error:
        # Torch learns of a dead worker by a signal, which may come in the middle of anything the block does.
        if not str(error).startswith("DataLoader worker (pid"):
            raise
        raise UserError(
            f"A data loading worker died, often for want of memory; use fewer workers ({error})."
        ) from error
    finally:
        if received is not None:
            # Left to the garbage collector they would live as long as a traceback that refers to them.
            received._shutdown_workers()
            for worker in received._workers:
                worker.kill()  # nothing to do for one that has ended; torch would only ask, by SIGTERM


class _Numbered(Dataset[Any]):
    """What a worker is asked for: result n, or the UserError that was raised instead.

    Results should be numpy arrays: those go through a pipe. Tensors would go through /dev/shm, 64 MB in a container.
    """

    def __init__(self, make: Maker) -> None:
        self.make = make

    def __getitem__(self, n: int) -> Any:
        try:
            return self.make(n)
        except UserError as error:
            return error


def _as_it_is(item: Any) -> Any:
    return item


def _checked(received: Iterable[Any]) -> Iterator[Any]:
    for item in received:
        if isinstance(item, UserError):
            raise item
        yield item


def _prepare_worker(_: int) -> None:
    # A signal to the whole group is for the parent to answer: it saves, then ends the workers.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    torch.set_num_threads(1)
    threading.Thread(target=_follow, args=(os.getppid(),), daemon=True).start()


def _follow(parent: int) -> None:
    """End this worker when its parent is gone. Torch's own watch then waits to empty a pipe that nobody reads."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Hold back Ctrl-C and SIGTERM while workers start: they must not hit one that does not ignore them yet."""
    mask: Callable[..., Any] | None = getattr(signal, "pthread_sigmask", None)  # not on Windows
    if mask is None:
        yield
        return
    before = mask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        mask(signal.SIG_SETMASK, before)
