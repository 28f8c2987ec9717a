"""Variants of the real datasets, as links (nothing is copied), and what nnU-Net left of those that it planned."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autodiffseg.fingerprint import Fingerprint

LinkDataset = Callable[..., Path]


@pytest.fixture(scope="session")
def link_dataset(real_data: Path) -> LinkDataset:
    """A function that makes a raw dataset of links to a real one."""

    def link(source: str, folder: Path, *, cases: int | None = None, label_maps: str = "labelsTr", **keys: Any) -> Path:
        """Link the first `cases` cases, with the label maps of one folder; `keys` go into dataset.json."""
        origin = real_data / source
        content = json.loads((origin / "dataset.json").read_text()) | keys
        ending = content["file_ending"]
        chosen = sorted(path.name.removesuffix(ending) for path in (origin / label_maps).iterdir())[:cases]
        for name in ("imagesTr", "labelsTr", *content.get("annotators", {}).values()):
            (folder / name).mkdir(parents=True)
        for case in chosen:
            for image in (origin / "imagesTr").glob(f"{case}_????{ending}"):
                (folder / "imagesTr" / image.name).symlink_to(image)
            (folder / "labelsTr" / f"{case}{ending}").symlink_to(origin / label_maps / f"{case}{ending}")
            for name in content.get("annotators", {}).values():
                (folder / name / f"{case}{ending}").symlink_to(origin / name / f"{case}{ending}")
        content |= {"numTraining": len(chosen), "unlabelled": []}
        (folder / "dataset.json").write_text(json.dumps(content))
        return folder

    return link


@pytest.fixture(scope="session")
def nnunet_fingerprint() -> Callable[[Path, str], Fingerprint]:
    """Reads a dataset_fingerprint.json of nnU-Net's as a fingerprint of ours; what it lacks is left empty."""
    return _read


def _read(path: Path, name: str) -> Fingerprint:
    seen = json.loads(path.read_text())
    intensities = seen["foreground_intensity_properties_per_channel"]
    if isinstance(intensities, dict):
        intensities = [intensities[key] for key in sorted(intensities, key=int)]
    return Fingerprint.model_validate(
        {
            "dataset": name,
            "cases": [f"case {index}" for index in range(len(seen["spacings"]))],
            "spacings": seen["spacings"],
            "shapes": seen["shapes_after_crop"],
            "shapes_after_crop": seen["shapes_after_crop"],
            "median_relative_size_after_cropping": seen["median_relative_size_after_cropping"],
            "intensities": intensities,
            "class_frequencies": {},
            "class_presence": {},
            "raw_hash": "",
        }
    )
