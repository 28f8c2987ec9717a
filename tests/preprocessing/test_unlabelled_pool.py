"""The pool of unlabelled images: what it takes, what it refuses, and what it leaves alone."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from autodiffseg.dataset import RawDataset
from autodiffseg.errors import UserError
from autodiffseg.folds import Fold
from autodiffseg.geometry import Geometry
from autodiffseg.images import read_case, read_image, write_image, write_picture
from autodiffseg.preprocessing import image_run, leakage_guard, parallel
from autodiffseg.preprocessing.case_store import CaseStore
from autodiffseg.preprocessing.image_store import array_digest
from autodiffseg.preprocessing.preprocessor import preprocess_case
from autodiffseg.preprocessing.unlabelled_pool import Pool, prepare_pool
from autodiffseg.workspace import Workspace

NAME = "Dataset900_Phantom"
Prepare = Callable[..., Pool]


@pytest.fixture
def place(planned_phantom: Path, tmp_path: Path) -> Workspace:
    """A workspace of the test's own with the planned phantom."""
    return Workspace(Path(shutil.copytree(planned_phantom, tmp_path / "workspace")))


@pytest.fixture
def prepare(place: Workspace, phantom_raw: Path) -> Prepare:
    """Make a pool for the phantom."""

    def make(*folders: Path, raw: Path | None = phantom_raw, **options: object) -> Pool:
        given = {"processes": 1, **options}
        source = None if raw is None else RawDataset(raw)
        plan = place.plan(NAME, "cpu")
        return prepare_pool(NAME, source, folders, plan=plan, configuration="3d_fullres", workspace=place, **given)

    return make


@pytest.fixture
def fold(phantom_raw: Path) -> Fold:
    """Four training cases, two validation cases."""
    cases = RawDataset(phantom_raw).cases
    return Fold(train=cases[:4], val=cases[4:])


@pytest.fixture
def folder(phantom_raw: Path, tmp_path: Path) -> Path:
    """Three images of different sizes, without channel numbers, one of them in another format."""
    for number, ending in enumerate((".nii.gz", ".mha", ".nii.gz")):
        rng = np.random.default_rng(number)
        shape = (20 + number, 24, 22)
        grid = Geometry(shape=shape, spacing=(1.2, 1, 1), origin=(0,) * 3, direction=(1, 0, 0, 0, 1, 0, 0, 0, 1))
        write_image(tmp_path / "unlabelled" / f"scan{number}{ending}", rng.normal(size=shape), grid)
    return tmp_path / "unlabelled"


def home(place: Workspace) -> Path:
    return place.preprocessed(NAME) / place.plan(NAME, "cpu").data_id("3d_fullres")


def test_images_are_preprocessed_as_labelled_cases_are(prepare: Prepare, folder: Path, place: Workspace) -> None:
    pool = prepare(folder)
    assert [name.rpartition("-")[0] for name in pool.images] == ["scan0", "scan1", "scan2"]
    plan = place.plan(NAME, "cpu")
    image, geometry = read_case([folder / "scan1.mha"])
    case = preprocess_case(image, geometry, case="", plan=plan, configuration="3d_fullres", spec=image_run.NO_LABELS)
    np.testing.assert_array_equal(pool.store.image(pool.images[1])[:], case.image)
    assert pool.digests[pool.images[1]] == array_digest(case.image)
    assert pool.store.properties(pool.images[1]).shape == case.properties.shape


def test_the_labelled_cases_stay_what_they_were(prepare: Prepare, folder: Path, place: Workspace) -> None:
    before = CaseStore(home(place)).cases()
    prepare(folder)
    assert CaseStore(home(place)).cases() == before
    assert {path.name for path in home(place).iterdir() if path.is_dir()} == {"unlabelled"}


def test_what_is_done_is_not_done_again(prepare: Prepare, folder: Path) -> None:
    asked: list[int] = []

    def watch(number: int) -> Callable[[], None]:
        asked.append(number)
        return lambda: None

    first = prepare(folder, watch=watch)
    times = {path: path.stat().st_mtime_ns for path in first.store.folder.iterdir()}
    assert prepare(folder, watch=watch)[1:] == first[1:]
    assert {path: path.stat().st_mtime_ns for path in first.store.folder.iterdir()} == times
    image, geometry = read_image(folder / "scan0.nii.gz")
    write_image(folder / "scan0.nii.gz", image[0] + 1, geometry)
    changed = prepare(folder, watch=watch)
    assert asked == [3, 1]
    assert changed.images[0] != first.images[0]
    assert changed.images[1:] == first.images[1:]


def test_the_number_of_processes_changes_no_byte(
    prepare: Prepare, folder: Path, place: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = prepare(folder)
    content = {path.name: path.read_bytes() for path in pool.store.folder.iterdir()}
    shutil.rmtree(home(place) / "unlabelled")
    monkeypatch.setattr(parallel, "FEW_BYTES", 0)
    monkeypatch.setattr(image_run, "is_quick", lambda _: False)
    assert prepare(folder, processes=2)[1:] == pool[1:]
    assert {path.name: path.read_bytes() for path in pool.store.folder.iterdir()} == content


def test_as_many_labelled_cases_are_looked_at_as_the_memory_holds(
    prepare: Prepare, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[int] = []

    class Recorded(ThreadPoolExecutor):
        def __init__(self, most: int) -> None:
            threads.append(most)
            super().__init__(most)

    monkeypatch.setattr(leakage_guard, "ThreadPoolExecutor", Recorded)
    monkeypatch.setattr(parallel, "free_memory_bytes", lambda: 1)
    prepare(folder, processes=3)
    prepare(folder, processes=3)  # all are known by now
    assert threads == [1, 3]


def test_the_same_image_elsewhere_or_in_another_format_is_learnt_from_once(
    prepare: Prepare, folder: Path, tmp_path: Path
) -> None:
    image, geometry = read_image(folder / "scan0.nii.gz")
    write_image(tmp_path / "other" / "again.nrrd", image[0], geometry)
    shutil.copy(folder / "scan1.mha", tmp_path / "other")
    shutil.copy(folder / "scan1.mha", tmp_path / "other" / "renamed.mha")
    pool = prepare(folder, tmp_path / "other")
    assert len(pool.images) == len(set(pool.digests.values())) == 3
    assert pool.notes == ("3 images are there more than once; each is learnt from once.",)
    assert pool.digest == prepare(folder).digest


def test_the_digest_of_a_pool_knows_no_names(prepare: Prepare, folder: Path) -> None:
    before = prepare(folder)
    (folder / "scan1.mha").rename(folder / "zebra.mha")
    assert prepare(folder).images != before.images
    assert prepare(folder).digest == before.digest
    (folder / "zebra.mha").unlink()
    assert prepare(folder).digest != before.digest


def test_folders_with_images_of_one_name_do_not_clash(prepare: Prepare, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    shutil.copy(folder / "scan2.nii.gz", tmp_path / "other" / "scan0.nii.gz")
    pool = prepare(tmp_path / "other", folder)
    assert [name.rpartition("-")[0] for name in pool.images] == ["scan0", "scan0", "scan1"]


@pytest.mark.parametrize("change", ["rename", "reformat"])
def test_a_labelled_case_is_refused_by_name_or_content(
    prepare: Prepare, folder: Path, phantom_raw: Path, change: str
) -> None:
    raw = RawDataset(phantom_raw)
    image, geometry = read_image(raw.images(raw.cases[5])[0])
    if change == "rename":
        write_image(folder / f"{raw.cases[5]}.nrrd", image[0] + 1, geometry)  # other voxels under its name
    else:
        write_image(folder / "stranger.nrrd", image[0], geometry)
    with pytest.raises(UserError, match=rf"^1 unlabelled image is .*nrrd is {raw.cases[5]}\).*--transductive"):
        prepare(folder)
    pool = prepare(folder, transductive=True)
    assert len(pool.images) == 4
    assert pool.labelled == (raw.cases[5],)


def test_a_test_image_is_refused_by_content_and_its_voxels_are_not_kept(
    prepare: Prepare, folder: Path, phantom_raw: Path, place: Workspace
) -> None:
    (path, *_) = sorted((phantom_raw / "imagesTs").iterdir())
    image, geometry = read_image(path)
    write_image(folder / "stranger.nrrd", image[0], geometry)
    with pytest.raises(UserError, match=f"is {path.name[:-12]}"):
        prepare(folder)
    assert prepare(folder, transductive=True).labelled == (path.name[:-12],)
    assert {path.suffix for path in (home(place) / "unlabelled" / "test_images").iterdir()} == {".json"}


def test_an_image_that_will_be_tested_on_elsewhere_is_refused_by_content_but_not_by_name(
    prepare: Prepare, folder: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "hospital"
    image, geometry = read_image(folder / "scan1.mha")
    write_image(elsewhere / "scan0.nii.gz", image[0] + np.random.default_rng(7).normal(size=image[0].shape), geometry)
    assert len(prepare(folder, held_out=[elsewhere]).images) == 3
    write_image(elsewhere / "test7.nii.gz", image[0], geometry)
    with pytest.raises(UserError, match=r"^1 unlabelled image is .*scan1\.mha is hospital/test7\).*--transductive"):
        prepare(folder, held_out=[elsewhere])
    assert prepare(folder, held_out=[elsewhere], transductive=True).labelled == ("hospital/test7",)
    (elsewhere / "test7.nii.gz").write_text("no image")
    with pytest.raises(UserError, match=r"^--held-out: .*test7\.nii\.gz.*Take it away"):
        prepare(folder, held_out=[elsewhere])
    with pytest.raises(UserError, match=r"nowhere does not exist or is no folder; name a folder of images"):
        prepare(folder, held_out=[tmp_path / "nowhere"])


def test_a_copy_of_another_size_is_let_in_and_told_of(
    prepare: Prepare, folder: Path, phantom_raw: Path, fold: Fold
) -> None:
    raw = RawDataset(phantom_raw)
    image, geometry = read_image(raw.images(fold.val[0])[0])
    fine = ndimage.zoom(image[0], 1.3, order=1)
    write_image(folder / "fine.mha", fine, geometry.model_copy(update={"shape": fine.shape}))
    (note,) = prepare(folder, fold=fold).notes
    assert note.startswith("1 unlabelled image looks like a case")
    assert f"fine.mha like {fold.val[0]}, correlation 0.99" in note
    assert prepare(folder, transductive=True).notes == ()
    swapped = Fold(train=(*fold.train[1:], fold.val[0]), val=(fold.train[0], fold.val[1]))
    assert prepare(folder, fold=swapped).notes == ()  # a training image of the fold may be learnt from


def test_without_the_raw_folder_a_line_says_that_test_images_were_not_looked_for(
    prepare: Prepare, folder: Path, phantom_raw: Path
) -> None:
    assert prepare(folder).notes == ()
    assert "not compared with imagesTs" in prepare(folder, raw=None).notes[0]
    with pytest.raises(UserError, match="There are no unlabelled images"):
        prepare(raw=None)


def test_a_test_image_that_is_called_as_a_training_case_is_guarded_too(
    prepare: Prepare, phantom_raw: Path, fold: Fold, tmp_path: Path
) -> None:
    raw = Path(shutil.copytree(phantom_raw, tmp_path / "raw" / NAME))
    (path, *_) = sorted((raw / "imagesTs").iterdir())
    path.rename(path.with_name(f"{fold.train[0]}_0000.nii.gz"))
    image, geometry = read_image(path.with_name(f"{fold.train[0]}_0000.nii.gz"))
    write_image(tmp_path / "some" / "stranger.mha", image[0], geometry)
    with pytest.raises(UserError, match=rf"stranger.mha is {fold.train[0]}\)"):
        prepare(tmp_path / "some", raw=raw, fold=fold)


def test_test_images_may_be_called_anything_and_a_folder_of_them_be_empty(
    prepare: Prepare, folder: Path, phantom_raw: Path, tmp_path: Path
) -> None:
    raw = Path(shutil.copytree(phantom_raw, tmp_path / "raw" / NAME))
    shutil.copy(folder / "scan1.mha", raw / "imagesTs" / "another.mha")
    with pytest.raises(UserError, match=r"scan1\.mha is another\)"):
        prepare(folder, raw=raw)
    shutil.rmtree(raw / "imagesTs")
    (raw / "imagesTs").mkdir()
    (raw / "imagesTs" / ".gitkeep").touch()
    assert len(prepare(folder, raw=raw).images) == 3


def test_a_test_image_that_cannot_be_read_is_known_by_its_name(
    prepare: Prepare, folder: Path, phantom_raw: Path, tmp_path: Path
) -> None:
    raw = Path(shutil.copytree(phantom_raw, tmp_path / "raw" / NAME))
    (raw / "imagesTs" / "scan1_0000.nii.gz").write_text("no image")
    with pytest.raises(UserError, match=r"scan1\.mha is scan1"):
        prepare(folder, raw=raw)


def test_images_of_the_groups_of_held_out_cases_are_told_of(
    prepare: Prepare, folder: Path, place: Workspace, fold: Fold
) -> None:
    path = place.dataset_json_path(NAME)
    groups = {case: case[-1] for case in (*fold.train, *fold.val)}
    content = {**json.loads(path.read_text()), "groups": {**groups, "scan1": groups[fold.val[1]], "scan2": "other"}}
    path.write_text(json.dumps(content))
    (note,) = prepare(folder, fold=fold).notes
    assert note.startswith("1 unlabelled images are of groups")
    assert f"scan1.mha of {groups[fold.val[1]]}" in note
    swapped = Fold(train=fold.val, val=fold.train)
    assert prepare(folder, fold=swapped).notes == prepare(folder, transductive=True).notes == ()


def test_training_images_of_a_fold_are_added_from_the_labelled_store(
    prepare: Prepare, folder: Path, fold: Fold, place: Workspace
) -> None:
    pool = prepare(folder, fold=fold)
    assert pool.labelled == fold.train
    assert len(pool.images) == 3 + 4
    assert set(fold.train) < set(pool.images)
    np.testing.assert_array_equal(pool.store.image(fold.train[0])[:], CaseStore(home(place)).image(fold.train[0])[:])
    assert prepare(fold=fold).images == fold.train


def test_beside_a_fold_its_training_images_are_no_leak_and_its_validation_cases_are(
    prepare: Prepare, phantom_raw: Path, fold: Fold, tmp_path: Path
) -> None:
    raw = RawDataset(phantom_raw)
    (tmp_path / "some").mkdir()
    shutil.copy(raw.images(fold.train[1])[0], tmp_path / "some")
    pool = prepare(tmp_path / "some", fold=fold)
    assert pool.images == pool.labelled == fold.train
    with pytest.raises(UserError, match=f"is {fold.train[1]}"):
        prepare(tmp_path / "some")
    shutil.copy(raw.images(fold.val[0])[0], tmp_path / "some")
    with pytest.raises(UserError, match=rf"^1 unlabelled image .*is {fold.val[0]}\)"):
        prepare(tmp_path / "some", fold=fold)


def test_broken_images_are_listed_together_and_passed_over_on_request(prepare: Prepare, folder: Path) -> None:
    image, geometry = read_image(folder / "scan0.nii.gz")
    cut = (folder / "scan0.nii.gz").read_bytes()
    (folder / "cut.nii.gz").write_bytes(cut[: len(cut) // 2])
    holed = image[0].copy()
    holed[3, 3, 3] = np.nan
    write_image(folder / "holed.mha", holed, geometry)
    write_image(folder / "empty.mha", np.ones_like(image[0]), geometry)
    flat = geometry.model_copy(
        update={"shape": (1, *geometry.shape[1:]), "origin": (0.0, 0.0), "direction": (1.0, 0.0, 0.0, 1.0)}
    )
    write_image(folder / "flat.mha", image[0, :1], flat)
    (folder / "gone.mha").symlink_to(folder / "nowhere")
    with pytest.raises(UserError) as caught:
        prepare(folder)
    first, *lines = str(caught.value).splitlines()
    assert first == "5 unlabelled images are broken; mend or remove, or pass over with --skip-broken:"
    for name, why in {
        "cut.nii.gz": "cut off or damaged",
        "holed.mha": "NaN or infinite",
        "empty.mha": "same value",
        "flat.mha": "2D image",
        "gone.mha": "No such file",
    }.items():
        assert sum(name in line and why in line for line in lines) == 1
    pool = prepare(folder, skip_broken=True)
    assert len(pool.images) == 3
    assert {Path(path).name.partition(".")[0] for path in pool.skipped} == {"cut", "holed", "empty", "flat", "gone"}
    assert "5 broken images are passed over" in pool.notes[0]


def test_images_that_normalisation_leaves_nothing_of_are_broken(prepare: Prepare, folder: Path) -> None:
    image, geometry = read_image(folder / "scan0.nii.gz")
    write_image(folder / "vast.mha", image[0] * 1e30, geometry)  # the deviation is infinite
    with pytest.raises(UserError, match=r"vast\.mha is empty once it is cropped and normalised"):
        prepare(folder)
    assert len(prepare(folder, skip_broken=True).images) == 3


def test_names_may_be_as_long_as_those_of_files(prepare: Prepare, folder: Path) -> None:
    (folder / "scan0.nii.gz").rename(folder / f"{'ü' * 124}.nii.gz")
    assert len(prepare(folder).images) == 3


def test_colours_are_refused_where_the_labelled_cases_have_one_channel(prepare: Prepare, tmp_path: Path) -> None:
    write_picture(tmp_path / "some" / "colour.png", np.zeros((24, 22, 3), np.uint8))
    with pytest.raises(UserError, match=r"colour.png has 3 channels, the labelled cases have 1"):
        prepare(tmp_path / "some")


def test_when_all_are_broken_there_is_no_pool(prepare: Prepare, tmp_path: Path) -> None:
    (tmp_path / "some").mkdir()
    (tmp_path / "some" / "a.nii.gz").write_bytes(b"no image")
    with pytest.raises(UserError, match="No unlabelled images remain: all 1 are broken"):
        prepare(tmp_path / "some", skip_broken=True)


def test_no_folder_is_refused_with_the_cure_and_declared_ones_are_found(
    prepare: Prepare, folder: Path, phantom_raw: Path, tmp_path: Path, place: Workspace, fold: Fold
) -> None:
    with pytest.raises(UserError, match=r"lists none under 'unlabelled'. Name their folders with --unlabelled FOLDER"):
        prepare()
    raw = Path(shutil.copytree(phantom_raw, tmp_path / "raw" / NAME))
    shutil.move(folder, raw / "imagesUn")
    content = json.loads((raw / "dataset.json").read_text())
    (raw / "dataset.json").write_text(json.dumps({**content, "unlabelled": ["imagesUn"]}))
    assert len(prepare(raw=raw).images) == 3
    shutil.copy(raw / "dataset.json", place.dataset_json_path(NAME))
    for chosen in (None, fold):
        with pytest.raises(UserError, match=r"raw folder .*unlabelled images lie \(imagesUn\), is not at hand"):
            prepare(raw=None, fold=chosen)


def test_a_cascade_is_refused(planned_cascade: Path, folder: Path) -> None:
    place = Workspace(planned_cascade)
    with pytest.raises(UserError, match="pretrain 3d_lowres or another"):
        prepare_pool(
            NAME, None, [folder], plan=place.plan(NAME, "cpu"), configuration="3d_cascade_fullres", workspace=place,
            processes=1,
        )  # fmt: skip


def test_workers_do_not_import_torch() -> None:
    code = "import sys, autodiffseg.preprocessing.unlabelled_pool; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
