"""Channel names to normalisation."""

from __future__ import annotations

import pytest

from autodiffseg.planners.normalisation import plan_normalisation


@pytest.mark.parametrize(
    ("name", "scheme"),
    [
        ("CT", "ct"),
        ("ct", "ct"),
        ("noNorm", "none"),
        ("zscore", "zscore"),
        ("rescale_to_0_1", "rescale"),
        ("rgb_to_0_1", "rgb"),
        ("T1", "zscore"),
        ("CT_window_8bit", "zscore"),
    ],
)
def test_the_name_chooses_the_scheme(name: str, scheme: str) -> None:
    assert plan_normalisation([name], 1.0)[0].scheme == scheme


def test_the_mask_is_used_below_three_quarters_and_by_the_zscore_alone() -> None:
    assert [plan.use_mask for plan in plan_normalisation(["T1", "CT"], 0.74)] == [True, False]
    assert [plan.use_mask for plan in plan_normalisation(["T1", "CT"], 0.75)] == [False, False]
