"""The search for rules: what it finds is what a slow twin finds on the files, and no class falls."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autodiffseg.evaluation.folder import score_label_maps
from autodiffseg.evaluation.statistics import paired_wilcoxon
from autodiffseg.geometry import Geometry
from autodiffseg.images import write_image
from autodiffseg.labels import LabelSpec
from autodiffseg.postprocessing.record import Postprocessing
from autodiffseg.postprocessing.rules import Rule, apply_rules
from autodiffseg.postprocessing.search import Pair, find_rules, round_volumes
from autodiffseg.postprocessing.tables import table_label_maps

Maps = list[tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]]

CLASSES = LabelSpec(labels={"background": 0, "one": 1, "two": 2})
REGIONS = LabelSpec(labels={"background": 0, "whole": (1, 2), "core": 2}, regions_class_order=(1, 2))
APART = LabelSpec(labels={"background": 0, "whole": (1, 2), "rim": 1, "core": 2}, regions_class_order=(1, 1, 2))
"""Not nested: what is taken from the core becomes rim."""
IGNORING = LabelSpec(labels={"background": 0, "one": 1, "two": 2, "ignore": 3})
SPACING = (2.0, 1.0, 0.5)


def save(folder: Path, maps: Maps) -> dict[str, Pair]:
    pairs = {}
    for number, both in enumerate(maps):
        pairs[f"c{number}"] = Pair(*(folder / kind / f"c{number}.nii.gz" for kind in ("pred", "ref")))
        for path, label in zip(pairs[f"c{number}"], both, strict=True):
            turned = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
            write_image(path, label, Geometry(shape=label.shape, spacing=SPACING, origin=(0.0,) * 3, direction=turned))
    return pairs


def blobs(*extra: tuple[int, int], two: bool = True) -> npt.NDArray[np.uint8]:
    """A cube of class 1 beside a plate of class 2, and specks: (class, voxels) each in a row of its own."""
    label = np.zeros((6, 12, 12), dtype=np.uint8)
    label[1:4, 1:4, 1:4] = 1
    label[1:4, 1:4, 4:6] = 2 if two else 0
    for row, (value, voxels) in enumerate(extra):
        label[5, 5 + 2 * row, :voxels] = value
    return label


def dice(maps: Maps, rules: tuple[Rule, ...], spec: LabelSpec) -> npt.NDArray[np.float64]:
    """The slow twin: `(cases, K)` of label maps that rules were applied to."""
    rows = []
    for prediction, reference in maps:
        cleaned = apply_rules(prediction, rules, spec, spacing_mm=SPACING)
        scores = score_label_maps(cleaned, reference, spec, spacing_mm=SPACING)
        rows.append([one["Dice"] for one in scores.values()])
    return np.array(rows)


def require_true(found: Postprocessing, maps: Maps, spec: LabelSpec) -> None:
    """Every figure is that of the slow twin, and adopted rules harm nothing."""
    applied: tuple[Rule, ...] = ()
    for trial in found.tried:
        for figures, rules in ((trial.before, applied), (trial.after, (*applied, trial.rule))):
            columns = [column[~np.isnan(column)] for column in dice(maps, rules, spec).T]
            means = [column.mean() if column.size else np.nan for column in columns]
            mean = np.mean([value for value in means if not np.isnan(value)])
            told = [np.nan if value is None else value for value in (*figures.classes.values(), figures.mean)]
            assert told == pytest.approx([*means, mean], nan_ok=True)
        if trial.adopted:
            applied = (*applied, trial.rule)
            assert trial.after.mean is not None
            assert trial.after.mean > (trial.before.mean or 0)
            for name, before in trial.before.classes.items():
                after = trial.after.classes[name]
                assert before is None or after is None or after >= before
    assert applied == found.rules


def test_stray_parts_of_the_foreground_are_found(tmp_path: Path) -> None:
    maps = [(blobs((1, 5), (2, n + 1)), blobs()) for n in range(3)]
    found = find_rules(save(tmp_path, maps), CLASSES)
    assert found.rules == (Rule(operation="keep-largest"),)
    assert found.after is not None
    assert found.after.mean == 1
    assert found.tried[0].changed_cases == 3
    require_true(found, maps, CLASSES)


def test_a_rule_that_harms_one_class_is_not_adopted_however_much_the_mean_rises(tmp_path: Path) -> None:
    # Class 2 really lies apart in one case; dropping all but the largest part helps class 1 a lot.
    maps = [(blobs((1, 12)), blobs()) for _ in range(5)] + [(blobs((2, 3)), blobs((2, 3)))]
    found = find_rules(save(tmp_path, maps), CLASSES)
    first = found.tried[0]
    assert first.after.mean > first.before.mean  # type: ignore[operator]  # both are numbers
    assert not first.adopted
    assert "two would fall" in first.why
    assert found.rules == (Rule(operation="keep-largest", label="one"),)
    require_true(found, maps, CLASSES)


def test_the_volume_is_the_smallest_round_one_of_those_that_help_most(tmp_path: Path) -> None:
    # Specks of 2 and 3 voxels are wrong, one of 8 is right: 2, 3 and 8 mm³.
    maps = [(blobs((1, 2), (1, 3)), blobs()), (blobs((1, 3), (1, 8)), blobs((0, 1), (1, 8)))]
    found = find_rules(save(tmp_path, maps), CLASSES)
    assert found.rules == (Rule(operation="remove-small", min_volume_mm3=5),)
    require_true(found, maps, CLASSES)


def test_a_class_that_a_case_lacks_is_cleared(tmp_path: Path) -> None:
    maps = [(blobs(two=False) + blobs((2, 4), two=False) * (blobs((2, 4), two=False) == 2), blobs(two=False))]
    maps += [(blobs(), blobs())]
    found = find_rules(save(tmp_path, maps), CLASSES)
    assert found.before is not None
    assert found.before.classes["two"] == 0.5
    assert found.after is not None
    assert found.after.classes == {"one": 1, "two": 1}


@pytest.mark.parametrize(
    "spec", [CLASSES, REGIONS, APART, IGNORING], ids=["classes", "nested regions", "regions apart", "ignore"]
)
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10_000), noise=st.sampled_from([0.02, 0.1, 0.4]))
def test_every_figure_is_true_and_no_class_falls(spec: LabelSpec, seed: int, noise: float, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    maps = []
    for _ in range(3):
        reference = blobs(two=bool(rng.integers(2)))
        wrong = rng.random(reference.shape) < noise * rng.random()
        prediction = np.where(wrong, rng.integers(0, 3, reference.shape), reference).astype(np.uint8)
        if spec.ignore is not None:
            reference[:, :, 8:] = spec.ignore
        maps.append((prediction, reference))
    require_true(find_rules(save(tmp_path, maps), spec), maps, spec)


def test_an_only_class_is_not_tried_twice(tmp_path: Path) -> None:
    one = LabelSpec(labels={"background": 0, "one": 1})
    maps = [(blobs((1, 2), two=False), blobs(two=False))]
    found = find_rules(save(tmp_path, maps), one)
    assert [str(trial.rule) for trial in found.tried] == ["keep the largest component of the foreground as a whole"]


def test_the_test_is_over_groups_where_there_are_any(tmp_path: Path) -> None:
    maps = [(blobs((1, n + 1)), blobs()) for n in range(8)]
    pairs = save(tmp_path, maps)
    by_case = find_rules(pairs, CLASSES)
    before, after = dice(maps, (), CLASSES).mean(axis=1), dice(maps, by_case.rules, CLASSES).mean(axis=1)
    assert by_case.p == pytest.approx(paired_wilcoxon(after, before).p)
    assert find_rules(pairs, CLASSES, groups=["a"] * 4 + ["b"] * 4).p is None  # two pairs are no test


def test_round_volumes_lie_above_the_smallest_and_reach_to_the_largest() -> None:
    assert round_volumes(np.array([0.3, 2.0, 20.0])) == [0.5, 1, 2, 5, 10, 20]
    assert round_volumes(np.array([7.0])) == []
    assert round_volumes(np.zeros(0)) == []


def test_a_removed_component_of_a_region_takes_those_painted_over_it_along() -> None:
    prediction = np.array([[[1, 1, 0, 1, 2]]])
    table = table_label_maps(prediction, prediction, REGIONS, spacing_mm=(1, 1, 1)).scopes["whole"]
    assert table.volumes_mm3.tolist() == [2, 2]
    assert table.lost.tolist() == [[2, 0], [2, 1]]
    core = table_label_maps(prediction, prediction, REGIONS, spacing_mm=(1, 1, 1)).scopes["core"]
    assert core.lost.tolist() == [[0, 1]]
