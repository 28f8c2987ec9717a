"""Training curves from progress.csv."""

from __future__ import annotations

from pathlib import Path

import pytest

from autodiffseg.report.training_curves import MOST_POINTS, training_curves

from .conftest import compared


def curves_of(folder: Path, text: str) -> dict[str, tuple[list[float], list[float]]]:
    (folder / "fold_0").mkdir()
    (folder / "fold_0" / "progress.csv").write_text(text)
    found = training_curves(compared({"a": [0.5]}, a={"runs": [{"folder": str(folder), "folds": {"0": {}}}]}))
    return found["a"][0] if found else {}


def test_values_that_are_not_there_leave_no_point(tmp_path: Path) -> None:
    found = curves_of(tmp_path, "update,loss,validation_patch_dice\n1,2,nan\n2,1,0.5\n")
    assert found == {"loss": ([1, 2], [2, 1]), "validation_patch_dice": ([2], [0.5])}


def test_a_long_training_is_thinned_to_means_of_neighbours(tmp_path: Path) -> None:
    rows = "\n".join(f"{update},{update},nan" for update in range(1, 10 * MOST_POINTS + 1))
    updates, values = curves_of(tmp_path, f"update,loss,validation_patch_dice\n{rows}\n")["loss"]
    assert len(updates) == MOST_POINTS
    assert updates == values
    assert sum(values) / len(values) == pytest.approx((10 * MOST_POINTS + 1) / 2)


def test_a_damaged_file_gives_what_stands_before_the_damage(tmp_path: Path) -> None:
    assert curves_of(tmp_path, "update,loss,validation_patch_dice\n1,2,0.1\n2,?,0.5\n3,1,1\n")["loss"] == ([1], [2])
