"""The ensemble: trains what is missing, is validated by the mean of its members, and is one model for all commands."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autodiffseg import registry
from autodiffseg.checkpoint_file import checkpoint_id
from autodiffseg.cli import run
from autodiffseg.errors import UserError
from autodiffseg.images import read_label
from autodiffseg.runs import RunRecord
from autodiffseg.trainers.ensemble import EnsembleOptions, is_ensemble, read_ensemble
from autodiffseg.trainers.model_choice import choose_models
from autodiffseg.trainers.options import read_settings
from autodiffseg.trainers.run_request import RunRequest

MEMBERS = ("supervised__cpu__3d_fullres", "recycling__cpu__3d_fullres")
ENSEMBLE = "ensemble__cpu__3d_fullres"
VALIDATED = ("phantom_003", "phantom_005")


def results(workspace: Path) -> Path:
    return workspace / "results" / "Dataset900_Phantom"


def train(workspace: Path, *more: str, trainer: str = "ensemble", iterations: int = 4) -> int:
    options = ["--iterations", str(iterations), "--set", "validation_batches=1", "--num-workers", "0"]
    place = ["--device", "cpu", "--precision", "fp32", "--workspace", str(workspace)]
    return run(["train", "Phantom", "3d_fullres", "0", "--trainer", trainer, *options, *place, *more])


@pytest.fixture(scope="module")
def trained(planned_phantom: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One member was trained by hand, the other by the ensemble."""
    workspace = tmp_path_factory.mktemp("ensemble")
    shutil.copytree(planned_phantom, workspace, dirs_exist_ok=True)
    assert train(workspace, trainer="supervised") == 0
    before = (results(workspace) / MEMBERS[0] / "fold_0" / "checkpoint_last.pt").read_bytes()
    assert train(workspace) == 0
    assert (results(workspace) / MEMBERS[0] / "fold_0" / "checkpoint_last.pt").read_bytes() == before
    return workspace


@pytest.fixture
def copied(trained: Path, tmp_path: Path) -> Path:
    """A copy that may be changed."""
    shutil.copytree(trained, tmp_path / "workspace")
    return tmp_path / "workspace"


def change_record(path: Path, **values: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_it_holds_no_weights_but_names_its_members(trained: Path) -> None:
    folder = results(trained) / ENSEMBLE / "fold_0"
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert files == {"run.json", "validation/summary.json", *(f"validation/{case}.nii.gz" for case in VALIDATED)}
    record = RunRecord.load(folder / "run.json")
    single = [RunRecord.load(results(trained) / name / "fold_0" / "run.json") for name in MEMBERS]
    weights = [results(trained) / name / "fold_0" / "checkpoint_last.pt" for name in MEMBERS]
    assert record.members == {name: checkpoint_id(path) for name, path in zip(MEMBERS, weights, strict=True)}
    for field in ("iterations", "iterations_done", "training_seconds", "parameters"):
        assert getattr(record, field) == sum(getattr(one, field) for one in single)
    assert record.options == {"members": ["supervised", "recycling"]}
    assert (record.trainer, record.finished) == ("ensemble", True)


def test_its_validation_is_the_mean_that_predict_gives(trained: Path, phantom_raw: Path, tmp_path: Path) -> None:
    image = phantom_raw / "imagesTr" / "phantom_003_0000.nii.gz"
    options = ["--device", "cpu", "--precision", "fp32"]
    models = {"together": [ENSEMBLE], "named": MEMBERS}
    for out, names in models.items():
        chosen = [word for name in names for word in ("--model", str(results(trained) / name))]
        assert run(["predict", "-i", str(image), "-o", str(tmp_path / out), *chosen, *options]) == 0
    validated = read_label(results(trained) / ENSEMBLE / "fold_0" / "validation" / "phantom_003.nii.gz")[0]
    single = [results(trained) / name / "fold_0" / "validation" / "phantom_003.nii.gz" for name in MEMBERS]
    for out in models:
        np.testing.assert_array_equal(read_label(tmp_path / out / "phantom_003.nii.gz")[0], validated)
    assert all((read_label(path)[0] != validated).any() for path in single)
    records = [json.loads((tmp_path / out / "predict.json").read_text())["models"] for out in models]
    assert records[0] == records[1]
    assert {Path(model["model"]).name: model["weight"] for model in records[0]} == dict.fromkeys(MEMBERS, 0.5)


def test_compare_shows_it_as_one_row_that_costs_what_its_members_cost(trained: Path, tmp_path: Path) -> None:
    assert run(["compare", "Phantom", "--workspace", str(trained), "-o", str(tmp_path)]) == 0
    rows = {row["run"]: row for row in csv.DictReader((tmp_path / "comparison.csv").read_text().splitlines())}
    assert set(rows) == {"supervised", "recycling", "ensemble"}
    assert [rows[name]["Passes per patch"] for name in ("supervised", "recycling", "ensemble")] == ["1", "5", "6"]
    assert rows["ensemble"]["Updates"] == "8"
    both = float(rows["supervised"]["Parameters [M]"]) + float(rows["recycling"]["Parameters [M]"])
    assert float(rows["ensemble"]["Parameters [M]"]) == pytest.approx(both, abs=0.011)


def test_asked_again_it_has_nothing_to_do(trained: Path, capsys: Any) -> None:
    before = {path: path.stat().st_mtime_ns for path in results(trained).rglob("*") if path.is_file()}
    assert train(trained, "--continue") == 0
    assert {path: path.stat().st_mtime_ns for path in results(trained).rglob("*") if path.is_file()} == before
    assert "ensemble of just these members is validated" in capsys.readouterr().out


def test_an_interrupted_member_is_gone_on_with_when_asked_for(copied: Path, capsys: Any) -> None:
    member = results(copied) / MEMBERS[1] / "fold_0"
    change_record(member / "run.json", finished=False, iterations=6)
    shutil.rmtree(results(copied) / MEMBERS[0])
    assert train(copied, iterations=6) == 2
    assert "unfinished training. Go on with --continue" in capsys.readouterr().err
    assert not (results(copied) / MEMBERS[0]).exists()  # told before work starts
    assert train(copied, "--continue", iterations=6) == 0
    assert RunRecord.load(member / "run.json").iterations_done == 6
    assert RunRecord.load(results(copied) / ENSEMBLE / "fold_0" / "run.json").iterations_done == 12


def test_a_member_that_lacks_its_validation_gets_it(copied: Path) -> None:
    summary = results(copied) / MEMBERS[1] / "fold_0" / "validation" / "summary.json"
    summary.unlink()
    assert train(copied) == 0
    assert summary.is_file()


def test_a_member_trained_otherwise_is_refused(trained: Path, capsys: Any) -> None:
    assert train(trained, iterations=9) == 2
    assert "was trained with iterations 4, asked for is 9" in capsys.readouterr().err
    assert train(trained, "--set", "learning_rate=0.5") == 2
    assert "was trained with learning_rate 0.001, asked for is 0.5" in capsys.readouterr().err


def test_members_of_another_plan_are_not_put_together(copied: Path, capsys: Any) -> None:
    change_record(results(copied) / MEMBERS[1] / "fold_0" / "run.json", plan_hash="another")
    assert train(copied) == 2
    assert "(plan_hash)" in capsys.readouterr().err


def test_other_members_make_another_run(copied: Path) -> None:
    assert train(copied, "--set", "members=recycling,self-conditioning-same") == 0
    record = RunRecord.load(results(copied) / f"{ENSEMBLE}__recycling-self-conditioning-same" / "fold_0" / "run.json")
    assert list(record.members) == [MEMBERS[1], "self-conditioning-same__cpu__3d_fullres"]
    assert RunRecord.load(results(copied) / MEMBERS[1] / "fold_0" / "run.json").options["validation_batches"] == 1


def test_validate_scores_it_anew_and_sees_that_a_member_has_changed(copied: Path, tmp_path: Path, capsys: Any) -> None:
    changed = results(copied) / MEMBERS[1] / "fold_0"
    content = (changed / "checkpoint_last.pt").read_bytes()
    (changed / "checkpoint_last.pt").write_bytes(content + b"\0")
    compare = ["compare", "Phantom", "--workspace", str(copied), "-o", str(tmp_path)]
    assert run(compare) == 0
    assert f"its member {MEMBERS[1]} was trained on since" in capsys.readouterr().out
    assert "ensemble" not in {line.split(",")[0] for line in (tmp_path / "comparison.csv").read_text().splitlines()}
    (changed / "checkpoint_last.pt").write_bytes(content)
    folder = results(copied) / ENSEMBLE / "fold_0"
    change_record(folder / "run.json", members=dict.fromkeys(MEMBERS, "of old"))
    options = ["--trainer", "ensemble", "--steps", "2", "--device", "cpu", "--precision", "fp32"]
    assert run(["validate", "Phantom", "3d_fullres", "0", *options, "--workspace", str(copied)]) == 0
    assert "of old" not in RunRecord.load(folder / "run.json").members.values()
    summary = json.loads((folder / "validation" / "summary.json").read_text())
    assert (summary["passes"], summary["sampling"]["steps"], summary["updates"]) == (3, 2, 8)


WRONG = {
    "alone": ("members=supervised", "at least 2"),
    "twice": ("members=supervised,supervised", "each member is named once"),
    "unknown": ("members=supervised,recycle", "Did you mean 'recycling'"),
    "itself": ("members=supervised,ensemble", "is an ensemble itself"),
    "reading": ("backbone=b.pt", "Member supervised: --set: Unknown option 'backbone'"),
    "setting": ("training_steps=5", "Member supervised: --set: Unknown option 'training_steps'"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_mistake_in_the_settings_is_told_before_any_work(name: str, planned_phantom: Path, capsys: Any) -> None:
    setting, message = WRONG[name]
    assert train(planned_phantom, "--set", setting) == 2
    assert message in capsys.readouterr().err
    assert not results(planned_phantom).exists()


def test_members_share_the_weight_of_their_ensemble(trained: Path, copied: Path) -> None:
    other = results(trained) / MEMBERS[0]
    chosen = choose_models([results(copied) / ENSEMBLE, other], ())
    assert [(choice.folder, choice.weight) for choice in chosen] == [
        *((results(copied) / name, 0.25) for name in MEMBERS),
        (other, 0.5),
    ]
    assert chosen[0].folds == ("0",)  # the folds that the ensemble has
    with pytest.raises(UserError, match=r"a member of .*, is named twice"):
        choose_models([other, results(trained) / ENSEMBLE], ())
    with pytest.raises(UserError, match=r"has no fold 3; it has: 0\."):
        choose_models([results(trained) / ENSEMBLE], ("3",))
    shutil.rmtree(results(copied) / MEMBERS[1])
    with pytest.raises(UserError, match=f"must lie beside it; {MEMBERS[1]} does not"):
        choose_models([results(copied) / ENSEMBLE], ())


def test_commands_that_need_weights_name_the_members(trained: Path, tmp_path: Path, capsys: Any) -> None:
    assert run(["analyse", "steps", str(results(trained) / ENSEMBLE), "-o", str(tmp_path)]) == 2
    assert f"is an ensemble and has no weights; name one of its members, which lie beside it: {MEMBERS[0]}" in (
        capsys.readouterr().err
    )


def asked(trainer: str, *settings: str) -> RunRequest:
    return RunRequest(
        dataset="4",
        configuration="2d",
        fold="1",
        trainer=trainer,
        plan=None,
        tag="mine",
        seed=7,
        iterations=10,
        device=None,
        precision="auto",
        settings=settings,
    )


def test_what_only_some_members_have_is_set_for_them_alone() -> None:
    request = asked("ensemble", "members=supervised,tedm,finetune-ddpm", "backbone=b.pt", "timesteps=1", "warmup=5")
    assert {member.trainer: tuple(member.settings) for member in read_ensemble(request).members} == {
        "supervised": ("warmup=5",),
        "tedm": ("backbone=b.pt", "timesteps=1", "warmup=5"),
        "finetune-ddpm": ("backbone=b.pt", "warmup=5"),
    }


class Trio(EnsembleOptions):
    """An ensemble of somebody's own."""

    members: tuple[str, ...] = ("supervised", "diffusion", "recycling")


def test_an_ensemble_of_ones_own_is_announced_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    points = registry.known(registry.ENSEMBLES) | {"trio": registry.known(registry.ENSEMBLES)["ensemble"]}
    monkeypatch.setattr(
        registry, "known", lambda group, known=registry.known: points if group == registry.ENSEMBLES else known(group)
    )
    load = registry.load
    monkeypatch.setattr(registry, "load", lambda group, name: Trio if name == "trio" else load(group, name))
    settings = ("learning_rate=0.002",)
    request = asked("trio", *settings)
    assert is_ensemble("trio")
    found = read_ensemble(request)
    assert [(member.trainer, member.whole_tag, tuple(member.settings)) for member in found.members] == [
        (name, "mine-seed-7", settings) for name in ("supervised", "diffusion", "recycling")
    ]
    assert found.request.whole_tag == "mine-seed-7"
    other = read_ensemble(replace(request, settings=("members=recycling,supervised", *settings)))
    assert other.request.whole_tag == "mine-recycling-supervised-seed-7"
    assert other.members[0].whole_tag == "mine-seed-7"


def test_the_usual_members_may_come_in_any_order() -> None:
    assert read_settings(EnsembleOptions, ["members= recycling , supervised"]).members == ("recycling", "supervised")


@pytest.mark.slow
def test_members_may_be_cascades(planned_cascade: Path, phantom_raw: Path, tmp_path: Path) -> None:
    shutil.copytree(planned_cascade, tmp_path / "workspace")
    place = ["--device", "cpu", "--precision", "fp32", "--workspace", str(tmp_path / "workspace")]
    options = ["--iterations", "2", "--set", "validation_batches=1", "--num-workers", "0", "--train-missing"]
    arguments = ["train", "Phantom", "3d_cascade_fullres", "0", "--trainer", "ensemble"]
    assert run([*arguments, *options, *place]) == 0
    model = results(tmp_path / "workspace") / "ensemble__cpu__3d_cascade_fullres"
    assert json.loads((model / "fold_0" / "validation" / "summary.json").read_text())["passes"] == 6
    image = phantom_raw / "imagesTs" / "phantom_006_0000.nii.gz"
    more = ["--device", "cpu", "--no-mirroring", "--model", str(model)]
    assert run(["predict", "-i", str(image), "-o", str(tmp_path / "out"), *more]) == 0
    used = json.loads((tmp_path / "out" / "predict.json").read_text())["models"]
    previous = {Path(entry["model"]).name: Path(entry["previous_model"]).name for entry in used}
    assert previous == {
        f"{name}__cpu__3d_cascade_fullres": f"{name}__cpu__3d_lowres" for name in ("supervised", "recycling")
    }
