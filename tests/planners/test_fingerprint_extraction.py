"""The fingerprint of tiny datasets whose numbers are known: ordinary ones, and those with hardly anything in them."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import SimpleITK as sitk
from rich.console import Console

from autodiffseg.dataset import RawDataset
from autodiffseg.errors import UserError
from autodiffseg.fingerprint import Fingerprint
from autodiffseg.planners import fingerprint_extraction
from autodiffseg.planners.current_fingerprint import known_fingerprint, new_fingerprint
from autodiffseg.planners.fingerprint_extraction import take_fingerprint
from autodiffseg.planners.label_leakage import MOST_BLOCKS, choose_blocks
from autodiffseg.planners.raw_hash import hash_raw
from autodiffseg.planners.reporter import Reporter
from autodiffseg.workspace import Workspace

Pair = tuple[npt.NDArray[Any], npt.NDArray[Any]]
LABELS = {"background": 0, "one": 1, "two": 2}


def write(path: Path, array: npt.NDArray[Any], direction: Sequence[float] | None) -> None:
    image = sitk.GetImageFromArray(array)
    image.SetSpacing((1.0, 2.0, 3.0)[: array.ndim])
    if direction is not None:
        image.SetDirection(direction)
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(image, str(path))


def dataset(
    folder: Path, cases: Sequence[Pair], *, labels: Any = None, direction: Any = None, **keys: Any
) -> RawDataset:
    """A dataset of `(image, label)` pairs `(Z, Y, X)`."""
    for index, (image, label) in enumerate(cases):
        write(folder / "imagesTr" / f"case_{index}_0000.nii.gz", image.astype(np.float32), direction)
        write(folder / "labelsTr" / f"case_{index}.nii.gz", label.astype(np.uint8), direction)
    content = {"channel_names": {"0": "MR"}, "labels": labels or LABELS, "file_ending": ".nii.gz", **keys}
    (folder / "dataset.json").write_text(json.dumps(content))
    return RawDataset(folder)


def case(*, present: int = 2, shape: tuple[int, int, int] = (8, 16, 16), seed: int = 0) -> Pair:
    """A noisy image without zeros; a cube of class 1 and, with `present` 2, one of class 2."""
    label = np.zeros(shape, dtype=np.uint8)
    label[..., 2:6, 2:6] = min(present, 1)
    if present == 2:
        label[..., 8:10, 8:12] = 2
    image = np.random.default_rng(seed).uniform(1, 2, shape) + label
    return image, label


def take(raw: RawDataset, processes: int = 1) -> Fingerprint:
    """The fingerprint, after a round trip through strict JSON: no NaN and no infinity."""
    text = take_fingerprint(raw, "hash", processes=processes).model_dump_json()

    def refuse(name: str) -> None:
        raise AssertionError(name)

    json.loads(text, parse_constant=refuse)
    assert "null" not in text.replace('"leakage":null', "")
    return Fingerprint.parse(text, source="")


def test_presence_and_components_are_told_class_by_class(tmp_path: Path) -> None:
    seen = take(dataset(tmp_path, [case(present=2), case(present=1), case(present=2)]))
    assert seen.class_presence == {"one": (True, True, True), "two": (True, False, True)}
    two = seen.components["two"]
    assert (two.per_case.max, two.voxels.median, two.volume_mm3.median) == (1, 8 * 2 * 4, 8 * 2 * 4 * 6)
    assert seen.left_right_axes == (2, 2, 2)


def test_a_sagittal_case_is_seen_as_such(tmp_path: Path) -> None:
    assert take(dataset(tmp_path, [case()], direction=(0, 0, 1, 1, 0, 0, 0, -1, 0))).left_right_axes == (0,)


def test_the_leakage_comes_from_blocks_of_every_class_that_there_is(tmp_path: Path) -> None:
    raw = dataset(tmp_path, [case(present=1), case(present=1)])
    leakage = take(raw).leakage
    assert leakage is not None
    assert (set(leakage.dice), leakage.blocks) == ({"one"}, 2)
    assert leakage.curve.leaked[-1] == 1.0
    assert leakage.curve.leaked[0] < 0.2


@pytest.mark.parametrize("classes", [1, 3, 40])
def test_the_number_of_blocks_is_bounded_and_their_choice_fixed(tmp_path: Path, classes: int) -> None:
    labels = {"background": 0, **{f"class {value}": value for value in range(1, classes + 1)}}
    raw = dataset(tmp_path, [], labels=labels)
    box = ((0, 8), (0, 8), (0, 8))
    boxes = {f"case_{index}": box for index in range(30)}
    presence = dict.fromkeys(raw.spec.foreground, (True,) * 30)
    blocks = choose_blocks(raw, boxes, presence)  # type: ignore[arg-type]
    assert len(blocks) == MOST_BLOCKS // min(classes, MOST_BLOCKS) * min(classes, MOST_BLOCKS)
    assert len({job.seed for job in blocks.values()}) == len(blocks)
    assert blocks == choose_blocks(raw, boxes, presence)  # type: ignore[arg-type]


def test_a_constant_image_has_no_spread(tmp_path: Path) -> None:
    image, label = case()
    (statistics,) = take(dataset(tmp_path, [(np.full_like(image, 7), label)] * 2)).intensities
    assert (statistics.mean, statistics.std, statistics.min, statistics.max, statistics.median) == (7, 0, 7, 7, 7)


def test_an_image_of_zeros_keeps_its_whole_box(tmp_path: Path) -> None:
    image, label = case()
    seen = take(dataset(tmp_path, [(0 * image, label), (image, label)]))
    assert seen.shapes_after_crop == seen.shapes
    assert seen.intensities[0].min == 0


def test_a_case_without_foreground_takes_part_in_all_but_the_intensities(tmp_path: Path) -> None:
    seen = take(dataset(tmp_path, [case(), case(present=0)]))
    alone = take(dataset(tmp_path / "alone", [case()]))
    assert seen.intensities == alone.intensities
    assert seen.class_frequencies["one"] == pytest.approx(alone.class_frequencies["one"] / 2)
    assert seen.class_presence["one"] == (True, False)
    assert seen.components == alone.components


def test_one_case_is_a_dataset(tmp_path: Path) -> None:
    seen = take(dataset(tmp_path, [case()]))
    assert seen.cases == ("case_0",)
    assert seen.leakage is not None
    assert seen.leakage.blocks == 2


def test_single_slices_are_looked_at(tmp_path: Path) -> None:
    seen = take(dataset(tmp_path, [case(shape=(1, 16, 16))] * 2))
    assert seen.shapes == ((1, 16, 16),) * 2
    assert seen.components["two"].voxels.max == 8


def test_a_class_that_no_case_has_is_left_out(tmp_path: Path) -> None:
    seen = take(dataset(tmp_path, [case(present=1)] * 2))
    assert seen.class_frequencies["two"] == 0
    assert seen.class_presence["two"] == (False, False)
    assert set(seen.components) == {"one"}


def test_what_is_not_annotated_at_all_has_no_foreground(tmp_path: Path) -> None:
    labels = {"background": 0, "one": 1, "ignore": 2}
    image, label = case(present=1)
    hidden = (image, np.full_like(label, 2))
    seen = take(dataset(tmp_path, [hidden, (image, label)], labels=labels))
    assert seen.class_presence == {"one": (False, True)}
    assert seen.intensities == take(dataset(tmp_path / "alone", [(image, label)], labels=labels)).intensities
    with pytest.raises(UserError, match="no label map has any foreground"):
        take(dataset(tmp_path / "hidden", [hidden], labels=labels))


def test_regions_are_looked_at_as_regions(tmp_path: Path) -> None:
    labels = {"background": 0, "whole": [1, 2], "core": 2}
    seen = take(dataset(tmp_path, [case()], labels=labels, regions_class_order=[1, 2]))
    assert seen.class_frequencies["whole"] > seen.class_frequencies["core"] > 0
    assert seen.components["whole"].per_case.max == 2
    assert seen.leakage is not None
    assert set(seen.leakage.dice) == {"whole", "core"}


def test_the_number_of_processes_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autodiffseg.preprocessing.parallel.FEW_BYTES", 0)
    raw = dataset(tmp_path, [case(seed=seed) for seed in range(3)])
    assert take(raw, processes=2) == take(raw, processes=1)


def test_no_more_processes_work_than_memory_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autodiffseg.preprocessing.parallel.FEW_BYTES", 0)
    monkeypatch.setattr("autodiffseg.preprocessing.parallel.free_memory_bytes", lambda: int(6e8))
    said: list[str] = []
    take_fingerprint(dataset(tmp_path, [case()] * 3), "", processes=3, tell=said.append)
    assert len(said) == 1
    assert "2 of 3 processes work" in said[0]


def test_memory_for_samples_is_shared_between_cases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    examine = fingerprint_extraction.examine_case

    def record(job: Any) -> Any:
        asked.append(job.samples)
        return examine(job)

    monkeypatch.setattr(fingerprint_extraction, "examine_case", record)
    monkeypatch.setattr(fingerprint_extraction, "SAMPLES", 100)
    take(dataset(tmp_path, [case()] * 3))
    assert asked == [33] * 3


def test_quantiles_are_those_of_the_voxels(tmp_path: Path) -> None:
    image, label = case()
    (found,) = take(dataset(tmp_path, [(image, label)])).intensities
    values = image[label > 0].astype(np.float32)
    assert (found.mean, found.std) == pytest.approx((values.mean(), values.std()), rel=1e-5)
    assert found.median == pytest.approx(np.median(values), abs=0.02)
    assert math.isclose(found.max, values.max(), rel_tol=1e-6)


def test_the_tails_are_cut_at_half_a_percent(tmp_path: Path) -> None:
    image = np.random.default_rng(0).uniform(1, 2, (8, 64, 64))
    (found,) = take(dataset(tmp_path, [(image, np.ones(image.shape))])).intensities
    assert (found.percentile_00_5, found.percentile_99_5) == pytest.approx((1.005, 1.995), abs=0.002)


def test_every_failing_case_is_named(tmp_path: Path) -> None:
    raw = dataset(tmp_path, [case()] * 4)
    for index in (1, 3):
        (tmp_path / "imagesTr" / f"case_{index}_0000.nii.gz").write_bytes(b"no image")
    with pytest.raises(UserError, match=r"2 cases failed:(.|\n)*case_1(.|\n)*case_3"):
        take_fingerprint(raw, "", processes=1)


def test_a_changed_label_is_noticed_and_its_fingerprint_another(tmp_path: Path) -> None:
    raw, place, reporter = dataset(tmp_path / "raw", [case(), case()]), Workspace(tmp_path / "w"), Reporter(Console())
    before = new_fingerprint(raw, place, processes=1, reporter=reporter)
    before.save(place.fingerprint_path(raw.name))
    assert known_fingerprint(raw, place, processes=1) == (before, True)
    image, label = case(present=1)
    changed = dataset(tmp_path / "raw", [(image, label), case()])
    assert known_fingerprint(changed, place, processes=1) == (before, False)
    after = new_fingerprint(changed, place, processes=1, reporter=reporter)
    assert after.class_presence["two"] == (False, True)
    assert after.raw_hash != before.raw_hash


@pytest.mark.parametrize("damage", [{"schema_version": 1, "class_presence": {"one": 1}}, {"raw_hash": 1}, None])
def test_a_fingerprint_of_an_older_version_or_a_damaged_one_is_taken_anew(tmp_path: Path, damage: Any) -> None:
    raw, place = dataset(tmp_path / "raw", [case()]), Workspace(tmp_path / "w")
    path = place.fingerprint_path(raw.name)
    new_fingerprint(raw, place, processes=1, reporter=Reporter(Console())).save(path)
    path.write_text(json.dumps({**json.loads(path.read_text()), **damage}) if damage else "{")
    assert known_fingerprint(raw, place, processes=1) == (None, False)


def test_hashes_that_cannot_be_read_are_taken_anew(tmp_path: Path) -> None:
    raw, cache = dataset(tmp_path / "raw", [case()]), tmp_path / "raw_files.json"
    before = hash_raw(raw, cache, threads=1)
    whole = cache.read_text()
    cache.write_text(whole[:-9])
    assert hash_raw(raw, cache, threads=1) == before
    assert cache.read_text() == whole
