"""ProbabilityStore: in memory and on disk it gives back what it was given, and leaves nothing behind."""

from __future__ import annotations

import gc
import itertools
import math
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from autodiffseg.errors import UserError
from autodiffseg.inference.probability_store import (
    ProbabilityStore,
    StoreClosedError,
    StoredMean,
)
from autodiffseg.inference.window_sum import Planes

SHAPE = (2, 3, 7, 4, 5)


def steps(seed: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).uniform(size=SHAPE).astype(np.float32)


def pieces(whole: NDArray[np.float32], cuts: list[int]) -> Iterator[Planes]:
    edges = [0, *sorted({cut for cut in cuts if cut < whole.shape[2]}), whole.shape[2]]
    for low, high in itertools.pairwise(edges):
        yield Planes(low, whole[:, :, low:high])


@pytest.mark.parametrize("limit", [math.inf, 0.0], ids=["memory", "disk"])
@settings(max_examples=10)
@given(cuts=st.lists(st.integers(1, 6)), others=st.lists(st.integers(1, 6)))
def test_what_was_kept_comes_back_and_so_does_the_mean(
    limit: float, cuts: list[int], others: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    with ProbabilityStore(tmp_path_factory.getbasetemp(), limit) as store:
        mean = StoredMean(store, 2)
        kept = [store.keep(pieces(steps(seed), way), SHAPE[2:], mean) for seed, way in enumerate((cuts, others))]
        for seed, found in enumerate(kept):
            assert len(found) == 2
            for number in (0, 1):
                volumes = found.step(number)
                assert volumes.shape == SHAPE[1:]
                np.testing.assert_array_equal([volumes[k] for k in range(3)], steps(seed)[number])
        wanted = (steps(0) + steps(1)) / 2
        np.testing.assert_allclose([mean.steps.step(-1)[k] for k in range(3)], wanted[-1], atol=1e-7)


def files(folder: Path) -> int:
    return sum(path.is_file() for path in folder.rglob("*"))


def test_files_go_with_what_is_kept_and_with_the_store(tmp_path: Path) -> None:
    with ProbabilityStore(tmp_path, 0) as store:
        first = store.keep(pieces(steps(0), []), SHAPE[2:])
        second = store.keep(pieces(steps(1), []), SHAPE[2:])
        held = first.step(0)
        both = files(tmp_path)
        del first
        gc.collect()
        assert files(tmp_path) == both  # its channels are still held
        del held
        gc.collect()
        assert 0 < files(tmp_path) == both / 2
        np.testing.assert_array_equal(second.step(0)[1], steps(1)[0, 1])
    assert not list(tmp_path.iterdir())


def test_up_to_the_limit_there_are_no_files(tmp_path: Path) -> None:
    size = steps(0).nbytes
    for limit, where in ((size, 0), (size - 1, 1)):
        with ProbabilityStore(tmp_path, limit) as store:
            kept = store.keep(pieces(steps(0), []), SHAPE[2:])
            assert len(list(tmp_path.iterdir())) == where
            del kept


@pytest.mark.parametrize("limit", [math.inf, 0.0], ids=["memory", "disk"])
def test_a_closed_store_gives_nothing_more(limit: float, tmp_path: Path) -> None:
    with ProbabilityStore(tmp_path, limit) as store:
        kept = store.keep(pieces(steps(0), []), SHAPE[2:])
    with pytest.raises(StoreClosedError):
        kept.step(0)[0]


def test_a_failing_predictor_leaves_nothing_behind(tmp_path: Path) -> None:
    def broken() -> Iterator[Planes]:
        yield Planes(0, steps(0)[:, :, :3])
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"), ProbabilityStore(tmp_path, 0) as store:
        store.keep(broken(), SHAPE[2:])
    assert not list(tmp_path.iterdir())


def test_a_folder_that_takes_nothing_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with ProbabilityStore(tmp_path / "file", 0) as store, pytest.raises(UserError, match=r"file cannot .* --memory"):
        store.keep(pieces(steps(0), []), SHAPE[2:])


CHILD = """
import sys
from pathlib import Path

import numpy as np

from autodiffseg.inference.probability_store import ProbabilityStore
from autodiffseg.inference.window_sum import Planes

def status(key):
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(key))

def pieces(side):
    for first in range(0, side, 8):
        yield Planes(first, np.full((1, 16, 8, side, side), 1 / 16, np.float32))

with ProbabilityStore(Path(sys.argv[1]), float(sys.argv[2])) as store:
    store.keep(pieces(16), (16,) * 3)
    before = status("VmRSS")
    kept = store.keep(pieces(128), (128,) * 3)
    for channel in range(16):
        assert kept.step(0)[channel].shape == (128,) * 3
    print((status("VmHWM") - before) * 1024 / (4 * 128**3))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(("limit", "low", "high"), [("inf", 16, 20), ("0", 0, 6)], ids=["memory", "disk"])
def test_on_disk_sixteen_classes_take_the_memory_of_few(limit: str, low: float, high: float, tmp_path: Path) -> None:
    """In arrays of one class; a piece of 8 planes is one array of all classes, and so is the next."""
    told = subprocess.run(
        [sys.executable, "-c", CHILD, str(tmp_path), limit], capture_output=True, text=True, check=True
    )
    assert low <= float(told.stdout) <= high


@pytest.mark.skipif(os.name != "posix", reason="elsewhere nothing is swept")
def test_what_killed_processes_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    dead = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    here = platform.node()
    folders = [
        f".scratch-{int(dead.stdout)}-{here}-x",
        f".scratch-{os.getpid()}-{here}-x",
        ".scratch-1-elsewhere-x",
        "a",
    ]
    for name in folders:
        (tmp_path / name).mkdir()
    with ProbabilityStore(tmp_path):  # whether it needs the disk or not
        assert sorted(path.name for path in tmp_path.iterdir()) == sorted(folders[1:])
