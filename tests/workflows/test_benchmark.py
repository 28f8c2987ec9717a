"""The benchmark lists its steps, skips what is done, goes on with what was begun, and names the step that fails."""

from __future__ import annotations

import shutil
from pathlib import Path
from unittest.mock import patch

import pytest

from autodiffseg import registry
from autodiffseg.cli import run
from autodiffseg.evaluation.summary import CaseScores, Summary, write_summary
from autodiffseg.runs import RunRecord
from autodiffseg.workspace import Workspace

from .test_demo import parse

DATASET = "Dataset900_Phantom"


@pytest.fixture
def place(planned_phantom: Path, tmp_path: Path) -> Path:
    """A workspace in which the phantom is planned and preprocessed."""
    return shutil.copytree(planned_phantom, tmp_path / "workspace")


def leave(place: Path, trainer: str, *, done: int = 5, validated: bool = True, fold: str = "0", tag: str = "") -> None:
    """A training of five updates as `train` leaves it, after `done` of them."""
    name = "__".join(filter(None, (trainer, "cpu", "3d_fullres", tag)))
    folder = place / "results" / DATASET / name / f"fold_{fold}"
    RunRecord(
        dataset=DATASET, trainer=trainer, plan="cpu", configuration="3d_fullres", tag=tag, fold=fold, seed=0,
        options={}, plan_hash="", iterations=5, iterations_done=done, finished=done == 5, training_seconds=60.0 * done,
    ).save(folder / "run.json")  # fmt: skip
    (folder / "checkpoint_last.pt").touch()
    if validated:
        scores = CaseScores("a", {"1": {"Dice": 1.0, "n_pred": 1, "n_ref": 1}}, "a", "a")
        write_summary(Summary({"1": "one"}, (scores,)), folder / "validation", updates=done, checkpoint="last")


def typed(place: Path, *more: str, code: int = 0) -> tuple[int, list[list[str]]]:
    """The exit code of a benchmark of two trainers, and the commands that it ran, each of which ended with `code`."""
    arguments = ["benchmark", "Phantom", "--workspace", str(place), "--trainer", "supervised", "--trainer", "recycling"]
    with patch("autodiffseg.workflows.benchmark.run_typed", return_value=code) as called:
        ended = run([*arguments, *more])
    return ended, [call.args[0] for call in called.call_args_list]


def test_all_that_lacks_is_done_fold_by_fold_and_compared_at_the_end(place: Path) -> None:
    _, commands = typed(place, "--fold", "0", "--fold", "1", "--iterations", "7")
    assert [command[0] for command in commands] == ["train"] * 4 + ["compare"]
    understood = [parse(command) for command in commands]
    assert [(step["fold"], step["trainer"]) for step in understood[:4]] == [
        (fold, trainer) for fold in ("0", "1") for trainer in ("supervised", "recycling")
    ]
    assert all(step["iterations"] == 7 and step["go_on"] and step["plan"] == "cpu" for step in understood[:4])
    assert understood[4]["html"] == place / "results" / DATASET / "report.html"
    assert understood[4]["folds"] == ["0", "1"]


def test_what_is_done_is_skipped_and_what_was_begun_goes_on(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    leave(place, "supervised")
    leave(place, "recycling", done=3, validated=False)
    _, commands = typed(place)
    assert [command[0] for command in commands] == ["train", "compare"]
    begun = parse(commands[0])
    assert (begun["trainer"], begun["go_on"], begun["iterations"]) == ("recycling", True, 5)  # as it was begun
    told = capsys.readouterr().out
    assert "train supervised, 3d_fullres, fold 0: done" in told
    assert "go on with recycling" in told


def test_a_finished_training_without_scores_of_its_last_updates_is_validated(place: Path) -> None:
    leave(place, "supervised", validated=False)
    leave(place, "recycling", done=3)
    leave(place, "recycling", validated=False)  # its scores are those after three updates
    _, commands = typed(place)
    assert [command[0] for command in commands] == ["validate", "validate", "compare"]
    assert [parse(command)["trainer"] for command in commands[:2]] == ["supervised", "recycling"]


def test_an_unplanned_dataset_is_planned_first_under_the_name_of_its_preset(phantom_raw: Path, tmp_path: Path) -> None:
    arguments = [
        "benchmark",
        str(phantom_raw),
        "--workspace",
        str(tmp_path),
        "--preset",
        "cpu",
        "--trainer",
        "supervised",
    ]
    with patch("autodiffseg.workflows.benchmark.run_typed", return_value=0) as called:
        assert run(arguments) == 0
    first = parse(called.call_args_list[0].args[0])
    assert (first["dataset"], first["preset"], first["name"]) == (str(phantom_raw), "cpu", "cpu")
    assert first["configurations"] == ["3d_fullres"]


def test_cases_that_are_not_preprocessed_make_it_plan_again(place: Path) -> None:
    store = next((place / "preprocessed" / DATASET).glob("3d_fullres-*"))
    shutil.rmtree(store)
    assert typed(place)[1][0][0] == "plan-and-preprocess"


def test_seeds_other_than_zero_join_the_tag(place: Path) -> None:
    leave(place, "supervised", validated=False, tag="short-seed-2")
    _, commands = typed(place, "--seed", "0", "--seed", "2", "--tag", "short")
    steps = [parse(command) for command in commands[:-1]]
    assert [(step["trainer"], step.get("seed"), step["tag"]) for step in steps] == [
        ("supervised", 0, "short"),
        ("recycling", 0, "short"),
        ("supervised", None, "short-seed-2"),  # validated: there the tag is whole
        ("recycling", 2, "short"),
    ]


@pytest.mark.parametrize("tag", ["", "short"])
def test_only_runs_of_its_own_tag_are_compared(place: Path, tag: str) -> None:
    assert parse(typed(place, "--tag", tag)[1][-1])["tag"] == tag


def test_only_runs_of_its_own_seeds_are_compared(place: Path) -> None:
    assert parse(typed(place)[1][-1])["seeds"] == [0]
    assert parse(typed(place, "--seed", "1", "--seed", "2")[1][-1])["seeds"] == [1, 2]


def test_the_step_that_fails_is_named_and_nothing_follows(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ended, commands = typed(place, code=2)
    assert (ended, len(commands)) == (2, 1)
    assert "Step 2 of 4 failed: train supervised, 3d_fullres, fold 0." in capsys.readouterr().out


def test_the_time_of_trainings_is_told_by_those_before_them(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    leave(place, "supervised")  # a minute an update
    leave(place, "recycling", done=1)
    assert typed(place, "--fold", "0", "--fold", "1", "--iterations", "5", "--dry-run") == (0, [])
    told = capsys.readouterr().out
    assert "go on with recycling, 3d_fullres, fold 0: about 4 minutes" in told
    assert "train supervised, 3d_fullres, fold 1: about 5 minutes" in told
    assert "about 14 minutes" in told


def test_without_one_before_the_time_is_forecast_for_this_cpu(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = Workspace(place).plan_path(DATASET, "cpu")
    assert plan.is_file()
    typed(place, "--iterations", "1000", "--dry-run", "--device", "cpu")
    told = capsys.readouterr().out
    assert told.count("fold 0: about ") == 2
    assert "unknown" not in told


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--trainer", "recycling"], "given twice"),
        (["--trainer", "superwised"], "Did you mean 'supervised'"),
        (["--fold", "all"], "every case"),
        (["--plan", "other"], "--preset"),
        (["--iterations", "9"], "5 updates"),
    ],
)
def test_mistakes_are_refused_before_work_starts(
    place: Path, more: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    leave(place, "supervised")
    ended, commands = typed(place, *more)
    assert (ended, commands) == (2, [])
    assert told in capsys.readouterr().err


def test_the_default_trainers_and_the_forecast_are_announced() -> None:
    from autodiffseg.workflows.benchmark import TRAINERS

    assert set(TRAINERS) <= set(registry.known(registry.TRAINERS))
    assert "training-time" in registry.known(registry.SERVICES)


def test_an_ensemble_is_left_to_look_at_its_members(place: Path) -> None:
    leave(place, "supervised")
    leave(place, "recycling")
    _, commands = typed(place, "--trainer", "ensemble")
    assert [command[0] for command in commands] == ["train", "compare"]
    assert parse(commands[0])["trainer"] == "ensemble"


@pytest.mark.slow
def test_a_benchmark_runs_from_raw_images_to_the_page_and_then_has_nothing_to_train(
    phantom_raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.html"
    arguments = ["benchmark", str(phantom_raw), "--workspace", str(tmp_path), "--preset", "cpu", "--html", str(page)]
    arguments += ["--trainer", "supervised", "--iterations", "1", "--device", "cpu"]
    assert run(arguments) == 0
    assert page.read_text(encoding="utf-8").count("<article>") >= 1
    capsys.readouterr()
    assert run(arguments) == 0
    told = capsys.readouterr().out
    assert "$ autodiffseg compare" in told
    assert "$ autodiffseg train" not in told
