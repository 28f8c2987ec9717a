"""Doing the same to many cases on several processes, with failures named by case."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TypeVar

from autodiffseg.byte_sizes import shown_bytes
from autodiffseg.errors import UserError
from autodiffseg.preprocessing.free_memory import free_memory_bytes
from autodiffseg.preprocessing.workers import Outcome, attempt, run_in_workers
from autodiffseg.problems import SHOWN

Job = TypeVar("Job")
Result = TypeVar("Result")

FEW_BYTES = 4e6  # compressed files of this size in all are done with sooner than worker processes have started

MOST_PROCESSES = 8

USABLE = 0.9
"""Fraction of the free memory that workers may take together."""


def default_processes() -> int:
    """The cores that this process may use, 8 at most."""
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(available, MOST_PROCESSES)


def useful_processes(files: Iterable[Path], processes: int) -> int:
    """`processes`, or 1 when there is too little to read for starting any."""
    return processes if sum(path.stat().st_size for path in files if path.is_file()) > FEW_BYTES else 1


def fitting_processes(processes: int, bytes_each: float, tell: Callable[[str], None] | None = None) -> int:
    """`processes`, or as many as the free memory holds, but at least one.

    Args:
        processes: wanted.
        bytes_each: peak memory of one process; `case_memory` has estimates.
        tell: called with one line when it is fewer.
    """
    free = free_memory_bytes()
    fitting = processes if free is None else max(1, min(processes, int(USABLE * free / bytes_each)))
    if fitting < processes and tell is not None and free is not None:
        tell(
            f"Note: {fitting} of {processes} processes work: one may need {shown_bytes(bytes_each)}, "
            f"and {shown_bytes(free)} of memory are free."
        )
    return fitting


def for_each_case(
    work: Callable[[Job], Result],
    jobs: Mapping[str, Job],
    *,
    processes: int,
    on_case: Callable[[], None] | None = None,
    quick: Callable[[str], bool] = lambda _: False,
) -> dict[str, Result]:
    """Call `work` for every case; the order of the result is that of `jobs`, whatever the number of processes.

    A failing case does not stop the others, so what is done stays done and all failures are told at once.

    Args:
        work: a module-level function; it runs in a fresh process when `processes` > 1.
        jobs: case -> argument.
        on_case: called after each case, for progress bars.
        quick: whether a case is so short that this process may do it while the worker processes start.

    Raises:
        UserError: names each case that failed and why; a process that dies fails the case that it had.
    """
    results: dict[str, Result] = {}
    failures: dict[str, Outcome] = {}

    def collect(case: str, outcome: Outcome) -> None:
        if outcome.failure:
            failures[case] = outcome
        else:
            results[case] = outcome.result
        if on_case is not None:
            on_case()

    if processes == 1 or len(jobs) < 2:
        for case, job in jobs.items():
            collect(case, attempt(work, job))
    else:
        run_in_workers(work, jobs, processes=processes, quick=quick, collect=collect)
    if failures:
        details = [outcome.details for outcome in failures.values() if outcome.details]
        raise UserError(_tell(failures)) from (RuntimeError(details[0]) if details else None)
    return {case: results[case] for case in jobs}


def _tell(failures: Mapping[str, Outcome]) -> str:
    lines = [f"case {case}: {outcome.failure}" for case, outcome in sorted(failures.items())]
    if len(lines) == 1:
        return lines[0]
    more = [f"… and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
    return f"{len(lines)} cases failed:\n  " + "\n  ".join([*lines[:SHOWN], *more])
