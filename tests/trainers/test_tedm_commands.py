"""tedm from the command line: what a training records, and what a prediction writes without the backbone's file."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from autodiffseg.cli import run
from autodiffseg.errors import UserError
from autodiffseg.evaluation.summary import load_summary
from autodiffseg.runs import RunRecord
from autodiffseg.trainers.backbone import read_backbone
from autodiffseg.trainers.ensemble import read_ensemble
from autodiffseg.trainers.ensemble_run import member_states
from autodiffseg.trainers.run_request import RunRequest
from autodiffseg.workspace import Workspace

Predict = Callable[..., int]
QUICK = ("--device", "cpu", "--precision", "fp32")


def train(place: Path, *more: str) -> int:
    arguments = ["train", "Phantom", "3d_fullres", "0", "--trainer", "tedm", "--backbone", str(place / "backbone.pt")]
    arguments += ["--timesteps", "1,25,600", "--workspace", str(place), "--num-workers", "0", *QUICK]
    return run([*arguments, "--set", "validation_batches=1", *more])


@pytest.fixture(scope="module")
def place(phantom_backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace in which tedm was trained for three updates on one label."""
    workspace = shutil.copytree(phantom_backbone, tmp_path_factory.mktemp("tedm") / "workspace")
    assert train(workspace, "--n-labelled", "1", "--iterations", "3") == 0
    return workspace


@pytest.fixture
def predict(place: Path, phantom_raw: Path, tmp_path: Path) -> Predict:
    """A function that predicts the test images into `out`."""

    def predict(*more: str) -> int:
        places = ["-i", str(phantom_raw / "imagesTs"), "-o", str(tmp_path / "out"), "--model", str(model(place))]
        return run(["predict", *places, *QUICK, "--no-mirroring", *more])

    return predict


def model(place: Path) -> Path:
    return place / "results" / "Dataset900_Phantom" / "tedm__cpu__3d_fullres__n1-ls0"


def test_the_run_tells_of_its_backbone_and_its_steps(place: Path) -> None:
    record = json.loads((model(place) / "fold_0" / "run.json").read_text())
    assert record["backbone"] == read_backbone(place / "backbone.pt").digest
    assert record["transductive"] is False
    assert record["options"]["timesteps"] == [1, 25, 600]
    assert load_summary(model(place) / "fold_0" / "validation" / "summary.json").notes["passes"] == 3


def test_a_training_is_not_gone_on_with_on_other_steps(place: Path, capsys: Any) -> None:
    assert train(place, "--n-labelled", "1", "--iterations", "3", "--continue", "--timesteps", "1,25") == 2
    assert "--continue" in capsys.readouterr().err


def test_a_member_of_an_ensemble_is_known_by_its_backbone_wherever_that_lies(place: Path, tmp_path: Path) -> None:
    request = RunRequest(
        dataset="Phantom", configuration="3d_fullres", fold="0", trainer="ensemble", plan="cpu", tag="", seed=0,
        iterations=3, device="cpu", precision="fp32", n_labelled=1, settings=("members=supervised,tedm",),
    )  # fmt: skip

    def trained(backbone: Path) -> list[bool]:
        settings = (*request.settings, f"backbone={backbone}", "timesteps=1,25,600")
        states = member_states(read_ensemble(replace(request, settings=settings)), Workspace(place), go_on=False)
        return [state.trained for state in states]

    shutil.copy(place / "backbone.pt", tmp_path / "checkpoint_last.pt")
    assert trained(tmp_path) == [False, True]
    with (tmp_path / "checkpoint_last.pt").open("ab") as file:
        file.write(b"0")
    with pytest.raises(UserError, match=r"was trained with backbone [0-9a-f]{64}, asked for is"):
        trained(tmp_path)


def test_predictions_need_no_backbone_and_every_step_can_be_seen(place: Path, predict: Predict, tmp_path: Path) -> None:
    hidden = (place / "backbone.pt").rename(place / "hidden.pt")
    try:
        assert predict("--save-steps") == 0
    finally:
        hidden.rename(place / "backbone.pt")
    folders = sorted(path.name for path in (tmp_path / "out").iterdir() if path.is_dir())
    assert folders == ["step_1", "step_2", "step_3"]


def test_noise_levels_taking_turns_show_their_spread(predict: Predict, tmp_path: Path, capsys: Any) -> None:
    assert predict("--num-samples", "3", "--rotate-timesteps") == 0
    with (tmp_path / "out" / "uncertainty.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert rows
    assert all(float(row["entropy_between_samples_image"]) > 0 for row in rows)
    assert json.loads((tmp_path / "out" / "predict.json").read_text())["rotate_timesteps"] is True
    for wrong in (("--num-samples", "4"), ()):
        assert predict("--rotate-timesteps", *wrong) == 2
        assert (
            "3 noise levels take turns over samples; ask for --num-samples 3, or a multiple" in capsys.readouterr().err
        )


def test_analyse_steps_scores_the_mean_of_more_and_more_noise_levels(place: Path, tmp_path: Path) -> None:
    arguments = ["analyse", "steps", str(model(place)), "-o", str(tmp_path / "out"), "--cases", "1", *QUICK]
    assert run([*arguments, "--no-mirroring"]) == 0
    text = (tmp_path / "out" / "steps.md").read_text(encoding="utf-8")
    assert "mean of 3 answers from 3 passes" in text
    assert "Step n is the mean of the first n answers" in text


def test_a_comparison_says_whose_backbone_has_seen_the_cases(trained_phantom: Path, tmp_path: Path) -> None:
    workspace = shutil.copytree(trained_phantom, tmp_path / "workspace")
    path = workspace / "results" / "Dataset900_Phantom" / "supervised__cpu__3d_fullres" / "fold_0" / "run.json"
    RunRecord.load(path).model_copy(update={"backbone": "ab" * 32, "transductive": True}).save(path)
    page = tmp_path / "page.html"
    places = ["--workspace", str(workspace), "-o", str(tmp_path / "out"), "--html", str(page)]
    assert run(["compare", "Phantom", *places]) == 0
    told = json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert sorted(entrant["name"] for entrant in told["entrants"]) == ["recycling", "supervised (transductive)"]
    assert "The pretrained weights of supervised (transductive) have seen images of cases" in "".join(told["notes"])
    assert f"{'ab' * 8} (transductive)" in page.read_text(encoding="utf-8")
