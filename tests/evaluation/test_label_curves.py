"""Tests of label curves: what is paired with what, and what an interval speaks of."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
import pytest

from autodiffseg.evaluation.label_curves import Domain, Place, Standings, counts_of, gap_of, methods_of, standings
from autodiffseg.evaluation.statistics import bootstrap_mean, holm, paired_wilcoxon
from autodiffseg.evaluation.summary import CaseScores

CASES = tuple(f"case_{number:02d}" for number in range(16))
EASE = np.linspace(-0.2, 0.2, 16)
NOISE = np.random.default_rng(0).normal(0, 0.01, (8, 16))


def training(dice: float, *, noise: int = 0) -> dict[str, CaseScores]:
    """Two classes whose mean is `dice`, easier and harder from case to case."""
    values = dice + EASE + NOISE[noise]
    return {
        case: CaseScores(case, {"1": {"Dice": value + 0.01}, "2": {"Dice": value - 0.01}}, "", "")
        for case, value in zip(CASES, values, strict=True)
    }


def domain(
    rows: Mapping[tuple[int, str], Mapping[str, dict[str, CaseScores]]], group: Callable[[str], str] | None = None
) -> Domain:
    found = {Place(*place): trainings for place, trainings in rows.items()}
    return Domain("here", {"1": "one", "2": "two"}, found, group)


def found(rows: Mapping[tuple[int, str], Mapping[str, dict[str, CaseScores]]]) -> Standings:
    return standings(domain(rows), baseline="plain")[0]


def test_a_row_is_the_mean_over_trainings_of_the_mean_over_classes() -> None:
    one = found({(1, "plain"): {"0": training(0.5), "1": training(0.7)}})[Place(1, "plain")]
    assert one.mean == pytest.approx(0.6 + NOISE[0].mean())
    assert one.std == pytest.approx(np.std(0.6 + EASE + NOISE[0], ddof=1))
    assert one.spread == pytest.approx(np.std([0.5, 0.7], ddof=1))
    assert (one.trainings, one.gap) == (2, None)


def test_a_difference_is_to_the_baseline_with_as_many_labels() -> None:
    rows = {
        (1, "plain"): {"0": training(0.4)},
        (3, "plain"): {"0": training(0.7)},
        (1, "new"): {"0": training(0.5, noise=1)},
        (3, "new"): {"0": training(0.6, noise=1)},
        (6, "new"): {"0": training(0.9)},
    }
    gaps = {place: one.gap for place, one in found(rows).items()}
    shift = (NOISE[1] - NOISE[0]).mean()
    assert gaps[Place(1, "new")].interval.mean == pytest.approx(0.1 + shift)  # type: ignore[union-attr]
    assert gaps[Place(3, "new")].interval.mean == pytest.approx(-0.1 + shift)  # type: ignore[union-attr]
    assert gaps[Place(6, "new")] is None


def test_label_seeds_are_paired_so_that_what_labels_do_to_both_takes_no_part_in_the_interval() -> None:
    plain = {str(seed): training(level, noise=seed) for seed, level in enumerate((0.2, 0.5, 0.8))}
    new = {str(seed): training(level + 0.05, noise=seed + 3) for seed, level in enumerate((0.2, 0.5, 0.8))}
    gap = found({(1, "plain"): plain, (1, "new"): new})[Place(1, "new")].gap
    assert gap is not None
    assert (gap.trainings, gap.above) == (3, True)
    assert gap.interval.high - gap.interval.low < 0.02
    alone = found({(1, "plain"): plain})[Place(1, "plain")].interval
    assert alone.high - alone.low > 0.3  # one draw of labels is worth little


def test_of_two_trainings_the_interval_is_over_cases() -> None:
    plain, new = {"0": training(0.5), "1": training(0.6)}, {"0": training(0.5, noise=1), "1": training(0.6, noise=2)}
    gap = found({(1, "plain"): plain, (1, "new"): new})[Place(1, "new")].gap
    assert gap is not None
    differences = (NOISE[1] + NOISE[2]) / 2 - NOISE[0]
    assert gap.interval == pytest.approx(bootstrap_mean(differences))
    assert gap.test == paired_wilcoxon(0.55 + EASE + (NOISE[1] + NOISE[2]) / 2, 0.55 + EASE + NOISE[0])


def test_only_trainings_that_both_have_are_paired_and_else_each_counts_by_its_mean() -> None:
    method = {"0": np.full(16, 0.5) + NOISE[0], "1": np.full(16, 0.9)}
    assert gap_of(method, {"0": np.full(16, 0.4) + NOISE[0]}).interval.mean == pytest.approx(0.1)
    apart = gap_of(method, {"7": np.full(16, 0.4) + NOISE[0] / 2})
    assert apart.trainings == 0
    assert apart.interval.mean == pytest.approx(0.3)


def test_p_values_are_adjusted_over_all_rows_of_a_domain() -> None:
    rows = {(n, "plain"): {"0": training(0.5)} for n in (1, 3)}
    rows |= {(n, name): {"0": training(0.5, noise=n)} for n in (1, 3) for name in ("a", "b")}
    gaps = [one.gap for one in found(rows).values() if one.gap is not None]
    assert [gap.p_adjusted for gap in gaps] == holm([gap.test.p for gap in gaps])
    assert len(gaps) == 4


def test_on_par_needs_a_narrow_interval_and_pairs_enough_for_a_test() -> None:
    near = {"0": 0.5 + NOISE[0] / 20}
    assert gap_of({"0": 0.5 + NOISE[1] / 20}, near).on_par
    assert not gap_of({"0": 0.5 + NOISE[1] / 20 + 0.01}, near).on_par
    assert not gap_of({"0": np.array([0.5, 0.5])}, {"0": np.array([0.5, 0.501])}).on_par


def test_groups_count_as_one_unit() -> None:
    rows = {Place(1, "plain"): {"0": training(0.5)}}
    grouped = Domain("here", {"1": "one", "2": "two"}, rows, lambda case: str(int(case[-2:]) // 4))
    one = standings(grouped, baseline="plain")[0][Place(1, "plain")]
    assert one.std == pytest.approx(np.std((0.5 + EASE + NOISE[0]).reshape(4, 4).mean(axis=1), ddof=1))


def test_cases_that_not_all_rows_have_are_left_out_and_told() -> None:
    short = {case: scores for case, scores in training(0.5, noise=1).items() if case != CASES[0]}
    rows = {(1, "plain"): {"0": training(0.5)}, (1, "new"): {"0": short}}
    result, notes = standings(domain(rows), baseline="plain")
    assert result[Place(1, "plain")].mean == pytest.approx((0.5 + EASE + NOISE[0])[1:].mean())
    assert notes == ["1 of 16 cases of plain, 1 labels (0), which not all have."]


def test_a_case_without_a_value_is_left_out_of_pairs() -> None:
    gap = gap_of({"0": np.array([0.5, math.nan, 0.7])}, {"0": np.array([0.4, 0.1, 0.6])})
    assert gap.interval.mean == pytest.approx(0.1)
    assert gap.test.pairs == 2


def test_counts_and_methods_are_in_order_with_the_baseline_first() -> None:
    one = domain({(12, "new"): {"0": training(0.5)}, (1, "plain"): {"0": training(0.5)}})
    assert counts_of([one, one]) == [1, 12]
    assert methods_of([one], baseline="plain") == ["plain", "new"]
