"""Cases predicted while others are read and written: the same files, faults with their case, nothing left behind."""

from __future__ import annotations

import re
import threading
import time
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from autodiffseg.geometry import Geometry
from autodiffseg.images import write_image
from autodiffseg.inference.probability_store import ProbabilityStore, StoredSteps
from autodiffseg.labels import LabelSpec
from autodiffseg.sampling import NoiseSource, Sampling
from autodiffseg.trainers.member import Member
from autodiffseg.trainers.prediction import make_predictor
from autodiffseg.trainers.prediction_cases import predict_cases
from autodiffseg.trainers.prediction_memory import arrays_at_a_time, forecast
from autodiffseg.trainers.prediction_options import PredictionOptions, WantedOutputs
from autodiffseg.trainers.prediction_outputs import PredictionOutputs
from autodiffseg.trainers.resources import Resources

SPEC = LabelSpec(labels={"background": 0, "one": 1, "two": 2})
GRID = Geometry(shape=(11, 9, 12), spacing=(1.0, 1.3, 0.9), origin=(0.0,) * 3, direction=(1, 0, 0, 0, 1, 0, 0, 0, 1))
EVERYTHING = WantedOutputs(probabilities=True, steps=True)
Cases = dict[str, tuple[Path, ...]]


class Noisy:
    """Softmax of the image and the noise, in two steps."""

    def predict_steps(self, patch: Tensor, noise: NoiseSource, sampling: Sampling) -> Iterator[Tensor]:
        for step in range(2):
            yield torch.softmax(noise(step, 3) + patch, dim=1)


@pytest.fixture
def member(make_trainer: Any) -> Any:
    """A function that makes a member of a model."""
    plan = make_trainer("supervised").plan

    def make(model: Any) -> Member:
        options = PredictionOptions(mirroring=False)
        predictor = make_predictor([model], plan, "patches", SPEC, device=torch.device("cpu"), options=options)
        return Member(predictor, plan, "patches", SPEC)

    return make


@pytest.fixture
def cases(tmp_path: Path) -> Cases:
    """Four cases, the second of which cannot be read."""
    for number, case in enumerate("abcd"):
        image = np.random.default_rng(number).uniform(1, 2, GRID.shape).astype(np.float32)
        write_image(tmp_path / "images" / f"{case}.nii.gz", image, GRID)
    (tmp_path / "images" / "b.nii.gz").write_bytes(b"no image")
    return {case: (tmp_path / "images" / f"{case}.nii.gz",) for case in "abcd"}


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("memory_gb", [None, 0.0], ids=["memory", "disk"])
def test_workers_and_disk_change_no_byte(
    workers: int, memory_gb: float | None, member: Any, cases: Cases, tmp_path: Path
) -> None:
    told = {}
    for name, resources in (("serial", Resources(workers=0)), ("beside", Resources(memory_gb, workers))):
        outputs = PredictionOutputs(tmp_path / name, ".nii.gz", EVERYTHING, samples=2)
        told[name] = list(predict_cases([member(Noisy())], cases, outputs, resources))
    assert told["serial"] == told["beside"]
    assert [(case, fault is None) for case, fault in told["beside"]] == [
        ("a", True),
        ("b", False),
        ("c", True),
        ("d", True),
    ]
    serial, beside = files(tmp_path / "serial"), files(tmp_path / "beside")
    assert set(serial) == set(beside)
    assert len(serial) == 3 * 2 * 5
    labels = [name for name in serial if name.endswith(".nii.gz")]
    assert {name: serial[name] for name in labels} == {name: beside[name] for name in labels}
    for name in set(serial) - set(labels):  # archives hold the time of writing
        with np.load(tmp_path / "serial" / name) as one, np.load(tmp_path / "beside" / name) as other:
            np.testing.assert_array_equal(one["probabilities"], other["probabilities"])


def test_the_next_case_is_read_and_the_last_one_written_while_the_network_is_busy(
    member: Any, cases: Cases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each waits for the other, so one after the other they would wait in vain."""
    predicting, read_next, overlapped = threading.Event(), threading.Event(), []
    prepare = Member.prepare

    def prepare_and_tell(self: Member, image: Any, geometry: Geometry, case: str) -> Any:
        if case == "c":
            overlapped.append(predicting.wait(20))  # a is in the network
            read_next.set()
        return prepare(self, image, geometry, case)

    class Waiting(Noisy):
        def predict_steps(self, patch: Tensor, noise: NoiseSource, sampling: Sampling) -> Iterator[Tensor]:
            if not predicting.is_set():
                predicting.set()
                overlapped.append(read_next.wait(20))
            elif not predicting_more.is_set():
                overlapped.append(writing.wait(20))
                predicting_more.set()
            return super().predict_steps(patch, noise, sampling)

    writing, predicting_more = threading.Event(), threading.Event()

    def finish(label: Any, geometry: Geometry) -> Any:
        if not writing.is_set():
            writing.set()
            overlapped.append(predicting_more.wait(20))  # a is written while c is in the network
        return label

    monkeypatch.setattr(Member, "prepare", prepare_and_tell)
    outputs = PredictionOutputs(tmp_path / "out", ".nii.gz", finishing=(finish,))
    del cases["b"]
    assert [fault for _, fault in predict_cases([member(Waiting())], cases, outputs)] == [None] * 3
    assert overlapped == [True] * 4


@pytest.mark.parametrize("workers", [0, 2])
def test_what_fails_while_writing_fails_its_case_alone(workers: int, member: Any, cases: Cases, tmp_path: Path) -> None:
    outputs = PredictionOutputs(tmp_path / "out", ".nii.gz", samples=2)
    (tmp_path / "out" / "sample_0" / "c.nii.gz").mkdir(parents=True)  # no file can take its place
    told = dict(predict_cases([member(Noisy())], cases, outputs, Resources(workers=workers)))
    assert told["a"] is told["d"] is None
    assert "c.nii.gz cannot be written" in str(told["c"])
    assert not (tmp_path / "out" / "c.nii.gz").exists()  # where it is, everything else is
    assert (tmp_path / "out" / "d.nii.gz").is_file()
    assert not list((tmp_path / "out").rglob(".*"))


def test_the_label_map_comes_last_however_many_write(member: Any, cases: Cases, tmp_path: Path) -> None:
    answer, others, there = tmp_path / "out" / "a.nii.gz", threading.Event(), []

    def slow_at_first(label: Any, geometry: Geometry) -> Any:
        if there:
            others.set()
        else:
            there.append(answer.exists())
            others.wait(20)  # for the second sample; the answer takes no network any more
            time.sleep(0.5)
            there.append(answer.exists())
        return label

    outputs = PredictionOutputs(answer.parent, ".nii.gz", samples=2, finishing=(slow_at_first,))
    assert list(predict_cases([member(Noisy())], {"a": cases["a"]}, outputs, Resources(workers=3))) == [("a", None)]
    assert there == [False, False]
    assert answer.is_file()


@pytest.mark.parametrize("workers", [0, 2])
def test_a_mistake_in_the_code_that_writes_names_its_case(
    workers: int, member: Any, cases: Cases, tmp_path: Path
) -> None:
    outputs = PredictionOutputs(tmp_path / "out", ".nii.gz", finishing=(lambda label, geometry: [label][1],))
    with pytest.raises(IndexError) as raised:
        list(predict_cases([member(Noisy())], cases, outputs, Resources(workers=workers)))
    assert raised.value.__notes__ == ["This happened with case a."]


@pytest.mark.parametrize("workers", [0, 1])
def test_an_interruption_leaves_no_half_file(workers: int, member: Any, cases: Cases, tmp_path: Path) -> None:
    class Interrupted(Noisy):
        patches = 0

        def predict_steps(self, patch: Tensor, noise: NoiseSource, sampling: Sampling) -> Iterator[Tensor]:
            self.patches += len(patch)
            if self.patches > 8:  # in the second good case
                raise KeyboardInterrupt
            return super().predict_steps(patch, noise, sampling)

    outputs, seen = PredictionOutputs(tmp_path / "out", ".nii.gz", EVERYTHING), []
    with pytest.raises(KeyboardInterrupt):
        seen.extend(predict_cases([member(Interrupted())], cases, outputs, Resources(0.0, workers)))
    there = files(tmp_path / "out")
    assert not [name for name in there if "c." in name or "d." in name or "tmp" in name or "scratch" in name]
    if workers == 0 or "a.nii.gz" in there:
        assert set(there) == {f"{part}a.{end}" for part in ("", "step_1/", "step_2/") for end in ("nii.gz", "npz")}


@pytest.mark.parametrize("samples", [1, 3])
@pytest.mark.parametrize("workers", [0, 1, 2])
def test_no_more_arrays_live_together_than_are_reckoned_with(
    workers: int, samples: int, member: Any, cases: Cases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alive: weakref.WeakSet[StoredSteps] = weakref.WeakSet()
    make, most = ProbabilityStore.empty, [0]

    def counted(store: ProbabilityStore, shape: tuple[int, ...]) -> StoredSteps:
        alive.add(kept := make(store, shape))
        most[0] = max(most[0], len(alive))
        return kept

    monkeypatch.setattr(ProbabilityStore, "empty", counted)
    outputs, resources = PredictionOutputs(tmp_path / "out", ".nii.gz", samples=samples), Resources(1.0, workers)
    list(predict_cases([member(Noisy())], cases, outputs, resources))
    assert samples <= most[0] <= arrays_at_a_time(outputs, resources)


@pytest.mark.parametrize(
    ("memory_gb", "words"), [(1.0, "kept in memory"), (1e-9, "on disk in .*out: --memory is 1 bytes")]
)
def test_memory_is_told_beforehand(memory_gb: float, words: str, member: Any, cases: Cases, tmp_path: Path) -> None:
    outputs = PredictionOutputs(tmp_path / "out", ".nii.gz", samples=2)
    line = forecast([member(Noisy())], cases.values(), outputs, Resources(memory_gb, 1), steps=1)
    # 4 bytes for each of 3 channels on 11 × 12 × 11 voxels of 1 mm; one written, one filled, and the mean
    assert "up to 17.4 kB (3 channels on 11 × 12 × 11 voxels), 52.3 kB with" in line
    assert re.search(words, line)
