"""The analyses on trained models: the numbers are those of validation, and what cannot be analysed is one line."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autodiffseg.cli import run
from autodiffseg.errors import UserError
from autodiffseg.evaluation.summary import load_summary
from autodiffseg.plans import Plan
from autodiffseg.sampling import Sampling
from autodiffseg.trainers.analyse_sampling import possible_steps
from autodiffseg.trainers.analysis_source import AnalysisSource, Fold
from autodiffseg.workspace import Workspace

NAME = "Dataset900_Phantom"
QUICK = ("--device", "cpu", "--precision", "fp32", "--no-mirroring")


def model(workspace: Path, trainer: str = "recycling") -> Path:
    return workspace / "results" / NAME / f"{trainer}__cpu__3d_fullres"


def analyse(what: str, folder: Path, out: Path, *options: str) -> list[dict[str, str]]:
    """The rows of the table."""
    assert run(["analyse", what, str(folder), "-o", str(out), *options]) == 0
    assert {path.name for path in out.iterdir()} == {f"{what}{end}" for end in (".md", ".csv", "_cases.csv", ".png")}
    return rows(out / f"{what}.csv")


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert run(["analyse", *arguments]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    return told


@pytest.mark.parametrize("trainer", ["recycling", "supervised"])
def test_the_last_step_has_the_scores_of_the_validation(trained_phantom: Path, tmp_path: Path, trainer: str) -> None:
    found = analyse("steps", model(trained_phantom, trainer), tmp_path / "out", *QUICK[:4])
    summary = load_summary(model(trained_phantom, trainer) / "fold_0" / "validation" / "summary.json")
    assert [row["step"] for row in found] == (["1"] if trainer == "supervised" else ["1", "2", "3", "4", "5"])
    assert float(found[-1]["Dice"]) == pytest.approx(summary.foreground_mean["Dice"], abs=1e-6)
    assert float(found[-1]["HD95 [mm]"]) == pytest.approx(summary.foreground_mean["HD95"], abs=1e-4)
    assert len({row["Dice"] for row in found}) == len(found)


def test_the_spread_is_that_of_the_cases_file(trained_phantom: Path, tmp_path: Path) -> None:
    found = analyse("seeds", model(trained_phantom), tmp_path / "out", *QUICK, "--samples", "3", "--steps", "2")
    cases = rows(tmp_path / "out" / "seeds_cases.csv")
    assert {row["sample"] for row in cases} == {"0", "1", "2"}
    apart = []
    for case in sorted({row["case"] for row in cases}):
        values = [float(r["Dice"]) for r in cases if (r["case"], r["step"], r["class"]) == (case, "2", "core")]
        apart.append(max(values) - min(values))
    assert float(found[1]["ΔDice core"]) == pytest.approx(sum(apart) / len(apart))
    assert max(apart) > 0  # other noise, another answer


def test_numbers_of_steps_are_compared_for_both_samplers(trained_phantom: Path, tmp_path: Path) -> None:
    options = (*QUICK, "--steps", "3", "--steps", "1", "--cases", "1")
    found = analyse("sampling", model(trained_phantom), tmp_path / "out", *options)
    assert [(row["sampler"], row["steps"]) for row in found] == [
        ("ddpm", "1"), ("ddpm", "3"), ("ddim", "1"), ("ddim", "3"),
    ]  # fmt: skip
    assert found[0]["Dice"] == found[2]["Dice"]  # one step ends before samplers differ
    cases = rows(tmp_path / "out" / "sampling_cases.csv")
    assert len({row["case"] for row in cases}) == 1
    assert all(row["step"] == row["steps"] for row in cases)


def test_the_files_lie_beside_the_model_unless_a_folder_is_named(trained_phantom: Path, tmp_path: Path) -> None:
    shutil.copytree(trained_phantom, tmp_path / "ws")
    folder = model(tmp_path / "ws")
    assert run(["analyse", "steps", str(folder), *QUICK, "--cases", "1", "--steps", "1"]) == 0
    text = (folder / "analysis" / "steps.md").read_text(encoding="utf-8")
    assert "Validation cases: 1." in text
    assert "fold 0, last checkpoint, without mirroring. DDPM, 1 steps, noise of seed 0" in text


@pytest.mark.parametrize("what", ["seeds", "sampling"])
def test_a_model_without_noise_is_refused_in_one_line(
    trained_phantom: Path, tmp_path: Path, what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    told = refused(capsys, what, str(model(trained_phantom, "supervised")), "-o", str(tmp_path / "out"), *QUICK)
    assert "answers in one pass and draws no noise" in told
    assert not (tmp_path / "out").exists()


def test_what_is_missing_or_impossible_is_one_line(
    trained_phantom: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = str(model(trained_phantom))
    assert "is no model folder" in refused(capsys, "steps", str(tmp_path))
    assert "no fold 3" in refused(capsys, "steps", folder, "--fold", "3")
    assert "trained on" in refused(capsys, "steps", folder, "--fold", "all")
    assert "1001 base steps" in refused(capsys, "sampling", folder, "--steps", "1002", *QUICK)
    assert "ddpm and ddim" in refused(capsys, "seeds", folder, "--sampler", "heun", *QUICK)
    elsewhere = ("--workspace", str(tmp_path / "elsewhere"))
    assert "lacks the validation case" in refused(capsys, "steps", folder, *elsewhere, *QUICK)


def test_without_being_asked_only_numbers_of_steps_are_tried_that_the_plan_can_make(planned_phantom: Path) -> None:
    plan = Workspace(planned_phantom).plan(NAME, "cpu")
    assert possible_steps(plan, (1, 2, 20)) == (1, 2, 5, 20)
    content = plan.model_dump(mode="json")
    content["diffusion"]["respacing"] = "endpoints"
    assert possible_steps(Plan.model_validate(content), (1, 2, 10, 20)) == (2, 5)


def test_a_read_out_has_noise_and_no_sampling_steps(make_trainer: Callable[..., Any]) -> None:
    tedm, probe, supervised = (source_of(make_trainer(name)) for name in ("tedm", "linear-probe", "supervised"))
    recycling = source_of(make_trainer("recycling"))
    assert [source.samples_in_steps for source in (tedm, probe, supervised, recycling)] == [False] * 3 + [True]
    probe.require_noise()
    recycling.require_sampling()
    with pytest.raises(UserError, match="draws no noise"):
        supervised.require_sampling()
    with pytest.raises(UserError, match=r"reads its noise levels one by one and samples nothing.*`analyse steps`"):
        tedm.require_sampling()
    assert tedm.told(Sampling()) == "mean of 8 answers from 8 passes"
    assert recycling.told(Sampling()) == "DDPM, 5 steps"


def source_of(trainer: Any) -> AnalysisSource:
    """The source of one trainer's analysis, without cases."""
    source = object.__new__(AnalysisSource)
    source.model, source.folds = Path("model"), (Fold("0", trainer, (), None, None),)  # type: ignore[arg-type]
    return source
