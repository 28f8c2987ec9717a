"""What predict writes beside the answer: sampling steps and samples, each in a folder of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autodiffseg.cli import run
from autodiffseg.geometry import Geometry
from autodiffseg.images import read_label
from autodiffseg.inference.probability_store import ProbabilityStore
from autodiffseg.inference.window_sum import Planes
from autodiffseg.labels import LabelSpec
from autodiffseg.trainers.extra_output import Draw
from autodiffseg.trainers.member import Member, ShownCase
from autodiffseg.trainers.prediction_options import WantedOutputs
from autodiffseg.trainers.prediction_outputs import PredictionOutputs

SPEC = LabelSpec(labels={"background": 0, "bright": 1})
GRID = Geometry(shape=(1, 1, 3), spacing=(1, 1, 1), origin=(0, 0, 0), direction=(1, 0, 0, 0, 1, 0, 0, 0, 1))
# Foreground of three voxels: by sample, then by step.
FOREGROUND = [[(0.9, 0.2, 0.3), (0.8, 0.6, 0.1)], [(0.7, 0.9, 0.1), (0.9, 0.3, 0.7)]]


class Known:
    """A predictor whose answers are known."""

    def predict_planes(self, image: Any, case: str, *, sample: int = 0, every_step: bool = False) -> Any:
        foreground = np.array(FOREGROUND[sample], dtype=np.float32).reshape(2, 1, 1, 1, 3)
        steps = np.concatenate([1 - foreground, foreground], axis=1)
        yield Planes(0, steps if every_step else steps[-1:])


class Properties:
    """Of a case that lies on the grid of its image."""

    case, geometry, crop, shape = "a", GRID, ((0, 1), (0, 1), (0, 3)), GRID.shape


class Order:
    """A plan that leaves the axes as they are."""

    transpose = (0, 1, 2)


def shown(weight: float = 1.0, predictor: Any = None, *, draws: bool = True) -> ShownCase:
    plan: Any = Order()
    properties: Any = Properties()
    member = Member(predictor or Known(), plan, "any", SPEC, weight=weight, draws=draws)
    return ShownCase(member, np.zeros((1, 1, 1, 3), np.float32), properties)


def write_all(outputs: PredictionOutputs, cases: list[ShownCase], *, later: bool = False, limit: float = 1e9) -> None:
    with ProbabilityStore(outputs.folder, limit) as store:
        jobs = outputs.jobs(cases, SPEC, store)
        for write, _ in list(jobs) if later else jobs:
            write()


def written(outputs: PredictionOutputs) -> dict[str, list[int]]:
    """File -> its label map, after the prediction of case `a`."""
    write_all(outputs, [shown()])
    files = sorted(outputs.folder.rglob("*.nii.gz"))
    return {str(path.relative_to(outputs.folder)): read_label(path)[0].ravel().tolist() for path in files}


def test_the_answer_alone_is_the_last_step_of_the_first_sample(tmp_path: Path) -> None:
    assert written(PredictionOutputs(tmp_path, ".nii.gz")) == {"a.nii.gz": [1, 1, 0]}


def test_every_step_has_a_folder_and_the_last_is_the_answer(tmp_path: Path) -> None:
    found = written(PredictionOutputs(tmp_path, ".nii.gz", WantedOutputs(steps=True)))
    assert found == {"a.nii.gz": [1, 1, 0], "step_1/a.nii.gz": [1, 0, 0], "step_2/a.nii.gz": [1, 1, 0]}


def test_the_answer_of_several_samples_is_their_mean(tmp_path: Path) -> None:
    found = written(PredictionOutputs(tmp_path, ".nii.gz", WantedOutputs(steps=True), samples=2))
    assert found == {
        "a.nii.gz": [1, 0, 0],  # 0.85, 0.45, 0.4
        "sample_0/a.nii.gz": [1, 1, 0],
        "sample_1/a.nii.gz": [1, 0, 1],
        "step_1/a.nii.gz": [1, 1, 0],  # 0.8, 0.55, 0.2
        "step_2/a.nii.gz": [1, 0, 0],
    }


def test_probabilities_lie_beside_every_label_map(tmp_path: Path) -> None:
    outputs = PredictionOutputs(tmp_path, ".nii.gz", WantedOutputs(probabilities=True, steps=True), samples=2)
    written(outputs)
    for label in tmp_path.rglob("*.nii.gz"):
        assert (label.parent / "a.npz").is_file()
    with np.load(tmp_path / "a.npz") as file:
        np.testing.assert_allclose(file["probabilities"][1].ravel(), [0.85, 0.45, 0.4], atol=1e-3)


def test_members_are_averaged_by_weight(tmp_path: Path) -> None:
    class Opposite(Known):
        def predict_planes(self, *arguments: Any, **options: Any) -> Any:
            for first, steps in super().predict_planes(*arguments, **options):
                yield Planes(first, steps[:, ::-1])

    outputs = PredictionOutputs(tmp_path, ".nii.gz", WantedOutputs(probabilities=True))
    write_all(outputs, [shown(3.0), shown(1.0, Opposite())])
    with np.load(tmp_path / "a.npz") as file:
        foreground = file["probabilities"][1].ravel()
    np.testing.assert_allclose(foreground, [0.75 * p + 0.25 * (1 - p) for p in FOREGROUND[0][1]], atol=1e-3)


def test_a_member_without_noise_is_asked_once_and_counts_in_every_sample_and_step(tmp_path: Path) -> None:
    class Sure(Known):
        asked = 0

        def predict_planes(self, *arguments: Any, **options: Any) -> Any:
            self.asked += 1
            yield Planes(0, np.float32([0.6, 0.4]).reshape(1, 2, 1, 1, 1).repeat(3, axis=4))

    sure = Sure()
    both = [shown(0.5, sure, draws=False), shown(0.5)]
    outputs = PredictionOutputs(tmp_path, ".nii.gz", WantedOutputs(probabilities=True, steps=True), samples=2)
    write_all(outputs, both)
    assert sure.asked == 1
    mean = np.mean(FOREGROUND, axis=0)
    for folder, drawn in {"sample_1": FOREGROUND[1][1], "step_1": mean[0], "step_2": mean[1], ".": mean[1]}.items():
        with np.load(tmp_path / folder / "a.npz") as file:
            found = file["probabilities"][1].ravel()
        np.testing.assert_allclose(found, (np.array(drawn) + 0.4) / 2, atol=1e-3)


def test_writing_later_gives_the_same_files(tmp_path: Path) -> None:
    options = (".nii.gz", WantedOutputs(probabilities=True, steps=True))
    now = written(PredictionOutputs(tmp_path / "now", *options, samples=2))
    write_all(PredictionOutputs(tmp_path / "later", *options, samples=2), [shown()], later=True)
    files = sorted((tmp_path / "later").rglob("*.nii.gz"))
    assert {str(path.relative_to(tmp_path / "later")): read_label(path)[0].ravel().tolist() for path in files} == now


def test_label_maps_are_finished_before_they_are_written(tmp_path: Path) -> None:
    def drop_first(label: Any, geometry: Geometry) -> Any:
        assert geometry == GRID
        label[..., 0] = 0
        return label

    outputs = PredictionOutputs(tmp_path, ".nii.gz", samples=2, finishing=(drop_first, lambda label, _: label * 7))
    assert written(outputs) == {"a.nii.gz": [0, 0, 0], "sample_0/a.nii.gz": [0, 7, 0], "sample_1/a.nii.gz": [0, 0, 7]}


class Journal:
    """An extra output that notes what it is told; one file a case."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.told = folder, []

    def names(self, case: str) -> tuple[str, ...]:
        return (f"{case}_journal.txt",)

    def begin(self, case: str) -> Journal:
        self.told.append(case)
        return self

    def see(self, draw: Draw) -> None:
        self.told.append((draw.member, draw.sample, round(float(draw.prediction.volumes[1][0, 0, 0]), 3)))

    def write(self, mean: Any, label: Any) -> None:
        assert not (self.folder / "a.nii.gz").exists()
        self.told.append((label.ravel().tolist(), round(float(mean[0].volumes[1][0, 0, 0]), 3)))
        (self.folder / "a_journal.txt").touch()


def test_an_extra_output_sees_every_draw_and_writes_before_the_label_map(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    outputs = PredictionOutputs(tmp_path, ".nii.gz", samples=2, extras=(journal,))
    written(outputs)
    assert journal.told == ["a", (0, 0, 0.8), (0, 1, 0.9), ([1, 0, 0], 0.85)]
    assert outputs.is_done("a")
    assert tmp_path / "a_journal.txt" in outputs.existing("a")
    (tmp_path / "a_journal.txt").unlink()
    assert not outputs.is_done("a")


@pytest.mark.parametrize("samples", [1, 2])
def test_on_disk_everything_is_as_in_memory(samples: int, tmp_path: Path) -> None:
    options: Any = (".nii.gz", WantedOutputs(probabilities=True, steps=True), samples)
    for name, limit in (("memory", 1e9), ("disk", 0.0)):
        write_all(PredictionOutputs(tmp_path / name, *options), [shown()], limit=limit)
    files = {name: sorted((tmp_path / name).rglob("*.*z")) for name in ("memory", "disk")}
    assert len(files["disk"]) == 2 * (3 if samples == 1 else 5)
    for one, other in zip(files["memory"], files["disk"], strict=True):
        assert one.relative_to(tmp_path / "memory") == other.relative_to(tmp_path / "disk")
        if one.suffix == ".npz":
            np.testing.assert_array_equal(np.load(one)["probabilities"], np.load(other)["probabilities"])
        else:
            np.testing.assert_array_equal(read_label(one)[0], read_label(other)[0])
    assert not list((tmp_path / "disk").glob(".*"))


def test_a_case_is_done_when_all_that_is_wanted_is_there(tmp_path: Path) -> None:
    plain = PredictionOutputs(tmp_path, ".nii.gz")
    more = PredictionOutputs(tmp_path, ".nii.gz", WantedOutputs(steps=True), samples=2)
    assert not plain.is_done("a")
    written(plain)
    assert plain.is_done("a")
    assert not more.is_done("a")
    written(more)
    assert more.is_done("a")
    assert not PredictionOutputs(tmp_path, ".nii.gz", WantedOutputs(probabilities=True, steps=True)).is_done("a")


def test_all_files_of_a_case_are_found_whatever_is_wanted_now(tmp_path: Path) -> None:
    written(PredictionOutputs(tmp_path, ".nii.gz", WantedOutputs(probabilities=True, steps=True), samples=2))
    (tmp_path / "step_1" / "b.nii.gz").touch()
    (tmp_path / "step_by_step").mkdir()
    found = PredictionOutputs(tmp_path, ".nii.gz").existing("a")
    assert set(found) == {path for path in tmp_path.rglob("a.*") if path.is_file()}
    assert len(found) == 2 * 5


def test_steps_and_samples_of_a_trained_model(
    trained_phantom: Path, phantom_raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results, out = trained_phantom / "results" / "Dataset900_Phantom", tmp_path / "out"
    places = ["-i", str(phantom_raw / "imagesTs"), "-o", str(out), "--device", "cpu", "--precision", "fp32"]
    model = ["--model", str(results / "recycling__cpu__3d_fullres"), "--no-mirroring"]
    more = ["--steps", "3", "--save-steps", "--num-samples", "2"]
    assert run(["predict", *places, *model, *more]) == 0
    folders = {path.name for path in out.iterdir() if path.is_dir()}
    assert folders == {"step_1", "step_2", "step_3", "sample_0", "sample_1", "uncertainty"}
    case = next(path.name for path in out.glob("*.nii.gz"))
    answer = read_label(out / case)[0]
    np.testing.assert_array_equal(read_label(out / "step_3" / case)[0], answer)
    assert (read_label(out / "sample_0" / case)[0] != read_label(out / "sample_1" / case)[0]).any()
    references = ["-r", str(phantom_raw / "labelsTs"), "-o", str(tmp_path / "scores")]
    assert run(["evaluate", "-p", str(out / "step_1"), *references]) == 0

    assert run(["predict", *places, *model, "--steps", "2", "--save-steps"]) == 0  # what was there before is gone
    assert not list((out / "step_3").glob("*.nii.gz"))
    assert not list((out / "sample_0").glob("*.nii.gz"))

    capsys.readouterr()
    supervised = ["--model", str(results / "supervised__cpu__3d_fullres"), "--num-samples", "3"]
    assert run(["predict", *places[:3], str(tmp_path / "one"), *supervised]) == 2
    assert "answers in one pass and draws no noise" in capsys.readouterr().err
    assert not (tmp_path / "one").exists()
