"""Predictor: from Python, arrays and files are segmented as the command segments them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autodiffseg import Predictor, UserError
from autodiffseg.cli import run
from autodiffseg.images import read_geometry, read_image, read_label
from autodiffseg.postprocessing.record import Postprocessing
from autodiffseg.postprocessing.rules import Rule

OPTIONS: dict[str, Any] = {"device": "cpu", "precision": "fp32", "steps": 2, "seed": 3, "mirroring": False}
COMMAND = ["--device", "cpu", "--precision", "fp32", "--steps", "2", "--seed", "3", "--no-mirroring"]


@pytest.fixture(scope="module")
def model(trained_phantom: Path) -> Path:
    return next(trained_phantom.glob("results/*/recycling*"))


@pytest.fixture(scope="module")
def rules(phantom_raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    labels = json.loads((phantom_raw / "dataset.json").read_text())["labels"]
    path = tmp_path_factory.mktemp("rules") / "postprocessing.json"
    Postprocessing(labels=labels, rules=(Rule(operation="keep-largest", label=list(labels)[1]),)).save(path)
    return path


@pytest.fixture(scope="module")
def file(phantom_raw: Path) -> Path:
    return next((phantom_raw / "imagesTs").glob("*_0000.nii.gz"))


@pytest.fixture(scope="module")
def predictor(model: Path, rules: Path) -> Predictor:
    return Predictor.load(model, postprocessing=rules, **OPTIONS)


@pytest.fixture(scope="module")
def commanded(model: Path, rules: Path, file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the command makes of the same case."""
    out = tmp_path_factory.mktemp("commanded")
    more = [*COMMAND, "--save-probabilities", "--postprocessing", str(rules)]
    assert run(["predict", "-i", str(file), "-o", str(out), "--model", str(model), *more]) == 0
    return out


def case_of(file: Path) -> str:
    return file.name.removesuffix("_0000.nii.gz")


def test_an_array_is_segmented_as_the_command_does_it(predictor: Predictor, file: Path, commanded: Path) -> None:
    image, geometry = read_image(file)
    before = image.copy()
    label, probabilities = predictor.predict(image, geometry.spacing, case=case_of(file), probabilities=True)
    assert np.array_equal(image, before)
    assert label.dtype == np.uint8
    assert np.array_equal(label, read_label(commanded / f"{case_of(file)}.nii.gz")[0])
    with np.load(commanded / f"{case_of(file)}.npz") as wanted:
        assert np.array_equal(probabilities, wanted["probabilities"])
    again = predictor.predict(image.astype(np.float64), [*geometry.spacing], case=case_of(file))
    assert np.array_equal(again, label)


def test_a_file_is_segmented_as_the_command_does_it(
    predictor: Predictor, file: Path, commanded: Path, tmp_path: Path
) -> None:
    label = predictor.predict_file(str(file), save_to=tmp_path / "label.nii.gz")
    assert np.array_equal(label, read_label(commanded / f"{case_of(file)}.nii.gz")[0])
    saved, geometry = read_label(tmp_path / "label.nii.gz")
    assert np.array_equal(saved, label)
    assert geometry == read_geometry(file)


def test_postprocessing_can_be_left_out(model: Path, file: Path, predictor: Predictor, tmp_path: Path) -> None:
    bare = Predictor.load(model, postprocessing=False, **OPTIONS)
    assert run(["predict", "-i", str(file), "-o", str(tmp_path), "--model", str(model), *COMMAND]) == 0
    label = bare.predict_file(file)
    assert np.array_equal(label, read_label(tmp_path / f"{case_of(file)}.nii.gz")[0])
    assert not np.array_equal(label, predictor.predict_file(file))


def test_rules_that_are_not_applied_are_told_in_the_log(
    model: Path, rules: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    copy = tmp_path / model.name
    shutil.copytree(model, copy)
    stale = Postprocessing.load(rules).model_copy(update={"checkpoints": {"0": ("of long ago",)}})
    stale.save(copy / "postprocessing.json")
    Predictor.load(copy, **OPTIONS)
    assert "fold 0 has other weights than it was found for" in caplog.text


def test_samples_and_several_models_are_averaged_as_the_command_does_it(
    model: Path, trained_phantom: Path, file: Path, tmp_path: Path
) -> None:
    other = next(trained_phantom.glob("results/*/supervised*"))
    models = ["--model", str(model), "--model", str(other), "--num-samples", "2", "--save-probabilities"]
    assert run(["predict", "-i", str(file), "-o", str(tmp_path), *models, *COMMAND, "--no-uncertainty"]) == 0
    together = Predictor.load(model, other, folds=[0], samples=2, **OPTIONS)
    _, probabilities = together.predict_file(file, probabilities=True)
    with np.load(tmp_path / f"{case_of(file)}.npz") as wanted:
        assert np.array_equal(probabilities, wanted["probabilities"])


def test_it_says_what_it_segments_from_what(predictor: Predictor, phantom_raw: Path) -> None:
    declared = json.loads((phantom_raw / "dataset.json").read_text())
    labels = {name: (value,) for name, value in declared["labels"].items() if value}
    assert predictor.labels == labels
    assert predictor.channels == tuple(declared["channel_names"].values())


@pytest.mark.parametrize(
    ("image", "spacing", "told"),
    [
        (np.zeros((8, 8, 8)), (1, 1, 1), r"\(C, Z, Y, X\) is needed with C = 1"),
        (np.zeros((2, 8, 8, 8)), (1, 1, 1), r"shape \(2, 8, 8, 8\)"),
        (np.zeros((1, 0, 8, 8)), (1, 1, 1), "shape"),
        (np.zeros((1, 8, 8, 8)), (1, 1), "three numbers above 0"),
        (np.zeros((1, 8, 8, 8)), (1, 0, 1), "three numbers above 0"),
        (np.zeros((1, 8, 8, 8)), (1, float("nan"), 1), "three numbers above 0"),
        (np.full((1, 8, 8, 8), np.nan), (1, 1, 1), "NaN or infinite"),
    ],
)
def test_an_array_that_means_nothing_is_refused(predictor: Predictor, image: Any, spacing: Any, told: str) -> None:
    with pytest.raises(UserError, match=told):
        predictor.predict(image, spacing)


def test_what_cannot_be_loaded_or_read_is_refused(predictor: Predictor, model: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="needs a model"):
        Predictor.load()
    with pytest.raises(UserError, match="is no model folder"):
        Predictor.load(tmp_path)
    with pytest.raises(UserError, match="has no fold 7; it has: 0"):
        Predictor.load(model, folds=[7])
    with pytest.raises(UserError, match="did you mean 'step_size'"):
        Predictor.load(model, stepsize=0.25)
    with pytest.raises(UserError, match="is no file"):
        predictor.predict_file(tmp_path)


def test_the_arguments_that_the_docs_name_exist() -> None:
    import inspect
    import re

    from autodiffseg.trainers.prediction_options import PredictionOptions

    text = (Path(__file__).parents[1] / "docs" / "python.md").read_text(encoding="utf-8")
    told = set(re.findall(r"`(\w+)`", text.partition("the options of the command:")[2].partition("A generative")[0]))
    named = set(inspect.signature(Predictor.load).parameters) - {"models", "options"}
    assert told == named | set(PredictionOptions.model_fields)


def test_the_class_is_there_before_torch_is() -> None:
    code = "from autodiffseg import Predictor; import sys; print('torch' in sys.modules, Predictor.load.__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.split() == ["False", "load"]
