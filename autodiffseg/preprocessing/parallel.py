"""Doing the same to many cases on several processes, with failures named by case."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import TypeVar

from autodiffseg.errors import UserError

Job = TypeVar("Job")
Result = TypeVar("Result")

FEW_BYTES = 4e6  # compressed files of this size in all are done with sooner than worker processes have started

MOST_PROCESSES = 8


def default_processes() -> int:
    """The cores that this process may use, 8 at most."""
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(available, MOST_PROCESSES)


def useful_processes(files: Iterable[Path], processes: int) -> int:
    """`processes`, or 1 when there is too little to read for starting any."""
    return processes if sum(path.stat().st_size for path in files if path.is_file()) > FEW_BYTES else 1


def for_each_case(
    work: Callable[[Job], Result],
    jobs: Mapping[str, Job],
    *,
    processes: int,
    on_case: Callable[[], None] | None = None,
) -> dict[str, Result]:
    """Call `work` for every case; the order of the result is that of `jobs`, whatever the number of processes.

    A failing case does not stop the others, so what is done stays done and all failures are told at once.

    Args:
        work: a module-level function; it runs in a fresh process when `processes` > 1.
        jobs: case -> argument.
        on_case: called after each case, for progress bars.

    Raises:
        UserError: names each case that failed and why; or says that a process died.
    """
    results: dict[str, Result] = {}
    failures: dict[str, Exception] = {}

    def collect(case: str, get: Callable[[], Result]) -> None:
        try:
            results[case] = get()
        except (BrokenProcessPool, MemoryError):
            raise
        except Exception as error:
            failures[case] = error
        if on_case is not None:
            on_case()

    if processes == 1 or len(jobs) < 2:
        for case, job in jobs.items():
            collect(case, lambda job=job: work(job))  # type: ignore[misc]
    else:
        _run_in_processes(work, jobs, processes, collect)
    if failures:
        first = next(iter(failures.values()))
        raise UserError(_tell(failures)) from first
    return {case: results[case] for case in jobs}


def _run_in_processes(
    work: Callable[[Job], Result],
    jobs: Mapping[str, Job],
    processes: int,
    collect: Callable[[str, Callable[[], Result]], None],
) -> None:
    # Forking a process that has threads (progress bar, codecs) can deadlock; fresh ones cannot.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(min(processes, len(jobs)), mp_context=context, initializer=_ignore_interrupt)
    try:
        futures: dict[Future[Result], str] = {pool.submit(work, job): case for case, job in jobs.items()}
        for future in as_completed(futures):
            collect(futures[future], future.result)
    except BrokenProcessPool as error:
        raise UserError(
            "A worker process died, most likely for lack of memory; use fewer --num-processes. Finished cases are kept."
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _ignore_interrupt() -> None:
    """Ctrl-C reaches the whole group; the parent alone answers it, by cancelling what has not begun."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _tell(failures: Mapping[str, Exception]) -> str:
    lines = [
        f"case {case}: {error}" if isinstance(error, UserError) else f"case {case}: {type(error).__name__}: {error}"
        for case, error in sorted(failures.items())
    ]
    return lines[0] if len(lines) == 1 else f"{len(lines)} cases failed:\n  " + "\n  ".join(lines)
