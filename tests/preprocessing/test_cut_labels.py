"""Labels outside the crop: found in a store and told in one note."""

from __future__ import annotations

from pathlib import Path

from autodiffseg.preprocessing.case_store import CaseProperties, CaseStore
from autodiffseg.preprocessing.cut_labels import CutLabel, cut_labels, describe_cut_labels


def properties(case: str, cut: int) -> CaseProperties:
    geometry = {"shape": (2, 2, 2), "spacing": (1, 1, 1), "origin": (0, 0, 0), "direction": (1, 0, 0, 0, 1, 0, 0, 0, 1)}
    content = {"case": case, "geometry": geometry, "crop": ((0, 2),) * 3, "spacing_before": (1, 1, 1)}
    content |= {"spacing": (1, 1, 1), "shape": (2, 2, 2), "class_voxels": {}}
    return CaseProperties.model_validate(content | ({"cut_voxels": cut, "cut_share": cut / 8} if cut else {}))


def test_the_cases_that_lost_something_are_found(tmp_path: Path) -> None:
    for case, cut in (("b", 2), ("a", 4), ("c", 0)):
        properties(case, cut).save(tmp_path / f"{case}.json")
    assert cut_labels(CaseStore(tmp_path)) == (CutLabel("a", 4, 0.5), CutLabel("b", 2, 0.25))


def test_nothing_lost_is_no_note() -> None:
    assert describe_cut_labels([]) == ""


def test_the_worst_comes_first_and_a_case_of_two_configurations_once() -> None:
    cut = [CutLabel("a", 30, 0.01), CutLabel("b", 4, 0.5), CutLabel("a", 30, 0.01)]
    assert describe_cut_labels(cut).splitlines()[0].startswith("Note: 2 cases have labels outside the box")
    assert describe_cut_labels(cut).splitlines()[1:] == [
        "  b: 4 voxels, 50.00% of its label",
        "  a: 30 voxels, 1.00% of its label",
    ]


def test_thirty_cases_are_listed_at_most() -> None:
    lines = describe_cut_labels(CutLabel(f"case {n:02}", 1, 0.1) for n in range(33)).splitlines()
    assert (len(lines), lines[-2], lines[-1]) == (32, "  case 29: 1 voxels, 10.00% of its label", "  … and 3 more")
