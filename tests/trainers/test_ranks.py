"""Processes that share cases: each case is taken once, the first sums up, and failures reach it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import typer
from torch.distributed import HashStore

from autodiffseg.errors import UserError
from autodiffseg.images import read_label
from autodiffseg.trainers import ranks as ranks_module
from autodiffseg.trainers.ranks import PATIENCE, VARIABLES, Ranks, device_name, join_ranks


def several(count: int) -> list[Ranks]:
    store = HashStore()
    return [Ranks(rank, count, local_rank=rank, local_size=count, store=store) for rank in range(count)]


def at_once(ranks: list[Ranks], work: Callable[[Ranks], Any]) -> list[Any]:
    """What `work` gives, or the error it raises, in a thread per rank."""
    results: list[Any] = [None] * len(ranks)

    def run(number: int) -> None:
        try:
            results[number] = work(ranks[number])
        except BaseException as error:
            results[number] = error

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(ranks))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
        assert not thread.is_alive()
    return results


def test_every_case_is_taken_once() -> None:
    cases = {f"case {number}": number for number in range(200)}
    parts = at_once(several(4), lambda ranks: dict(ranks.share(cases).items()))
    assert sum(map(len, parts)) == 200
    assert {case: number for part in parts for case, number in part.items()} == cases


def test_a_process_that_is_alone_takes_all_and_asks_nobody() -> None:
    alone, cases = Ranks(), {"a": 1, "b": 2}
    assert alone.share(cases) is cases
    assert alone.prepare(lambda: 3, lambda loaded: loaded + 1) == (3, 4)
    assert alone.one_done(7) == 7
    assert alone.gather({"a": "bad"}, lambda done: None) == {"a": "bad"}


def test_the_first_alone_plans_and_all_are_told() -> None:
    planned = []

    def plan(loaded: int) -> dict[str, int]:
        planned.append(loaded)
        return {"todo": 5}

    told = at_once(several(3), lambda ranks: ranks.prepare(lambda: ranks.rank, plan))
    assert told == [(rank, {"todo": 5}) for rank in range(3)]
    assert planned == [0]


@pytest.mark.parametrize("stage", ["load", "plan"])
def test_when_the_first_cannot_prepare_it_says_why_and_the_others_end_quietly(stage: str) -> None:
    def fail(*_: Any) -> int:
        raise UserError("no such model")

    told = at_once(
        several(3),
        lambda ranks: ranks.prepare(fail if stage == "load" else lambda: 1, fail if stage == "plan" else str),
    )
    assert str(told[0]) == "no such model"
    assert [type(error) for error in told[1:]] == [typer.Exit, typer.Exit]
    assert [error.exit_code for error in told[1:]] == [2, 2]


@pytest.mark.parametrize("error", [RuntimeError("CUDA error"), KeyboardInterrupt()])
def test_the_others_do_not_wait_for_a_first_that_broke_while_it_loaded(error: BaseException) -> None:
    first, second = several(2)
    second.store.set_timeout(timedelta(seconds=5))  # type: ignore[union-attr]  # it is a HashStore

    def fail() -> int:
        raise error

    with pytest.raises(type(error)):
        first.prepare(fail, str)
    with pytest.raises(typer.Exit):
        second.prepare(lambda: 1, str)


def test_another_that_cannot_load_says_which_it_is() -> None:
    def load(ranks: Ranks) -> int:
        if ranks.rank == 2:
            raise UserError("no GPU 2")
        return ranks.rank

    told = at_once(several(3), lambda ranks: ranks.prepare(lambda: load(ranks), str))
    assert told[:2] == [(0, "0"), (1, "0")]
    assert str(told[2]) == "Process 2 of 3: no GPU 2"


def test_the_first_gathers_the_faults_of_all() -> None:
    seen: list[int] = []

    def work(ranks: Ranks) -> dict[str, str]:
        ranks.one_done(1)
        return ranks.gather({f"case {ranks.rank}": "bad"}, seen.append)

    told = at_once(several(3), work)
    assert told == [{f"case {rank}": "bad" for rank in range(3)}, {}, {}]
    assert all(done <= 3 for done in seen)


def test_the_first_does_not_wait_for_one_that_has_failed() -> None:
    def work(ranks: Ranks) -> dict[str, str]:
        if not ranks.is_first:
            assert ranks.store is not None
            ranks.store.add("failed", 1)
            return {}
        return ranks.gather({}, lambda done: None)

    assert "Another process has failed" in str(at_once(several(2), work)[0])


@pytest.mark.parametrize("lacks", VARIABLES)
def test_without_torchrun_a_process_is_alone(lacks: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.setenv(name, "2")
    monkeypatch.delenv(lacks)
    with join_ranks() as ranks:
        assert ranks == Ranks()


def test_nobody_waits_long_for_a_first_process_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(taken.getsockname()[1])}
        for name, value in ({"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1"} | place).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(ranks_module, "MEETING", timedelta(seconds=1))
        with pytest.raises(UserError, match=r"No other process can be reached at 127\.0\.0\.1"), join_ranks():
            pass


def test_once_they_have_met_they_wait_for_each_other_as_long_as_a_case_may_take(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = HashStore()
    monkeypatch.setattr(
        sys.modules["torch.distributed.rendezvous"], "rendezvous", lambda *_, **__: iter([(store, 0, 2)])
    )
    for name in VARIABLES:
        monkeypatch.setenv(name, "2")
    with join_ranks():
        assert store.timeout == PATIENCE


def test_a_fault_is_told_although_the_store_has_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone(HashStore):
        def add(self, key: str, amount: int) -> int:
            raise RuntimeError("connection reset")

    monkeypatch.setattr(
        sys.modules["torch.distributed.rendezvous"], "rendezvous", lambda *_, **__: iter([(Gone(), 1, 2)])
    )
    for name in VARIABLES:
        monkeypatch.setenv(name, "2")
    with pytest.raises(UserError, match="no such model"), join_ranks():
        raise UserError("no such model")


def test_what_a_failed_attempt_has_left_is_not_heard_by_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    store = HashStore()
    monkeypatch.setattr(
        sys.modules["torch.distributed.rendezvous"], "rendezvous", lambda *_, **__: iter([(store, 0, 2)])
    )
    for name in VARIABLES:
        monkeypatch.setenv(name, "2")

    def fail() -> None:
        with join_ranks() as ranks:
            assert not ranks.restarted
            assert list(ranks.share({"a": 1})) == ["a"]
            raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        fail()
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    with join_ranks() as ranks:
        assert ranks.restarted
        assert ranks.store is not None
        assert ranks.store.add("failed", 0) == 0
        assert list(ranks.share({"a": 1})) == ["a"]


def test_each_process_takes_the_gpu_of_its_own_number(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen: list[int] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    first, second, third = several(3)
    assert [device_name(None, first), device_name("cuda", second), device_name("cpu", third)] == [
        "cuda:0",
        "cuda:1",
        "cpu",
    ]
    assert chosen == [0, 1]
    with pytest.raises(UserError, match="3 processes were started on a machine with 2 GPUs"):
        device_name(None, third)
    with pytest.raises(UserError, match="3 processes would share it"):
        device_name("cuda:1", second)
    assert device_name("cuda:1", Ranks()) == "cuda:1"


def torchrun(*arguments: str) -> subprocess.CompletedProcess[str]:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    environment |= {"OMP_NUM_THREADS": "1", "COLUMNS": "300"}
    command = [*launcher, "-m", "autodiffseg", "predict", *arguments, "--device", "cpu", "--precision", "fp32"]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, env=environment)


@pytest.mark.slow
def test_torchrun_shares_the_cases_and_tells_once(trained_phantom: Path, phantom_raw: Path, tmp_path: Path) -> None:
    from autodiffseg.cli import run

    model = str(next(trained_phantom.glob("results/*/recycling*")))
    images, options = str(phantom_raw / "imagesTr"), ["--steps", "2", "--no-mirroring"]
    done = torchrun("-i", images, "-o", str(tmp_path / "shared"), "--model", model, *options)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("Predicting 6 of 6 cases") == 1
    assert done.stdout.count("2 processes share them.") == 1
    assert "6/6" in done.stdout
    more = [*options, "--device", "cpu", "--precision", "fp32"]
    assert run(["predict", "-i", images, "-o", str(tmp_path / "alone"), "--model", model, *more]) == 0
    names = sorted(path.name for path in (tmp_path / "alone").iterdir())
    assert sorted(path.name for path in (tmp_path / "shared").iterdir()) == names
    for name in (name for name in names if name.endswith(".nii.gz")):
        assert np.array_equal(*(read_label(tmp_path / folder / name)[0] for folder in ("alone", "shared")))

    first = tmp_path / "shared" / names[1]
    first.write_text("kept")
    again = torchrun("-i", images, "-o", str(tmp_path / "shared"), "--model", model, *options, "--continue")
    assert "Predicting 0 of 6 cases" in again.stdout
    assert first.read_text() == "kept"


@pytest.mark.slow
def test_a_bad_case_in_any_process_reaches_the_exit_code(
    trained_phantom: Path, phantom_raw: Path, tmp_path: Path
) -> None:
    images = tmp_path / "images"
    images.mkdir()
    for number, image in enumerate(sorted((phantom_raw / "imagesTr").glob("*.nii.gz"))[:4]):
        content = image.read_bytes()
        (images / image.name).write_bytes(content[: len(content) // 2] if number < 2 else content)
    model = str(next(trained_phantom.glob("results/*/supervised*")))
    done = torchrun("-i", str(images), "-o", str(tmp_path / "out"), "--model", model, "--no-mirroring")
    assert done.returncode == 1
    assert done.stderr.count("2 of 4 cases could not be predicted") == 1
    assert len(list((tmp_path / "out").glob("*.nii.gz"))) == 2
    wrong = torchrun("-i", str(images), "-o", str(tmp_path / "out"), "--model", str(tmp_path))
    assert wrong.returncode != 0
    assert wrong.stderr.count("is no model folder") == 1
