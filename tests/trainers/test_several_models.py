"""predict with several models: folds first, then models alike, in any order."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from autodiffseg.cli import run
from autodiffseg.dataset import DatasetJson
from autodiffseg.images import write_image
from autodiffseg.runs import RunRecord
from autodiffseg.sampling import NoiseSource, Sampling

from .test_predict import DATASET, OBLIQUE, FakeTrainer, image_of

MODELS = {"a__cpu__3d_fullres": {"0": 0.9, "1": 0.1}, "b__cpu__3d_fullres": {"0": 0.125}, "c__cpu__3d_low": {"1": 0.75}}


class Sure(FakeTrainer):
    """Says the same of every voxel."""

    def __init__(self, foreground: float) -> None:
        super().__init__()
        self.foreground = foreground

    def predict_steps(self, patch: Tensor, noise: NoiseSource, sampling: Sampling) -> Iterator[Tensor]:
        foreground = torch.full_like(patch, self.foreground)
        yield torch.cat([1 - foreground, foreground], dim=1)


@pytest.fixture
def trainers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, Sure]]:
    """Three models in `results`, one with two folds, one on a coarser grid: model -> fold -> trainer."""
    found = {name: {fold: Sure(value) for fold, value in folds.items()} for name, folds in MODELS.items()}
    for name, folds in found.items():
        trainer, plan, configuration = name.split("__")
        for fold, fake in folds.items():
            record = RunRecord(
                dataset="Dataset001_Test", trainer=trainer, plan=plan, configuration=configuration, tag="", fold=fold,
                seed=0, options={}, plan_hash="", iterations=1, finished=True,
            )  # fmt: skip
            record.save(tmp_path / "results" / name / f"fold_{fold}" / "run.json")
            weights = f"{name} {fold}".encode()
            (tmp_path / "results" / name / f"fold_{fold}" / "checkpoint_last.pt").write_bytes(weights)
            if configuration == "3d_low":
                coarse = fake.configuration.model_copy(update={"spacing": (1.4, 3.0, 1.6)})
                fake.plan = fake.plan.model_copy(update={"configurations": {"3d_low": coarse}})
                fake.configuration_name, fake.configuration = "3d_low", coarse

    def load_trainer(path: Path, device: torch.device, precision: str = "auto") -> Sure:
        return found[path.parents[1].name][path.parent.name.removeprefix("fold_")]

    monkeypatch.setattr("autodiffseg.trainers.checkpoints.load_trainer", load_trainer)
    write_image(tmp_path / "images" / "case_0000.nii.gz", image_of(0), OBLIQUE)
    return found


def predict(place: Path, out: str, *models: str, more: tuple[str, ...] = ()) -> int:
    chosen = [word for name in models for word in ("--model", str(next((place / "results").glob(f"{name}__*"))))]
    places = ["-i", str(place / "images"), "-o", str(place / out), "--device", "cpu"]
    return run(["predict", *places, *chosen, "--save-probabilities", *more])


def foreground(folder: Path) -> float:
    """The probability of foreground, which is the same in all voxels inside the crop."""
    with np.load(folder / "case.npz") as file:
        values = file["probabilities"][1]
    [value] = set(np.unique(values[values > 0]).tolist())
    return float(value)


@pytest.mark.parametrize(
    ("models", "more", "wanted"),
    [
        ("a", (), 0.5),
        ("ab", (), (0.5 + 0.125) / 2),  # not the mean over three folds
        ("ba", (), (0.5 + 0.125) / 2),
        ("bc", (), (0.125 + 0.75) / 2),
        ("cab", (), (0.75 + 0.5 + 0.125) / 3),
        ("ba", ("--fold", "0"), (0.125 + 0.9) / 2),
    ],
)
def test_folds_are_averaged_first_and_then_models_count_alike(
    models: str, more: tuple[str, ...], wanted: float, tmp_path: Path, trainers: Any
) -> None:
    assert predict(tmp_path, "out", *models, more=more) == 0
    assert foreground(tmp_path / "out") == pytest.approx(wanted, abs=1e-3)  # float16


def test_the_record_names_every_model_and_says_the_same_in_any_order(tmp_path: Path, trainers: Any) -> None:
    records = []
    for order in ("abc", "cba"):
        assert predict(tmp_path, order, *order) == 0
        records.append(json.loads((tmp_path / order / "predict.json").read_text())["models"])
    assert records[0] == records[1]
    told = {Path(model["model"]).name: (list(model["checkpoints"]), model["configuration"]) for model in records[0]}
    assert told == {
        "a__cpu__3d_fullres": (["0", "1"], "3d_fullres"),
        "b__cpu__3d_fullres": (["0"], "3d_fullres"),
        "c__cpu__3d_low": (["1"], "3d_low"),
    }
    assert [model["weight"] for model in records[0]] == [pytest.approx(1 / 3)] * 3
    assert (tmp_path / "abc" / "case.npz").read_bytes() == (tmp_path / "cba" / "case.npz").read_bytes()


def test_continue_knows_the_models(tmp_path: Path, trainers: Any, capsys: Any) -> None:
    assert predict(tmp_path, "out", "a", "b") == 0
    assert predict(tmp_path, "out", "b", "a", more=("--continue",)) == 0
    for other in ("a", "abc"):
        assert predict(tmp_path, "out", *other, more=("--continue",)) == 2
        assert "another model" in capsys.readouterr().err


def test_a_fold_that_one_of_the_models_lacks_is_told_with_those_it_has(
    tmp_path: Path, trainers: Any, capsys: Any
) -> None:
    assert predict(tmp_path, "out", "a", "b", more=("--fold", "1")) == 2
    assert "b__cpu__3d_fullres has no fold 1; it has: 0." in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_model_named_twice_is_refused(tmp_path: Path, trainers: Any, capsys: Any) -> None:
    assert predict(tmp_path, "out", "a", "b", "a") == 2
    assert "is named twice" in capsys.readouterr().err


DIFFERENT = {
    "labels": {"labels": {"background": 0, "dark": 3}},
    "label values": {"labels": {"background": 0, "bright": 2}},
    "channels": {"channel_names": {"0": "CT"}},
    "files": {"file_ending": ".mha"},
}


@pytest.mark.parametrize("what", [*DIFFERENT, "dataset"])
def test_models_that_speak_of_different_things_are_refused(
    what: str, tmp_path: Path, trainers: dict[str, dict[str, Sure]], capsys: Any
) -> None:
    [other] = trainers["b__cpu__3d_fullres"].values()
    if what == "dataset":
        other.plan = other.plan.model_copy(update={"dataset": "Dataset002_Other"})
    other.dataset = DatasetJson.model_validate(DATASET | DIFFERENT.get(what, {}))
    other.spec = other.dataset.spec
    assert predict(tmp_path, "out", "a", "b") == 2
    told = capsys.readouterr().err
    assert f"cannot be averaged: their {what.split()[0].rstrip('s')}" in told
    assert all(name in told for name in list(MODELS)[:2])
    assert not (tmp_path / "out").exists()


def test_two_trained_models_agree_with_the_mean_of_each_alone(
    trained_phantom: Path, phantom_raw: Path, tmp_path: Path
) -> None:
    results = trained_phantom / "results" / "Dataset900_Phantom"
    image = phantom_raw / "imagesTs" / "phantom_006_0000.nii.gz"
    options = ["--device", "cpu", "--precision", "fp32", "--no-mirroring", "--steps", "2", "--save-probabilities"]
    made = {}
    for names in (["supervised"], ["recycling"], ["recycling", "supervised"]):
        models = [word for name in names for word in ("--model", str(results / f"{name}__cpu__3d_fullres"))]
        out = tmp_path / "-".join(names)
        more = ["--num-samples", "2", "--save-steps"] if len(names) == 2 else []
        assert run(["predict", "-i", str(image), "-o", str(out), *models, *options, *more]) == 0
        with np.load(out / ("sample_0" if more else ".") / "phantom_006.npz") as file:
            made[out.name] = file["probabilities"].astype(np.float64)
    mean = (made["supervised"] + made["recycling"]) / 2
    np.testing.assert_allclose(made["recycling-supervised"], mean, atol=2e-3)  # float16
    assert np.abs(made["recycling-supervised"] - made["recycling"]).max() > 0.01
    folders = {path.name for path in (tmp_path / "recycling-supervised").iterdir() if path.is_dir()}
    assert folders == {"step_1", "step_2", "sample_0", "sample_1", "uncertainty"}


def test_several_models_of_different_steps_are_not_averaged_step_by_step(
    trained_phantom: Path, phantom_raw: Path, tmp_path: Path, capsys: Any
) -> None:
    model = trained_phantom / "results" / "Dataset900_Phantom" / "recycling__cpu__3d_fullres"
    other = shutil.copytree(model, tmp_path / "other__cpu__3d_fullres")
    checkpoint = other / "fold_0" / "checkpoint_last.pt"
    content = torch.load(checkpoint, weights_only=True)
    plan = json.loads(content["plan"])
    plan["diffusion"]["sampling_steps"] = 3
    torch.save({**content, "plan": json.dumps(plan)}, checkpoint)
    places = ["-i", str(phantom_raw / "imagesTs"), "-o", str(tmp_path / "out"), "--device", "cpu"]
    models = ["--model", str(model), "--model", str(other)]
    assert run(["predict", *places, *models, "--save-steps"]) == 2
    assert "different numbers of steps; give one with --steps" in capsys.readouterr().err
