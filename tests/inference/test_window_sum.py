"""WindowSum against sums over the whole case."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from autodiffseg.inference.window_sum import WindowSum
from autodiffseg.inference.windows import gaussian_weight, origins

CPU = torch.device("cpu")


@settings(max_examples=50)
@given(window=st.tuples(*[st.integers(1, 5)] * 3), more=st.tuples(*[st.integers(0, 9)] * 3), step=st.floats(0.2, 1.0))
def test_planes_handed_out_early_are_those_of_the_whole_sum(
    window: tuple[int, int, int], more: tuple[int, int, int], step: float
) -> None:
    shape = [length + added for length, added in zip(window, more, strict=True)]
    weight, rng = gaussian_weight(window, CPU), torch.Generator().manual_seed(0)
    summed, pieces = WindowSum(shape, weight, terms=3), []
    total, weights = torch.zeros(2, 4, *shape), torch.zeros(shape)
    for origin in origins(shape, window, step):
        values = torch.rand(2, 4, *window, generator=rng)
        pieces += [(origin, *piece) for piece in summed.add(values, origin)]
        box = tuple(slice(at, at + size) for at, size in zip(origin, window, strict=True))
        total[:, :, *box] += values * weight
        weights[box] += weight
    last = summed.finish()
    assert all(first + mean.shape[2] == origin[0] for origin, first, mean in pieces)  # as soon as it was possible
    whole = [mean for _, _, mean in pieces] + [last[1]]
    assert torch.equal(torch.cat(whole, dim=2), total / (weights * 3))


def test_it_holds_as_many_planes_as_a_window() -> None:
    weight, sizes = torch.ones(2, 3, 3), []
    summed = WindowSum((100, 3, 3), weight, terms=1)
    for plane in range(99):
        sizes += [mean.shape[2] for _, mean in summed.add(torch.ones(1, 1, 2, 3, 3), (plane, 0, 0))]
    assert sizes == [1] * 98


def test_a_window_that_comes_too_late_is_refused() -> None:
    summed = WindowSum((4, 1, 1), torch.ones(2, 1, 1), terms=1)
    list(summed.add(torch.ones(1, 1, 2, 1, 1), (1, 0, 0)))
    with pytest.raises(ValueError, match="plane 0 comes after those before 1"):
        list(summed.add(torch.ones(1, 1, 2, 1, 1), (0, 0, 0)))
