"""Which rules a prediction applies, and that every label map is what they leave of the networks' own."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autodiffseg.cli import run
from autodiffseg.errors import UserError
from autodiffseg.images import read_label
from autodiffseg.labels import LabelSpec
from autodiffseg.postprocessing.origin import validated_weights
from autodiffseg.postprocessing.record import DiceFigures, Postprocessing, Trial
from autodiffseg.postprocessing.rules import Rule, apply_rules
from autodiffseg.trainers.chosen_postprocessing import choose_postprocessing

LABELS: dict[str, int | tuple[int, ...]] = {"background": 0, "one": 1}
SPEC = LabelSpec(labels=LABELS)
LARGEST, SMALL = Rule(operation="keep-largest"), Rule(operation="remove-small", min_volume_mm3=20)


@pytest.fixture
def models(tmp_path: Path) -> list[Path]:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    return [tmp_path / "a", tmp_path / "b"]


def give(model: Path, *rules: Rule) -> None:
    Postprocessing(labels=LABELS, rules=rules).save(model / "postprocessing.json")


def chosen(models: list[Path], file: Path | None = None, *, wanted: bool = True) -> tuple[Rule, ...]:
    return choose_postprocessing(models, (), SPEC, file=file, wanted=wanted).rules


def test_a_model_brings_its_rules_along_unless_they_are_not_wanted(models: list[Path]) -> None:
    assert chosen(models[:1]) == ()
    give(models[0], LARGEST)
    assert chosen(models[:1]) == (LARGEST,)
    assert chosen(models[:1], wanted=False) == ()


def test_several_models_are_postprocessed_when_all_are_alike(models: list[Path]) -> None:
    give(models[0], LARGEST)
    assert chosen(models) == ()
    assert "not postprocessed alike" in choose_postprocessing(models, (), SPEC, file=None, wanted=True).told
    give(models[1], LARGEST)
    assert chosen(models) == (LARGEST,)
    give(models[1], LARGEST, SMALL)
    assert chosen(models) == ()


def test_a_file_or_folder_goes_before_the_models_own(models: list[Path]) -> None:
    give(models[0], LARGEST)
    give(models[1], SMALL)
    assert chosen(models[:1], models[1]) == (SMALL,)
    assert chosen(models[:1], models[1] / "postprocessing.json") == (SMALL,)


def test_rules_for_other_labels_are_refused(models: list[Path]) -> None:
    Postprocessing(labels={"background": 0, "one": 2}, rules=()).save(models[0] / "postprocessing.json")
    with pytest.raises(UserError, match=r"postprocessing\.json is for one = 2"):
        chosen(models[:1])


def test_rules_for_regions_that_are_painted_otherwise_are_refused(models: list[Path]) -> None:
    labels: dict[str, int | tuple[int, ...]] = {"background": 0, "whole": (1, 2), "rim": 1, "core": 2}
    path = models[0] / "postprocessing.json"
    Postprocessing(labels=labels, regions_class_order=(2, 1, 2), rules=(LARGEST,)).save(path)
    same = LabelSpec(labels=labels, regions_class_order=(2, 1, 2))
    assert choose_postprocessing(models[:1], (), same, file=None, wanted=True).rules == (LARGEST,)
    other = LabelSpec(labels=labels, regions_class_order=(1, 1, 2))
    with pytest.raises(UserError, match=r"core = 2, painted 2, 1, 2, the label maps have .* painted 1, 1, 2"):
        choose_postprocessing(models[:1], (), other, file=None, wanted=True)


@pytest.fixture
def found(trained_phantom: Path, tmp_path: Path) -> Path:
    """A model whose rules were found on its fold, edited so that there is one."""
    model = tmp_path / "my model"
    shutil.copytree(next(trained_phantom.glob("results/*/supervised*")), model)
    assert run(["postprocess", "-i", str(model), "--find", "--num-processes", "1"]) == 0
    edit(model, labels=LABELS, regions_class_order=None, rules=(LARGEST,), tried=())
    return model


def edit(model: Path, **changed: Any) -> None:
    path = model / "postprocessing.json"
    Postprocessing.load(path).model_copy(update=changed).save(path)


def train_anew(model: Path, fold: str = "0") -> None:
    with (model / f"fold_{fold}" / "checkpoint_last.pt").open("ab") as file:
        file.write(b"other weights")


def test_rules_that_were_found_for_other_weights_are_not_applied(found: Path) -> None:
    assert chosen([found]) == (LARGEST,)
    shutil.copytree(found / "fold_0", found / "fold_1")
    train_anew(found)
    choice = choose_postprocessing([found], (), SPEC, file=None, wanted=True)
    assert choice.rules == ()
    assert (
        f"{found / 'postprocessing.json'} is not applied: fold 0 has other weights than it was found for."
        in choice.told
    )
    assert f"`autodiffseg postprocess -i '{found}' --find`" in choice.told
    assert choose_postprocessing([found], ("1",), SPEC, file=None, wanted=True).rules == (LARGEST,)
    assert chosen([found], found) == (LARGEST,)  # named by the user
    edit(found, rules=())
    assert not choose_postprocessing([found], (), SPEC, file=None, wanted=True).told  # there is nothing to apply


def test_rules_of_an_ensemble_are_those_of_its_members_weights(found: Path, tmp_path: Path) -> None:
    ensemble = tmp_path / "ensemble"
    (ensemble / "fold_0").mkdir(parents=True)
    for name in ("one", "two"):
        shutil.copytree(found, tmp_path / name)
    record = json.loads((found / "fold_0" / "run.json").read_text()) | {"members": {"one": "", "two": ""}}
    (ensemble / "fold_0" / "run.json").write_text(json.dumps(record))
    shutil.copytree(found / "fold_0" / "validation", ensemble / "fold_0" / "validation")
    give(ensemble, LARGEST)
    edit(ensemble, checkpoints=validated_weights(ensemble))
    assert chosen([ensemble]) == (LARGEST,)
    train_anew(tmp_path / "two")
    assert chosen([ensemble]) == ()


def test_found_rules_that_name_no_weights_are_applied_with_a_word_of_it(models: list[Path]) -> None:
    give(models[0], LARGEST)
    assert choose_postprocessing(models[:1], (), SPEC, file=None, wanted=True).told.endswith("as a whole.")  # by hand
    nothing = DiceFigures(mean=None, classes={})
    trial = Trial(rule=LARGEST, adopted=True, why="", changed_cases=1, before=nothing, after=nothing, p=None)
    edit(models[0], tried=(trial,))
    choice = choose_postprocessing(models[:1], (), SPEC, file=None, wanted=True)
    assert choice.rules == (LARGEST,)
    assert "does not say for which weights" in choice.told


def test_predict_applies_them_to_every_label_map_and_says_so(
    trained_phantom: Path, phantom_raw: Path, tmp_path: Path, capsys: Any
) -> None:
    model = next(trained_phantom.glob("results/*/recycling*"))
    labels = json.loads((phantom_raw / "dataset.json").read_text())["labels"]
    rules = Postprocessing(labels=labels, rules=(LARGEST, Rule(operation="keep-largest", label=list(labels)[1])))
    rules.save(tmp_path / "mine.json")
    source = next((phantom_raw / "imagesTs").glob("*_0000.*"))
    common = ["predict", "-i", str(source), "--model", str(model), "--steps", "2", "--num-samples", "2", "--save-steps"]
    common += ["--device", "cpu", "--no-mirroring", "--save-probabilities"]
    assert run([*common, "-o", str(tmp_path / "raw"), "--no-postprocessing"]) == 0
    capsys.readouterr()
    assert run([*common, "-o", str(tmp_path / "out"), "--postprocessing", str(tmp_path / "mine.json")]) == 0
    assert "keep the largest component of the foreground as a whole" in capsys.readouterr().out
    record = json.loads((tmp_path / "out" / "predict.json").read_text())
    assert [rule["operation"] for rule in record["postprocessing"]] == ["keep-largest", "keep-largest"]

    name = source.name.replace("_0000", "")
    different = 0
    for folder in ("", "step_1", "step_2", "sample_0", "sample_1"):
        label, geometry = read_label(tmp_path / "raw" / folder / name)
        wanted = apply_rules(label, rules.rules, rules.spec, spacing_mm=geometry.spacing)
        assert np.array_equal(read_label(tmp_path / "out" / folder / name)[0], wanted)
        different += not np.array_equal(label, wanted)
    assert different
    case = name.removesuffix(".nii.gz")
    with np.load(tmp_path / "raw" / f"{case}.npz") as before, np.load(tmp_path / "out" / f"{case}.npz") as after:
        assert np.array_equal(before["probabilities"], after["probabilities"])

    assert run([*common, "-o", str(tmp_path / "out"), "--continue"]) == 2  # label maps of other rules would be mixed
