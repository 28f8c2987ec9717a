"""Reading what nnU-Net left of the datasets that it planned."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from autodiffseg.fingerprint import Fingerprint


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
