"""Many cases on several processes: order, failures by name, progress."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
import pytest

from autodiffseg.errors import UserError
from autodiffseg.preprocessing import parallel
from autodiffseg.preprocessing.parallel import (
    default_processes,
    fitting_processes,
    for_each_case,
    useful_processes,
)

NUMBERS = {f"case {index}": float(index**2) for index in range(20)}


@pytest.mark.parametrize("processes", [1, 2])
def test_results_come_in_the_order_of_the_cases(processes: int) -> None:
    done: list[None] = []
    found = for_each_case(math.sqrt, NUMBERS, processes=processes, on_case=lambda: done.append(None))
    assert list(found.items()) == [(f"case {index}", float(index)) for index in range(20)]
    assert len(done) == 20


@pytest.mark.parametrize("processes", [1, 2])
def test_every_failing_case_is_named_and_the_others_are_done(processes: int) -> None:
    done: list[None] = []
    with pytest.raises(UserError) as raised:
        for_each_case(
            math.sqrt, {**NUMBERS, "bad": -1.0, "worse": -2.0}, processes=processes, on_case=lambda: done.append(None)
        )
    assert "2 cases failed:\n  case bad: ValueError" in str(raised.value)
    assert "case worse: ValueError" in str(raised.value)
    assert len(done) == 22


def test_a_users_mistake_is_told_in_its_own_words() -> None:
    def refuse(path: str) -> None:
        raise UserError(f"{path} is broken.")

    with pytest.raises(UserError, match=r"^case a: a\.nii is broken\.$"):
        for_each_case(refuse, {"a": "a.nii"}, processes=1)


def test_a_dying_worker_names_its_case_and_the_others_are_done() -> None:
    done: list[None] = []
    jobs = {f"case {index}": "True" for index in range(9)} | {
        "big": "__import__('os').kill(__import__('os').getpid(), 9)"
    }
    with pytest.raises(UserError) as raised:
        for_each_case(eval, jobs, processes=2, on_case=lambda: done.append(None))
    assert str(raised.value).startswith("case big: its worker process died (signal 9); most likely memory was short")
    assert len(done) == 10


def test_when_all_workers_have_died_what_was_not_begun_is_told() -> None:
    with pytest.raises(UserError) as raised:
        for_each_case(os._exit, {"a": 3, "b": 3, "c": 3}, processes=2)
    lines = str(raised.value).splitlines()
    assert lines[0] == "3 cases failed:"
    assert sum("died (exit code 3)" in line for line in lines) == 2
    assert sum("it was not begun" in line for line in lines) == 1


def test_quick_cases_are_done_here_while_the_workers_start_and_the_others_there() -> None:
    jobs = {f"case {index}": "__import__('os').getpid()" for index in range(4)}
    found = for_each_case(eval, jobs, processes=2, quick=lambda case: case < "case 2")
    assert list(found) == list(jobs)
    assert os.getpid() not in (found["case 2"], found["case 3"])


def test_with_nothing_but_quick_cases_no_worker_is_waited_for() -> None:
    assert for_each_case(math.sqrt, {"a": 4.0, "b": 9.0, "c": 1.0}, processes=2, quick=lambda _: True) == {
        "a": 2,
        "b": 3,
        "c": 1,
    }


def test_where_all_cases_are_quick_this_process_is_one_of_those_that_work() -> None:
    jobs = {f"case {index}": "(__import__('time').sleep(0.05), __import__('os').getpid())[1]" for index in range(40)}
    found = for_each_case(eval, jobs, processes=2, quick=lambda _: True)
    assert list(found) == list(jobs)
    assert os.getpid() in found.values()
    assert len(set(found.values())) == 2


def test_lack_of_memory_is_told_with_its_case() -> None:
    with pytest.raises(UserError, match=r"^case a: out of memory .*; use fewer --num-processes"):
        for_each_case(np.zeros, {"a": 2**58}, processes=1)


def test_a_fault_of_ours_keeps_its_traceback() -> None:
    with pytest.raises(UserError) as raised:
        for_each_case(math.sqrt, {"a": -1.0, "b": 1.0}, processes=2)
    assert "Traceback" in str(raised.value.__cause__)


@pytest.mark.parametrize(("free", "fitting"), [(None, 4), (100e9, 4), (2.3e9, 2), (0.1e9, 1)])
def test_as_many_processes_as_the_memory_holds(
    monkeypatch: pytest.MonkeyPatch, free: float | None, fitting: int
) -> None:
    monkeypatch.setattr(parallel, "free_memory_bytes", lambda: free)
    notes: list[str] = []
    assert fitting_processes(4, 1e9, notes.append) == fitting
    assert len(notes) == (fitting < 4)


def test_the_cap_says_what_is_needed_and_what_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "free_memory_bytes", lambda: int(3.4e9))
    notes: list[str] = []
    fitting_processes(8, 1.5e9, notes.append)
    assert notes == ["Note: 2 of 8 processes work: one may need 1.5 GB, and 3.4 GB of memory are free."]


def test_little_work_starts_no_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_bytes(b"12345")
    files = [tmp_path / "a", tmp_path / "missing"]
    monkeypatch.setattr(parallel, "FEW_BYTES", 5)
    assert useful_processes(files, 8) == 1
    monkeypatch.setattr(parallel, "FEW_BYTES", 4)
    assert useful_processes(files, 8) == 8


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system does not tell which cores are allowed")
@pytest.mark.parametrize(("allowed", "wanted"), [(1, 1), (3, 3), (64, 8)])
def test_as_many_processes_as_allowed_cores_but_eight_at_most(
    monkeypatch: pytest.MonkeyPatch, allowed: int, wanted: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(allowed)))
    assert default_processes() == wanted
