"""Uncertainty against error: the area by hand and by counting pairs; ranks of cases."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodiffseg.evaluation.error_detection import auroc, spearman

NAN = math.nan


def test_an_uncertainty_that_knows_the_errors_scores_one() -> None:
    error = np.array([False, True, False, True])
    assert auroc(error.astype(float), error) == 1
    assert auroc(-error.astype(float), error) == 0
    assert auroc(np.ones(4), error) == 0.5


def test_by_hand() -> None:
    assert auroc(np.array([1.0, 2.0, 2.0, 3.0]), np.array([False, True, False, True])) == 3.5 / 4
    assert auroc(np.array([0.0, np.inf]), np.array([False, True])) == 1


def test_without_errors_or_with_errors_alone_there_is_none() -> None:
    for error in (np.zeros(3, bool), np.ones(3, bool), np.zeros(0, bool)):
        assert math.isnan(auroc(np.zeros(error.size), error))


@given(seed=st.integers(0, 2**16), levels=st.integers(1, 8))
def test_it_is_the_share_of_pairs_in_the_right_order(seed: int, levels: int) -> None:
    rng = np.random.default_rng(seed)
    uncertainty, error = rng.integers(0, levels, 20).astype(float), np.arange(20) < 7
    wrong, right = uncertainty[error][:, None], uncertainty[~error][None]
    assert auroc(uncertainty, error) == pytest.approx(np.mean((wrong > right) + 0.5 * (wrong == right)))
    assert auroc(np.exp(uncertainty), error) == pytest.approx(auroc(uncertainty, error))


def test_ranks_of_cases() -> None:
    dice = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4, NAN])
    assert spearman(np.array([1.0, 2, 4, 8, 16, 32, 0]), dice) == pytest.approx(-1)
    assert spearman(dice, dice) == pytest.approx(1)
    assert math.isnan(spearman(np.ones(7), dice))
    assert math.isnan(spearman(dice[:5], dice[:5]))
