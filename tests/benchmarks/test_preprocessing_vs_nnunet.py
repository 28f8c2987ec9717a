"""What benchmarks/preprocessing_vs_nnunet.py gives to nnU-Net, and how it compares; nnU-Net itself is not needed."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from autodiffseg.plans import Plan

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module


def test_headers_change_and_voxels_do_not(load: Any, phantom_raw: Path, tmp_path: Path) -> None:
    headers = load("changed_headers")
    copy = headers.copy_dataset(phantom_raw, tmp_path / phantom_raw.name, headers.every_other)
    assert copy.cases
    for number, case in enumerate(copy.cases):
        original = sitk.ReadImage(str(phantom_raw / "imagesTr" / copy.images(case)[0].name))
        for path in (copy.images(case)[0], copy.label(case)):
            spacing = sitk.ReadImage(str(path)).GetSpacing()
            assert spacing == pytest.approx((1.1, 0.9, 1.3) if number % 2 else original.GetSpacing())
        changed = sitk.ReadImage(str(copy.images(case)[0]))
        np.testing.assert_array_equal(sitk.GetArrayFromImage(changed), sitk.GetArrayFromImage(original))


def test_thick_slices_are_thick_and_the_same_again(load: Any) -> None:
    headers = load("changed_headers")
    drawn = [headers.thick_slices(number, (1, 1, 1)) for number in range(50)]
    assert drawn == [headers.thick_slices(number, (9, 9, 9)) for number in range(50)]
    assert all(5 <= z <= 10 and 1.2 <= y <= 1.8 and y == x for z, y, x in drawn)
    assert len(set(drawn)) == 50


@pytest.mark.real
def test_the_plans_file_says_what_nnunets_own_says_of_preprocessing(load: Any, real_data: Path) -> None:
    path = real_data / "Reference_nnUNet281/Dataset004_Hippocampus/nnUNetPlans.json"
    theirs = json.loads(path.read_text())
    plan = Plan.model_validate(plan_of(theirs))
    ours = json.loads(json.dumps(load("nnunet_plan_file").nnunet_plans(plan, "3d_fullres")))
    for key in ("transpose_forward", "transpose_backward", "image_reader_writer", "label_manager"):
        assert ours[key] == theirs[key]
    mine, its = ours["configurations"]["3d_fullres"], theirs["configurations"]["3d_fullres"]
    for key in set(mine) - {"architecture"}:
        assert mine[key] == its[key], key


def plan_of(theirs: dict[str, Any]) -> dict[str, Any]:
    its = theirs["configurations"]["3d_fullres"]
    size = its["patch_size"]
    network = {"features": (4, 8), "kernels": ((3,) * 3,) * 2, "strides": ((1,) * 3, (2,) * 3)}
    configuration = {
        "dimensions": 3,
        "spacing": its["spacing"],
        "median_shape": size,
        "patch_size": size,
        "batch_size": its["batch_size"],
        "batch_dice": False,
        "normalisation": [{"scheme": "zscore"}],
        "network": {**network, "encoder_blocks": (2, 2), "decoder_blocks": (2,)},
        "mirror_axes": (),
    }
    return {
        "name": "a",
        "preset": "default",
        "dataset": "Dataset004_Hippocampus",
        "fingerprint_hash": "",
        "transpose": theirs["transpose_forward"],
        "intensities": list(theirs["foreground_intensity_properties_per_channel"].values()),
        "configurations": {"3d_fullres": configuration},
        "iterations": 1,
    }


def test_the_dice_of_label_maps(load: Any) -> None:
    dices = load("preprocessing_vs_nnunet").dices
    ours, theirs = np.array([0, 1, 1, 2, -1]), np.array([0, 1, 2, 2, 0])
    assert dices(ours, theirs) == pytest.approx([2 / 3, 2 / 3])
    assert dices(ours * 0, theirs * 0) == [1.0]


def test_the_table_shows_medians_and_worst_cases(load: Any) -> None:
    seconds = dict.fromkeys(("run", "whole", "here", "cpu"), 6.0)
    speed = {"cases": 3, "processes": 2, "repeats": 1, "times_faster": dict.fromkeys(seconds, 3.0)}
    speed["median_seconds"] = {"nnunet": seconds, "autodiffseg": dict.fromkeys(seconds, 2.0)}
    row = {"cases": 4, "resampled": 2, "image_difference": {"mean": 0.001, "worst": 0.5}}
    row["label_dice"] = {"mean": 0.999, "worst": 0.9}
    machine = {"processor": "P", "cores": 2, "date": "D", "load_before": (0, 0, 0), "load_after": (1, 0, 0)}
    text = load("preprocessing_vs_nnunet").table(
        {"machine": machine, "speed": speed, "agreement": {"Set": row}, "command": "C"}
    )
    assert "| processor seconds of the whole command | 6.00 | 2.00 | 3.00 |" in text
    assert "| Set | 4 (2) | 0.001 (0.5) | 0.99900 (0.90000) |" in text
