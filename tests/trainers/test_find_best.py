"""find-best: runs and pairs by cross-validation, with whatever has finished."""

from __future__ import annotations

import json
import shlex
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autodiffseg.cli import run
from autodiffseg.evaluation.choice import Choice, Standing
from autodiffseg.evaluation.statistics import Interval
from autodiffseg.images import read_label
from autodiffseg.postprocessing.record import Postprocessing
from autodiffseg.runs import RunRecord
from autodiffseg.trainers.best_postprocessing import postprocess
from autodiffseg.trainers.best_report import make_record, told
from autodiffseg.trainers.best_search import BestSearch
from autodiffseg.trainers.candidate_runs import RunFilter
from autodiffseg.trainers.pair_scores import RunPair
from autodiffseg.trainers.probability_cache import ProbabilityCache
from autodiffseg.workspace import Workspace

SUPERVISED, RECYCLING = "supervised__cpu__3d_fullres", "recycling__cpu__3d_fullres"
PAIR = (RECYCLING, SUPERVISED)
CASES = ["phantom_003", "phantom_005"]


def results(workspace: Path) -> Path:
    return workspace / "results" / "Dataset900_Phantom"


def find_best(workspace: Path, *more: str) -> int:
    place = ["--workspace", str(workspace), "--device", "cpu", "--precision", "fp32"]
    return run(["find-best", "Phantom", *place, *more])


def record(workspace: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((results(workspace) / "inference.json").read_text())
    return content


def found(workspace: Path) -> dict[tuple[str, ...], dict[str, Any]]:
    return {tuple(entry["runs"]): entry for entry in record(workspace)["candidates"]}


@pytest.fixture(scope="module")
def searched(trained_phantom: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs of which fold 0 has finished, and what find-best made of them."""
    workspace = tmp_path_factory.mktemp("searched")
    shutil.copytree(trained_phantom, workspace, dirs_exist_ok=True)
    assert find_best(workspace) == 0
    return workspace


@pytest.fixture
def copied(searched: Path, tmp_path: Path) -> Path:
    """A copy that may be changed."""
    shutil.copytree(searched, tmp_path / "workspace")
    return tmp_path / "workspace"


def test_single_runs_have_the_scores_of_their_validation(searched: Path) -> None:
    for name in PAIR:
        summary = json.loads((results(searched) / name / "fold_0" / "validation" / "summary.json").read_text())
        dice = [np.mean([scores["Dice"] for scores in case["metrics"].values()]) for case in summary["metric_per_case"]]
        assert found(searched)[(name,)]["dice"] == pytest.approx(np.mean(dice))
    assert record(searched)["cases"] == CASES


def test_a_pair_scores_what_the_ensemble_of_the_two_scores(copied: Path, tmp_path: Path) -> None:
    before = found(copied)[PAIR]
    options = ["--iterations", "4", "--device", "cpu", "--precision", "fp32", "--workspace", str(copied)]
    assert run(["train", "Phantom", "3d_fullres", "0", "--trainer", "ensemble", *options]) == 0
    assert find_best(copied, "-o", str(tmp_path)) == 0
    content = json.loads((tmp_path / "inference.json").read_text())
    candidates = content["candidates"]
    commands = {lack["command"] for lack in content["missing"] if lack["run"].startswith("ensemble")}
    assert any("train Dataset900_Phantom 3d_fullres 2 --trainer ensemble --plan cpu" in line for line in commands)
    names = {tuple(entry["runs"]): entry for entry in candidates}
    assert set(names) == {(SUPERVISED,), (RECYCLING,), ("ensemble__cpu__3d_fullres",)}  # the pair is there as a run
    after = names[("ensemble__cpu__3d_fullres",)]
    assert after["dice"] == pytest.approx(before["dice"], abs=2e-3)  # its probabilities were kept as float16
    assert after["operations"] == pytest.approx(before["operations"])
    for case in CASES:
        kept = read_label(results(copied) / "find_best" / "+".join(PAIR) / f"{case}.nii.gz")[0]
        own = read_label(results(copied) / "ensemble__cpu__3d_fullres" / "fold_0" / "validation" / f"{case}.nii.gz")[0]
        assert (kept != own).mean() < 2e-3


def test_an_ensemble_whose_member_has_other_weights_now_is_missing(copied: Path, tmp_path: Path) -> None:
    shutil.copytree(results(copied) / RECYCLING / "fold_0", results(copied) / "ensemble__cpu__3d_fullres" / "fold_0")
    path = results(copied) / "ensemble__cpu__3d_fullres" / "fold_0" / "run.json"
    known = RunRecord.load(path).model_copy(update={"trainer": "ensemble", "members": {SUPERVISED: "0" * 32}})
    known.model_copy(update={"options": {"members": ["supervised", "recycling"]}}).save(path)
    assert find_best(copied, "--no-pairs", "-o", str(tmp_path)) == 0
    content = json.loads((tmp_path / "inference.json").read_text())
    assert {tuple(entry["runs"]) for entry in content["candidates"]} == {(SUPERVISED,), (RECYCLING,)}
    [lack] = [lack for lack in content["missing"] if lack["run"].startswith("ensemble") and lack["fold"] == "0"]
    assert lack["lacks"] == f"validated with other weights than its member {SUPERVISED} has now"
    assert "train Dataset900_Phantom 3d_fullres 0 --trainer ensemble" in lack["command"]


def test_a_run_whose_plan_is_not_here_is_missing_and_hinders_nobody(copied: Path) -> None:
    path = results(copied) / SUPERVISED / "fold_0" / "run.json"  # as of a model that was imported
    RunRecord.load(path).model_copy(update={"plan": "theirs"}).save(path)
    assert find_best(copied) == 0
    assert set(found(copied)) == {(RECYCLING,)}
    [lack] = [lack for lack in record(copied)["missing"] if lack["run"] == SUPERVISED]
    assert "theirs" in lack["lacks"]


def test_a_file_in_place_of_the_output_folder_is_refused_before_anything_is_predicted(
    searched: Path, capsys: Any
) -> None:
    assert find_best(searched, "-o", str(results(searched) / "inference.json")) == 2
    assert "is no folder; -o names the folder for inference.json" in capsys.readouterr().err


def test_the_best_has_the_highest_mean_and_the_others_are_below_it(searched: Path) -> None:
    content = record(searched)
    means = [entry["dice"] for entry in content["candidates"]]
    assert means == sorted(means, reverse=True)
    assert content["best"] == content["chosen"] == content["candidates"][0]["runs"]
    assert [entry["difference"] for entry in content["candidates"]] == pytest.approx([m - means[0] for m in means])


def test_what_is_missing_is_listed_with_the_command_that_makes_it(searched: Path, capsys: Any) -> None:
    assert find_best(searched) == 0
    told = capsys.readouterr().out
    assert "recycling + supervised" in told  # plan and configuration are the same in all
    assert f"Missing of {RECYCLING}: fold 1, 2, 3, 4: not trained. For example:\n  autodiffseg train" in told
    missing = {(lack["run"], lack["fold"]): lack["command"] for lack in record(searched)["missing"]}
    assert set(missing) == {(name, str(fold)) for name in PAIR for fold in range(1, 5)}
    command = "autodiffseg train Dataset900_Phantom 3d_fullres 2 --trainer supervised --plan cpu"
    assert missing[(SUPERVISED, "2")].startswith(f"{command} --iterations 4")


def test_a_missing_fold_is_made_as_the_others_were(copied: Path) -> None:
    path = results(copied) / SUPERVISED / "fold_0" / "run.json"
    known = RunRecord.load(path).model_copy(update={"trainer": "tedm", "iterations": 7, "n_labelled": 3})
    options = {"augment": False, "timesteps": [1, 25], "backbone": "/some where"}
    folder = results(copied) / "tedm__cpu__3d_fullres" / "fold_0"
    folder.mkdir(parents=True)
    known.model_copy(update={"options": options}).save(folder / "run.json")
    assert find_best(copied) == 0
    command = next(lack["command"] for lack in record(copied)["missing"] if lack["run"].startswith("tedm"))
    words = shlex.split(command)
    assert words[: words.index("--workspace")][-10:] == [
        "--n-labelled", "3", "--iterations", "7", "--set", "augment=False", "--set", "backbone=/some where",
        "--set", "timesteps=1,25",
    ]  # fmt: skip


def test_the_command_predicts(searched: Path, phantom_raw: Path, tmp_path: Path, capsys: Any) -> None:
    assert find_best(searched) == 0
    command = record(searched)["command"]
    assert command in capsys.readouterr().out
    words = shlex.split(command)
    assert words[0] == "autodiffseg"
    places = {"IMAGES": str(phantom_raw / "imagesTs" / "phantom_006_0000.nii.gz"), "OUT": str(tmp_path / "out")}
    assert run([places.get(word, word) for word in words[1:]] + ["--device", "cpu"]) == 0
    models = json.loads((tmp_path / "out" / "predict.json").read_text())["models"]
    assert {Path(model["model"]).name for model in models} == set(record(searched)["chosen"])


def test_folds_are_named_where_predict_would_take_more(copied: Path) -> None:
    for name in PAIR:
        shutil.copytree(results(copied) / name / "fold_0", results(copied) / name / "fold_all")
    assert find_best(copied, "--no-pairs") == 0
    assert record(copied)["command"].endswith("--fold 0")
    assert set(found(copied)) == {(SUPERVISED,), (RECYCLING,)}


def test_a_second_search_predicts_nothing(searched: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: Any) -> None:
        raise AssertionError

    monkeypatch.setattr(ProbabilityCache, "fill", never)
    before = found(searched)
    assert find_best(searched) == 0
    assert found(searched) == before


def test_an_interrupted_search_goes_on(copied: Path) -> None:
    before = found(copied)
    folder = results(copied) / "find_best"
    shutil.rmtree(folder / "+".join(PAIR))
    kept = folder / "probabilities" / RECYCLING / "fold_0"
    (kept / "phantom_005.npz").unlink()
    search = BestSearch.of(Workspace(copied), "Dataset900_Phantom", RunFilter(), with_pairs=True)
    with np.load(kept / "phantom_003.npz") as file:
        assert search.bytes_to_predict() == file["probabilities"].nbytes  # of one case, all of the same shape
    times = {path: path.stat().st_mtime_ns for path in (folder / "probabilities").rglob("*.npz")}
    assert find_best(copied) == 0
    assert (kept / "phantom_005.npz").is_file()
    assert {path: path.stat().st_mtime_ns for path in times} == times
    assert found(copied) == before


def test_other_weights_are_predicted_with_anew(copied: Path) -> None:
    before = found(copied)[PAIR]["dice"]
    shutil.rmtree(results(copied) / SUPERVISED)
    arguments = ["train", "Phantom", "3d_fullres", "0", "--trainer", "supervised", "--iterations", "30"]
    assert run([*arguments, "--device", "cpu", "--precision", "fp32", "--workspace", str(copied)]) == 0
    assert find_best(copied) == 0
    assert found(copied)[PAIR]["dice"] > before


def test_a_pair_that_was_sampled_otherwise_is_scored_anew(searched: Path) -> None:
    search = BestSearch.of(Workspace(searched), "Dataset900_Phantom", RunFilter(), with_pairs=True)
    [pair], ending = search.pairs, search.declared.file_ending
    assert pair.known(search.cases, ending) is not None
    first, second = pair.runs
    more = replace(first, sampling=first.sampling.model_copy(update={"steps": first.sampling.steps + 1}))
    assert RunPair(more, second, pair.folder.parent).known(search.cases, ending) is None


def test_runs_can_be_chosen(searched: Path, tmp_path: Path, capsys: Any) -> None:
    assert find_best(searched, "--trainer", "supervised", "-o", str(tmp_path)) == 0
    [entry] = json.loads((tmp_path / "inference.json").read_text())["candidates"]
    assert entry["runs"] == [SUPERVISED]
    assert entry["standard_error"] == 0
    for nothing in (("--trainer", "diffusion"), ("-c", "2d"), ("--plan", "default"), ("--tag", "x")):
        assert find_best(searched, *nothing) == 2
        told = capsys.readouterr().err
        assert "holds no validated run that fits; it has: " in told
        assert RECYCLING in told


def test_a_fold_that_is_not_validated_as_planned_is_missing(copied: Path) -> None:
    arguments = ["--trainer", "recycling", "--steps", "2", "--device", "cpu", "--workspace", str(copied)]
    assert run(["validate", "Phantom", "3d_fullres", "0", *arguments]) == 0
    assert find_best(copied) == 0
    assert set(found(copied)) == {(SUPERVISED,)}
    [lack] = [lack for lack in record(copied)["missing"] if lack["run"] == RECYCLING and lack["fold"] == "0"]
    assert "other sampling than the plan's" in lack["lacks"]
    assert lack["command"].startswith("autodiffseg validate Dataset900_Phantom 3d_fullres 0 --trainer recycling")


def test_runs_without_a_case_in_common_are_told(copied: Path, capsys: Any) -> None:
    fold = results(copied) / RECYCLING / "fold_0"
    moved = results(copied) / RECYCLING / "fold_1"
    shutil.move(fold, moved)
    content = json.loads((moved / "run.json").read_text())
    (moved / "run.json").write_text(json.dumps(content | {"fold": "1", "validation_cases": ["phantom_004"]}))
    summary = json.loads((moved / "validation" / "summary.json").read_text())
    summary["metric_per_case"] = [summary["metric_per_case"][0] | {"case": "phantom_004"}]
    (moved / "validation" / "summary.json").write_text(json.dumps(summary))
    (moved / "validation" / "phantom_003.nii.gz").rename(moved / "validation" / "phantom_004.nii.gz")
    record = RunRecord.load(moved / "run.json")
    cases = [case for case in record.training_cases if case != "phantom_004"]
    (moved / "run.json").write_text(record.model_copy(update={"training_cases": tuple(cases)}).model_dump_json())
    assert find_best(copied) == 2
    assert f"{RECYCLING} has fold 1; {SUPERVISED} has fold 0" in capsys.readouterr().err


def test_rules_for_a_pair_are_found_on_its_label_maps_and_named_in_the_command(copied: Path) -> None:
    search = BestSearch.of(Workspace(copied), "Dataset900_Phantom", RunFilter(), with_pairs=True)
    [pair] = search.pairs
    path = postprocess(search, pair)
    found = Postprocessing.load(pair.folder / "postprocessing.json")
    assert path == (pair.folder / "postprocessing.json" if found.rules else None)
    assert found.cases == len(CASES)
    (search.runs[0].folder / "postprocessing.json").write_text("{}")  # rules that predict might apply by itself
    assert postprocess(search, pair) == pair.folder / "postprocessing.json"

    standing = Standing(pair.name, Interval(1, 1, 1), Interval(0, 0, 0), 0, 1)
    record = make_record(search, Choice((standing,), 2, 2, 0), "best", lambda *_: Path("rules.json"))
    assert record.command.endswith(f"--model {search.runs[1].folder} --postprocessing rules.json")
    assert "Cases left out: 1, in" in " ".join(told(search, Choice((standing,), 1, 1, 1), record))
    assert "left out" not in " ".join(told(search, Choice((standing,), 2, 2, 0), record))


def test_the_cheaper_one_can_be_preferred(searched: Path, tmp_path: Path) -> None:
    assert find_best(searched, "--prefer", "cheaper", "-o", str(tmp_path)) == 0
    content = json.loads((tmp_path / "inference.json").read_text())
    assert content["chosen"] == (content["cheaper"] or content["best"])
