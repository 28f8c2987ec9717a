"""Mirrors: all of them, there and back."""

from __future__ import annotations

import torch

from autodiffseg.inference.mirroring import all_mirrors, apply_mirrors, mirrors_of_sample, sum_of_mirrors, undo_mirrors


def test_every_combination_of_axes_occurs_once() -> None:
    assert all_mirrors((0, 2)) == ((), (0,), (2,), (0, 2))
    assert len(set(all_mirrors((0, 1, 2)))) == 8
    assert all_mirrors(()) == ((),)


def test_axes_are_those_of_the_patch() -> None:
    batch = torch.arange(12.0).reshape(1, 1, 3, 4)
    assert torch.equal(apply_mirrors(batch, [(1,)]), torch.flip(batch, [3]))


def test_what_was_mirrored_comes_back() -> None:
    batch = torch.randn(2, 3, 4, 5, 6, generator=torch.Generator().manual_seed(0))
    mirrors = all_mirrors((0, 1, 2))
    stacked = apply_mirrors(batch, mirrors)
    assert stacked.shape == (16, 3, 4, 5, 6)
    assert all(torch.equal(part, batch) for part in undo_mirrors(stacked, mirrors))


def test_sums_do_not_depend_on_how_versions_are_grouped() -> None:
    batch, mirrors = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0)), all_mirrors((0, 1))
    sums = []
    for size in (1, 3, 4):
        groups = [mirrors[n : n + size] for n in range(0, 4, size)]
        answers = ([apply_mirrors(batch, group).square(), apply_mirrors(batch, group)] for group in groups)
        sums.append(sum_of_mirrors(answers, groups))
    torch.testing.assert_close(sums[0][0], 4 * batch.square())
    for first, second in sums[1:]:
        assert torch.equal(first, sums[0][0])
        assert torch.equal(second, sums[0][1])


def test_samples_take_turns_with_the_versions_or_have_them_all() -> None:
    assert [mirrors_of_sample((0, 2), n, rotate=True) for n in range(5)] == [((),), ((0,),), ((2,),), ((0, 2),), ((),)]
    assert mirrors_of_sample((0, 2), 3, rotate=False) == all_mirrors((0, 2))
