"""compare: common cases, tests against the baseline, and what is left out."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from autodiffseg.cli import run
from autodiffseg.errors import UserError
from autodiffseg.evaluation.comparison import Entrant, compare
from autodiffseg.evaluation.summary import CaseScores, Summary, write_summary
from autodiffseg.runs import RunRecord, run_name

CASES = [f"case{i}" for i in range(8)]


def add_run(
    workspace: Path, trainer: str, dice: list[float], *, fold: str = "0", tag: str = "", seed: int = 0, **changes: Any
) -> None:
    """A validated fold whose first class scores `dice` and whose second scores 0.1 less."""
    name = run_name(trainer, "cpu", "3d_fullres", tag)
    folder = workspace / "results" / "Dataset001_Toy" / name / f"fold_{fold}"
    record = RunRecord(
        dataset="Dataset001_Toy",
        trainer=trainer,
        plan="cpu",
        configuration="3d_fullres",
        tag=tag,
        fold=fold,
        seed=seed,
        options={},
        plan_hash="",
        iterations=10,
        iterations_done=10,
        finished=True,
        training_seconds=120.0,
        parameters=1_500_000,
    ).model_copy(update=changes)
    record.save(folder / "run.json")
    scores = tuple(
        CaseScores(
            case,
            {
                key: {"Dice": value - less, "HD95": 10 - value, "n_pred": 5, "n_ref": 5}
                for key, less in (("1", 0.0), ("2", 0.1))
            },
            f"{case}.nii.gz",
            f"{case}.nii.gz",
        )
        for case, value in zip(CASES, dice, strict=False)
    )
    write_summary(Summary({"1": "one", "2": "two"}, scores), folder / "validation")


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    content = {"channel_names": {"0": "MR"}, "labels": {"background": 0, "one": 1, "two": 2}, "file_ending": ".nii.gz"}
    folder = tmp_path / "preprocessed" / "Dataset001_Toy"
    folder.mkdir(parents=True)
    (folder / "dataset.json").write_text(json.dumps(content))
    add_run(tmp_path, "supervised", [0.8] * 8)
    add_run(tmp_path, "recycling", [0.81, 0.82, 0.83, 0.84, 0.85, 0.86, 0.87, 0.88])
    return tmp_path


def compared(workspace: Path, *arguments: str) -> dict[str, dict[str, str]]:
    assert run(["compare", "1", "--workspace", str(workspace), *arguments]) == 0
    text = (workspace / "results" / "Dataset001_Toy" / "comparison.csv").read_text()
    return {row["run"]: row for row in csv.DictReader(text.splitlines())}


def test_means_differences_and_p_values(workspace: Path) -> None:
    rows = compared(workspace)
    assert float(rows["recycling"]["Dice_mean"]) == pytest.approx(0.845 - 0.05)
    assert float(rows["recycling"]["Dice_one"]) == pytest.approx(0.845)
    assert float(rows["recycling"]["Dice_difference"]) == pytest.approx(0.045)
    assert float(rows["recycling"]["Dice_p"]) == pytest.approx(2 / 2**8)
    assert rows["supervised"]["Dice_p"] == ""
    assert rows["supervised"]["Training [min/fold]"] == "2.0"


def test_the_best_is_bold_and_the_conventions_are_told(workspace: Path) -> None:
    compared(workspace)
    text = (workspace / "results" / "Dataset001_Toy" / "comparison.md").read_text()
    line = next(line for line in text.splitlines() if line.startswith("| recycling"))
    assert "**<u>0.7950 ± 0.0245</u>**" in line  # best, and different from the baseline
    assert "**" not in next(line for line in text.splitlines() if line.startswith("| supervised"))
    assert "Wilcoxon" in text
    assert "Empty masks" in text


def test_the_terminal_shows_units_and_keeps_figures_whole(
    workspace: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    compared(workspace)
    shown = capsys.readouterr().out
    assert "HD95 [mm]" in shown
    assert "0.7950 ± 0.0245" in shown
    assert "+0.0450 [" in shown
    monkeypatch.setenv("COLUMNS", "200")
    compared(workspace)
    assert "Training [min/fold]" in capsys.readouterr().out


def test_names_with_brackets_and_bars_keep_the_tables_whole(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    declare(workspace, {"background": 0, "[red]a|b[/blue]": 1, "two": 2})
    add_run(workspace, "recycling", [0.7] * 8, tag="[bold]t")
    compared(workspace)
    assert "[red]a|b[/blue]" in capsys.readouterr().out
    text = (workspace / "results/Dataset001_Toy/comparison.md").read_text()
    for table in text.split("## ")[1:]:
        lines = [line.replace("\\|", "") for line in table.splitlines() if line.startswith("|")]
        assert len({line.count("|") for line in lines}) == 1


def test_empty_masks_are_counted_in_the_notes(workspace: Path) -> None:
    path = workspace / "results/Dataset001_Toy/recycling__cpu__3d_fullres/fold_0/validation/summary.json"
    content = json.loads(path.read_text())
    first, second = content["metric_per_case"][:2]
    first["metrics"]["1"].update({"Dice": None, "HD95": None, "n_pred": 0, "n_ref": 0})
    second["metrics"]["2"].update({"Dice": 0.0, "HD95": 99.0, "n_pred": 0})
    path.write_text(json.dumps(content))
    compared(workspace)
    text = (workspace / "results/Dataset001_Toy/comparison.md").read_text()
    assert "recycling: of 16 masks (cases × classes) 1 are empty in both, 1 in one of the two." in text
    assert "supervised: of 16" not in text


def test_other_case_sets_are_refused_and_named(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    add_run(workspace, "diffusion", [0.9] * 3)
    assert run(["compare", "1", "--workspace", str(workspace)]) == 2
    told = capsys.readouterr().err
    assert "diffusion lacks 5 (case3, case4, case5 and 2 more)" in told
    assert "--intersection" in told
    assert not (workspace / "results" / "Dataset001_Toy" / "comparison.md").exists()


def test_only_common_cases_count_in_an_intersection_and_the_rest_is_named(workspace: Path) -> None:
    add_run(workspace, "diffusion", [0.9] * 6)
    rows = compared(workspace, "--intersection")
    assert {row["cases"] for row in rows.values()} == {"6"}
    text = (workspace / "results" / "Dataset001_Toy" / "comparison.md").read_text()
    assert "Left out: 2 of 8 cases of supervised" in text


def test_folds_and_configurations_are_chosen(workspace: Path) -> None:
    add_run(workspace, "recycling", [0.1] * 8, fold="1")
    assert float(compared(workspace, "--fold", "0")["recycling"]["Dice_mean"]) == pytest.approx(0.795)
    assert set(compared(workspace, "--configuration", "2d", "--configuration", "3d_fullres", "--fold", "0")) == {
        "recycling",
        "supervised",
    }


def test_three_seeds_are_one_row_with_an_interval_over_trainings(workspace: Path) -> None:
    for trainer, dice in (("recycling", 0.9), ("supervised", 0.85)):
        add_run(workspace, trainer, [dice + 0.05] * 8, tag="seed-1", seed=1)
        add_run(workspace, trainer, [dice - 0.05] * 8, tag="seed-2", seed=2)
    rows = compared(workspace)
    assert set(rows) == {"recycling (3 trainings)", "supervised (3 trainings)"}
    row = rows["recycling (3 trainings)"]
    assert float(row["Dice_mean"]) == pytest.approx((0.845 + 0.95 + 0.85) / 3 - 0.05)
    # Cases of a training are nearly alike and trainings are not: the interval is as wide as the trainings lie apart.
    assert float(row["Dice_high"]) - float(row["Dice_low"]) > 0.05
    assert float(row["Dice_difference_low"]) < 0 < float(row["Dice_difference_high"])
    assert float(row["Dice_p"]) < 0.05  # which speaks of these trainings alone
    cases = (workspace / "results/Dataset001_Toy/comparison_cases.csv").read_text().splitlines()
    assert len(cases) == 1 + 2 * 3 * 8 * 2
    assert set(compared(workspace, "--each-training", "--trainer", "recycling")) == {
        "recycling",
        "recycling seed-1",
        "recycling seed-2",
    }


@pytest.mark.parametrize("change", [{"iterations": 20, "iterations_done": 20}, {"plan_hash": "another"}])
def test_trainings_that_differ_in_more_than_their_seed_are_rows_of_their_own(
    workspace: Path, change: dict[str, Any]
) -> None:
    add_run(workspace, "recycling", [0.9] * 8, tag="seed-1", seed=1)
    add_run(workspace, "recycling", [0.9] * 8, tag="seed-2", seed=2, **change)
    assert set(compared(workspace)) == {"recycling", "recycling seed-1", "recycling seed-2", "supervised"}


def test_three_seeds_of_an_ensemble_are_one_row_too(workspace: Path) -> None:
    for seed, tag in ((0, ""), (1, "seed-1"), (2, "seed-2")):
        members = {run_name(trainer, "cpu", "3d_fullres", tag): f"weights {seed}" for trainer in ("a", "b")}
        add_run(workspace, "ensemble", [0.9] * 8, tag=tag, seed=seed, members=members)
    assert set(compared(workspace)) == {"ensemble (3 trainings)", "recycling", "supervised"}


def test_two_seeds_are_two_rows(workspace: Path) -> None:
    add_run(workspace, "recycling", [0.9] * 8, tag="seed-1", seed=1)
    assert set(compared(workspace)) == {"recycling", "recycling seed-1", "supervised"}


def test_a_training_that_has_not_finished_is_left_out_and_told(workspace: Path) -> None:
    add_run(workspace, "diffusion", [0.9] * 8)
    folder = workspace / "results/Dataset001_Toy/diffusion__cpu__3d_fullres/fold_0"
    record = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**record, "finished": False, "iterations_done": 4}))
    (folder / "validation" / "summary.json").unlink()
    assert set(compared(workspace)) == {"recycling", "supervised"}
    text = (workspace / "results/Dataset001_Toy/comparison.md").read_text()
    assert "its training has not finished (4 of 10 updates)" in text


def test_runs_of_another_tag_are_no_rows_and_their_cases_no_hindrance(workspace: Path) -> None:
    add_run(workspace, "supervised", [0.5, 0.6], tag="short")
    add_run(workspace, "supervised", [0.5, 0.6], tag="short-seed-3", seed=3)
    assert set(compared(workspace, "--tag", "")) == {"recycling", "supervised"}
    assert set(compared(workspace, "--tag", "short")) == {"supervised short", "supervised short-seed-3"}


def test_only_seeds_that_are_asked_for_are_rows(workspace: Path) -> None:
    for seed in (1, 2):
        add_run(workspace, "recycling", [0.9] * 8, tag=f"seed-{seed}", seed=seed)
    assert set(compared(workspace, "--seed", "0")) == {"recycling", "supervised"}
    assert set(compared(workspace, "--seed", "0", "--seed", "2")) == {"recycling", "recycling seed-2", "supervised"}


def test_metrics_are_chosen_and_one_that_is_missing_is_refused(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "HD95_mean" not in compared(workspace, "--metrics", "Dice")["recycling"]
    assert run(["compare", "1", "--workspace", str(workspace), "--metrics", "Dice,HD"]) == 2
    assert "recycling, supervised have no score of HD" in capsys.readouterr().err


def test_classes_are_tested_in_a_family_of_their_own(workspace: Path) -> None:
    compared(workspace)
    text = (workspace / "results/Dataset001_Toy/comparison_classes.csv").read_text()
    rows = {(row["run"], row["metric"], row["class"]): row for row in csv.DictReader(text.splitlines())}
    for name in ("one", "two"):
        row = rows["recycling", "Dice", name]
        assert float(row["p"]) == pytest.approx(2 / 2**8)
        assert float(row["p_holm"]) == pytest.approx(2 * 2 / 2**8)  # two classes
        assert float(row["effect"]) == 1.0
    assert float(rows["recycling", "Dice", "two"]["mean"]) == pytest.approx(0.745)


def test_on_par_is_an_interval_within_half_a_point(workspace: Path) -> None:
    add_run(workspace, "diffusion", [0.8 + 0.004 * (-1) ** index for index in range(8)])
    compared(workspace)
    content = json.loads((workspace / "results/Dataset001_Toy/comparison.json").read_text())
    verdicts = {e["name"]: e["results"]["Dice"]["foreground"]["verdict"] for e in content["entrants"]}
    assert verdicts == {"diffusion": "on par", "recycling": "better", "supervised": ""}


def test_too_few_pairs_are_said_instead_of_a_p_value(workspace: Path) -> None:
    for trainer in ("supervised", "recycling"):
        add_run(workspace, trainer, [0.7, 0.8, 0.9])
    compared(workspace)
    text = (workspace / "results/Dataset001_Toy/comparison.md").read_text()
    assert "No p-value: 3 pairs are too few for a test (6 are needed)." in text
    assert "<u>" not in text


def test_the_json_holds_what_a_page_needs(workspace: Path) -> None:
    compared(workspace, "--baseline", "recycling")
    content = json.loads((workspace / "results/Dataset001_Toy/comparison.json").read_text())
    assert (content["dataset"], content["baseline"], content["units"]) == ("Dataset001_Toy", "recycling", 8)
    assert content["command"].startswith("autodiffseg compare 1")
    assert [metric["name"] for metric in content["metrics"]] == ["Dice", "HD95"]
    recycling, supervised = content["entrants"]
    assert recycling["runs"][0]["folds"]["0"]["trainer"] == "recycling"
    assert recycling["numbers"]["training_seconds"] == 120.0
    assert supervised["results"]["Dice"]["foreground"]["difference"]["mean"] == pytest.approx(-0.045)
    assert supervised["results"]["Dice"]["classes"]["1"]["p_adjusted"] == pytest.approx(4 / 2**8)
    case = recycling["trainings"][0]["case3"]
    assert case["scores"]["1"]["Dice"] == pytest.approx(0.84)
    assert case["prediction_file"] == "case3.nii.gz"


def test_the_latex_tables_balance_and_escape(workspace: Path) -> None:
    declare(workspace, {"background": 0, "a_b & 50%": 1, "two": 2})
    compared(workspace)
    text = (workspace / "results/Dataset001_Toy/comparison.tex").read_text()
    assert r"a\_b \& 50\%" in text
    assert r"\textbf{\underline{0.7950 $\pm$ 0.0245}}" in text
    for begin in ("table", "tabular"):
        assert text.count(f"\\begin{{{begin}}}") == text.count(f"\\end{{{begin}}}") == 7
    for table in text.split("\\toprule")[1:]:
        rows = [line for line in table.partition("\\bottomrule")[0].splitlines() if line.endswith(r"\\")]
        assert len({line.replace(r"\&", "").count("&") for line in rows}) == 1


def test_figures_are_the_same_bytes_again(workspace: Path, tmp_path: Path) -> None:
    analysis = workspace / "results/Dataset001_Toy/recycling__cpu__3d_fullres/analysis"
    analysis.mkdir()
    rows = [f"{case},0,{step},one,0.{step + 5},1.0" for case in CASES for step in (1, 2, 3)]
    (analysis / "steps_cases.csv").write_text("\n".join(["case,sample,step,class,Dice,HD95", *rows]))
    for folder in ("one", "two"):
        compared(workspace, "--figures", str(tmp_path / folder))
    names = {"classes_Dice", "pairs_Dice", "classes_HD95", "pairs_HD95", "steps"}
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert files == sorted(f"{name}{ending}" for name in names for ending in (".svg", ".pdf"))
    for name in files:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    content = json.loads((workspace / "results/Dataset001_Toy/comparison.json").read_text())
    assert content["steps"]["recycling"]["Dice"] == [[1, 0.6], [2, 0.7], [3, pytest.approx(0.8)]]


def test_runs_are_chosen_by_trainer_and_told_apart_by_tag(workspace: Path) -> None:
    add_run(workspace, "recycling", [0.7] * 8, tag="seed-1")
    assert set(compared(workspace, "--trainer", "recycling")) == {"recycling", "recycling seed-1"}


@pytest.mark.parametrize("name", ["MixedTrainer", "my_trainers:MixedTrainer"])
def test_a_trainer_of_ones_own_goes_by_its_class_too(workspace: Path, name: str) -> None:
    add_run(workspace, "my_trainers:MixedTrainer", [0.7] * 8)
    assert set(compared(workspace, "--trainer", name)) == {"MixedTrainer"}


def declare(workspace: Path, labels: dict[str, int]) -> None:
    path = workspace / "preprocessed" / "Dataset001_Toy" / "dataset.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "labels": labels}))


def test_runs_scored_on_other_classes_are_left_out_and_named(workspace: Path) -> None:
    summary = workspace / "results/Dataset001_Toy/recycling__cpu__3d_fullres/fold_0/validation/summary.json"
    content = json.loads(summary.read_text())
    content["classes"]["3"] = "three"
    for case in content["metric_per_case"]:
        case["metrics"]["3"] = case["metrics"]["1"]
    summary.write_text(json.dumps(content))
    declare(workspace, {"background": 0, "one": 1, "two": 2, "three": 3})
    rows = compared(workspace)
    assert set(rows) == {"recycling"}
    assert float(rows["recycling"]["Dice_three"]) == pytest.approx(0.845)
    text = (workspace / "results" / "Dataset001_Toy" / "comparison.md").read_text()
    assert "fold 0 of supervised__cpu__3d_fullres: scored on other classes (one, two)" in text


def test_when_every_run_was_scored_on_other_classes_that_is_told(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    declare(workspace, {"background": 0, "one": 1})
    assert run(["compare", "1", "--workspace", str(workspace)]) == 2
    told = capsys.readouterr().err
    assert "holds no validated run" in told
    assert told.count("scored on other classes (one, two)") == 2


def test_an_output_that_cannot_be_written_is_one_line(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (workspace / "file").touch()
    assert run(["compare", "1", "--workspace", str(workspace), "-o", str(workspace / "file" / "report")]) == 2
    told = capsys.readouterr().err
    assert str(workspace / "file") in told
    assert told.count("\n") == 1


def test_the_library_refuses_entrants_that_lack_a_class() -> None:
    scores = CaseScores("a", {"1": {"Dice": 1.0, "HD95": 0.0}}, "a.nii.gz", "a.nii.gz")
    with pytest.raises(UserError, match="x has no score of every class in a"):
        compare([Entrant("x", {"a": scores}, {})], {"1": "one", "2": "two"}, baseline="x")


def test_unvalidated_folds_and_fold_all_are_left_out(workspace: Path) -> None:
    add_run(workspace, "recycling", [1.0] * 8, fold="all")
    add_run(workspace, "recycling", [1.0] * 8, fold="1")
    (workspace / "results/Dataset001_Toy/recycling__cpu__3d_fullres/fold_1/validation/summary.json").unlink()
    rows = compared(workspace)
    assert float(rows["recycling"]["Dice_mean"]) == pytest.approx(0.795)
    text = (workspace / "results" / "Dataset001_Toy" / "comparison.md").read_text()
    assert "fold all of recycling" in text
    assert "fold 1 of recycling" in text


def test_groups_are_the_units(workspace: Path) -> None:
    path = workspace / "preprocessed" / "Dataset001_Toy" / "dataset.json"
    path.write_text(
        json.dumps({**json.loads(path.read_text()), "groups": {c: c if c < "case2" else "p" for c in CASES}})
    )
    rows = compared(workspace)
    expected = (0.81 + 0.82 + (0.83 + 0.84 + 0.85 + 0.86 + 0.87 + 0.88) / 6) / 3 - 0.05
    assert float(rows["recycling"]["Dice_mean"]) == pytest.approx(expected)
    assert rows["recycling"]["Dice_p"] == ""  # three units are too few for a test


def test_scores_of_an_earlier_state_are_left_out(workspace: Path) -> None:
    path = workspace / "results/Dataset001_Toy/recycling__cpu__3d_fullres/fold_0/run.json"
    summary = path.parent / "validation" / "summary.json"
    summary.write_text(json.dumps({**json.loads(summary.read_text()), "updates": 5, "passes": 5}))
    assert set(compared(workspace)) == {"supervised"}
    text = (workspace / "results" / "Dataset001_Toy" / "comparison.md").read_text()
    assert "validated after 5 of its 10 updates" in text


def test_mistakes_are_told_in_one_line(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, words in (
        (["compare", "1", "--baseline", "nothing"], "Baseline 'nothing'"),
        (["compare", "1", "--trainer", "supervised", "--trainer", "recyclng"], "Did you mean 'recycling'? Known: re"),
        (["compare", "1", "--configuration", "2d"], "holds no validated run"),
        (["compare", "1", "--plan", "nothing", "--trainer", "recycling"], "holds no validated run"),
        (["compare", "7"], "has not been planned"),
    ):
        assert run([*arguments, "--workspace", str(workspace)]) == 2
        assert words in capsys.readouterr().err
