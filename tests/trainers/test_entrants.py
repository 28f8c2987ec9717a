"""Which runs compare takes for trainings of one method."""

from __future__ import annotations

from pathlib import Path

import pytest

from autodiffseg.evaluation.summary import Summary
from autodiffseg.runs import RunRecord
from autodiffseg.trainers.entrants import _methods


@pytest.mark.parametrize(("digests", "methods"), [(("a", "a", "a"), 1), (("a", "a", "b"), 3)])
def test_seeds_belong_together_by_the_backbone_and_wherever_it_lay(digests: tuple[str, ...], methods: int) -> None:
    chosen = {}
    for seed, digest in enumerate(digests):
        record = RunRecord(
            dataset="Dataset004_Tiny", trainer="tedm", plan="cpu", configuration="2d", tag=f"seed-{seed}" * (seed > 0),
            fold="0", seed=seed, options={"backbone": f"/place {seed}", "voxels": 7}, plan_hash="", iterations=5,
            backbone=digest,
        )  # fmt: skip
        chosen[Path(f"run {seed}")] = {"0": (record, Summary({}, ()))}
    assert len(_methods(chosen, merge=True)) == methods
    assert len(_methods(chosen, merge=False)) == 3
