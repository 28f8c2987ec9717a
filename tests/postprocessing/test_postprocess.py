"""The postprocess command: rules found on folders, written as JSON, and applied to folders."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from autodiffseg.cli import run
from autodiffseg.geometry import Geometry
from autodiffseg.images import read_geometry, read_label, write_image
from autodiffseg.postprocessing.record import Postprocessing
from autodiffseg.postprocessing.rules import Rule

DATASET = {"channel_names": {"0": "MR"}, "labels": {"background": 0, "one": 1}, "file_ending": ".nii.gz"}
OBLIQUE = Geometry(
    shape=(3, 4, 8),
    spacing=(1.5, 0.7, 0.8),
    origin=(-12.25, 3.5, 100.125),
    direction=(0.8, -0.6, 0.0, 0.6, 0.8, 0.0, 0.0, 0.0, 1.0),
)
LARGEST = Rule(operation="keep-largest")


def save(path: Path, *, speck: bool, value: int = 1) -> None:
    label = np.zeros(OBLIQUE.shape, dtype=np.uint8)
    label[:2, :2, :3] = value
    label[2, 3, 7] = value if speck else 0
    write_image(path, label, OBLIQUE)


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """Two folds of predictions with specks, and references with a dataset.json beside their folder."""
    for case in ("a", "b", "c"):
        save(tmp_path / "labelsTr" / f"{case}.nii.gz", speck=False)
        save(tmp_path / ("fold_1" if case == "c" else "fold_0") / f"{case}.nii.gz", speck=case != "b")
    (tmp_path / "dataset.json").write_text(json.dumps(DATASET))
    return tmp_path


def found_on(folder: Path, *more: str) -> list[str]:
    inputs = ["-i", str(folder / "fold_0"), "-i", str(folder / "fold_1")]
    return ["postprocess", *inputs, "--find", "-r", str(folder / "labelsTr"), "--num-processes", "1", *more]


def test_rules_are_found_over_folds_told_and_applied(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = folders / "cleaned"
    assert run(found_on(folders, "-o", str(out))) == 0
    assert Postprocessing.load(out / "postprocessing.json").rules == (LARGEST,)
    assert sorted(path.name for path in out.iterdir()) == ["a.nii.gz", "b.nii.gz", "c.nii.gz", "postprocessing.json"]
    for case in ("a", "b", "c"):
        label, geometry = read_label(out / f"{case}.nii.gz")
        assert np.array_equal(label, read_label(folders / "labelsTr" / f"{case}.nii.gz")[0])
        assert geometry == read_geometry(folders / "labelsTr" / f"{case}.nii.gz")
    told = capsys.readouterr().out
    assert "keep the largest component of the foreground as a whole" in told
    assert "2 of 3 label maps changed" in told


def test_without_an_output_folder_the_inputs_stay_as_they_are(
    folders: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(folders.rglob("*"))
    assert run(found_on(folders)) == 0
    assert sorted(folders.rglob("*")) == before
    assert "Nothing was written" in capsys.readouterr().out


def test_rules_of_a_file_are_applied_to_a_folder_of_any_origin(folders: Path) -> None:
    rules = folders / "mine.json"
    Postprocessing(labels={"background": 0, "one": 1}, rules=(LARGEST,)).save(rules)
    (folders / "fold_0" / "dataset.json").write_text(json.dumps(DATASET))
    out = folders / "cleaned"
    assert run(["postprocess", "-i", str(folders / "fold_0"), "-o", str(out), "--rules", str(rules)]) == 0
    assert read_label(out / "a.nii.gz")[0].sum() == 12
    assert (out / "dataset.json").is_file()
    assert run(["evaluate", "-p", str(out), "-r", str(folders / "labelsTr"), "--intersection"]) == 0


def test_rules_of_other_labels_are_refused(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Postprocessing(labels={"background": 0, "one": 2}, rules=(LARGEST,)).save(folders / "mine.json")
    (folders / "fold_0" / "dataset.json").write_text(json.dumps(DATASET))
    out = folders / "cleaned"
    arguments = ["postprocess", "-i", str(folders / "fold_0"), "-o", str(out), "--rules", str(folders / "mine.json")]
    assert run(arguments) == 2
    assert "mine.json is for one = 2, the label maps have one = 1" in capsys.readouterr().err
    assert not out.exists()


def test_the_rules_of_a_hand_written_file_must_be_of_its_classes(
    folders: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rules = {"labels": {"background": 0, "one": 1}, "rules": [{"operation": "keep-largest", "label": "eno"}]}
    (folders / "mine.json").write_text(json.dumps(rules))
    arguments = ["postprocess", "-i", str(folders / "fold_0"), "-o", str(folders / "out")]
    assert run([*arguments, "--rules", str(folders / "mine.json")]) == 2
    assert "Unknown class 'eno'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("-o", "fold_1"), "is the input folder"),
        (("-o", "labelsTr"), "is the folder of the references"),
        (("-o", "dataset.json"), "is no folder"),
        (("-i", "labelsTr"), "are of the same case"),
        (("-i", "nowhere"), "nowhere is no folder"),
        (("--rules", "mine.json"), "one of the two"),
        (("-r", "fold_1"), "references are missing"),
    ],
)
def test_bad_input_is_refused_in_one_line(
    folders: Path, change: tuple[str, str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(folders.rglob("*"))
    assert run(found_on(folders, change[0], str(folders / change[1]))) == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1
    assert sorted(folders.rglob("*")) == before


def test_finding_without_references_or_labels_is_refused(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["postprocess", "-i", str(folders / "fold_0"), "--find"]) == 2
    assert "name their folder with -r" in capsys.readouterr().err
    (folders / "dataset.json").unlink()
    assert run(found_on(folders)) == 2
    assert "--dataset-json" in capsys.readouterr().err


def test_a_damaged_prediction_is_named(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folders / "fold_0" / "a.nii.gz").write_bytes(b"no image")
    assert run(found_on(folders, "-o", str(folders / "out"))) == 2
    assert "case a: " in capsys.readouterr().err
    assert not (folders / "out").exists()


def test_a_model_gets_the_rules_of_its_own_validations(trained_phantom: Path, tmp_path: Path) -> None:
    import shutil

    model = tmp_path / "model"
    shutil.copytree(next(trained_phantom.glob("results/*/supervised*")), model)
    assert run(["postprocess", "-i", str(model), "--find", "--num-processes", "1"]) == 0
    found = Postprocessing.load(model / "postprocessing.json")
    validated = json.loads((model / "fold_0" / "validation" / "summary.json").read_text())
    assert found.cases == len(validated["metric_per_case"])
    assert found.before is not None
    assert found.before.mean == pytest.approx(validated["foreground_mean"]["Dice"])


def test_what_a_model_was_validated_on_is_not_overwritten(
    trained_phantom: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = next(trained_phantom.glob("results/*/supervised*"))
    validation = model / "fold_0" / "validation"
    case = json.loads((validation / "summary.json").read_text())["metric_per_case"][0]
    references = Path(case["reference_file"]).parent
    before = {path: path.read_bytes() for folder in (validation, references) for path in folder.iterdir()}
    for out, told in ((validation, "is the input folder"), (references, "is the folder of the references")):
        assert run(["postprocess", "-i", str(model), "--find", "-o", str(out)]) == 2
        assert told in capsys.readouterr().err
    assert {path: path.read_bytes() for path in before} == before
