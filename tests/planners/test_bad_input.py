"""Odd and broken datasets through the commands: each works to the end, or is refused in clear lines before any work."""

from __future__ import annotations

import gzip
import json
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pytest
import SimpleITK as sitk

from autodiffseg.cli import run
from autodiffseg.dataset import RawDataset
from autodiffseg.images import read_geometry, read_label
from autodiffseg.preprocessing.case_store import BLOCK_BYTES, CHUNK_BYTES, CaseStore
from autodiffseg.workspace import Workspace

NAME = "Dataset900_Odd"
SOUND = (12, 16, 20)


class Case(NamedTuple):
    """Two files' worth of voxels."""

    image: npt.NDArray[Any]
    label: npt.NDArray[np.uint8]


def case(shape: tuple[int, ...], *, seed: int = 0, foreground: bool = True, constant: int | None = None) -> Case:
    """A noisy box in the middle half of every axis."""
    label = np.zeros(shape, np.uint8)
    if foreground:
        label[tuple(slice(size // 4, max(size // 4 + 1, 3 * size // 4)) for size in shape)] = 1
    image = 100 + 60 * label + np.random.default_rng(seed).integers(0, 20, shape)
    return Case(np.full(shape, constant) if constant is not None else image, label)


def four(*shapes: tuple[int, ...], **options: Any) -> list[Case]:
    """Four cases; one shape stands for all."""
    return [case(shapes[seed % len(shapes)], seed=seed, **options) for seed in range(4)]


def write(path: Path, array: npt.NDArray[Any], spacing: tuple[float, ...]) -> None:
    image = sitk.GetImageFromArray(array.astype(np.uint8))
    image.SetSpacing(spacing[: array.ndim])
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(image, str(path))


def make(
    folder: Path,
    cases: list[Case],
    *,
    spacing: tuple[float, float, float] = (1, 1, 1),
    ending: str = ".nii.gz",
    channel: str = "MR",
) -> Path:
    """A raw dataset of cases c0, c1, …; `spacing` is SimpleITK's (x, y, z)."""
    raw = folder / NAME
    for number, (image, label) in enumerate(cases):
        write(raw / "imagesTr" / f"c{number}_0000{ending}", image, spacing)
        write(raw / "labelsTr" / f"c{number}{ending}", label, spacing)
    labels = {"background": 0, "box": 1}
    description = {"channel_names": {"0": channel}, "labels": labels, "numTraining": len(cases), "file_ending": ending}
    (raw / "dataset.json").write_text(json.dumps(description))
    return raw


def plan(raw: Path, workspace: Path, preset: str = "cpu") -> int:
    arguments = ["plan-and-preprocess", str(raw), "--preset", preset, "--num-processes", "1"]
    return run([*arguments, "--workspace", str(workspace)])


class Odd(NamedTuple):
    """An odd dataset that works, and the patch of each configuration that is planned for it."""

    cases: list[Case]
    patches: dict[str, tuple[int, ...]]
    options: dict[str, Any] = {}


ODD = {
    "volumes of one slice": Odd(four((1, 20, 24)), {"2d": (20, 24)}, {"spacing": (1, 1, 5)}),
    "(X, Y, 1) volumes with the spacing of photographs": Odd(four((1, 40, 40)), {"2d": (40, 40)}),
    "one voxel thick along x": Odd(four((20, 24, 1)), {"2d": (20, 24)}),
    "a single slice among volumes": Odd(
        four((1, 20, 24), (12, 20, 24), (14, 20, 24), (10, 20, 24)), {"2d": (20, 24), "3d_fullres": (12, 20, 24)}
    ),
    "constant images": Odd(four(SOUND, constant=7), {"2d": (16, 20), "3d_fullres": (12, 16, 20)}),
    "images of zeros": Odd(four(SOUND, constant=0), {"2d": (16, 20), "3d_fullres": (12, 16, 20)}),
    "constant CT": Odd(four(SOUND, constant=7), {"2d": (16, 20), "3d_fullres": (12, 16, 20)}, {"channel": "CT"}),
    "cases without foreground": Odd(
        [*four(SOUND)[:1], *four(SOUND, foreground=False)[1:]], {"2d": (16, 20), "3d_fullres": (12, 16, 20)}
    ),
    "one case": Odd([case(SOUND)], {"2d": (16, 20), "3d_fullres": (12, 16, 20)}),
    "smaller than one halving": Odd(four((6, 6, 6)), {"2d": (8, 8), "3d_fullres": (8, 8, 8)}),
    "one voxel": Odd(four((1, 1, 1)), {"2d": (8, 8)}),
    "tiny photographs": Odd(four((5, 7)), {"2d": (8, 8)}, {"ending": ".png"}),
    "some smaller than the patch": Odd(
        four((4, 5, 30), (13, 12, 30), (22, 19, 30), (31, 26, 30)), {"2d": (16, 32), "3d_fullres": (20, 16, 32)}
    ),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_datasets_are_planned_trained_and_predicted(name: str, tmp_path: Path) -> None:
    odd = ODD[name]
    raw, workspace = make(tmp_path, odd.cases, **odd.options), tmp_path / "w"
    assert plan(raw, workspace) == 0
    planned = Workspace(workspace).plan(NAME, "cpu")
    assert {key: value.patch_size for key, value in planned.configurations.items()} == odd.patches
    for configuration in odd.patches:
        store = CaseStore(Workspace(workspace).preprocessed(NAME) / planned.data_id(configuration))
        assert len(store.cases()) == len(odd.cases)
        for stored in store.cases():
            assert np.isfinite(store.image(stored)[:]).all()
            assert set(np.unique(store.label(stored)[:])) <= {-1, 0, 1}
            assert store.image(stored).shape[1:] == store.label(stored).shape[1:]
    use(raw, workspace, list(odd.patches)[-1], tmp_path)


def use(raw: Path, workspace: Path, configuration: str, folder: Path) -> None:
    """One update, validation and a prediction by two trainers; the predictions lie on the grids of the images."""
    for trainer in ("supervised", "recycling"):
        arguments = [
            "train",
            NAME,
            configuration,
            "0",
            "--trainer",
            trainer,
            "--iterations",
            "1",
            "--precision",
            "fp32",
        ]
        places = ["--device", "cpu", "--num-workers", "0", "--workspace", str(workspace)]
        assert run([*arguments, *places, "--set", "validation_batches=1"]) == 0
        model = workspace / "results" / NAME / f"{trainer}__cpu__{configuration}"
        out = folder / trainer
        assert (
            run(["predict", "-i", str(raw / "imagesTr"), "-o", str(out), "--model", str(model), "--device", "cpu"]) == 0
        )
        dataset = RawDataset(raw)
        for number in dataset.cases:
            predicted, geometry = read_label(out / f"{number}{dataset.json.file_ending}")
            assert geometry == read_geometry(dataset.images(number)[0])
            assert set(np.unique(predicted)) <= {0, 1}


def test_a_single_case_is_said_to_be_no_test(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert plan(make(tmp_path, [case(SOUND)]), tmp_path / "w") == 0
    assert "Fold 0 both trains and validates on 1 cases (first: c0)" in capsys.readouterr().out


def test_a_voxel_size_in_another_unit_is_a_note(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw = make(tmp_path, four(SOUND), spacing=(1, 1, 2))
    for path in (raw / "imagesTr" / "c2_0000.nii.gz", raw / "labelsTr" / "c2.nii.gz"):
        write(path, case(SOUND).label, (0.001, 0.001, 0.002))
    assert plan(raw, tmp_path / "w") == 0
    told = "imagesTr/c2_0000.nii.gz: its voxel size is (0.002, 0.001, 0.001) mm (z, y, x), that of most images is about"
    assert f"Note: {told} (2, 1, 1); see whether it is given in mm" in capsys.readouterr().out


def edit_header(path: Path, value: float) -> None:
    data = bytearray(gzip.decompress(path.read_bytes()))
    struct.pack_into("<f", data, 80, value)  # pixdim[1]
    path.write_bytes(gzip.compress(data))


def no_spacing(raw: Path) -> None:
    edit_header(raw / "imagesTr" / "c1_0000.nii.gz", 0.0)


def nan_spacing(raw: Path) -> None:
    edit_header(raw / "labelsTr" / "c2.nii.gz", float("nan"))


def a_flat_case(raw: Path) -> None:
    write(raw / "imagesTr" / "c1_0000.nii.gz", case((16, 20)).image, (1, 1))
    write(raw / "labelsTr" / "c1.nii.gz", case((16, 20)).label, (1, 1))


def a_second_channel(raw: Path) -> None:
    write(raw / "imagesTr" / "c3_0001.nii.gz", case(SOUND).image, (1, 1, 1))


def an_undeclared_label(raw: Path) -> None:
    write(raw / "labelsTr" / "c0.nii.gz", 3 * case(SOUND).label, (1, 1, 1))


def no_foreground(raw: Path) -> None:
    for path in (raw / "labelsTr").iterdir():
        write(path, case(SOUND, foreground=False).label, (1, 1, 1))


def a_damaged_archive(raw: Path) -> None:
    """A byte in the middle is wrong: SimpleITK refuses small files of that kind and passes over large ones."""
    noise = np.random.default_rng(0).standard_normal((20, 128, 128)).astype(np.float32)
    path = raw / "imagesTr" / "c2_0000.nii.gz"
    sitk.WriteImage(sitk.GetImageFromArray(noise), str(path))
    write(raw / "labelsTr" / "c2.nii.gz", (noise > 1).astype(np.uint8), (1, 1, 1))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)


BROKEN: list[tuple[Callable[[Path], None], str]] = [
    (no_spacing, "imagesTr/c1_0000.nii.gz: the voxel size is (0, 1, 1) mm (x, y, z); write the true one into the file"),
    (nan_spacing, "labelsTr/c2.nii.gz: the voxel size is (nan, 1, 1) mm (x, y, z); write the true one into the file"),
    (
        a_flat_case,
        "imagesTr/c1_0000.nii.gz: this is 2D as 1 of 4 images are, others are 3D; a dataset is either 2D or ",
    ),
    (
        a_second_channel,
        "imagesTr/c3_0000.nii.gz: wrong number of channels: 2 in 2 files; dataset.json declares 1; add ",
    ),
    (
        an_undeclared_label,
        "labelsTr/c0.nii.gz: it holds 3, which dataset.json does not declare; mend the label map or ",
    ),
    (no_foreground, "labelsTr: no training case has any foreground: there is nothing to learn; look whether these are"),
    (a_damaged_archive, "imagesTr/c2_0000.nii.gz: the file is damaged (CRC check failed"),
]


@pytest.mark.parametrize(("breaks", "told"), BROKEN, ids=[breaks.__name__ for breaks, _ in BROKEN])
def test_broken_datasets_are_refused_in_one_line_and_leave_nothing(
    breaks: Callable[[Path], None], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = make(tmp_path, four(SOUND))
    breaks(raw)
    assert plan(raw, tmp_path / "w") == 2
    head, fault = capsys.readouterr().err.splitlines()
    assert head == f"Error: {raw} has 1 problem:"
    assert fault.strip().startswith(told)
    assert not (tmp_path / "w").exists()


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["cpu", "default"])
def test_huge_photographs_are_planned_and_stored_within_bounds(tmp_path: Path, preset: str) -> None:
    label = np.zeros((5000, 5000), np.uint8)
    label[1000:3000, 2000:2500] = 1
    raw = make(tmp_path, [Case(100 + label, label)], ending=".png")
    tracemalloc.start()
    try:
        assert plan(raw, tmp_path / "w", preset) == 0
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 40 * label.size  # bytes: a handful of copies as float32
    place = Workspace(tmp_path / "w")
    planned = place.plan(NAME, preset)
    patch = planned.configuration("2d").patch_size
    assert np.prod(patch) <= (128**2 if preset == "cpu" else 2048**2)
    store = CaseStore(place.preprocessed(NAME) / planned.data_id("2d"))
    for array in (store.image("c0"), store.label("c0")):
        assert array.shape == (1, 1, 5000, 5000)
        assert np.prod(array.blocks) * array.dtype.itemsize <= BLOCK_BYTES
        assert np.prod(array.chunks) * array.dtype.itemsize <= CHUNK_BYTES
