"""Calibration: closed forms, and probabilities that are calibrated because the truth is drawn from them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from autodiffseg.evaluation.calibration import LOWEST_PROBABILITY, Reliability, adaptive_ece, binary_nll, brier, nll

RNG = np.random.default_rng(0)


def test_ece_by_hand() -> None:
    confidence = np.array([0.1, 0.1, 0.1, 0.1, 0.9, 0.9])
    hit = np.array([True, False, False, False, True, False])
    found = Reliability.of(confidence, hit, bins=2)
    assert found.ece == pytest.approx((4 * 0.15 + 2 * 0.4) / 6)
    assert found.mce == pytest.approx(0.4)
    assert found.gaps == pytest.approx([0.15, -0.4])


def test_edges_belong_to_the_bin_above_and_one_to_the_last() -> None:
    found = Reliability.of(np.array([0.0, 0.25, 0.5, 1.0]), np.ones(4, bool), bins=4)
    assert found.voxels.tolist() == [1, 1, 1, 1]


def test_a_constant_confidence_has_its_own_gap() -> None:
    hit = np.arange(10) < 3
    for confidence in (0.3, 0.95):
        constant = np.full(10, confidence)
        assert Reliability.of(constant, hit).ece == pytest.approx(abs(0.3 - confidence))
        assert adaptive_ece(constant, hit) == pytest.approx(abs(0.3 - confidence))


def test_reliabilities_of_cases_add_up_to_that_of_all_voxels() -> None:
    confidence, hit = RNG.random(1000), RNG.random(1000) < 0.4
    parts = Reliability.of(confidence[:300], hit[:300]) + Reliability.of(confidence[300:], hit[300:])
    assert parts.ece == pytest.approx(Reliability.of(confidence, hit).ece)
    assert parts.ece != pytest.approx(Reliability.of(confidence[:300], hit[:300]).ece)


def test_truth_that_is_drawn_from_the_probabilities_is_calibrated() -> None:
    probability = RNG.beta(0.4, 0.4, 200_000)
    truth = RNG.random(200_000) < probability
    sharper = np.where(probability > 0.5, 1 - (1 - probability) ** 2, probability**2)
    for error in (lambda p: Reliability.of(p, truth).ece, lambda p: adaptive_ece(p, truth)):
        assert error(probability) < 0.01
        assert error(sharper) > 0.04
    assert binary_nll(probability, truth) < binary_nll(sharper, truth)
    assert brier(probability, truth) < brier(sharper, truth)


def test_adaptive_bins_hold_equal_numbers() -> None:
    # All in one bin of equal width, where the errors of the two halves cancel.
    confidence = np.concatenate([np.linspace(0.96, 0.97, 50), np.linspace(0.98, 0.99, 50)])
    hit = np.concatenate([np.ones(50, bool), np.arange(50) < 47])
    assert adaptive_ece(confidence, hit, bins=2) == pytest.approx((0.035 + 0.045) / 2)
    assert Reliability.of(confidence, hit).ece == pytest.approx(abs(0.975 - 0.97))


def test_adaptive_bins_do_not_depend_on_the_order_of_voxels() -> None:
    confidence = RNG.integers(0, 7, 500) / 8
    hit = RNG.random(500) < 0.5
    order = RNG.permutation(500)
    assert adaptive_ece(confidence, hit, bins=4) == pytest.approx(adaptive_ece(confidence[order], hit[order], bins=4))


def test_likelihood_and_brier_by_hand() -> None:
    probability, truth = np.array([0.8, 0.25]), np.array([True, False])
    assert binary_nll(probability, truth) == pytest.approx(-(math.log(0.8) + math.log(0.75)) / 2)
    assert brier(probability, truth) == pytest.approx((0.04 + 0.0625) / 2)


def test_the_impossible_costs_much_but_not_infinitely() -> None:
    assert nll(np.array([0.0])) == pytest.approx(-math.log(LOWEST_PROBABILITY)) == pytest.approx(24 * math.log(2))
    assert binary_nll(np.array([1.0], np.float16), np.array([False])) == nll(np.array([0.0]))
    assert nll(np.array([1.0])) == 0


def test_without_voxels_nothing_is_known() -> None:
    nothing, none = np.zeros(0), np.zeros(0, bool)
    found = Reliability.of(nothing, none)
    values = (found.ece, found.mce, adaptive_ece(nothing, none), binary_nll(nothing, none), brier(nothing, none))
    assert all(math.isnan(value) for value in values)
