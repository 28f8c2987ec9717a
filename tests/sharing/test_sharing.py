"""A model that was exported and imported predicts what it did before, and tells nothing of where it came from."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from autodiffseg.checkpoint_file import checkpoint_id
from autodiffseg.cli import run
from autodiffseg.images import read_label
from autodiffseg.postprocessing.origin import validated_weights
from autodiffseg.postprocessing.record import Postprocessing
from autodiffseg.postprocessing.rules import Rule
from autodiffseg.runs import RunRecord
from autodiffseg.sharing.packing import share_checkpoint


@pytest.fixture(scope="module")
def model(trained_phantom: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with postprocessing, whose records know much of the machine."""
    folder = tmp_path_factory.mktemp("results") / "recycling__cpu__3d_fullres"
    shutil.copytree(next(trained_phantom.glob("results/*/recycling*")), folder)
    spec = json.loads((trained_phantom / "preprocessed" / "Dataset900_Phantom" / "dataset.json").read_text())
    rules, weights = (Rule(operation="keep-largest"),), validated_weights(folder) | {"3": ("of long ago",)}
    Postprocessing(labels=spec["labels"], rules=rules, checkpoints=weights).save(folder / "postprocessing.json")
    record = json.loads((folder / "fold_0" / "run.json").read_text())
    record |= {
        "command": "autodiffseg train /home/jo/raw/Phantom 2d 0 --workspace=/home/jo/ws --init-from 'C:\\jo\\x.pt'"
    }
    (folder / "fold_0" / "run.json").write_text(json.dumps(record))
    return folder


@pytest.fixture(scope="module")
def exported(model: Path) -> Path:
    out = model.parent / "shared" / "model.zip"
    assert run(["export-model", str(model), "-o", str(out)]) == 0
    return out


def predict(images: Path, model: Path, out: Path) -> None:
    more = ["--device", "cpu", "--precision", "fp32", "--no-mirroring", "--steps", "2", "--save-probabilities"]
    assert run(["predict", "-i", str(images), "-o", str(out), "--model", str(model), *more]) == 0


def test_an_imported_model_predicts_the_same(model: Path, exported: Path, phantom_raw: Path, tmp_path: Path) -> None:
    assert run(["import-model", str(exported), "--workspace", str(tmp_path)]) == 0
    imported = tmp_path / "results" / "Dataset900_Phantom" / model.name
    image = next((phantom_raw / "imagesTs").glob("*_0000.nii.gz"))
    predict(image, model, tmp_path / "before")
    predict(image, imported, tmp_path / "after")
    case = image.name.removesuffix("_0000.nii.gz")
    before, after = (read_label(tmp_path / name / f"{case}.nii.gz")[0] for name in ("before", "after"))
    assert np.array_equal(before, after)
    with np.load(tmp_path / "before" / f"{case}.npz") as one, np.load(tmp_path / "after" / f"{case}.npz") as other:
        assert np.array_equal(one["probabilities"], other["probabilities"])
    assert json.loads((tmp_path / "after" / "predict.json").read_text())["postprocessing"]
    known = Postprocessing.load(imported / "postprocessing.json").checkpoints
    assert known == {"0": (checkpoint_id(imported / "fold_0" / "checkpoint_last.pt"),), "3": ("of long ago",)}


def test_the_file_holds_the_model_and_not_the_training(model: Path, exported: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(exported) as archive:
        inside = [f"{model.name}/{name}" for name in ("dataset.json", "plan.json", "postprocessing.json")]
        fold = ("checkpoint_last.pt", "progress.csv", "run.json", "validation/summary.json")
        wanted = ["model.json", "MODEL_CARD.md", *inside, *(f"{model.name}/fold_0/{name}" for name in fold)]
        assert sorted(archive.namelist()) == sorted(wanted)
        archive.extract(f"{model.name}/fold_0/checkpoint_last.pt", tmp_path)
    last = set(torch.load(model / "fold_0" / "checkpoint_last.pt", weights_only=True))
    best = set(torch.load(model / "fold_0" / "checkpoint_best.pt", weights_only=True))
    shared = torch.load(tmp_path / model.name / "fold_0" / "checkpoint_last.pt", weights_only=True)
    assert set(shared) == best  # which is for prediction alone as well
    assert set(shared) < last


def test_no_path_of_this_machine_is_in_the_file(model: Path, exported: Path, trained_phantom: Path) -> None:
    with zipfile.ZipFile(exported) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    for name, content in contents.items():
        for secret in ("/home/jo", "jo\\x.pt", str(model.parent), str(trained_phantom)):
            assert secret.encode() not in content, name
    told = json.loads(contents[f"{model.name}/fold_0/run.json"])["command"]
    assert told == "autodiffseg train Phantom 2d 0 --workspace=ws --init-from x.pt"


def test_the_path_of_a_teacher_is_not_in_the_weights(model: Path, tmp_path: Path) -> None:
    content = torch.load(model / "fold_0" / "checkpoint_last.pt", weights_only=True)
    taught = {"first_pass_weights": "teacher", "teacher": "/home/jo/teacher.pt"}
    content["options"] = json.dumps(json.loads(content["options"]) | taught)
    torch.save(content, tmp_path / "taught.pt")
    shared = share_checkpoint(tmp_path / "taught.pt", tmp_path / "shared.pt")
    assert json.loads(shared["options"])["teacher"] == "teacher.pt"
    assert b"/home/jo" not in (tmp_path / "shared.pt").read_bytes()


def test_the_card_tells_scores_labels_and_licence(exported: Path, model: Path) -> None:
    with zipfile.ZipFile(exported) as archive:
        card = archive.read("MODEL_CARD.md").decode()
    summary = json.loads((model / "fold_0" / "validation" / "summary.json").read_text())
    assert f"| mean | {summary['foreground_mean']['Dice']:.4f} |" in card
    assert "keep the largest component" in card
    assert "Of the data, by its dataset.json: " in card
    assert f"--model RESULTS/{model.name}" in card


def test_the_same_model_is_the_same_file(model: Path, exported: Path, tmp_path: Path) -> None:
    assert run(["export-model", str(model), "-o", str(tmp_path / "again.zip")]) == 0
    assert (tmp_path / "again.zip").read_bytes() == exported.read_bytes()


def test_an_imported_training_cannot_be_gone_on_with(
    exported: Path, trained_phantom: Path, tmp_path: Path, capsys: Any
) -> None:
    shutil.copytree(trained_phantom / "preprocessed", tmp_path / "preprocessed")
    assert run(["import-model", str(exported), "--workspace", str(tmp_path)]) == 0
    arguments = ["train", "Phantom", "3d_fullres", "0", "--continue", "--iterations", "4", "--device", "cpu"]
    arguments += ["--precision", "fp32", "--num-workers", "0", "--set", "validation_batches=1"]
    assert run([*arguments, "--workspace", str(tmp_path)]) == 2
    assert "holds weights alone" in capsys.readouterr().err
    assert run(["compare", "Phantom", "--workspace", str(tmp_path)]) == 0  # its validation can be compared


def test_nothing_is_overwritten(exported: Path, model: Path, tmp_path: Path, capsys: Any) -> None:
    (tmp_path / model.name).mkdir()
    (tmp_path / model.name / "mine.txt").write_text("mine")
    assert run(["import-model", str(exported), "-o", str(tmp_path)]) == 2
    assert "exists and is not overwritten" in capsys.readouterr().err
    assert [path.name for path in tmp_path.rglob("*")] == [model.name, "mine.txt"]
    assert run(["export-model", str(model), "-o", str(exported)]) == 2
    assert "exists and is not overwritten" in capsys.readouterr().err


def test_several_models_are_shared_and_named_together(
    model: Path, trained_phantom: Path, tmp_path: Path, capsys: Any
) -> None:
    other = next(trained_phantom.glob("results/*/supervised*"))
    assert run(["export-model", str(model), str(other), "-o", str(tmp_path / "both.zip")]) == 0
    assert run(["import-model", str(tmp_path / "both.zip"), "-o", str(tmp_path / "in")]) == 0
    names = sorted((model.name, other.name))
    assert sorted(path.name for path in (tmp_path / "in").iterdir()) == names
    told = capsys.readouterr().out
    assert all(f"--model {tmp_path / 'in' / name}" in told for name in names)


def test_a_cascade_brings_its_previous_stage_along(trained_phantom: Path, tmp_path: Path, capsys: Any) -> None:
    for name in ("stage", "cascade"):
        shutil.copytree(next(trained_phantom.glob("results/*/supervised*")), tmp_path / name)
    record = json.loads((tmp_path / "cascade" / "fold_0" / "run.json").read_text())
    known = {"0": checkpoint_id(tmp_path / "stage" / "fold_0" / "checkpoint_last.pt"), "1": "of long ago"}
    record |= {"previous_run": "stage", "previous_checkpoints": known}
    (tmp_path / "cascade" / "fold_0" / "run.json").write_text(json.dumps(record))
    assert run(["export-model", str(tmp_path / "cascade"), "-o", str(tmp_path / "x.zip")]) == 0
    assert run(["import-model", str(tmp_path / "x.zip"), "-o", str(tmp_path / "in")]) == 0
    imported = RunRecord.load(tmp_path / "in" / "cascade" / "fold_0" / "run.json")
    weights = tmp_path / "in" / "stage" / "fold_0" / "checkpoint_last.pt"
    assert imported.previous_checkpoints == {"0": checkpoint_id(weights), "1": "of long ago"}
    assert f"--model {tmp_path / 'in' / 'cascade'}\n" in capsys.readouterr().out

    with zipfile.ZipFile(tmp_path / "x.zip") as archive:
        assert "`stage` is in the file because `cascade` is shown" in archive.read("MODEL_CARD.md").decode()

    shutil.rmtree(tmp_path / "stage")
    assert run(["export-model", str(tmp_path / "cascade"), "-o", str(tmp_path / "y.zip")]) == 2
    assert "and its previous stage" in capsys.readouterr().err


def test_an_ensemble_brings_its_members_along(
    trained_phantom: Path, phantom_raw: Path, tmp_path: Path, capsys: Any
) -> None:
    place = ["--workspace", str(tmp_path / "ws"), "--device", "cpu", "--precision", "fp32"]
    shutil.copytree(trained_phantom, tmp_path / "ws")
    usual = ["--trainer", "ensemble", "--num-workers", "0", "--set", "validation_batches=1", "--iterations", "4"]
    assert run(["train", "Phantom", "3d_fullres", "0", *usual, *place]) == 0
    ensemble = next((tmp_path / "ws" / "results").glob("*/ensemble*"))
    rules = Postprocessing(labels={"background": 0}, rules=(), checkpoints=validated_weights(ensemble))
    rules.save(ensemble / "postprocessing.json")
    assert run(["export-model", str(ensemble), "-o", str(tmp_path / "x.zip")]) == 0
    assert run(["import-model", str(tmp_path / "x.zip"), "-o", str(tmp_path / "in")]) == 0
    assert len(list((tmp_path / "in").iterdir())) == 3
    told = capsys.readouterr().out
    assert f"--model {tmp_path / 'in' / ensemble.name}\n" in told
    assert "not installed" not in told
    imported = RunRecord.load(tmp_path / "in" / ensemble.name / "fold_0" / "run.json")
    for name, known in imported.members.items():
        assert known == checkpoint_id(tmp_path / "in" / name / "fold_0" / "checkpoint_last.pt")
    shared = Postprocessing.load(tmp_path / "in" / ensemble.name / "postprocessing.json")
    assert shared.checkpoints == validated_weights(tmp_path / "in" / ensemble.name) != rules.checkpoints
    (ensemble / "postprocessing.json").unlink()
    (tmp_path / "in" / ensemble.name / "postprocessing.json").unlink()
    image = next((phantom_raw / "imagesTs").glob("*_0000.nii.gz"))
    predict(image, ensemble, tmp_path / "before")
    predict(image, tmp_path / "in" / ensemble.name, tmp_path / "after")
    name = image.name.replace("_0000", "")
    assert np.array_equal(*(read_label(tmp_path / folder / name)[0] for folder in ("before", "after")))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("{model}", "-o", "x.tar"), "ends with .zip"),
        (("{model}", "{model}", "-o", "x.zip"), "named twice"),
        (("{model}", "--fold", "3", "-o", "x.zip"), "fold 3 is not there or not finished; finished: 0"),
        (("nowhere", "-o", "x.zip"), "nowhere is no model folder"),
    ],
)
def test_what_cannot_be_exported_is_refused(
    arguments: tuple[str, ...], told: str, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["export-model", *(argument.format(model=model) for argument in arguments)]) == 2
    assert told in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
