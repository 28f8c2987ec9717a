"""The predict command, with a model that marks bright voxels."""

from __future__ import annotations

import errno
import gzip
import json
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from torch import Tensor

from autodiffseg import registry
from autodiffseg.cli import run
from autodiffseg.dataset import DatasetJson
from autodiffseg.fingerprint import IntensityStatistics
from autodiffseg.geometry import Geometry
from autodiffseg.images import read_geometry, read_label, write_image
from autodiffseg.labels import LabelSpec
from autodiffseg.plans import ConfigurationPlan, DiffusionPlan, NetworkPlan, NormalisationPlan, Plan
from autodiffseg.runs import RunRecord
from autodiffseg.sampling import NoiseSource, Sampling

DATASET = {
    "channel_names": {"0": "MR"},
    "labels": {"background": 0, "bright": 3},
    "numTraining": 4,
    "file_ending": ".nii.gz",
}
OBLIQUE = Geometry(
    shape=(9, 12, 14),
    spacing=(1.5, 0.7, 0.8),
    origin=(-12.25, 3.5, 100.125),
    direction=(0.8, -0.6, 0.0, 0.6, 0.8, 0.0, 0.0, 0.0, 1.0),
)


def make_plan() -> Plan:
    ones = (1, 1, 1)
    configuration = ConfigurationPlan(
        dimensions=3,
        spacing=(0.7, 1.5, 0.8),
        median_shape=ones,
        patch_size=(8, 8, 8),
        batch_size=1,
        batch_dice=False,
        normalisation=(NormalisationPlan(scheme="none"),),
        network=NetworkPlan(
            features=(1, 1), kernels=(ones, ones), strides=(ones, ones), encoder_blocks=(1, 1), decoder_blocks=(1,)
        ),
        mirror_axes=(0,),
    )
    statistics = IntensityStatistics(mean=0, median=0, std=1, min=0, max=1, percentile_00_5=0, percentile_99_5=1)
    return Plan(
        name="cpu",
        preset="cpu",
        dataset="Dataset001_Test",
        fingerprint_hash="",
        transpose=(1, 0, 2),
        intensities=(statistics,),
        configurations={"3d_fullres": configuration},
        diffusion=DiffusionPlan(sampling_steps=3, sampler="ddim"),
        iterations=1,
    )


class FakeTrainer:
    """Marks what is brighter than 5; remembers how it was asked."""

    draws_noise = averages_answers = False

    def __init__(self, spec: LabelSpec | None = None) -> None:
        self.plan = make_plan()
        self.configuration_name = "3d_fullres"
        self.configuration = self.plan.configuration("3d_fullres")
        self.dataset = DatasetJson.model_validate(DATASET)
        self.spec = spec or self.dataset.spec
        self.asked: list[Sampling] = []

    def predicted_steps(self, sampling: Sampling) -> int:
        return 1

    def predict_steps(self, patch: Tensor, noise: NoiseSource, sampling: Sampling) -> Iterator[Tensor]:
        self.asked.append(sampling)
        bright = (patch > 5).float()
        yield torch.cat([1 - bright, bright], dim=1)


@pytest.fixture(autouse=True)
def only_this_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """The app with `predict` alone: what the other commands load is not tested here."""
    points = {"predict": registry.known(registry.COMMANDS)["predict"]}
    monkeypatch.setattr(registry, "known", lambda group: points)


@pytest.fixture
def trainers(monkeypatch: pytest.MonkeyPatch) -> dict[str, FakeTrainer]:
    """What `load_trainer` gives, by folder of the fold."""
    fakes = {"fold_0": FakeTrainer(), "fold_1": FakeTrainer(), "fold_all": FakeTrainer()}

    def load_trainer(path: Path, device: torch.device, precision: str = "auto") -> FakeTrainer:
        return fakes[path.parent.name]

    monkeypatch.setattr("autodiffseg.trainers.checkpoints.load_trainer", load_trainer)
    return fakes


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Folds 0 and 1 have finished, fold all has not."""
    folder = tmp_path / "results" / "fake__cpu__3d_fullres"
    for fold in ("0", "1", "all"):
        record = RunRecord(
            dataset="Dataset001_Test",
            trainer="fake",
            plan="cpu",
            configuration="3d_fullres",
            tag="",
            fold=fold,
            seed=0,
            options={},
            plan_hash="",
            iterations=1,
            finished=fold != "all",
        )
        record.save(folder / f"fold_{fold}" / "run.json")
        (folder / f"fold_{fold}" / "checkpoint_last.pt").write_bytes(fold.encode())
    return folder


def image_of(seed: int) -> np.ndarray:
    values = np.random.default_rng(seed).uniform(0, 10, OBLIQUE.shape).astype(np.float32)
    values[0], values[:, :2] = 0, 0
    return values


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Three cases on an oblique grid."""
    folder = tmp_path / "images"
    for number, case in enumerate(("a", "b", "c")):
        write_image(folder / f"{case}_0000.nii.gz", image_of(number), OBLIQUE)
    return folder


def predict(images: Path, out: Path, model: Path, *more: str) -> int:
    return run(["predict", "-i", str(images), "-o", str(out), "--model", str(model), *more])


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.usefixtures("trainers")
def test_label_maps_lie_where_the_images_lie(images: Path, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert predict(images, out, model) == 0
    assert names(out) == ["a.nii.gz", "b.nii.gz", "c.nii.gz", "dataset.json", "predict.json"]
    for number, case in enumerate(("a", "b", "c")):
        label, geometry = read_label(out / f"{case}.nii.gz")
        np.testing.assert_array_equal(label, 3 * (image_of(number) > 5))
        wanted = read_geometry(images / f"{case}_0000.nii.gz")
        assert geometry.shape == wanted.shape
        for name in ("spacing", "origin", "direction"):
            assert getattr(geometry, name) == pytest.approx(getattr(wanted, name), abs=1e-9)


@pytest.mark.usefixtures("trainers")
def test_the_folder_says_how_it_came_about(images: Path, model: Path, tmp_path: Path, capsys: Any) -> None:
    assert predict(images, tmp_path / "out", model, "--seed", "5", "--no-mirroring") == 0
    record = json.loads((tmp_path / "out" / "predict.json").read_text())
    [used] = record["models"]
    assert list(used["checkpoints"]) == ["0", "1"]  # fold all has not finished
    assert used["checkpoints"]["0"] != used["checkpoints"]["1"]
    assert (record["seed"], record["mirroring"], record["step_size"]) == (5, False, 0.5)
    assert json.loads((tmp_path / "out" / "dataset.json").read_text()) == DATASET
    assert "fold 0, 1 (last)" in capsys.readouterr().out


@pytest.mark.usefixtures("trainers")
def test_the_folder_says_how_windows_and_mirrors_were_used(images: Path, model: Path, tmp_path: Path) -> None:
    options = ("--mode", "volume", "--mirror-axes", "1,0", "--deterministic")
    assert predict(images, tmp_path / "out", model, *options) == 0
    record = json.loads((tmp_path / "out" / "predict.json").read_text())
    assert (record["mode"], record["mirror_axes"], record["deterministic"]) == ("volume", [1, 0], True)


@pytest.mark.usefixtures("trainers")
@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--mirror-axes", "3"), "--mirror-axes 3: patches of this plan have the axes 0 to 2"),
        (("--rotate-mirrors",), "--rotate-mirrors: versions take turns over samples"),
        (("--rotate-timesteps",), "average no noise levels; leave it out"),
        (("--mode", "whole"), "--mode whole: tile, synchronised and volume"),
    ],
)
def test_options_of_windows_that_cannot_be_followed_are_refused(
    images: Path, model: Path, tmp_path: Path, capsys: Any, options: tuple[str, ...], told: str
) -> None:
    assert predict(images, tmp_path / "out", model, *options) == 2
    assert told in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_sampling_is_the_plans_unless_it_is_given(
    images: Path, model: Path, tmp_path: Path, trainers: dict[str, FakeTrainer]
) -> None:
    assert predict(images, tmp_path / "out", model, "--fold", "0") == 0
    assert predict(images, tmp_path / "out", model, "--fold", "1", "--steps", "7", "--sampler", "ddpm") == 0
    assert predict(images, tmp_path / "out", model, "--fold", "all", "--eta", "0.25") == 0
    assert set(trainers["fold_0"].asked) == {Sampling(steps=3, sampler="ddim")}
    assert set(trainers["fold_1"].asked) == {Sampling(steps=7, sampler="ddpm")}
    assert set(trainers["fold_all"].asked) == {Sampling(steps=3, sampler="ddim", eta=0.25)}


@pytest.mark.usefixtures("trainers")
def test_a_fold_that_is_named_need_not_have_finished(images: Path, model: Path, tmp_path: Path) -> None:
    assert predict(images, tmp_path / "out", model, "--fold", "all") == 0


@pytest.mark.usefixtures("trainers")
def test_one_file_means_its_case_alone(images: Path, model: Path, tmp_path: Path) -> None:
    (images / "stranger.nii.gz").write_text("no image")
    assert predict(images / "b_0000.nii.gz", tmp_path / "out", model) == 0
    assert names(tmp_path / "out") == ["b.nii.gz", "dataset.json", "predict.json"]


@pytest.mark.usefixtures("trainers")
def test_parts_share_the_cases(images: Path, model: Path, tmp_path: Path) -> None:
    made = []
    for part in ("0/2", "1/2"):
        out = tmp_path / part.replace("/", "-")
        assert predict(images, out, model, "--part", part) == 0
        made.append([name for name in names(out) if name.endswith(".nii.gz")])
    assert made == [["a.nii.gz", "c.nii.gz"], ["b.nii.gz"]]


@pytest.mark.usefixtures("trainers")
def test_continue_leaves_alone_what_is_there(images: Path, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert predict(images / "b_0000.nii.gz", out, model) == 0
    (out / "b.nii.gz").write_text("kept")
    assert predict(images, out, model, "--continue") == 0
    assert (out / "b.nii.gz").read_text() == "kept"
    assert predict(images, out, model) == 0
    assert read_label(out / "b.nii.gz")[0].max() == 3


@pytest.mark.usefixtures("trainers")
def test_the_folder_says_which_images_each_label_map_was_made_of(images: Path, model: Path, tmp_path: Path) -> None:
    def told() -> dict[str, str]:
        return dict(json.loads((tmp_path / "out" / "predict.json").read_text())["images"])

    for part in ("0/2", "1/2"):
        assert predict(images, tmp_path / "out", model, "--part", part) == 0
    before = told()
    assert list(before) == ["a", "b", "c"]
    (images / "a_0000.nii.gz").write_bytes((images / "b_0000.nii.gz").read_bytes())
    assert predict(images, tmp_path / "out", model, "--continue") == 0
    assert told() == before  # that label map is still the one of the earlier image
    assert predict(images, tmp_path / "out", model) == 0
    assert told() == {**before, "a": before["b"]}


@pytest.mark.usefixtures("trainers")
def test_continue_refuses_label_maps_of_unknown_origin(images: Path, model: Path, tmp_path: Path, capsys: Any) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "b.nii.gz").write_text("by somebody")
    assert predict(images, out, model, "--continue") == 2
    assert "first: b.nii.gz); choose another folder or leave out --continue" in capsys.readouterr().err
    assert names(out) == ["b.nii.gz"]
    assert predict(images, out, model) == 0
    assert read_label(out / "b.nii.gz")[0].max() == 3


@pytest.mark.usefixtures("trainers")
def test_label_maps_of_another_model_are_gone_before_the_first_case(
    images: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    assert predict(images, out, model, "--seed", "1", "--save-probabilities") == 0

    seen: list[list[str]] = []

    def stopped(*arguments: Any, **options: Any) -> Iterator[tuple[str, str | None]]:
        seen.append(names(out))
        yield from ()

    with monkeypatch.context() as patched:
        patched.setattr("autodiffseg.trainers.prediction_cases.predict_cases", stopped)
        assert predict(images, out, model) == 0
    assert seen == [["dataset.json", "predict.json"]]
    assert predict(images, out, model, "--continue") == 0
    assert read_label(out / "b.nii.gz")[0].max() == 3
    assert not list(out.glob("*.npz"))


@pytest.mark.usefixtures("trainers")
def test_a_part_leaves_the_other_parts_alone(images: Path, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for part in ("0/2", "1/2"):
        assert predict(images, out, model, "--part", part) == 0
    assert [name for name in names(out) if name.endswith(".nii.gz")] == ["a.nii.gz", "b.nii.gz", "c.nii.gz"]


@pytest.mark.usefixtures("trainers")
@pytest.mark.parametrize("more", [("--part", "1/2"), ("--part", "1/2", "--continue")])
def test_one_folder_never_holds_predictions_of_two_models(
    more: tuple[str, ...], images: Path, model: Path, tmp_path: Path, capsys: Any
) -> None:
    # Their label maps would pass for this model's as soon as predict.json is written anew.
    out = tmp_path / "out"
    assert predict(images, out, model, "--seed", "1") == 0
    before = {path: path.read_bytes() for path in out.iterdir()}
    assert predict(images, out, model, *more) == 2
    assert "choose another folder" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in out.iterdir()} == before


@pytest.mark.usefixtures("trainers")
def test_a_bad_case_does_not_keep_its_earlier_label_map(images: Path, model: Path, tmp_path: Path) -> None:
    assert predict(images, tmp_path / "out", model) == 0
    (images / "a_0000.nii.gz").write_bytes(b"no image")
    assert predict(images, tmp_path / "out", model) == 1
    assert [name for name in names(tmp_path / "out") if name.endswith(".nii.gz")] == ["b.nii.gz", "c.nii.gz"]


@pytest.mark.usefixtures("trainers")
def test_continue_makes_the_probabilities_that_are_missing(images: Path, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert predict(images, out, model) == 0
    assert predict(images, out, model, "--continue", "--save-probabilities") == 0
    with np.load(out / "c.npz") as file:
        probabilities = file["probabilities"]
    assert probabilities.dtype == np.float16
    np.testing.assert_array_equal(probabilities, [image_of(2) <= 5, image_of(2) > 5])


@pytest.mark.usefixtures("trainers")
def test_continue_refuses_to_mix_predictions(images: Path, model: Path, tmp_path: Path, capsys: Any) -> None:
    out = tmp_path / "out"
    assert predict(images, out, model) == 0
    assert predict(images, out, model, "--continue", "--seed", "1") == 2
    assert "other options" in capsys.readouterr().err
    assert predict(images, out, model, "--continue") == 0


@pytest.mark.usefixtures("trainers")
def test_bad_cases_do_not_stop_the_good_ones(images: Path, model: Path, tmp_path: Path, capsys: Any) -> None:
    whole = (images / "a_0000.nii.gz").read_bytes()
    (images / "a_0000.nii.gz").write_bytes(b"no image")
    (images / "b_0000.nii.gz").write_bytes(whole[: len(whole) // 2])  # the header is sound
    assert predict(images, tmp_path / "out", model) == 1
    assert [name for name in names(tmp_path / "out") if name.endswith(".nii.gz")] == ["c.nii.gz"]
    told = capsys.readouterr().err
    assert "2 of 3 cases" in told
    assert all(f"{case}_0000.nii.gz" in told for case in ("a", "b"))


def test_images_that_are_not_finite_are_bad_cases(
    model: Path, tmp_path: Path, capsys: Any, trainers: dict[str, FakeTrainer]
) -> None:
    trainers["fold_0"].dataset = DatasetJson.model_validate(DATASET | {"file_ending": ".mha"})  # ITK mends NIfTI
    broken = image_of(0)
    broken[3, 3, 3] = np.nan
    write_image(tmp_path / "images" / "a_0000.mha", broken, OBLIQUE)
    assert predict(tmp_path / "images", tmp_path / "out", model, "--fold", "0") == 1
    assert "a_0000.mha holds NaN" in capsys.readouterr().err
    assert not (tmp_path / "out" / "a.mha").exists()


def rewrite(path: Path, change: Callable[[bytearray], None]) -> None:
    """Change the bytes of a compressed file."""
    content = bytearray(gzip.decompress(path.read_bytes()))
    change(content)
    path.write_bytes(gzip.compress(bytes(content)))


@pytest.mark.usefixtures("trainers")
@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_nifti_images_that_are_not_finite_are_bad_cases(
    wrong: float, images: Path, model: Path, tmp_path: Path, capsys: Any
) -> None:
    # SimpleITK would read 0 here; the last voxel stands at the end of the file.
    rewrite(images / "a_0000.nii.gz", lambda content: struct.pack_into("<f", content, len(content) - 4, wrong))
    assert predict(images, tmp_path / "out", model) == 1
    told = capsys.readouterr().err
    assert "1 of 3 cases" in told
    assert "a_0000.nii.gz holds 1 voxels that are NaN or infinite" in told
    assert [name for name in names(tmp_path / "out") if name.endswith(".nii.gz")] == ["b.nii.gz", "c.nii.gz"]


@pytest.mark.usefixtures("trainers")
@pytest.mark.parametrize("wrong", [0.0, np.nan])
def test_images_without_a_voxel_size_are_bad_cases(
    wrong: float, images: Path, model: Path, tmp_path: Path, capsys: Any
) -> None:
    rewrite(images / "b_0000.nii.gz", lambda content: struct.pack_into("<f", content, 84, wrong))  # pixdim[2]
    assert predict(images, tmp_path / "out", model) == 1
    assert f"b_0000.nii.gz: the voxel size is (0.8, {wrong:g}, 1.5) mm" in capsys.readouterr().err
    assert [name for name in names(tmp_path / "out") if name.endswith(".nii.gz")] == ["a.nii.gz", "c.nii.gz"]


def test_every_channel_is_looked_at(
    images: Path, model: Path, tmp_path: Path, capsys: Any, trainers: dict[str, FakeTrainer]
) -> None:
    trainers["fold_0"].dataset = DatasetJson.model_validate(DATASET | {"channel_names": {"0": "T1", "1": "T2"}})
    for case in ("a", "b", "c"):
        write_image(images / f"{case}_0001.nii.gz", np.full(OBLIQUE.shape, np.nan, np.float32), OBLIQUE)
    assert predict(images, tmp_path / "out", model, "--fold", "0") == 1
    assert "b_0001.nii.gz holds 1512 voxels that are NaN" in capsys.readouterr().err


OUT_OF_MEMORY = [
    MemoryError(),
    torch.OutOfMemoryError("CUDA out of memory."),
    RuntimeError("DefaultCPUAllocator: can't allocate memory"),
]


def fail_once(trainer: FakeTrainer, error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first patch raises, the others are predicted."""
    errors, real = [error], trainer.predict_steps

    def predict_steps(patch: Tensor, noise: NoiseSource, sampling: Sampling) -> Iterator[Tensor]:
        if errors:
            raise errors.pop()
        return real(patch, noise, sampling)

    monkeypatch.setattr(trainer, "predict_steps", predict_steps)


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=lambda error: type(error).__name__)
def test_a_case_too_large_for_the_memory_does_not_stop_the_others(
    error: Exception,
    images: Path,
    model: Path,
    tmp_path: Path,
    capsys: Any,
    trainers: dict[str, FakeTrainer],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fail_once(trainers["fold_0"], error, monkeypatch)
    assert predict(images, tmp_path / "out", model, "--fold", "0") == 1
    told = capsys.readouterr().err
    assert "1 of 3 cases" in told
    assert "a: there is not enough memory for it; end other programs" in told
    assert [name for name in names(tmp_path / "out") if name.endswith(".nii.gz")] == ["b.nii.gz", "c.nii.gz"]


def test_a_fault_of_the_code_is_not_taken_for_one_of_the_case(
    images: Path, model: Path, tmp_path: Path, trainers: dict[str, FakeTrainer], monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_once(trainers["fold_0"], RuntimeError("shapes differ"), monkeypatch)
    with pytest.raises(RuntimeError, match="shapes differ"):
        predict(images, tmp_path / "out", model, "--fold", "0")


REFUSED = {
    "part": (["--part", "2/2"], "--part 2/2"),
    "part syntax": (["--part", "half"], "--part half"),
    "fold": (["--fold", "3"], "has no fold 3; it has: 0, 1, all"),
    "checkpoint": (["--checkpoint", "best"], "the fold has: checkpoint_last.pt"),
    "checkpoint name": (["--checkpoint", "first"], "last and best"),
    "sampler": (["--sampler", "euler"], "ddpm and ddim"),
    "eta": (["--sampler", "ddim", "--eta", "1.5"], "--eta 1.5"),
    "eta of ddpm": (["--sampler", "ddpm", "--eta", "0.5"], "--eta is for DDIM"),
    "variance": (["--sampler", "ddpm", "--variance", "learned"], "--variance learned"),
    "steps": (["--steps", "1002"], "choose between 1 and the 1001 base steps"),
    "device": (["--device", "abacus"], "--device abacus"),
    "precision": (["--precision", "fp8"], "--precision fp8"),
    "step size": (["--step-size", "0"], "--step-size"),
    "model": (["--model", "nowhere"], "nowhere is no model folder"),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.usefixtures("trainers")
def test_a_mistake_in_the_call_is_told_before_any_work(
    name: str, images: Path, model: Path, tmp_path: Path, capsys: Any
) -> None:
    more, message = REFUSED[name]
    assert predict(images, tmp_path / "out", model, *more) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("trainers")
def test_a_mistake_in_the_call_leaves_earlier_predictions_alone(images: Path, model: Path, tmp_path: Path) -> None:
    assert predict(images, tmp_path / "out", model) == 0
    before = {path: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert predict(images, tmp_path / "out", model, "--steps", "1002") == 2
    assert {path: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before


@pytest.mark.usefixtures("trainers")
def test_the_input_folder_is_no_output_folder(images: Path, model: Path, capsys: Any) -> None:
    assert predict(images, images / ".." / "images", model) == 2
    assert predict(images / "a_0000.nii.gz", images, model) == 2
    assert "is the input folder" in capsys.readouterr().err
    assert len(names(images)) == 3


@pytest.mark.usefixtures("trainers")
def test_an_output_that_cannot_be_written_is_told(images: Path, model: Path, tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "file").write_text("")
    assert predict(images, tmp_path / "file", model) == 2
    assert "is no folder" in capsys.readouterr().err
    assert predict(images, tmp_path / "file" / "out", model) == 2
    assert "cannot be written to" in capsys.readouterr().err


@pytest.mark.usefixtures("trainers")
def test_without_the_permission_to_write_nothing_is_removed(
    images: Path, model: Path, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    assert predict(images, out, model) == 0
    before = {path: path.read_bytes() for path in out.iterdir()}

    def refuse(**where: Path) -> None:
        raise PermissionError(errno.EACCES, "no", str(where["dir"]))

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)  # root, who runs some tests, may write anywhere
    assert predict(images, out, model) == 2
    assert f"{out} cannot be written to: Permission denied" in capsys.readouterr().err.replace("\n", "")
    assert {path: path.read_bytes() for path in out.iterdir()} == before


@pytest.mark.usefixtures("trainers")
def test_an_image_of_more_axes_is_a_bad_case_among_good_ones(
    images: Path, model: Path, tmp_path: Path, capsys: Any
) -> None:
    sitk.WriteImage(sitk.Image([4, 4, 4, 3], sitk.sitkFloat32), str(images / "b_0000.nii.gz"))
    assert predict(images, tmp_path / "out", model) == 1
    assert "b_0000.nii.gz has 4 axes; 2 and 3 are possible" in capsys.readouterr().err
    assert [name for name in names(tmp_path / "out") if name.endswith(".nii.gz")] == ["a.nii.gz", "c.nii.gz"]


@pytest.mark.usefixtures("trainers")
def test_more_channels_than_the_model_was_trained_on_are_told(
    images: Path, model: Path, tmp_path: Path, capsys: Any
) -> None:
    write_image(images / "c_0001.nii.gz", image_of(5), OBLIQUE)
    assert predict(images, tmp_path / "out", model) == 2
    assert "c has 2 channels, the model wants 1" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("trainers")
def test_what_predicting_takes_is_told_and_changes_no_label_map(
    images: Path, model: Path, tmp_path: Path, capsys: Any
) -> None:
    ways = {"memory": (), "serial": ("--num-workers", "0"), "disk": ("--memory", "0", "--num-workers", "2")}
    for name, more in ways.items():
        assert predict(images, tmp_path / name, model, *more) == 0
        told = " ".join(capsys.readouterr().out.split())
        assert "Probabilities of the largest case take up to" in told
        assert (f"kept on disk in {tmp_path / name}: --memory is 0 bytes" in told) == (name == "disk")
        assert names(tmp_path / name) == names(tmp_path / "memory")
    for case in ("a", "b", "c"):
        assert len({(tmp_path / name / f"{case}.nii.gz").read_bytes() for name in ways}) == 1


@pytest.mark.usefixtures("trainers")
def test_missing_inputs_are_told(images: Path, model: Path, tmp_path: Path, capsys: Any) -> None:
    assert predict(tmp_path / "nowhere", tmp_path / "out", model) == 2
    assert "nowhere does not exist" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert predict(tmp_path / "empty", tmp_path / "out", model) == 2
    assert "holds no image" in capsys.readouterr().err


def test_a_missing_channel_is_told(
    images: Path, model: Path, tmp_path: Path, capsys: Any, trainers: dict[str, FakeTrainer]
) -> None:
    channels = {"channel_names": {"0": "T1", "1": "T2"}}
    trainers["fold_0"].dataset = DatasetJson.model_validate(DATASET | channels)
    assert predict(images, tmp_path / "out", model) == 2
    assert "a_0001.nii.gz is missing" in capsys.readouterr().err


def test_folds_with_other_labels_are_not_averaged(
    images: Path, model: Path, tmp_path: Path, capsys: Any, trainers: dict[str, FakeTrainer]
) -> None:
    trainers["fold_1"].spec = LabelSpec(labels={"background": 0, "dark": 1})
    assert predict(images, tmp_path / "out", model) == 2
    assert "cannot be averaged" in capsys.readouterr().err
