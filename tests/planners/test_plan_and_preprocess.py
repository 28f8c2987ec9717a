"""The command on tiny datasets: its files, what it reuses, what it refuses; also run.py, fingerprint and copies."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import SimpleITK as sitk
import typer
from typer.testing import CliRunner

from autodiffseg.dataset import RawDataset
from autodiffseg.errors import UserError
from autodiffseg.fingerprint import Fingerprint
from autodiffseg.planners.dataset_copies import plan_folds
from autodiffseg.planners.fingerprint_extraction import take_fingerprint
from autodiffseg.planners.plan_and_preprocess import command
from autodiffseg.planners.raw_hash import hash_raw
from autodiffseg.plans import Plan
from autodiffseg.preprocessing import parallel
from autodiffseg.preprocessing.case_store import CaseStore
from autodiffseg.preprocessing.run import preprocess_dataset
from autodiffseg.workspace import Workspace

NAME = "Dataset007_Balls"
CASES = 6


def write(path: Path, array: npt.NDArray[Any], spacing: tuple[float, ...] = (1.0, 1.0, 2.0)) -> None:
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(spacing[: array.ndim])
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(image, str(path))


def ball(seed: int) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.uint8]]:
    rng = np.random.default_rng(seed)
    z, y, x = np.indices((12, 20 + seed, 18))
    radius = np.sqrt((2 * (z - 6)) ** 2 + (y - 10) ** 2 + (x - 9) ** 2)
    label = (radius < 7).astype(np.uint8) + (radius < 3)
    return (100 + 50 * label + rng.integers(0, 20, size=label.shape)).astype(np.int16), label.astype(np.uint8)


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    folder = tmp_path / "raw" / NAME
    for seed in range(CASES):
        image, label = ball(seed)
        write(folder / "imagesTr" / f"ball_{seed}_0000.nii.gz", image)
        write(folder / "labelsTr" / f"ball_{seed}.nii.gz", label)
    description = {"channel_names": {"0": "CT"}, "labels": {"background": 0, "shell": 1, "core": 2}}
    (folder / "dataset.json").write_text(json.dumps({**description, "numTraining": CASES, "file_ending": ".nii.gz"}))
    return folder


def run(raw: Path, workspace: Path, **options: Any) -> None:
    settings: dict[str, Any] = {"configurations": None, "preset": "cpu", "name": None, "num_processes": 1}
    command(str(raw), **{**settings, "overwrite": False, **options}, workspace=workspace)


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_it_writes_exactly_these_files(raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(raw, tmp_path / "w")
    done = Workspace(tmp_path / "w")
    plan = done.plan(NAME, "cpu")
    stores = {
        f"{plan.data_id(name)}/ball_{seed}.{ending}"
        for name in ("2d", "3d_fullres")
        for seed in range(CASES)
        for ending in ("json", "image.b2nd", "label.b2nd", "locations.b2nd")
    }
    labels = {f"reference_labels/ball_{seed}.nii.gz" for seed in range(CASES)}
    single = {"fingerprint.json", "dataset.json", "splits_final.json", "raw_files.json"}
    assert set(tree(done.preprocessed(NAME))) == stores | labels | single | {
        "plans/cpu.json",
        "plans/cpu_explained.md",
    }
    out = capsys.readouterr().out
    assert "3d_fullres: spacing 2 × 1 × 1 mm, patch 12 × 24 × 20, batch 2" in out
    assert f"Next: autodiffseg train {NAME} 3d_fullres 0 --plan cpu" in out
    page = done.plan_path(NAME, "cpu").with_name("cpu_explained.md").read_text()
    assert "Patch **12 × 24 × 20**" in page
    assert "Channel `CT`: `ct`" in page
    assert f"in {CASES} of {CASES} cases; connected components a case: 1, of " in page
    assert "## Diffusion" in page


def test_the_fingerprint_is_what_the_images_are(raw: Path) -> None:
    seen = take_fingerprint(RawDataset(raw), "hash", processes=1)
    cases = [ball(seed) for seed in range(CASES)]
    assert seen.shapes == tuple((12, 20 + seed, 18) for seed in range(CASES))
    assert seen.spacings == ((2.0, 1.0, 1.0),) * CASES
    assert seen.class_presence == {"shell": (True,) * CASES, "core": (True,) * CASES}
    shares = [np.mean(label == 2) for _, label in cases]
    assert seen.class_frequencies["core"] == pytest.approx(np.mean(shares))
    # Each case weighs the same: the pooled mean is the mean of the cases' means.
    values = [image[label > 0].astype(float) for image, label in cases]
    (statistics,) = seen.intensities
    mean = np.mean([value.mean() for value in values])
    assert statistics.mean == pytest.approx(mean)
    assert statistics.std == pytest.approx(np.sqrt(np.mean([np.mean((value - mean) ** 2) for value in values])))
    assert (statistics.min, statistics.max) == (min(map(np.min, values)), max(map(np.max, values)))
    weights = np.concatenate([np.full(len(value), 1 / len(value)) for value in values])
    pooled = np.concatenate(values)
    order = np.argsort(pooled)
    at = np.searchsorted(np.cumsum(weights[order]) / weights.sum(), [0.005, 0.5, 0.995])
    found = (statistics.percentile_00_5, statistics.median, statistics.percentile_99_5)
    np.testing.assert_allclose(found, pooled[order][at], atol=1.0)


def test_ignored_voxels_say_nothing_of_the_foreground(raw: Path) -> None:
    seen = take_fingerprint(RawDataset(raw), "hash", processes=1)
    description = json.loads((raw / "dataset.json").read_text())
    description["labels"] = {"background": 0, "shell": 1, "ignore": 2}
    (raw / "dataset.json").write_text(json.dumps(description))
    assert take_fingerprint(RawDataset(raw), "hash", processes=1).intensities[0].max < seen.intensities[0].max


def test_a_dataset_without_foreground_is_refused(raw: Path) -> None:
    for path in (raw / "labelsTr").iterdir():
        write(path, np.zeros_like(sitk.GetArrayFromImage(sitk.ReadImage(str(path)))))
    with pytest.raises(UserError, match="no label map has any foreground"):
        take_fingerprint(RawDataset(raw), "hash", processes=1)


def test_the_number_of_processes_changes_no_byte(raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "FEW_BYTES", 0)
    for processes in (1, 2):
        run(raw, tmp_path / f"w{processes}", configurations=["3d_fullres"], num_processes=processes)
    one, two = tree(tmp_path / "w1"), tree(tmp_path / "w2")
    assert list(one) == list(two)
    differing = [name for name in one if one[name] != two[name]]
    assert differing == []


def test_a_second_run_does_nothing_again(raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(raw, tmp_path / "w")
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "w").rglob("*.b2nd")}
    capsys.readouterr()
    run(raw, tmp_path / "w")
    out = capsys.readouterr().out
    assert "raw files have not changed" in out
    assert "Preprocessing" not in out
    assert times == {path: path.stat().st_mtime_ns for path in (tmp_path / "w").rglob("*.b2nd")}


def test_missing_cases_are_made_up_for(raw: Path, tmp_path: Path) -> None:
    run(raw, tmp_path / "w", configurations=["2d"])
    before = tree(tmp_path / "w")
    for path in (tmp_path / "w").rglob("ball_3.json"):
        path.unlink()
    run(raw, tmp_path / "w", configurations=["2d"])
    assert tree(tmp_path / "w") == before


def test_changed_raw_data_are_noticed_and_planned_anew(raw: Path, tmp_path: Path) -> None:
    run(raw, tmp_path / "w", configurations=["3d_fullres"])
    place = Workspace(tmp_path / "w")
    before = place.plan(NAME, "cpu")
    image, _ = ball(0)
    write(raw / "imagesTr" / "ball_0_0000.nii.gz", image + 7)
    run(raw, tmp_path / "w", configurations=["3d_fullres"])
    after = place.plan(NAME, "cpu")
    assert after.fingerprint_hash != before.fingerprint_hash
    assert Fingerprint.load(place.fingerprint_path(NAME)).raw_hash == after.fingerprint_hash
    assert len(CaseStore(place.preprocessed(NAME) / after.data_id("3d_fullres")).cases()) == CASES


def test_the_hash_sees_contents_not_times(raw: Path, tmp_path: Path) -> None:
    dataset, cache = RawDataset(raw), tmp_path / "cache.json"
    first = hash_raw(dataset, cache, threads=2)
    path = raw / "labelsTr" / "ball_1.nii.gz"
    os.utime(path, ns=(1, 1))
    assert hash_raw(dataset, cache, threads=2) == first
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))
    os.utime(path, ns=(2, 2))
    assert hash_raw(dataset, cache, threads=1) != first


def test_the_hash_sees_labels_and_channels_but_not_prose(raw: Path, tmp_path: Path) -> None:
    def hash_with(**changes: Any) -> str:
        description = {**json.loads((raw / "dataset.json").read_text()), **changes}
        (raw / "dataset.json").write_text(json.dumps(description))
        return hash_raw(RawDataset(raw), tmp_path / "cache.json", threads=1)

    first = hash_with()
    assert hash_with(description="better prose") == first
    assert hash_with(channel_names={"0": "MR"}) != first


def test_an_edited_plan_is_kept_unless_overwritten(
    raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(raw, tmp_path / "w", configurations=["2d"])
    path = Workspace(tmp_path / "w").plan_path(NAME, "cpu")
    Plan.load(path).model_copy(update={"iterations": 77}).save(path)
    run(raw, tmp_path / "w", configurations=["2d"])
    assert Plan.load(path).iterations == 77
    assert "it is kept" in capsys.readouterr().out
    run(raw, tmp_path / "w", configurations=["2d"], overwrite=True)
    assert Plan.load(path).iterations == 5000


def test_plans_that_differ_in_the_network_share_their_cases(raw: Path, tmp_path: Path) -> None:
    run(raw, tmp_path / "w", configurations=["3d_fullres"])
    run(raw, tmp_path / "w", configurations=["3d_fullres"], preset="default", name="other")
    place = Workspace(tmp_path / "w")
    assert place.plan(NAME, "other").preset == "default"
    assert len(list(place.preprocessed(NAME).glob("3d_fullres-*"))) == 1


def test_folds_are_grouped_and_an_existing_file_is_honoured(raw: Path, tmp_path: Path) -> None:
    place = Workspace(tmp_path / "w")
    folds, note = plan_folds(RawDataset(raw), place)
    assert (len(folds), note) == (5, "")
    own = [{"train": [f"ball_{seed}" for seed in range(5)], "val": ["ball_5"]}]
    (raw / "splits_final.json").write_text(json.dumps(own))
    run(raw, tmp_path / "w", configurations=["2d"])
    assert json.loads(place.splits_path(NAME).read_text()) == own
    (raw / "splits_final.json").write_text(json.dumps(own[::-1] * 2))
    folds, note = plan_folds(RawDataset(raw), place)
    assert len(folds) == 1
    assert "differs from" in note


def test_groups_are_never_split(raw: Path, tmp_path: Path) -> None:
    description = json.loads((raw / "dataset.json").read_text())
    groups = {f"ball_{seed}": f"patient {seed // 2}" for seed in range(CASES)}
    (raw / "dataset.json").write_text(json.dumps({**description, "groups": groups}))
    folds, _ = plan_folds(RawDataset(raw), Workspace(tmp_path / "w"))
    assert len(folds) == 3
    for fold in folds:
        assert not {groups[case] for case in fold.train} & {groups[case] for case in fold.val}


def test_folds_with_unknown_cases_are_refused_before_any_work(raw: Path, tmp_path: Path) -> None:
    (raw / "splits_final.json").write_text(json.dumps([{"train": ["ball_0", "stranger"], "val": ["ball_1"]}]))
    with pytest.raises(UserError, match=r"splits_final\.json names 1 cases that the dataset does not have.*stranger"):
        run(raw, tmp_path / "w")
    assert not (tmp_path / "w").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"preset": "gpu"}, "Unknown preset 'gpu'"),
        ({"configurations": ["3d"]}, "Unknown configuration '3d'. .*2d, 3d_cascade_fullres, 3d_fullres, 3d_lowres"),
        ({"name": "../escape"}, "cannot name a plan"),
        ({"name": "a__b"}, "cannot name a plan"),
        ({"spacing": (1.0, 0.0, 1.0)}, "--overwrite-target-spacing 1.0 0.0 1.0: numbers from 0.0001 on"),
        ({"target_size": (64, -1)}, "--target-size 64 -1: numbers from 8 on"),
        ({"target_size": (64, 64), "spacing": (1.0, 1.0, 1.0)}, "exclude each other"),
    ],
)
def test_mistakes_in_the_call_are_refused_before_any_work(
    raw: Path, tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        run(raw, tmp_path / "w", **options)
    assert not (tmp_path / "w").exists()


def test_an_unsound_dataset_is_refused_and_leaves_nothing(raw: Path, tmp_path: Path) -> None:
    (raw / "labelsTr" / "ball_2.nii.gz").unlink()
    (raw / "imagesTr" / "ball_4_0000.nii.gz").write_bytes(b"no image")
    with pytest.raises(UserError) as raised:
        run(raw, tmp_path / "w")
    assert "ball_2" in str(raised.value)
    assert "ball_4" in str(raised.value)
    assert not (tmp_path / "w").exists()


def change(raw: Path, **keys: Any) -> None:
    description = json.loads((raw / "dataset.json").read_text())
    (raw / "dataset.json").write_text(json.dumps({**description, **keys}))


def test_a_dataset_without_cases_is_told_as_such(raw: Path, tmp_path: Path) -> None:
    change(raw, file_ending=".nii")  # the files end with .nii.gz
    with pytest.raises(UserError, match=r"there is no training case; add imagesTr/CASE_0000\.nii"):
        run(raw, tmp_path / "w")
    assert not (tmp_path / "w").exists()


def test_cases_without_a_group_are_told_with_all_other_problems(raw: Path, tmp_path: Path) -> None:
    change(raw, group_regex="(patient)")
    (raw / "labelsTr" / "ball_2.nii.gz").unlink()
    with pytest.raises(UserError, match=r"has 2 problems:(.|\n)*'group_regex' finds no group(.|\n)*ball_2"):
        run(raw, tmp_path / "w")


@pytest.mark.parametrize("planned_before", [False, True])
def test_channels_without_numbers_are_told_by_the_check(raw: Path, tmp_path: Path, planned_before: bool) -> None:
    if planned_before:
        run(raw, tmp_path / "w", configurations=["2d"])
    change(raw, channel_names={"CT": "0"})
    with pytest.raises(UserError, match="the keys of channel_names are CT; number them"):
        run(raw, tmp_path / "w", configurations=["2d"])


def test_a_file_that_vanishes_later_is_reported_by_the_integrity_check(raw: Path, tmp_path: Path) -> None:
    run(raw, tmp_path / "w", configurations=["2d"])
    before = tree(tmp_path / "w")
    (raw / "labelsTr" / "ball_2.nii.gz").unlink()
    with pytest.raises(UserError, match="ball_2"):
        run(raw, tmp_path / "w", configurations=["2d"])
    assert tree(tmp_path / "w") == before


def test_a_2d_dataset_has_no_3d_configuration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "raw" / "Dataset008_Flat"
    for seed in range(4):
        image, label = ball(seed)
        write(folder / "imagesTr" / f"flat_{seed}_0000.png", image[6].astype(np.uint8))
        write(folder / "labelsTr" / f"flat_{seed}.png", label[6])
    description = {"channel_names": {"0": "photo"}, "labels": {"background": 0, "left eye": 1, "right eye": 2}}
    (folder / "dataset.json").write_text(json.dumps({**description, "numTraining": 4, "file_ending": ".png"}))
    run(folder, tmp_path / "w")
    plan = Workspace(tmp_path / "w").plan("Dataset008_Flat", "cpu")
    assert set(plan.configurations) == {"2d"}
    assert plan.configuration("2d").mirror_axes == (0,)
    page = (Workspace(tmp_path / "w").plan_path("Dataset008_Flat", "cpu_explained")).with_suffix(".md").read_text()
    assert "No `3d_fullres`" in page
    assert "`left eye` and `right eye`" in page
    with pytest.raises(UserError, match="has no configuration '3d_fullres'; it has: 2d"):
        run(folder, tmp_path / "w", configurations=["3d_fullres"])


def test_a_failing_case_is_named_and_the_others_are_kept(raw: Path, tmp_path: Path) -> None:
    run(raw, tmp_path / "w", configurations=["2d"])
    plan = Workspace(tmp_path / "w").plan(NAME, "cpu")
    (raw / "imagesTr" / "ball_4_0000.nii.gz").write_bytes(b"no image")
    with pytest.raises(UserError, match=r"case ball_4: .*ball_4_0000\.nii\.gz cannot be read"):
        preprocess_dataset(RawDataset(raw), plan, "3d_fullres", tmp_path / "store", processes=1)
    assert CaseStore(tmp_path / "store").cases() == tuple(f"ball_{seed}" for seed in range(CASES) if seed != 4)


def test_help_shows_examples() -> None:
    app = typer.Typer()
    app.command()(command)
    shown = CliRunner().invoke(app, ["--help"])
    assert shown.exit_code == 0
    assert "autodiffseg plan-and-preprocess 4 -c 3d_fullres --preset cpu" in shown.output


def test_workers_do_not_load_torch() -> None:
    code = (
        "import sys, autodiffseg.preprocessing.run, autodiffseg.planners.fingerprint_extraction, numpy;"
        "from autodiffseg.preprocessing.resample import resample_label, resample_image;"
        "resample_label(numpy.zeros((2, 2, 2), 'i2'), (3, 3, 3), separate=None);"
        "resample_image(numpy.zeros((1, 2, 2, 2)), (3, 3, 3), separate=None);"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_labels_outside_the_crop_are_told_once_for_all_configurations(
    raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image, label = ball(2)
    image[0] = 0
    label[0, 0, :5] = 1
    write(raw / "imagesTr/ball_2_0000.nii.gz", image)
    write(raw / "labelsTr/ball_2.nii.gz", label)
    run(raw, tmp_path / "w")
    told = capsys.readouterr().out
    assert told.count("Note: 1 case has labels outside the box") == 1
    assert f"ball_2: 5 voxels, {5 / np.count_nonzero(label):.2%} of its label" in told
    run(raw, tmp_path / "w")
    assert "outside the box" not in capsys.readouterr().out  # nothing was preprocessed


def test_where_memory_is_short_one_process_works_and_it_is_said(
    raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parallel, "free_memory_bytes", lambda: 10**6)
    monkeypatch.setattr(parallel, "FEW_BYTES", 0)
    monkeypatch.setattr(parallel, "run_in_workers", None)
    run(raw, tmp_path / "w", num_processes=2)
    told = capsys.readouterr().out
    assert told.count("Note: 1 of 2 processes work: one may need 250 MB, and 1 MB of memory are free.") == 1
