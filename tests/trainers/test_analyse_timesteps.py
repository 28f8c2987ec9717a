"""The analysis of timesteps: a probe for each step, made once, with the scores of its validation."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autodiffseg.cli import run
from autodiffseg.errors import UserError
from autodiffseg.evaluation.summary import load_summary
from autodiffseg.plans import DiffusionPlan
from autodiffseg.runs import RunRecord
from autodiffseg.trainers.timestep_probes import decibels_of, read_timesteps

NAME = "Dataset900_Phantom"
COSINE = DiffusionPlan(schedule="cosine", base_steps=1000, zero_terminal_snr=False)
Analyse = Callable[..., list[dict[str, str]]]


@pytest.fixture(scope="module")
def place(phantom_backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a seeded random denoiser for the phantom, backbone.pt."""
    return shutil.copytree(phantom_backbone, tmp_path_factory.mktemp("probes") / "workspace")


def ask(place: Path, timesteps: str, *more: str) -> int:
    """The exit code of an analysis with one label and two updates."""
    arguments = ["analyse", "timesteps", "Phantom", "3d_fullres", "--backbone", str(place / "backbone.pt")]
    arguments += ["--timesteps", timesteps, "--n-labelled", "1", "--iterations", "2", "--workspace", str(place)]
    arguments += ["--device", "cpu", "--precision", "fp32", "--num-workers", "0", "--set", "validation_batches=1"]
    return run([*arguments, *more])


@pytest.fixture
def analyse(place: Path, tmp_path: Path) -> Analyse:
    """A function that analyses and gives the rows of the table."""

    def analyse(timesteps: str, *more: str) -> list[dict[str, str]]:
        out = tmp_path / "out"
        assert ask(place, timesteps, "-o", str(out), *more) == 0
        names = {f"timesteps{end}" for end in (".md", ".csv", "_cases.csv", ".png")}
        assert {path.name for path in out.iterdir()} == names
        with (out / "timesteps.csv").open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    return analyse


def test_every_step_has_a_probe_of_its_own_that_is_trained_once(
    place: Path, analyse: Analyse, phantom_raw: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shifted = ("--shifted", str(phantom_raw / "imagesTs"), str(phantom_raw / "labelsTs"), "Other")
    rows = analyse("500,1", *shifted)
    assert [row["step"] for row in rows] == ["1", "500"]
    assert [float(row["SNR [dB]"]) for row in rows] == pytest.approx([40.6, -0.1], abs=0.06)  # as published
    for row in rows:
        fold = place / "results" / NAME / f"linear-probe__cpu__3d_fullres__t{row['step']}-n1-ls0" / "fold_0"
        assert json.loads((fold / "run.json").read_text())["options"]["timesteps"] == [int(row["step"])]
        for name, folder in ((NAME, "validation"), ("Other", "shifted/Other")):
            mean = load_summary(fold / folder / "summary.json").foreground_mean["Dice"]
            assert float(row[f"Dice {name}"]) == pytest.approx(mean, nan_ok=True)
    capsys.readouterr()
    assert analyse("1,500", *shifted) == rows
    told = capsys.readouterr().out
    assert "Training linear-probe" not in told
    assert "Predicting" not in told


@pytest.mark.parametrize(
    ("more", "told"),
    [(("--set", "augment=false"), "has options"), (("--iterations", "3"), "has iterations 2, asked for is 3")],
)
def test_a_probe_that_was_trained_otherwise_is_not_taken_for_the_one_asked_for(
    place: Path, analyse: Analyse, more: tuple[str, str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    analyse("1")
    assert ask(place, "1", *more) == 2
    assert told in capsys.readouterr().err


def test_a_line_tells_that_the_denoiser_has_seen_what_is_validated(
    place: Path, analyse: Analyse, tmp_path: Path
) -> None:
    analyse("1")
    path = place / "results" / NAME / "linear-probe__cpu__3d_fullres__t1-n1-ls0" / "fold_0" / "run.json"
    before = path.read_bytes()
    RunRecord.load(path).model_copy(update={"transductive": True}).save(path)
    analyse("1,500")
    path.write_bytes(before)
    text = (tmp_path / "out" / "timesteps.md").read_text(encoding="utf-8")
    assert "The pretrained weights of the probes (step 1) have seen images of cases that are validated" in text


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (("--fold", "all"), "--fold all trains on every case, so none is left to compare on"),
        (("--trainer", "finetune-ddpm"), "the trainer finetune-ddpm reads no features at noise levels; ledm, ledme,"),
    ],
)
def test_what_cannot_be_probed_is_refused_before_work(
    tmp_path: Path, more: tuple[str, str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["analyse", "timesteps", "Phantom", "3d_fullres", "--backbone", "b.pt", "--workspace", str(tmp_path)]
    assert run([*arguments, *more]) == 2
    assert told in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changed", "told"), [({"plan_hash": "another"}, "has plan_hash"), ({"training_cases": ("x",)}, "training_cases")]
)
def test_a_probe_of_another_plan_or_other_cases_is_not_put_beside_new_ones(
    place: Path,
    analyse: Analyse,
    tmp_path: Path,
    changed: dict[str, Any],
    told: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    analyse("1")
    path = place / "results" / NAME / "linear-probe__cpu__3d_fullres__t1-n1-ls0" / "fold_0" / "run.json"
    before = path.read_bytes()
    RunRecord.load(path).model_copy(update=changed).save(path)
    assert ask(place, "1") == 2
    path.write_bytes(before)
    assert told in capsys.readouterr().err


def test_a_step_that_the_backbone_does_not_know_is_refused_before_work(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["analyse", "timesteps", "Phantom", "3d_fullres", "--backbone", str(place / "backbone.pt")]
    assert run([*arguments, "--timesteps", "1,1000", "--tag", "new", "--workspace", str(place)]) == 2
    assert "--timesteps 1000: the backbone was trained on the steps 0 to 999." in capsys.readouterr().err
    assert list((place / "results" / NAME).glob("*new*")) == []


def test_steps_are_read_in_order_and_mistakes_named() -> None:
    assert read_timesteps("10, 1,500") == (1, 10, 500)
    for wrong in ("", "1,,x", "1,1", "-1"):
        with pytest.raises(UserError, match="--timesteps"):
            read_timesteps(wrong)


def test_decibels_are_those_of_the_cosine_schedule() -> None:
    published = {1: 40.6, 10: 31.4, 25: 25.8, 50: 20.8, 200: 9.4, 400: 2.6, 600: -2.9, 800: -9.9, 950: -22.3}
    found = {step: decibels_of(COSINE, step) for step in published}
    assert found == pytest.approx(published, abs=0.06)
