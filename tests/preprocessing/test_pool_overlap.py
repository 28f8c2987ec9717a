"""How much of another folder is in a pool."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from autodiffseg.errors import UserError
from autodiffseg.geometry import Geometry
from autodiffseg.images import write_image
from autodiffseg.preprocessing.image_run import Grid
from autodiffseg.preprocessing.pool_overlap import overlap
from autodiffseg.preprocessing.unlabelled_pool import prepare_pool
from autodiffseg.workspace import Workspace

NAME = "Dataset900_Phantom"


def write(path: Path, array: np.ndarray) -> None:
    grid = Geometry(shape=array.shape, spacing=(1.2, 1, 1), origin=(0,) * 3, direction=(1, 0, 0, 0, 1, 0, 0, 0, 1))
    write_image(path, array.astype(np.float32), grid)


def test_copies_and_resized_copies_are_told_and_strangers_are_not(planned_phantom: Path, tmp_path: Path) -> None:
    place = Workspace(Path(shutil.copytree(planned_phantom, tmp_path / "workspace")))
    images = [ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(24, 26, 22)), 2) for seed in range(4)]
    for number, image in enumerate(images[:3]):
        write(tmp_path / "pool" / f"{number}.mha", image)
    write(tmp_path / "shifted" / "copy.nii.gz", images[0])
    write(tmp_path / "shifted" / "fine.mha", ndimage.zoom(images[1], 1.5, order=1))
    write(tmp_path / "shifted" / "stranger.mha", images[3])
    plan = place.plan(NAME, "cpu")
    pool = prepare_pool(
        NAME, None, [tmp_path / "pool"], plan=plan, configuration="3d_fullres", workspace=place, processes=1
    )
    grid = Grid(plan, "3d_fullres")
    found = overlap(pool, tmp_path / "shifted", grid, processes=1)
    assert found.images == 3
    assert found.same == {"copy": pool.images[0]}
    assert [(one.image, one.other) for one in found.alike] == [("fine", pool.images[1])]
    (tmp_path / "shifted" / "broken.mha").write_text("no image")
    with pytest.raises(UserError, match=r"1 images cannot be compared with the pool, such as .*broken\.mha"):
        overlap(pool, tmp_path / "shifted", grid, processes=1)
