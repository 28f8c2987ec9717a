"""A cascade by its commands: what it waits for, what it trains first, what it is shown, and how it predicts."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from autodiffseg.checkpoint_file import checkpoint_id
from autodiffseg.cli import run
from autodiffseg.dataloading.batches import Batch
from autodiffseg.images import read_geometry, read_label, write_image
from autodiffseg.inference.predictor import CasePredictor
from autodiffseg.runs import RunRecord
from autodiffseg.trainers.checkpoints import read_checkpoint
from autodiffseg.trainers.loop import Loop

NAME = "Dataset900_Phantom"
VALIDATED = {  # by nnU-Net's rule for six cases
    "0": ["phantom_003", "phantom_005"],
    "1": ["phantom_004"],
    "2": ["phantom_000"],
    "3": ["phantom_001"],
    "4": ["phantom_002"],
}
LOW, HIGH = "supervised__cpu__3d_lowres", "supervised__cpu__3d_cascade_fullres"


def train(workspace: Path, *arguments: str, iterations: int = 3) -> int:
    trainer = [] if "--trainer" in arguments else ["--trainer", "supervised"]
    trainer += ["--iterations", str(iterations), "--set", "validation_batches=1"]
    place = ["--device", "cpu", "--precision", "fp32", "--num-workers", "0", "--workspace", str(workspace)]
    return run(["train", "Phantom", *arguments, *trainer, *place])


def results(workspace: Path) -> Path:
    return workspace / "results" / NAME


def files_of(folder: Path) -> set[str]:
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    return {name for name in found if "/tensorboard/" not in f"/{name}"}


@pytest.fixture(scope="module")
def trained(planned_cascade: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fold 0 of the lower stage was trained by hand, the others by the cascade's own command."""
    workspace = tmp_path_factory.mktemp("trained_cascade")
    shutil.copytree(planned_cascade, workspace, dirs_exist_ok=True)
    assert train(workspace, "3d_lowres", "0") == 0
    before = (results(workspace) / LOW / "fold_0" / "run.json").read_bytes()
    assert train(workspace, "3d_cascade_fullres", "0", "--train-missing") == 0
    assert (results(workspace) / LOW / "fold_0" / "run.json").read_bytes() == before
    return workspace


@pytest.fixture
def copied(trained: Path, tmp_path: Path) -> Path:
    """A copy that may be changed."""
    shutil.copytree(trained, tmp_path / "workspace")
    return tmp_path / "workspace"


def predict(workspace: Path, images: Path, out: Path, *more: str) -> int:
    model = ["--model", str(results(workspace) / HIGH), "--device", "cpu", "--no-mirroring"]
    return run(["predict", "-i", str(images), "-o", str(out), *model, *more])


def test_missing_folds_are_listed_with_the_command_that_trains_them(
    planned_cascade: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(planned_cascade, "3d_cascade_fullres", "0", "--seed", "7", "--tag", "x") == 2
    told = capsys.readouterr().err
    assert told.count("not trained, time unknown: autodiffseg train Phantom 3d_lowres") == 5
    assert "train Phantom 3d_lowres 4 --trainer supervised --tag x --seed 7 --iterations 3" in told
    assert "--train-missing" in told
    assert not results(planned_cascade).exists()


def test_training_leaves_whole_folds_and_the_segmentations_it_was_shown(trained: Path) -> None:
    single = {"run.json", "checkpoint_last.pt", "checkpoint_best.pt", "progress.csv", "progress.png"}
    for model, folds in ((LOW, VALIDATED), (HIGH, {"0": VALIDATED["0"]})):
        wanted = {
            f"fold_{fold}/{name}"
            for fold, cases in folds.items()
            for name in (*single, "validation/summary.json", *(f"validation/{case}.nii.gz" for case in cases))
        }
        found = files_of(results(trained) / model)
        assert ("postprocessing.json" in found) == (model == LOW)  # all its folds are validated
        shown = {name for name in found if name.startswith("previous_stage/")} | {"postprocessing.json"} & found
        assert found - shown == wanted
        # previous_stage/CASE.HASH.b2nd
        assert sorted(name.split("/")[1].split(".")[0] for name in shown if "/" in name) == (
            [] if model == LOW else [f"phantom_{number:03d}" for number in range(6)]
        )


def test_the_record_names_the_previous_run_and_its_weights(trained: Path) -> None:
    record = RunRecord.load(results(trained) / HIGH / "fold_0" / "run.json")
    assert record.previous_run == LOW
    assert record.previous_checkpoints == {
        fold: checkpoint_id(results(trained) / LOW / f"fold_{fold}" / "checkpoint_last.pt") for fold in VALIDATED
    }
    assert RunRecord.load(results(trained) / LOW / "fold_3" / "run.json").previous_run == ""


def test_missing_folds_are_listed_with_the_time_that_finished_ones_took(
    copied: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    low = results(copied) / LOW
    for fold, seconds in (("0", 300.0), ("1", 300.0), ("2", 600.0)):
        record = RunRecord.load(low / f"fold_{fold}" / "run.json")
        record.model_copy(update={"training_seconds": seconds}).save(low / f"fold_{fold}" / "run.json")
    shutil.rmtree(low / "fold_3")
    (low / "fold_4" / "validation" / "phantom_002.nii.gz").unlink()
    halfway = RunRecord.load(low / "fold_2" / "run.json").model_copy(
        update={"iterations": 6, "finished": False, "options": {"learning_rate": 0.5}}
    )
    halfway.save(low / "fold_2" / "run.json")
    record = RunRecord.load(low / "fold_4" / "run.json").model_copy(update={"training_seconds": 300.0})
    record.save(low / "fold_4" / "run.json")
    assert train(copied, "3d_cascade_fullres", "1", iterations=12) == 2
    told = capsys.readouterr().err.splitlines()
    # 1500 s for 12 updates: 125 s each.
    assert [line.split(": autodiffseg")[0].strip() for line in told if line.startswith("  fold")] == [
        "fold 2: 3 of 6 updates, about 6 min of training",
        "fold 3: not trained, about 25 min of training",
        "fold 4: not validated on all its cases, a validation",
    ]
    assert "--iterations 6 --precision fp32 --set learning_rate=0.5 --continue" in told[1]
    assert "autodiffseg validate Phantom 3d_lowres 4 --trainer supervised" in told[3]


STEP = Loop.step


def interrupted_at_two(loop: Loop, batch: Batch) -> Any:
    """Ctrl-C, once the checkpoint of update 2 is written."""
    if loop.update == 2:
        raise KeyboardInterrupt
    return STEP(loop, batch)


def test_a_half_finished_fold_is_gone_on_with_as_it_was_begun(copied: Path) -> None:
    low = results(copied) / LOW
    for fold in ("1", "2"):
        shutil.rmtree(low / f"fold_{fold}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Loop, "step", interrupted_at_two)
        assert train(copied, "3d_lowres", "1", "--set", "checkpoint_every=2", iterations=4) == 130
    assert RunRecord.load(low / "fold_1" / "run.json").iterations_done == 2
    shutil.rmtree(low / "fold_3" / "validation")
    assert train(copied, "3d_cascade_fullres", "1", "--train-missing") == 0
    done = {fold: RunRecord.load(low / f"fold_{fold}" / "run.json") for fold in VALIDATED}
    assert {fold: record.iterations_done for fold, record in done.items()} == {"0": 3, "1": 4, "2": 3, "3": 3, "4": 3}
    assert done["1"].options["checkpoint_every"] == 2
    assert (low / "fold_3" / "validation" / "phantom_001.nii.gz").is_file()


def test_the_label_map_of_an_earlier_validation_does_not_pass_for_the_last(
    copied: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = results(copied) / LOW / "fold_1" / "validation" / "summary.json"
    for key, value in (("checkpoint", "best"), ("updates", 2)):
        content = json.loads(path.read_text())
        path.write_text(json.dumps({**content, key: value}))
        assert train(copied, "3d_cascade_fullres", "1") == 2
        assert "fold 1: not validated with its last checkpoint" in capsys.readouterr().err
        path.write_text(json.dumps(content))


def test_prediction_runs_the_previous_stage_itself(trained: Path, phantom_raw: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert predict(trained, phantom_raw / "imagesTs", out) == 0
    assert files_of(out) == {"dataset.json", "predict.json", "phantom_006.nii.gz", "phantom_007.nii.gz"}
    grid = read_geometry(out / "phantom_006.nii.gz")
    assert grid == read_geometry(phantom_raw / "imagesTs" / "phantom_006_0000.nii.gz")
    [record] = json.loads((out / "predict.json").read_text())["models"]
    assert record["previous_model"] == str((results(trained) / LOW).resolve())
    assert list(record["previous_checkpoints"]) == list(VALIDATED)
    assert list(record["checkpoints"]) == ["0"]


def test_the_options_of_prediction_count_for_both_stages(
    trained: Path, phantom_raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[dict[str, Any]] = []

    def remember(models: Any, configuration: Any, **options: Any) -> CasePredictor:
        made.append({name: options[name] for name in ("device", "sampling", "seed", "options")})
        return CasePredictor(models, configuration, **options)

    monkeypatch.setattr("autodiffseg.trainers.prediction.CasePredictor", remember)
    image = phantom_raw / "imagesTs" / "phantom_006_0000.nii.gz"
    assert (
        predict(trained, image, tmp_path, "--steps", "3", "--sampler", "ddim", "--seed", "7", "--step-size", "1") == 0
    )
    low, high = made
    assert low == high
    assert (low["seed"], low["options"].step_size, low["options"].mirror_axes) == (7, 1, ())
    assert (low["sampling"].steps, low["sampling"].sampler) == (3, "ddim")


def test_a_prediction_in_parts_and_sittings_is_the_same(trained: Path, phantom_raw: Path, tmp_path: Path) -> None:
    images, whole, parts = phantom_raw / "imagesTs", tmp_path / "whole", tmp_path / "parts"
    assert predict(trained, images, whole) == 0
    assert predict(trained, images, parts, "--part", "1/2") == 0
    assert predict(trained, images, parts, "--continue") == 0
    for case in ("phantom_006", "phantom_007"):
        np.testing.assert_array_equal(read_label(whole / f"{case}.nii.gz")[0], read_label(parts / f"{case}.nii.gz")[0])


def test_prediction_without_the_previous_model_says_where_it_must_lie(
    copied: Path, phantom_raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(results(copied) / LOW)
    assert predict(copied, phantom_raw / "imagesTs", tmp_path / "out") == 2
    assert str(results(copied) / LOW) in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def validate(workspace: Path) -> int:
    arguments = ["validate", "Phantom", "3d_cascade_fullres", "0", "--trainer", "supervised"]
    return run([*arguments, "--device", "cpu", "--precision", "fp32", "--workspace", str(workspace)])


def test_validation_follows_the_segmentations_of_the_previous_stage(
    copied: Path, caplog: pytest.LogCaptureFixture
) -> None:
    high, low = results(copied) / HIGH, results(copied) / LOW / "fold_0" / "validation"
    own = high / "fold_0" / "validation"
    before = {case: read_label(own / f"{case}.nii.gz")[0] for case in VALIDATED["0"]}
    assert validate(copied) == 0
    assert not caplog.records
    for case in VALIDATED["0"]:
        np.testing.assert_array_equal(read_label(own / f"{case}.nii.gz")[0], before[case])
    label, geometry = read_label(low / "phantom_003.nii.gz")
    write_image(low / "phantom_003.nii.gz", np.where(label == 0, 2, 0).astype(np.uint8), geometry)
    assert validate(copied) == 0
    assert "trained beside other segmentations" in caplog.text
    assert len(list((high / "previous_stage").glob("phantom_003.*"))) == 2
    np.testing.assert_array_equal(read_label(own / "phantom_005.nii.gz")[0], before["phantom_005"])
    assert (read_label(own / "phantom_003.nii.gz")[0] != before["phantom_003"]).any()


def test_an_interrupted_validation_does_not_pass_for_the_one_before_it(
    copied: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    arguments = ["validate", "Phantom", "3d_lowres", "1", "--trainer", "supervised", "--checkpoint", "best"]
    with monkeypatch.context() as patch:
        patch.setattr("autodiffseg.trainers.validation.predict_stored_case", interrupted)
        assert run([*arguments, "--device", "cpu", "--workspace", str(copied)]) == 130
    assert train(copied, "3d_cascade_fullres", "1") == 2
    assert "fold 1: not validated, a validation: autodiffseg validate" in capsys.readouterr().err


def test_validation_names_a_fold_of_the_previous_stage_that_is_gone(
    copied: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(results(copied) / LOW / "fold_4")
    assert validate(copied) == 2
    told = capsys.readouterr().err
    assert f"{LOW}, fold 4: not trained" in told
    assert "3d_cascade_fullres 0 --continue --train-missing" in told


def test_prediction_tells_when_the_previous_stage_has_other_weights_than_it_had(
    copied: Path, phantom_raw: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert predict(copied, phantom_raw / "imagesTs" / "phantom_006_0000.nii.gz", tmp_path / "out") == 0
    assert not caplog.records
    low = results(copied) / LOW
    shutil.copy(low / "fold_1" / "checkpoint_last.pt", low / "fold_3" / "checkpoint_last.pt")
    assert predict(copied, phantom_raw / "imagesTs" / "phantom_006_0000.nii.gz", tmp_path / "out") == 0
    assert "Fold 3 of " in caplog.text


def test_going_on_beside_other_segmentations_is_refused(copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = results(copied) / LOW / "fold_2" / "validation" / "phantom_000.nii.gz"
    label, geometry = read_label(path)
    write_image(path, np.flip(label, 2).astype(np.uint8) if label.any() else np.ones_like(label), geometry)
    assert train(copied, "3d_cascade_fullres", "0", "--continue") == 2
    assert "other segmentations of supervised__cpu__3d_lowres" in capsys.readouterr().err


def test_fold_all_is_shown_out_of_fold_segmentations_too(copied: Path) -> None:
    assert train(copied, "3d_cascade_fullres", "all") == 0
    before, record = (RunRecord.load(results(copied) / HIGH / f"fold_{fold}" / "run.json") for fold in ("0", "all"))
    assert record.previous_segmentations == before.previous_segmentations


def test_a_cascade_is_the_same_whether_folds_were_trained_before_it_or_not(copied: Path) -> None:
    path = results(copied) / HIGH / "fold_0" / "checkpoint_last.pt"
    before = read_checkpoint(path)["network"]
    shutil.rmtree(results(copied) / HIGH)
    assert train(copied, "3d_cascade_fullres", "0") == 0
    after = read_checkpoint(path)["network"]
    assert all(torch.equal(value, after[name]) for name, value in before.items())


def test_runs_of_a_cascade_are_compared_with_others(trained: Path, tmp_path: Path) -> None:
    assert run(["compare", "Phantom", "--workspace", str(trained), "-o", str(tmp_path), "--intersection"]) == 0
    report = (tmp_path / "comparison.md").read_text()
    cost = {
        row.split("|")[1].strip(): row for row in report.partition("Training [min/fold]")[2].splitlines() if "|" in row
    }
    assert "+ previous stage" in cost["supervised 3d_cascade_fullres"]
    assert "previous stage" not in cost["supervised 3d_lowres"]


@pytest.mark.slow
def test_regions_with_an_ignore_label_and_a_seed_go_all_the_way(
    planned_cascade: Path, phantom_raw: Path, tmp_path: Path
) -> None:
    workspace = tmp_path / "workspace"
    shutil.copytree(planned_cascade, workspace)
    path = workspace / "preprocessed" / NAME / "dataset.json"
    labels = {"background": 0, "whole": [1, 2], "core": [2], "ignore": 3}
    path.write_text(json.dumps({**json.loads(path.read_text()), "labels": labels, "regions_class_order": [1, 2]}))
    plan = workspace / "preprocessed" / NAME / "plans" / "cpu.json"
    content = json.loads(plan.read_text())
    plan.write_text(json.dumps({**content, "diffusion": {**content["diffusion"], "encoding": "regions"}}))
    arguments = ["3d_cascade_fullres", "all", "--train-missing", "--seed", "3", "--trainer", "recycling"]
    assert train(workspace, *arguments, iterations=2) == 0
    model = results(workspace) / "recycling__cpu__3d_cascade_fullres__seed-3"
    assert RunRecord.load(model / "fold_all" / "run.json").previous_run == "recycling__cpu__3d_lowres__seed-3"
    options = ["--model", str(model), "--steps", "2", "--device", "cpu", "--no-mirroring"]
    assert run(["predict", "-i", str(phantom_raw / "imagesTs"), "-o", str(tmp_path / "out"), *options]) == 0
    assert set(np.unique(read_label(tmp_path / "out" / "phantom_006.nii.gz")[0])) <= {0, 1, 2}
