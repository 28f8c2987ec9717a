"""`--plan-from` on the command line: nnU-Net's plan on our raw data, and one dataset's plan on another."""

from __future__ import annotations

import copy
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from autodiffseg.cli import run
from autodiffseg.fingerprint import IntensityStatistics
from autodiffseg.preprocessing.case_store import CaseStore
from autodiffseg.workspace import Workspace

NAME = "Dataset900_Phantom"
NNUNET: dict[str, Any] = {
    "dataset_name": "Dataset055_Elsewhere",
    "plans_name": "nnUNetPlans",
    "transpose_forward": [0, 1, 2],
    "foreground_intensity_properties_per_channel": {"0": dict.fromkeys(IntensityStatistics.model_fields, 1.0)},
    "configurations": {
        "3d_fullres": {
            "preprocessor_name": "DefaultPreprocessor",
            "batch_size": 5,
            "patch_size": [16, 16, 8],
            "median_image_size_in_voxels": [50, 50, 50],
            "spacing": [1.5, 1.25, 1.0],
            "normalization_schemes": ["ZScoreNormalization"],
            "use_mask_for_norm": [False],
            "batch_dice": False,
            "UNet_class_name": "PlainConvUNet",
            "UNet_base_num_features": 8,
            "unet_max_num_features": 16,
            "n_conv_per_stage_encoder": [1, 1, 1],
            "n_conv_per_stage_decoder": [1, 1],
            "pool_op_kernel_sizes": [[1, 1, 1], [2, 2, 2], [2, 2, 2]],
            "conv_kernel_sizes": [[3, 3, 3]] * 3,
        },
        "3d_large_batch": {"inherits_from": "3d_fullres", "batch_size": 9, "[/own key]": 1},
    },
}


def call(raw: Path, workspace: Path, *options: str) -> int:
    return run(["plan-and-preprocess", str(raw), "--num-processes", "1", "--workspace", str(workspace), *options])


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    path = tmp_path / "nnUNetPlans.json"
    path.write_text(json.dumps(NNUNET))
    return path


def test_a_plan_of_nnunet_is_preprocessed_for_a_dataset_of_ours(
    phantom_raw: Path, theirs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(phantom_raw, tmp_path, "--plan-from", str(theirs), "-c", "3d_large_batch") == 0
    place = Workspace(tmp_path)
    plan = place.plan(NAME, "nnUNetPlans-from-Elsewhere")
    assert (plan.dataset, plan.preset) == (NAME, "imported")
    own = plan.configuration("3d_large_batch")
    assert (own.spacing, own.patch_size, own.batch_size) == ((1.5, 1.25, 1.0), (16, 16, 8), 9)
    assert own.median_shape != (50, 50, 50)
    store = CaseStore(place.preprocessed(NAME) / plan.data_id("3d_large_batch"))
    assert len(store.cases()) == 6
    assert store.properties(store.cases()[0]).spacing == (1.5, 1.25, 1.0)
    page = place.plan_path(NAME, "nnUNetPlans-from-Elsewhere_explained").with_suffix(".md").read_text()
    assert "Taken over from nnU-Net's plan 'nnUNetPlans' of Dataset055_Elsewhere" in page
    out = capsys.readouterr().out
    assert "--plan nnUNetPlans-from-Elsewhere" in out
    assert "Note: 3d_large_batch: not looked at: [/own key]." in out
    # It trains like any plan.
    train = ["train", NAME, "3d_large_batch", "0", "--trainer", "supervised", "--iterations", "2", "--device", "cpu"]
    places = ["--plan", plan.name, "--num-workers", "0", "--set", "validation_batches=1", "--workspace", str(tmp_path)]
    assert run([*train, *places]) == 0
    # Again: nothing differs, with the source and without it.
    assert call(phantom_raw, tmp_path, "--plan-from", str(theirs), "-c", "3d_large_batch") == 0
    assert "differs" not in capsys.readouterr().out
    assert call(phantom_raw, tmp_path, "--name", "nnUNetPlans-from-Elsewhere", "-c", "3d_large_batch") == 0
    assert place.plan(NAME, "nnUNetPlans-from-Elsewhere") == plan


def test_a_planned_dataset_lends_its_plan(phantom_raw: Path, planned_phantom: Path, tmp_path: Path) -> None:
    shutil.copytree(planned_phantom, tmp_path, dirs_exist_ok=True)
    place = Workspace(tmp_path)
    other = shutil.copytree(phantom_raw, tmp_path / "raw" / "Dataset901_Other")
    assert call(other, tmp_path, "--plan-from", f"{NAME}:cpu", "-c", "2d", "--name", "lent") == 0
    lent, source = place.plan("Dataset901_Other", "lent"), place.plan(NAME, "cpu")
    assert lent.configurations == source.configurations
    assert lent.dataset == "Dataset901_Other"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--preset", "cpu"], "leave out --preset"),
        (["--target-size", "8", "8"], "leave out --preset"),
        (["-c", "3d_fulres"], "Did you mean '3d_fullres'"),
        (["-c", "2d"], "Unknown configuration '2d'"),
    ],
)
def test_what_contradicts_the_source_is_refused_before_any_work(
    phantom_raw: Path,
    theirs: Path,
    tmp_path: Path,
    options: list[str],
    words: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert call(phantom_raw, tmp_path / "w", "--plan-from", str(theirs), *options) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "w").exists()


def test_a_name_that_no_plan_can_have_is_refused(
    phantom_raw: Path, theirs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    theirs.write_text(json.dumps(copy.deepcopy(NNUNET) | {"plans_name": "../../escape"}))
    assert call(phantom_raw, tmp_path / "w", "--plan-from", str(theirs)) == 2
    assert "cannot name a plan" in capsys.readouterr().err


def test_an_edited_plan_is_taken_over_when_the_raw_data_have_changed(
    phantom_raw: Path, planned_phantom: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = shutil.copytree(phantom_raw, tmp_path / "raw" / NAME)
    workspace = shutil.copytree(planned_phantom, tmp_path / "w")
    place = Workspace(workspace)
    path = place.plan_path(NAME, "cpu")
    planned = place.plan(NAME, "cpu")
    # The leakage is one of the things that a plan has from its dataset and not from the plan it is taken from.
    edited = planned.diffusion.model_copy(update={"leakage": None})
    before = planned.model_copy(update={"iterations": 77, "diffusion": edited})
    before.save(path)
    (raw / "labelsTr" / "phantom_000.nii.gz").write_bytes((raw / "labelsTr" / "phantom_001.nii.gz").read_bytes())
    assert call(raw, workspace, "--preset", "cpu", "-c", "2d") == 2
    assert f"--plan-from {path} takes it over" in capsys.readouterr().err
    assert call(raw, workspace, "--plan-from", str(path), "-c", "2d") == 0
    after = place.plan(NAME, "cpu")
    assert after.iterations == 77
    assert after.fingerprint_hash != before.fingerprint_hash


def test_a_configuration_of_ones_own_is_preprocessed_and_survives(
    phantom_raw: Path, planned_phantom: Path, tmp_path: Path
) -> None:
    shutil.copytree(planned_phantom, tmp_path, dirs_exist_ok=True)
    place = Workspace(tmp_path)
    path = place.plan_path(NAME, "cpu")
    content = json.loads(path.read_text())
    content["configurations"]["coarse"] = {"inherits_from": "3d_fullres", "spacing": [3.0, 3.0, 3.0]}
    path.write_text(json.dumps(content))
    assert call(phantom_raw, tmp_path, "--preset", "cpu", "-c", "coarse") == 0
    assert len(CaseStore(place.preprocessed(NAME) / place.plan(NAME, "cpu").data_id("coarse")).cases()) == 6
    assert call(phantom_raw, tmp_path, "--preset", "cpu", "-c", "2d", "--overwrite") == 0
    assert place.plan(NAME, "cpu").configuration("coarse").spacing == (3.0, 3.0, 3.0)
