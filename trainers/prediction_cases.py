"""Raw cases predicted one by one, by all members together; a bad case does not stop the others."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from pathlib import Path

import torch

from autodiffseg.errors import UserError
from autodiffseg.inference.beside import Beside, read_ahead
from autodiffseg.inference.probability_store import ProbabilityStore

from .case_reading import ReadCase, read_case_for
from .member import Member
from .prediction_memory import array_limit
from .prediction_outputs import PredictionOutputs
from .resources import Resources

OUT_OF_MEMORY = (
    "there is not enough memory for it; end other programs, leave out --save-probabilities, --save-steps and "
    "--uncertainty, or use --device cpu or a machine with more memory"
)


def predict_cases(
    members: Sequence[Member],
    cases: Mapping[str, tuple[Path, ...]],
    outputs: PredictionOutputs,
    resources: Resources | None = None,
) -> Generator[tuple[str, str | None], None, None]:
    """Predict raw cases; while the network is busy with one the next is read and the one before is written.

    Args:
        members: whose probabilities are averaged, one or more, of the same labels.
        cases: case -> image files in channel order.
        outputs: what is written, and where.
        resources: what it may take; it changes no file.

    Yields:
        Each case in turn, once all its files are there, with None, or with what is wrong with it; a bad case, or one
        too large for the memory, does not stop the others.
    """
    resources = resources or Resources()
    store = ProbabilityStore(outputs.folder, array_limit(members, outputs, resources))
    under_way: deque[_CaseUnderWay] = deque()
    read = partial(read_case_for, members)
    # The store is closed first: then who still writes soon ends, and no file of it appears.
    with Beside(resources.workers) as beside, store:
        for (case, _), ready in read_ahead(cases.items(), read, beside=resources.workers > 0):
            under_way.append(_CaseUnderWay(case))
            under_way[-1].predict(ready, outputs, store, beside)
            del ready
            while under_way and under_way[0].is_done:
                yield under_way.popleft().outcome()
        while under_way:
            yield under_way.popleft().outcome()


class _CaseUnderWay:
    """A case whose files are being made."""

    def __init__(self, case: str) -> None:
        self._case = case
        self._writings: list[Future[None]] = []
        self._error: Exception | None = None

    def predict(
        self, ready: Future[ReadCase], outputs: PredictionOutputs, store: ProbabilityStore, beside: Beside
    ) -> None:
        """Everything but what is still being written."""
        try:
            shown = ready.result().show()
            for write, in_turn in outputs.jobs(shown, shown[0].member.spec, store):
                for earlier in self._writings:
                    if earlier.done():
                        earlier.result()  # what has failed once is not gone on with
                self._writings.append(beside.submit(partial(_write, write, tuple(self._writings) if in_turn else ())))
        except Exception as error:
            # The traceback of what is no fault of the code would only keep arrays and tensors alive.
            self._error = error.with_traceback(None) if _fault(error) else error
        if torch.cuda.is_available() and self._error is not None and _is_out_of_memory(self._error):
            torch.cuda.empty_cache()

    @property
    def is_done(self) -> bool:
        return all(writing.done() for writing in self._writings)

    def outcome(self) -> tuple[str, str | None]:
        """The case and its fault, when all has been written."""
        errors = [self._error, *(writing.exception() for writing in self._writings)]
        error = next((error for error in errors if error is not None), None)
        if error is not None and _fault(error) is None:
            error.add_note(f"This happened with case {self._case}.")
            raise error
        return self._case, None if error is None else _fault(error)


def _write(write: Callable[[], None], others: Sequence[Future[None]]) -> None:
    """Write when the others have been written; their failure is its own."""
    for other in others:
        other.result()
    write()


def _fault(error: BaseException) -> str | None:
    """What is wrong with a case, or None for a mistake in the code."""
    if isinstance(error, UserError):
        return str(error)
    return OUT_OF_MEMORY if _is_out_of_memory(error) else None


def _is_out_of_memory(error: BaseException) -> bool:
    # Only on CUDA has torch a class of its own for it; these are its words for CPU and MPS.
    words = ("can't allocate memory", "out of memory")
    if isinstance(error, RuntimeError) and any(word in str(error) for word in words):
        return True
    return isinstance(error, MemoryError | torch.OutOfMemoryError)
