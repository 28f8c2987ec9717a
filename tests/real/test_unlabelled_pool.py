"""A real pool: 1207 chest radiographs of three sources and mixed sizes, for a labelled dataset of another hospital."""

from __future__ import annotations

from pathlib import Path

import pytest

from autodiffseg.cli import run
from autodiffseg.dataset import RawDataset
from autodiffseg.preprocessing.image_run import Grid
from autodiffseg.preprocessing.image_sketch import find_same
from autodiffseg.preprocessing.pool_overlap import overlap
from autodiffseg.preprocessing.unlabelled_pool import prepare_pool
from autodiffseg.workspace import Workspace

pytestmark = [pytest.mark.real, pytest.mark.slow]


def test_radiographs_make_a_pool_that_shares_nothing_with_what_is_tested_on(real_data: Path, tmp_path: Path) -> None:
    labelled = real_data / "Dataset110_JSRT"
    arguments = ["--target-size", "64", "64", "--preset", "cpu", "--num-processes", "1", "--workspace", str(tmp_path)]
    assert run(["plan-and-preprocess", str(labelled), *arguments]) == 0
    place = Workspace(tmp_path)
    grid = Grid(place.plan(labelled.name, "cpu"), "2d")
    pool = prepare_pool(
        labelled.name, RawDataset(labelled), [real_data / "Dataset112_CXRunlabelled"],
        plan=grid.plan, configuration=grid.configuration, workspace=place, processes=1,
    )  # fmt: skip
    assert len(pool.images) == 1207
    assert (pool.labelled, pool.skipped, pool.notes) == ((), (), ())
    assert all(pool.store.properties(image).shape == (1, 64, 64) for image in pool.images)
    assert overlap(pool, real_data / "Dataset111_CovidCXR" / "imagesTr", grid, processes=1) == (48, {}, ())
    sketches = {image: pool.store.properties(image).sketch for image in pool.images}
    pairs = set()
    for image in pool.images:
        mine = {image: sketches.pop(image)}
        pairs |= {frozenset((one.image[:8], one.other[:8])) for one in find_same(mine, sketches)}
    # One radiograph is in a collection twice, another is there once more mirrored, and one of NIH ChestX-ray14 is in
    # another collection at another size.
    twice = {frozenset(("port_089", "port_093")), frozenset(("port_018", "port_019"))}
    assert pairs == {*twice, frozenset(("nih_0000", "port_108"))}
