"""Beside: work done in threads while this one goes on, with bounded queues.

Threads, not processes: what goes on beside a network here is reading, resampling, compressing and writing, and all of
it lets go of the interpreter (numpy, scipy, SimpleITK, blosc2, zlib: of none was a pause above 13 ms measured). So a
case need not be copied to another process, which would take the memory that streaming saves, and nothing has to start.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from threading import BoundedSemaphore
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Beside:
    """A few threads. Without any, work is done at once; what it gives or raises is the same."""

    def __init__(self, threads: int) -> None:
        """Start none yet; `threads` at most."""
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="beside") if threads else None
        self._free = BoundedSemaphore(max(1, threads))

    def __enter__(self) -> Beside:
        """Itself."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Wait for what was submitted; after an error only for what has begun."""
        if self._executor is not None:
            self._executor.shutdown(wait=True, cancel_futures=exception[0] is not None)

    def submit(self, work: Callable[[], Result]) -> Future[Result]:
        """Begin some work, as soon as a thread is free for it: this waits, so nothing piles up."""
        if self._executor is None:
            return _done(work)
        self._free.acquire()
        try:
            future = self._executor.submit(work)
        except BaseException:
            self._free.release()
            raise
        future.add_done_callback(lambda _: self._free.release())
        return future


def read_ahead(
    items: Iterable[Item], read: Callable[[Item], Result], *, beside: bool
) -> Iterator[tuple[Item, Future[Result]]]:
    """Every item with what comes of reading it; the next one is read while the caller is busy with this.

    Args:
        items: in the order in which they are wanted.
        read: called once for each, in another thread if `beside`, else when its turn comes.
        beside: read one item ahead.
    """
    if not beside:
        yield from ((item, _done(partial(read, item))) for item in items)
        return
    with Beside(1) as reader:
        ahead: tuple[Item, Future[Result]] | None = None
        for item in items:
            following = item, reader.submit(partial(read, item))  # it waits until the one ahead has been read
            if ahead is not None:
                yield ahead
            ahead = following
            del following
        if ahead is not None:
            yield ahead


def _done(work: Callable[[], Result]) -> Future[Result]:
    future: Future[Result] = Future()
    try:
        future.set_result(work())
    except Exception as error:
        future.set_exception(error)
    return future
