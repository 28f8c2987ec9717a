"""Variants of the real datasets: other labels, fewer cases; images and label maps are links, nothing is copied."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

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
