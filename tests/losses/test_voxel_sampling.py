"""Which voxels a loss is taken on."""

from __future__ import annotations

import torch
from torch import Tensor

from autodiffseg.losses.voxel_sampling import point_weights, sample_points, values_at


def masks(batch: int = 2, size: tuple[int, ...] = (4, 8, 8)) -> tuple[Tensor, Tensor]:
    """A large class of half the patch, a small one of two voxels, and a corner that is not known."""
    foreground, known = torch.zeros(batch, 2, *size), torch.ones(batch, 1, *size, dtype=torch.bool)
    foreground[:, 0, :2] = 1
    foreground[:, 1, 3, 5, 2:4] = 1
    known[:, :, 3, 7, 7] = False
    return foreground, known


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_half_lies_on_the_classes_alike_and_half_anywhere() -> None:
    foreground, known = masks()
    points = sample_points(foreground, known, 20_000, generator())
    large, small = values_at(foreground, points).double().unbind(1)  # (B, n)
    first, second = slice(0, 10_000), slice(10_000, None)
    torch.testing.assert_close(small[:, first].mean(1), torch.full((2,), 0.5).double(), atol=0.02, rtol=0)
    torch.testing.assert_close((large + small)[:, first].mean(1), torch.ones(2).double())
    torch.testing.assert_close(large[:, second].mean(1), torch.full((2,), 128 / 255).double(), atol=0.02, rtol=0)
    torch.testing.assert_close(small[:, second].mean(1), torch.full((2,), 2 / 255).double(), atol=0.004, rtol=0)


def test_every_known_voxel_can_be_drawn_and_no_other() -> None:
    foreground, known = masks(batch=1)
    points = sample_points(foreground, known, 8000, generator())
    drawn = torch.zeros_like(known)
    drawn[0, 0][points[:, 1:].unbind(1)] = True
    assert torch.equal(drawn, known)


def test_voxels_of_one_class_are_equally_likely() -> None:
    foreground, known = masks(batch=1)
    points = sample_points(foreground[:, :1], known, 51_200, generator())[:25_600]
    counts = torch.zeros(4, 8, 8).index_put(points[:, 1:].unbind(1), torch.ones(25_600), accumulate=True)[:2]
    statistic = ((counts - 200) ** 2 / 200).sum()  # chi-squared with 127 degrees of freedom: 127 ± 16
    assert 127 - 5 * 16 < statistic < 127 + 5 * 16


def test_points_come_sample_by_sample_with_indices_of_the_batch() -> None:
    foreground, known = masks(batch=3, size=(4, 8, 8))
    points = sample_points(foreground, known, 5, generator())
    assert points.shape == (15, 4)
    assert points.dtype == torch.int64
    assert points[:, 0].tolist() == [0] * 5 + [1] * 5 + [2] * 5


def test_a_sample_without_foreground_is_drawn_anywhere_beside_one_with() -> None:
    foreground, known = masks()
    foreground[0] = 0
    points = sample_points(foreground, known, 4000, generator())
    shown = values_at(foreground, points).sum(1).mean(1)  # share on foreground
    assert shown[0] == 0
    assert shown[1] > 0.5
    assert len(points[:4000].unique(dim=0)) == 255  # every known voxel


def test_what_is_drawn_where_nothing_is_known_counts_in_no_loss() -> None:
    foreground, known = masks()
    foreground[0], known[0] = 0, False
    points = sample_points(foreground, known, 10, generator())
    assert values_at(known, points).flatten(1).any(1).tolist() == [False, True]


def test_an_odd_number_gives_the_odd_one_anywhere() -> None:
    foreground, known = masks(batch=1)
    foreground[:, 0] = 0
    drawn = torch.stack([values_at(foreground, sample_points(foreground, known, 3, generator(i))) for i in range(50)])
    on_small = drawn[:, 0, 1].mean(0)  # share of every place among the three
    assert on_small[0] == 1
    assert on_small[1:].max() < 0.2


def test_the_generator_decides() -> None:
    foreground, known = masks()
    one, same, other = (sample_points(foreground, known, 50, generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_values_are_those_of_the_voxels() -> None:
    voxels = torch.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    points = torch.tensor([[0, 3, 4], [0, 0, 1], [1, 2, 0], [1, 2, 0]])
    expected = torch.stack([voxels[b, :, y, x] for b, y, x in points.tolist()]).reshape(2, 2, 3).transpose(1, 2)
    assert torch.equal(values_at(voxels, points), expected)


def test_one_voxel_of_more_than_float32_can_count_is_found() -> None:
    foreground = torch.zeros(1, 1, 4100, 4100, dtype=torch.bool)
    known = torch.ones(1, 1, 4100, 4100, dtype=torch.bool)
    foreground[0, 0, 4099, 4099] = True
    points = sample_points(foreground, known, 4, generator())
    assert points[:2].tolist() == [[0, 4099, 4099]] * 2


def test_weighted_points_count_like_all_known_voxels() -> None:
    foreground, known = masks(batch=3)
    known[0, :, 2] = False
    foreground[1, 1] = 0  # a sample that lacks a class
    foreground[2] = 0  # one without any
    n = 40_000
    points = sample_points(foreground, known, n, generator())
    weights = point_weights(foreground, known, points)
    voxelwise = torch.rand(3, 2, 4, 8, 8, generator=generator(1))
    found = (values_at(voxelwise, points) * weights).mean(2)
    torch.testing.assert_close(found, (voxelwise * known).flatten(2).mean(2), rtol=0.02, atol=0)
    torch.testing.assert_close(weights.mean(2)[:, 0], known.float().flatten(1).mean(1), rtol=0.02, atol=0)


def test_points_of_which_no_label_is_known_do_not_count() -> None:
    foreground, known = masks()
    foreground[0], known[0] = 0, False
    weights = point_weights(foreground, known, sample_points(foreground, known, 10, generator()))
    assert (weights[0] == 0).all()
    assert weights.isfinite().all()
