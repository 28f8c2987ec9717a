"""Copies of real datasets on which preprocessing really has to resample: the voxels stay, the headers change."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from autodiffseg.dataset import RawDataset

Spacing = tuple[float, float, float]
"""mm, (z, y, x)."""
Change = Callable[[int, Spacing], Spacing]
"""Number of a case and its spacing -> the new one."""


def every_other(number: int, spacing: Spacing) -> Spacing:
    """Every other case (x, y, z) 1.1, 0.9, 1.3 mm."""
    return (1.3, 0.9, 1.1) if number % 2 else spacing


def thick_slices(number: int, spacing: Spacing) -> Spacing:
    """Slices of 5 to 10 mm with pixels of 1.2 to 1.8 mm, drawn for each case."""
    rng = np.random.default_rng(number)
    pixel = round(float(rng.uniform(1.2, 1.8)), 3)
    return (round(float(rng.uniform(5, 10)), 3), pixel, pixel)


def unchanged(number: int, spacing: Spacing) -> Spacing:
    """As it is."""
    return spacing


def copy_dataset(source: Path, folder: Path, change: Change) -> RawDataset:
    """Write `source` with other spacings into `folder`, in nnU-Net's layout and named as it is; an old copy is kept."""
    original = RawDataset(source)
    if not (folder / "dataset.json").is_file():
        ending = original.json.file_ending
        for number, case in enumerate(original.cases):
            names = [f"imagesTr/{case}_{channel:04d}{ending}" for channel in range(len(original.images(case)))]
            for path, name in zip(
                (*original.images(case), original.label(case)), (*names, f"labelsTr/{case}{ending}"), strict=True
            ):
                image = sitk.ReadImage(str(path))
                x, y, z = image.GetSpacing()
                image.SetSpacing(change(number, (z, y, x))[::-1])
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                sitk.WriteImage(image, str(folder / name), useCompression=True)
        # Labels alone: nnU-Net's layout knows no annotators, groups or unlabelled folders.
        content = json.loads((source / "dataset.json").read_text())
        kept = {key: content[key] for key in ("channel_names", "labels", "file_ending") if key in content}
        text = json.dumps({**kept, "numTraining": len(original.cases)})
        (folder / "dataset.json").write_text(text)
    return RawDataset(folder)
