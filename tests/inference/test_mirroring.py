"""Mirrors: all of them, there and back."""

from __future__ import annotations

import torch

from autodiffseg.inference.mirroring import all_mirrors, apply_mirrors, undo_mirrors


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
