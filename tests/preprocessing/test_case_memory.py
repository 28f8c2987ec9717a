"""The estimate of a worker's memory: never below what a fresh process takes, and at most twice that."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from autodiffseg.fingerprint import IntensityStatistics
from autodiffseg.plans import ConfigurationPlan, NetworkPlan, NormalisationPlan, Plan
from autodiffseg.preprocessing.case_memory import CaseSize, largest_cases, preprocessing_bytes, reading_bytes

Triple = tuple[int, int, int]

COMMAND = """
import sys
from pathlib import Path
from autodiffseg.labels import LabelSpec
from autodiffseg.plans import Plan
from autodiffseg.preprocessing.run import CaseJob, _preprocess
folder = Path(sys.argv[1])
spec = LabelSpec(labels={"background": 0, "a": 1, "b": 2})
images = tuple(sorted(folder.glob("image*")))
_preprocess(CaseJob("a", images, folder / "label.nii", Plan.load(folder / "plan.json"), "c", spec, folder / "out"))
status = Path("/proc/self/status").read_text()
print(status.partition("VmHWM:")[2].split()[0])  # kB
"""


def make_plan(spacing: tuple[float, ...], channels: int, target_size: tuple[int, int] | None = None) -> Plan:
    ones = (1,) * len(spacing)
    configuration = ConfigurationPlan(
        dimensions=3 if len(spacing) == 3 else 2,
        spacing=spacing,
        target_size=target_size,
        median_shape=ones,
        patch_size=(8,) * len(ones),
        batch_size=1,
        batch_dice=False,
        normalisation=(NormalisationPlan(scheme="zscore", use_mask=True),) * channels,
        network=NetworkPlan(
            features=(1, 1), kernels=(ones, ones), strides=(ones, ones), encoder_blocks=(1, 1), decoder_blocks=(1,)
        ),
        mirror_axes=(),
    )
    statistics = IntensityStatistics(mean=0, median=0, std=1, min=0, max=1, percentile_00_5=0, percentile_99_5=1)
    return Plan(
        name="test",
        preset="cpu",
        dataset="Dataset001_Test",
        fingerprint_hash="",
        transpose=(0, 1, 2),
        intensities=(statistics,) * channels,
        configurations={"c": configuration},
        iterations=1,
    )


def write_case(folder: Path, shape: Triple, spacing: tuple[float, float, float], channels: int) -> list[Path]:
    files = []
    for channel in range(channels):
        image = sitk.GetImageFromArray(np.random.default_rng(channel).integers(1, 999, shape, dtype=np.int16))
        image.SetSpacing(spacing[::-1])
        files.append(folder / f"image_{channel:04d}.nii")
        sitk.WriteImage(image, str(files[-1]))
    label = np.zeros(shape, np.uint8)
    label[: shape[0] // 2] = 1
    label[:, : shape[1] // 3] = 2
    array = sitk.GetImageFromArray(label)
    array.SetSpacing(spacing[::-1])
    sitk.WriteImage(array, str(folder / "label.nii"))
    return files


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="this system does not tell the peak memory")
@pytest.mark.parametrize(
    ("shape", "spacing", "channels", "target"),
    [
        ((40, 50, 40), (1.0, 1.0, 1.0), 1, (1.0, 1.0, 1.0)),
        ((160, 160, 128), (1.0, 1.0, 1.0), 3, (1.0, 1.0, 1.0)),
        ((128, 128, 128), (1.3, 1.3, 1.3), 2, (1.0, 1.0, 1.0)),
        ((60, 256, 256), (5.0, 1.0, 1.0), 1, (5.0, 0.7, 0.7)),
        ((1, 2500, 2500), (1.0, 1.0, 1.0), 3, (1.2, 1.2)),
        ((1, 5000, 5000), (1.0, 1.0, 1.0), 3, (2.5, 2.5)),
    ],
    ids=["tiny", "as it is", "resampled", "by slices", "2D", "huge 2D"],
)
def test_the_estimate_is_one_to_two_times_what_a_process_takes(
    tmp_path: Path, shape: Triple, spacing: tuple[float, float, float], channels: int, target: tuple[float, ...]
) -> None:
    files = write_case(tmp_path, shape, spacing, channels)
    plan = make_plan(target, channels)
    plan.save(tmp_path / "plan.json")
    command = [sys.executable, "-c", COMMAND, str(tmp_path)]
    measured = 1024 * int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    estimate = preprocessing_bytes(largest_cases([files]), plan, "c")
    assert measured <= estimate <= 2 * measured


def test_the_header_tells_shape_spacing_and_channels(tmp_path: Path) -> None:
    files = write_case(tmp_path, (3, 4, 5), (2.0, 1.0, 0.5), channels=2)
    assert largest_cases([files]) == [CaseSize(2, (3, 4, 5), (2.0, 1.0, 0.5))]
    colours = sitk.GetImageFromArray(np.zeros((6, 7, 3), np.uint8), isVector=True)
    sitk.WriteImage(colours, str(tmp_path / "c.png"))
    assert largest_cases([[tmp_path / "c.png"]]) == [CaseSize(3, (1, 6, 7), (1.0, 1.0, 1.0))]


def test_the_largest_files_are_looked_at_and_unreadable_ones_passed_over(tmp_path: Path) -> None:
    for length in range(1, 12):
        (tmp_path / str(length)).mkdir()
        write_case(tmp_path / str(length), (length, 4, 4), (1.0, 1.0, 1.0), channels=1)
    (tmp_path / "broken.nii").write_bytes(b"0" * 100_000)
    images = [sorted((tmp_path / str(length)).glob("image*")) for length in range(1, 12)]
    found = largest_cases([*images, [tmp_path / "broken.nii"], []])
    assert [size.shape[0] for size in found] == [11, 10, 9, 8, 7, 6, 5]


def test_a_ct_of_512_by_512_by_400_needs_a_few_gigabytes() -> None:
    size = CaseSize(1, (400, 512, 512), (1.0, 0.8, 0.8))
    voxels = 400 * 512 * 512
    as_it_is = preprocessing_bytes([size], make_plan((1.0, 0.8, 0.8), 1), "c")
    halved = preprocessing_bytes([size], make_plan((2.0, 1.6, 1.6), 1), "c")
    assert 2 * 4 * voxels < as_it_is < 4e9
    assert 2 * 4 * voxels < halved < 4e9
    assert reading_bytes([size]) < as_it_is


def test_a_target_size_bounds_what_resampling_takes() -> None:
    size = CaseSize(3, (1, 5000, 5000), (1.0, 1.0, 1.0))
    small = preprocessing_bytes([size], make_plan((1.0, 1.0), 3, target_size=(64, 64)), "c")
    large = preprocessing_bytes([size], make_plan((1.0, 1.0), 3, target_size=(9000, 9000)), "c")
    assert 2 * small < large
