"""Many cases on several processes: order, failures by name, progress."""

from __future__ import annotations

import math
import os
from pathlib import Path

import pytest

from autodiffseg.errors import UserError
from autodiffseg.preprocessing import parallel
from autodiffseg.preprocessing.parallel import default_processes, for_each_case, useful_processes

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


def test_a_dying_worker_is_told() -> None:
    with pytest.raises(UserError, match="fewer --num-processes"):
        for_each_case(os._exit, {"a": 1, "b": 1}, processes=2)


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
