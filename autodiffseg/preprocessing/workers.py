"""Worker processes that are given one case at a time, so that a dying one names the case that it had."""

from __future__ import annotations

import multiprocessing
import signal
import traceback
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from typing import Any, NamedTuple

from autodiffseg.errors import UserError


class Outcome(NamedTuple):
    """What came of one case: a result, or why there is none."""

    result: Any = None
    failure: str = ""
    """Empty, or in one line what went wrong."""
    details: str = ""
    """The traceback of a failure that is no mistake of the user's."""


def attempt(work: Callable[[Any], Any], job: Any) -> Outcome:
    """Do one case; what goes wrong is told, not raised."""
    try:
        return Outcome(work(job))
    except UserError as error:
        return Outcome(failure=str(error))
    except MemoryError as error:
        return Outcome(failure=f"out of memory ({error}); use fewer --num-processes.")
    except Exception as error:
        return Outcome(failure=f"{type(error).__name__}: {error}", details=traceback.format_exc())


def run_in_workers(
    work: Callable[[Any], Any],
    jobs: Mapping[str, Any],
    *,
    processes: int,
    quick: Callable[[str], bool],
    collect: Callable[[str, Outcome], None],
) -> None:
    """Do every case in fresh processes.

    A process that dies fails the case that it had; it is not replaced, since most likely memory is short, and the
    others go on. A worker needs half a second for its imports: until the first is ready this process does quick cases,
    and where all cases are quick it goes on with them and counts as one of the processes.

    Args:
        work: a module-level function of a package.
        jobs: case -> argument of `work`.
        processes: how many work.
        quick: whether a case takes so little time and memory that this process may do it.
        collect: called in this process for every case, in the order in which they end.
    """
    waiting = deque(jobs.items())
    all_quick = all(quick(case) for case in jobs)
    # While this process is busy nobody hands out, so a worker has its next case in advance; a long one would only wait.
    at_a_time = 2 if all_quick else 1
    workers: list[_Worker] = []
    try:
        workers += [_Worker(work) for _ in range(min(processes, len(jobs)) - all_quick)]
        while (workers or all_quick) and (waiting or any(worker.cases for worker in workers)):
            may_help = all_quick or not any(worker.ready for worker in workers)
            helps = may_help and bool(waiting) and quick(waiting[0][0])
            heard = wait([worker.connection for worker in workers], timeout=0 if helps else None)
            if not heard:
                case, job = waiting.popleft()
                collect(case, attempt(work, job))
            for worker in [worker for worker in workers if worker.connection in heard]:
                case, outcome = worker.listen()
                if case:
                    collect(case, outcome)
                if not worker.ready:
                    workers.remove(worker)
                    waiting.extendleft((case, jobs[case]) for case in worker.cases)
                while worker.ready and waiting and len(worker.cases) < at_a_time:
                    worker.give(*waiting.popleft())
    finally:
        for worker in workers:
            worker.dismiss()
    for case, _ in waiting:
        collect(case, Outcome(failure="it was not begun, because every worker process had died."))


class _Worker:
    """One process and the pipe to it."""

    def __init__(self, work: Callable[[Any], Any]) -> None:
        # Forking a process that has threads (progress bar, codecs) can deadlock; fresh ones cannot.
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(work, theirs), daemon=True)
        self._process.start()
        theirs.close()  # else its death would not be heard
        self.cases: deque[str] = deque()
        """What it was given and has not told of: the first is the one that it works on."""
        self.ready = False
        """Whether it has started and not died."""

    def give(self, case: str, job: Any) -> None:
        """Hand out a case."""
        self.cases.append(case)
        with suppress(BrokenPipeError):  # it has just died; listening will tell
            self.connection.send(job)

    def listen(self) -> tuple[str, Outcome]:
        """The case that has ended, or "" after the start, and what came of it."""
        case = self.cases.popleft() if self.cases else ""
        try:
            outcome: Outcome = self.connection.recv()
            self.ready = True
        except (EOFError, ConnectionResetError):
            self.ready = False
            self._process.join()
            how = f"signal {-code}" if (code := self._process.exitcode or 0) < 0 else f"exit code {code}"
            cure = "most likely memory was short: use fewer --num-processes"
            outcome = Outcome(failure=f"its worker process died ({how}); {cure}.")
        return case, outcome

    def dismiss(self) -> None:
        """End the process, after the case that it has."""
        self.connection.close()
        if not self.cases:
            self._process.terminate()
        self._process.join()


def _serve(work: Callable[[Any], Any], connection: Connection) -> None:
    """Do cases until the other end is closed. The first message says that all is imported."""
    # Ctrl-C reaches the whole group; the parent alone answers it, by handing out nothing more.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    outcome = Outcome()
    try:
        while True:
            _answer(connection, outcome)
            outcome = attempt(work, connection.recv())
    except (EOFError, OSError):
        return


def _answer(connection: Connection, outcome: Outcome) -> None:
    try:
        connection.send(outcome)
    except OSError:
        raise
    except Exception as error:  # a result that cannot be pickled
        connection.send(Outcome(failure=f"{type(error).__name__}: {error}", details=traceback.format_exc()))
