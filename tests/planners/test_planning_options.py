"""What a person may ask of plan-and-preprocess beyond a preset: spacing, image size, the explanation."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from autodiffseg.cli import run
from autodiffseg.plans import Plan
from autodiffseg.preprocessing.case_store import CaseStore
from autodiffseg.workspace import Workspace


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Four grey images, each of another size."""
    folder = tmp_path / "raw" / "Dataset008_Photos"
    for name in ("imagesTr", "labelsTr"):
        (folder / name).mkdir(parents=True)
    for index in range(4):
        image = np.random.default_rng(index).integers(1, 255, (40 + 8 * index, 60), dtype=np.uint8)
        sitk.WriteImage(sitk.GetImageFromArray(image), str(folder / "imagesTr" / f"p{index}_0000.png"))
        sitk.WriteImage(
            sitk.GetImageFromArray((image > 99).astype(np.uint8)), str(folder / "labelsTr" / f"p{index}.png")
        )
    described = {"channel_names": {"0": "grey"}, "labels": {"background": 0, "bright": 1}, "file_ending": ".png"}
    (folder / "dataset.json").write_text(json.dumps(described))
    return folder


def planned(raw: Path, workspace: Path, *options: str) -> Plan:
    arguments = ["plan-and-preprocess", str(raw), "--preset", "cpu", "--num-processes", "1", *options]
    assert run([*arguments, "--workspace", str(workspace)]) == 0
    return Workspace(workspace).plan(raw.name, "cpu")


def test_images_are_planned_by_size(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = planned(photos, tmp_path / "w", "--target-size", "32", "48")
    found = plan.configuration("2d")
    assert (found.target_size, found.median_shape, found.patch_size) == ((32, 48), (32, 48), (32, 48))
    assert "2d: images of 32 × 48 pixels, patch 32 × 48" in capsys.readouterr().out


def test_volumes_are_not_planned_by_size(phantom_raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["plan-and-preprocess", str(phantom_raw), "--target-size", "32", "32", "--workspace", str(tmp_path)]
    assert run(arguments) == 2
    assert "--target-size is for 2D images; the median case of" in capsys.readouterr().err
    assert not (tmp_path / "preprocessed" / phantom_raw.name / "plans").exists()


def test_the_target_spacing_can_be_given(phantom_raw: Path, tmp_path: Path) -> None:
    plan = planned(phantom_raw, tmp_path, "--overwrite-target-spacing", "1", "2", "4", "-c", "3d_fullres")
    assert plan.transpose == (2, 0, 1)  # the coarsest axis comes first
    assert plan.configuration("3d_fullres").spacing == (4, 1, 2)
    assert plan.configuration("2d").spacing == (1, 2)
    store = CaseStore(Workspace(tmp_path).preprocessed(phantom_raw.name) / plan.data_id("3d_fullres"))
    assert {store.properties(case).spacing for case in store.cases()} == {(4, 1, 2)}


def test_the_explanation_is_shown_and_written(
    phantom_raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    planned(phantom_raw, tmp_path, "--explain", "-c", "2d")
    shown = capsys.readouterr().out
    page = Workspace(tmp_path).plan_path(phantom_raw.name, "cpu").with_name("cpu_explained.md").read_text()
    for words in ("Target spacing", "Low resolution and cascade", "halving every axis", "What the presets would plan"):
        assert words in shown
        assert words in page
    assert "is another plan than this" not in shown


def test_an_edited_plan_that_was_kept_is_not_passed_off_as_the_explained_one(
    phantom_raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = planned(phantom_raw, tmp_path, "-c", "2d")
    plan.model_copy(update={"iterations": 7}).save(Workspace(tmp_path).plan_path(phantom_raw.name, "cpu"))
    assert planned(phantom_raw, tmp_path, "-c", "2d", "--explain").iterations == 7
    assert "is another plan than this" in capsys.readouterr().out


def test_the_spacings_seen_stand_in_the_explanation(phantom_raw: Path, tmp_path: Path) -> None:
    planned(phantom_raw, tmp_path, "--overwrite-target-spacing", "3", "1", "1", "-c", "2d")
    page = Workspace(tmp_path).plan_path(phantom_raw.name, "cpu").with_name("cpu_explained.md").read_text()
    assert re.search(r"\| z \|.*\| 3 \| as `--overwrite-target-spacing` asks \|", page)
    assert re.search(r"\| `residual-xl` \| `3d_fullres` \| 3 × 1 × 1 \|", page)


def test_the_papers_network_is_planned_from_the_command_line(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--preset", "imgx-unet", "--num-processes", "1", "--explain", "--workspace", str(tmp_path)]
    assert run(["plan-and-preprocess", str(photos), *options]) == 0
    network = Workspace(tmp_path).plan(photos.name, "imgx-unet").configuration("2d").network
    assert (network.features, network.skips) == ((32, 64, 128, 256), "add")
    assert "layers of attention at the coarsest stage: 1." in capsys.readouterr().out


def test_colour_and_grey_images_are_planned_alike_but_for_their_channels(photos: Path, tmp_path: Path) -> None:
    grey = planned(photos, tmp_path / "grey").configuration("2d")
    for path in (photos / "imagesTr").iterdir():
        plane = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
        sitk.WriteImage(sitk.GetImageFromArray(np.stack([plane] * 3, axis=-1), isVector=True), str(path))
    described: dict[str, Any] = json.loads((photos / "dataset.json").read_text())
    described["channel_names"] = {str(index): "rgb_to_0_1" for index in range(3)}
    (photos / "dataset.json").write_text(json.dumps(described))
    colour = planned(photos, tmp_path / "colour").configuration("2d")
    assert [scheme.scheme for scheme in colour.normalisation] == ["rgb"] * 3
    assert colour.model_copy(update={"normalisation": grey.normalisation}) == grey


def refused(capsys: pytest.CaptureFixture[str], raw: Path, workspace: Path, *options: str) -> str:
    """The line with which a command is refused before anything is written."""
    assert run(["plan-and-preprocess", str(raw), *options, "--workspace", str(workspace)]) == 2
    assert not (workspace / "preprocessed" / raw.name / "plans").exists()
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    return error


def test_a_card_of_any_size_can_be_planned_for(
    phantom_raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    options = ["--gpu-memory", "4", "--for", "supervised", "--name", "four", "--num-processes", "1", "--explain"]
    assert run(["plan-and-preprocess", str(phantom_raw), *options, "--workspace", str(tmp_path)]) == 0
    plan = Workspace(tmp_path).plan(phantom_raw.name, "four")
    assert (plan.gpu_memory_gb, plan.planned_for) == (4, ("supervised",))
    told = capsys.readouterr().out
    assert "GPU memory per trainer" in told
    assert "This machine has no GPU; to train here: autodiffseg plan-and-preprocess" in told
    assert "4 GB" in (tmp_path / "preprocessed" / phantom_raw.name / "plans" / "four_explained.md").read_text()


def test_a_card_that_holds_nothing_is_refused(
    phantom_raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "do not hold a training of" in refused(capsys, phantom_raw, tmp_path, "--gpu-memory", "1.5")


def test_memory_options_go_with_gpu_presets_alone(
    phantom_raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cpu = ("--preset", "cpu")
    assert "made for a CPU" in refused(capsys, phantom_raw, tmp_path, *cpu, "--gpu-memory", "8")
    assert "leave it out with --preset cpu" in refused(capsys, phantom_raw, tmp_path, *cpu, "--for", "diffusion")
    assert "Did you mean 'diffusion'" in refused(capsys, phantom_raw, tmp_path, "--for", "difusion")


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--overwrite-target-spacing", "2", "2", "2"], "--overwrite-target-spacing"),
        (["--preset", "default", "--name", "cpu", "--gpu-memory", "4"], "--preset and --gpu-memory"),
    ],
)
def test_what_was_asked_for_is_not_passed_over_for_a_plan_that_is_there(
    phantom_raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], named: str
) -> None:
    planned(phantom_raw, tmp_path, "-c", "2d")
    path = Workspace(tmp_path).plan_path(phantom_raw.name, "cpu")
    before = path.read_bytes()
    arguments = ["plan-and-preprocess", str(phantom_raw), "--preset", "cpu", "-c", "2d", "--workspace", str(tmp_path)]
    assert run([*arguments, *options]) == 2
    assert f"differs from what {named} would give; --name gives" in capsys.readouterr().err
    assert path.read_bytes() == before
    assert run([*arguments, *options, "--overwrite"]) == 0
    assert run([*arguments, *options]) == 0  # the same again is what is there


def test_a_spacing_that_no_memory_holds_is_refused_before_anything_is_written(
    phantom_raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["plan-and-preprocess", str(phantom_raw), "--preset", "cpu", "--workspace", str(tmp_path)]
    assert run([*arguments, "--overwrite-target-spacing", "0.001", "0.001", "0.001"]) == 2
    told = capsys.readouterr().err
    assert "2d of plan 'cpu' resamples to 0.001 × 0.001 mm, for which the largest case needs about" in told
    assert "give a coarser --overwrite-target-spacing" in told
    assert not list(tmp_path.rglob("plans"))
