"""Ranks: the processes that torchrun starts for one prediction; they share its cases through a store of torch's."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol, TypeVar

import typer

from autodiffseg.errors import UserError

Loaded = TypeVar("Loaded")
Value = TypeVar("Value")

VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
"""What torchrun tells each process; without all of them a process is alone."""
MEETING = timedelta(minutes=10)
"""In which all processes must have been started."""
PATIENCE = timedelta(days=30)
"""A case may take long; a process that has died is noticed otherwise."""
POLL_SECONDS = 0.2

PLAN, NEXT, DONE, ENDED, FAILED, BAD = "plan", "next", "done", "ended", "failed", "bad"
"""Keys of the store: what the first has prepared; counters; the faults that each has found."""


class Store(Protocol):
    """What is used of torch's stores of keys and values."""

    def set(self, key: str, value: str, /) -> None:
        """Set a value."""
        ...

    def get(self, key: str, /) -> bytes:
        """A value; waits until it has been set."""
        ...

    def add(self, key: str, amount: int, /) -> int:
        """Raise a counter, which begins at 0; what it is then. One process after the other."""
        ...


@dataclass(frozen=True)
class Ranks:
    """One of the processes, and how it speaks to the others. A process that is alone is the first of one."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    """Among those of this machine: the GPU it takes."""
    local_size: int = 1
    restarted: bool = False
    """By torchrun, after one of them had failed."""
    store: Store | None = None
    """None for a process that is alone."""

    @property
    def is_first(self) -> bool:
        """The one that prepares, prints and sums up."""
        return self.rank == 0

    def prepare(self, load: Callable[[], Loaded], plan: Callable[[Loaded], Any]) -> tuple[Loaded, Any]:
        """Load in every process, then plan in the first alone.

        Args:
            load: has no effect outside of the process.
            plan: called in the first once it has loaded; what it returns can be written as JSON.

        Returns:
            What this process has loaded, and what the first has planned.

        Raises:
            UserError: what `load` or `plan` raise.
            typer.Exit: in the others, when the first could not; it has told why.
        """
        if self.is_first:
            try:
                ready = load()
                told = plan(ready)
            except BaseException:
                self._set(PLAN, None)
                raise
            self._set(PLAN, told)
            return ready, told
        outcome: Loaded | UserError
        try:
            outcome = load()
        except UserError as error:  # told after what the first has to tell, which may be the same
            outcome = error
        told = self._get(PLAN)
        if told is None:
            raise typer.Exit(2)
        if isinstance(outcome, UserError):
            raise UserError(f"Process {self.rank} of {self.size}: {outcome}") from outcome
        return outcome, told

    def share(self, cases: Mapping[str, Value]) -> Mapping[str, Value]:
        """The cases that this process gets; which they are is seen while it goes through them.

        Each is taken by the next process that is free, so that slow ones take fewer.
        """
        return cases if self.store is None else _Shared(cases, self.store)

    def one_done(self, done: int) -> int:
        """Tell that this process has done one case more, its `done`-th; how many all have done."""
        return done if self.store is None else int(self.store.add(DONE, 1))

    def gather(self, bad: dict[str, str], on_done: Callable[[int], None]) -> dict[str, str]:
        """Wait for the others, and put together the cases that could not be predicted.

        Args:
            bad: those of this process.
            on_done: called in the first, now and then, with the cases that all have done.

        Returns:
            In the first those of all, in the others nothing.

        Raises:
            UserError: in the first, when another has failed.
        """
        if self.store is None:
            return bad
        if not self.is_first:
            self._set(f"{BAD}/{self.rank}", bad)
            self.store.add(ENDED, 1)
            return {}
        while self.store.add(ENDED, 0) < self.size - 1:
            if self.store.add(FAILED, 0):
                raise UserError("Another process has failed and told why. What is done stays; go on with --continue.")
            on_done(int(self.store.add(DONE, 0)))
            time.sleep(POLL_SECONDS)
        for rank in range(1, self.size):
            bad = bad | self._get(f"{BAD}/{rank}")
        return bad

    def _set(self, key: str, value: Any) -> None:
        if self.store is not None:
            self.store.set(key, json.dumps(value))

    def _get(self, key: str) -> Any:
        """Waits until it has been set."""
        assert self.store is not None
        return json.loads(self.store.get(key))


@dataclass(frozen=True)
class _OfAttempt:
    """A store whose keys are those of one attempt."""

    store: Store
    attempt: int

    def set(self, key: str, value: str, /) -> None:
        self.store.set(f"{self.attempt}/{key}", value)

    def get(self, key: str, /) -> bytes:
        return self.store.get(f"{self.attempt}/{key}")

    def add(self, key: str, amount: int, /) -> int:
        return self.store.add(f"{self.attempt}/{key}", amount)


class _Shared(Mapping[str, Value]):
    """A mapping of which every process that goes through it sees other entries, all of them each once."""

    def __init__(self, cases: Mapping[str, Value], store: Store) -> None:
        self._cases, self._store = cases, store

    def __getitem__(self, case: str) -> Value:
        return self._cases[case]

    def __iter__(self) -> Iterator[str]:
        names = list(self._cases)
        while (number := int(self._store.add(NEXT, 1)) - 1) < len(names):
            yield names[number]

    def __len__(self) -> int:
        return len(self._cases)


@contextmanager
def join_ranks() -> Iterator[Ranks]:
    """This process among those that torchrun has started; alone without torchrun.

    Raises:
        UserError: when the others cannot be reached.
    """
    told = {name: os.environ.get(name, "") for name in VARIABLES}
    if not all(told.values()) or told["WORLD_SIZE"] == "1":
        yield Ranks()
        return
    from torch.distributed.rendezvous import rendezvous

    try:
        store, rank, size = next(rendezvous("env://", timeout=MEETING))
    except (RuntimeError, ValueError) as error:
        place = f"{told['MASTER_ADDR']}:{told['MASTER_PORT']}"
        raise UserError(f"No other process can be reached at {place} ({error}); see torchrun's options.") from error
    store.set_timeout(PATIENCE)
    # torchrun counts how often it has started all anew; what earlier ones have left in the store is not meant for us.
    attempt = int(os.environ.get("TORCHELASTIC_RESTART_COUNT") or 0)
    own = _OfAttempt(store, attempt)
    ranks = Ranks(
        rank,
        size,
        local_rank=int(told["LOCAL_RANK"]),
        local_size=int(os.environ.get("LOCAL_WORLD_SIZE") or 1),
        restarted=attempt > 0,
        store=own,
    )
    try:
        yield ranks
    except BaseException:
        with suppress(RuntimeError):  # the store may have gone with the first; that is not what is to be told
            own.add(FAILED, 1)
        raise


def device_name(name: str | None, ranks: Ranks) -> str | None:
    """The device of this process: of several on a machine with GPUs, each takes the one of its own number.

    Raises:
        UserError: when one GPU is named for all of them.
    """
    import torch

    if ranks.size == 1:
        return name
    if name is not None and ":" in name:
        raise UserError(f"--device {name}: {ranks.size} processes would share it; say cuda, and each takes one.")
    if name in (None, "cuda") and torch.cuda.is_available():
        if ranks.local_rank >= torch.cuda.device_count():
            raise UserError(
                f"{ranks.local_size} processes were started on a machine with {torch.cuda.device_count()} GPUs; "
                "start as many as there are (torchrun --nproc-per-node gpu), or say --device cpu."
            )
        torch.cuda.set_device(ranks.local_rank)  # what is not told a device must not wake GPU 0 in every process
        return f"cuda:{ranks.local_rank}"
    return name
