"""Entropies and their split: closed forms, mutual information, and a twin that holds everything at once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from autodiffseg.uncertainty.entropy import entropy_nats
from autodiffseg.uncertainty.entropy_split import EntropySplit, split_entropy

LN2 = np.log(2)


def classes(probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
    return entropy_nats(probabilities, regions=False)


def regions(probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
    return entropy_nats(probabilities, regions=True)


def split(of: NDArray[np.float32], *, regional: bool = False) -> EntropySplit:
    """Of probabilities (models, samples, K, Z, Y, X)."""
    entropy = regions if regional else classes
    return split_entropy(
        of_mean=entropy(of.mean((0, 1))),
        of_models=np.mean([entropy(model) for model in of.mean(1)], axis=0),
        of_samples=np.mean([entropy(sample) for model in of for sample in model], axis=0),
    )


def voxel(*probabilities: float) -> NDArray[np.float32]:
    return np.array(probabilities, dtype=np.float32).reshape(-1, 1, 1, 1)


def test_entropy_of_equal_classes_is_the_logarithm_of_their_number() -> None:
    assert classes(voxel(0.25, 0.25, 0.25, 0.25)).item() == pytest.approx(np.log(4))
    assert classes(voxel(0, 1, 0)).item() == 0
    assert classes(voxel(0.5, 0.25, 0.25)).item() == pytest.approx(1.5 * LN2)


def test_regions_add_up_as_coins() -> None:
    assert regions(voxel(0.5, 0.5)).item() == pytest.approx(2 * LN2)
    assert regions(voxel(0, 1)).item() == 0
    quarter = -0.25 * np.log(0.25) - 0.75 * np.log(0.75)
    assert regions(voxel(0.25, 1)).item() == pytest.approx(quarter) == regions(voxel(0.75, 0)).item()


def test_a_rounding_above_one_is_no_negative_entropy() -> None:
    assert classes(voxel(1.0000001, 0)).item() == 0
    assert regions(voxel(1.0000001)).item() == 0


def test_a_channel_at_a_time_is_enough_and_none_is_changed() -> None:
    probabilities = np.full((3, 1, 1, 2), 1 / 3, np.float32)
    assert entropy_nats(iter(probabilities), regions=False) == pytest.approx(np.log(3))
    assert (probabilities == np.float32(1 / 3)).all()
    with pytest.raises(ValueError, match="no channel"):
        classes(probabilities[:0])


def test_models_that_are_sure_of_different_things_differ_between_models_alone() -> None:
    found = split(np.stack([voxel(1, 0)[None], voxel(0, 1)[None]]))
    assert [part.item() for part in found] == pytest.approx([LN2, 0, 0])


def test_samples_that_are_sure_of_different_things_differ_between_samples_alone() -> None:
    found = split(np.stack([voxel(1, 0), voxel(0, 1)])[None])
    assert [part.item() for part in found] == pytest.approx([0, LN2, 0])


def test_answers_that_all_waver_alike_are_residual_alone() -> None:
    found = split(np.broadcast_to(voxel(0.5, 0.5), (3, 2, 2, 1, 1, 1)))
    assert [part.item() for part in found] == pytest.approx([0, 0, LN2], abs=1e-7)


def test_two_models_of_two_samples_by_hand() -> None:
    # The first model draws both classes, the second always the second class.
    found = split(np.stack([np.stack([voxel(1, 0), voxel(0, 1)]), np.stack([voxel(0, 1), voxel(0, 1)])]))
    total = -0.25 * np.log(0.25) - 0.75 * np.log(0.75)
    assert [part.item() for part in found] == pytest.approx([total - LN2 / 2, LN2 / 2, 0])


def test_roundings_below_zero_are_cut() -> None:
    above, below = np.full((1, 1, 1), 0.50000006, np.float32), np.full((1, 1, 1), 0.5, np.float32)
    found = split_entropy(of_mean=below, of_models=above, of_samples=above)
    assert [part.item() for part in found] == [0, 0, above.item()]
    assert split_entropy(of_mean=below, of_models=below, of_samples=above).between_samples.item() == 0


@given(
    models=st.integers(1, 3),
    samples=st.integers(1, 3),
    regional=st.booleans(),
    seed=st.integers(0, 2**16),
    sharpness=st.sampled_from([0.05, 1.0, 30.0]),
)
def test_parts_are_not_negative_add_up_exactly_and_equal_the_definition(
    models: int, samples: int, regional: bool, seed: int, sharpness: float
) -> None:
    rng = np.random.default_rng(seed)
    drawn = rng.dirichlet([sharpness] * 3, (models, samples, 2, 2, 2))
    of = np.moveaxis(drawn, -1, 2).astype(np.float32)
    found = split(of, regional=regional)
    assert all((part >= 0).all() for part in found)
    np.testing.assert_array_equal(found.total, found.between_models + found.between_samples + found.residual)

    def entropy(p: NDArray[np.float64]) -> NDArray[np.float64]:
        terms = -p * np.log(np.where(p > 0, p, 1))
        if regional:
            terms -= (1 - p) * np.log(np.where(p < 1, 1 - p, 1))
        return np.asarray(terms.sum(axis=-4))

    of64 = of.astype(np.float64)
    whole, each = entropy(of64.mean((0, 1))), entropy(of64.mean(1))
    np.testing.assert_allclose(found.total, whole, atol=1e-5)
    np.testing.assert_allclose(found.between_models, whole - each.mean(0), atol=1e-5)
    np.testing.assert_allclose(found.between_samples, each.mean(0) - entropy(of64).mean((0, 1)), atol=1e-5)
    np.testing.assert_allclose(found.residual, entropy(of64).mean((0, 1)), atol=1e-5)
