"""The read-out head: the papers' stacked perceptron exactly, without the stack."""

from __future__ import annotations

import math
from itertools import product

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from autodiffseg.memory.live_tensors import LiveTensors
from autodiffseg.networks.read_out_head import ChannelNorm, ReadOutHead
from autodiffseg.networks.voxel_features import features_at

REFERENCE = (512, 256, 128, 64)
"""Channels of the decoder that the TEDM paper reads."""
# Full resolution, and the maps' resolutions from coarse to fine.
GRIDS = {
    "2d": ((16, 24), [(4, 6), (8, 12), (16, 24)]),
    "2d odd": ((15, 21), [(5, 7), (5, 7), (15, 7)]),
    "2d not divisible": ((11, 13), [(3, 4), (5, 13), (11, 9)]),
    "2d rounded": ((46, 4), [(14, 2), (42, 4), (46, 4)]),  # in float32, 46/14 and 46/42 · 3 are not the same
    "3d": ((8, 8, 12), [(2, 2, 3), (4, 4, 6), (8, 8, 12)]),
    "3d anisotropic": ((5, 16, 16), [(5, 2, 4), (5, 4, 8), (5, 16, 16)]),
    "3d coarse only": ((6, 9, 4), [(1, 3, 2), (2, 3, 4), (2, 9, 4)]),
}


def head(channels: tuple[int, ...] = (7, 5, 3), *, dimensions: int = 2, **options: object) -> ReadOutHead:
    torch.manual_seed(0)
    options = {"classes": 3, "hidden": (8, 4), **options}
    made = ReadOutHead(channels, dimensions=dimensions, **options)  # type: ignore[arg-type]  # options of any type
    for norm in made.modules():
        if isinstance(norm, (nn.BatchNorm2d, nn.BatchNorm3d, ChannelNorm)):
            nn.init.uniform_(norm.weight, 0.5, 2)
            nn.init.uniform_(norm.bias, -1, 1)
    return made.double()


def maps(shapes: list[tuple[int, ...]], channels: tuple[int, ...] = (7, 5, 3), batch: int = 2) -> list[Tensor]:
    """In float64, as the heads: what is equal is so to far more digits than rounding in float32 leaves."""
    generator = torch.Generator().manual_seed(1)
    pairs = zip(channels, shapes, strict=True)
    return [torch.randn(batch, width, *shape, generator=generator, dtype=torch.float64) for width, shape in pairs]


def every_voxel(batch: int, size: tuple[int, ...]) -> Tensor:
    return torch.tensor(list(product(range(batch), *map(range, size))))


def stacked(head: ReadOutHead, features: list[Tensor], size: tuple[int, ...]) -> Tensor:
    """The papers' way: all maps at full resolution, stacked, and a perceptron over them."""
    mode = "nearest" if head.interpolation == "nearest" else {2: "bilinear", 3: "trilinear"}[len(size)]
    stack = torch.cat([F.interpolate(feature, size, mode=mode) for feature in features], dim=1)
    weight = torch.cat([projection.weight for projection in head.projections], dim=1)
    convolve = F.conv2d if len(size) == 2 else F.conv3d
    x = convolve(stack, weight, head.projections[-1].bias)
    for layer in head.tail:
        x = F.relu(x) if isinstance(layer, nn.ReLU) else layer(x)
    return x


@pytest.mark.parametrize("interpolation", ["nearest", "linear"])
@pytest.mark.parametrize("options", [{}, {"norm": "layer"}, {"hidden": ()}, {"hidden": (6,)}], ids=str)
@pytest.mark.parametrize("grid", GRIDS)
def test_it_equals_the_stack_with_its_gradients(grid: str, options: dict[str, object], interpolation: str) -> None:
    size, shapes = GRIDS[grid]
    ours = head(dimensions=len(size), interpolation=interpolation, **options)
    features = [feature.requires_grad_() for feature in maps(shapes)]
    probe = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    wanted = [*features, *ours.parameters()]
    results = [ours(features, size), stacked(ours, features, size)]
    torch.testing.assert_close(*results, rtol=1e-8, atol=1e-8)
    gradients = [torch.autograd.grad((result * probe).mean(), wanted) for result in results]
    torch.testing.assert_close(*gradients, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("interpolation", ["nearest", "linear"])
@pytest.mark.parametrize("grid", GRIDS)
def test_all_points_are_the_dense_result(grid: str, interpolation: str, training: bool) -> None:
    size, shapes = GRIDS[grid]
    ours, features = head(dimensions=len(size), interpolation=interpolation).train(training), maps(shapes)
    points = ours.forward_points(features, size, every_voxel(2, size))
    dense = ours(features, size)
    torch.testing.assert_close(points, dense.movedim(1, -1).flatten(0, -2), rtol=1e-8, atol=1e-8)


def test_points_may_be_few_and_repeated() -> None:
    size, shapes = GRIDS["3d"]
    ours, features = head(dimensions=3).eval(), maps(shapes)
    points = torch.tensor([[1, 7, 0, 11], [0, 3, 3, 3], [1, 7, 0, 11]])
    dense = ours(features, size)
    expected = torch.stack([dense[b, :, z, y, x] for b, z, y, x in points.tolist()])
    torch.testing.assert_close(ours.forward_points(features, size, points), expected, rtol=1e-8, atol=1e-8)


def test_steps_can_be_gathered_one_by_one() -> None:
    size, shapes = GRIDS["3d"]
    ours, steps = head(dimensions=3), [maps(shapes), [2 * feature for feature in maps(shapes)]]
    points = every_voxel(2, size)[::7]
    gathered = [[features_at(f, size, points, interpolation="nearest") for f in features] for features in steps]
    rows = ours.forward_rows([torch.cat(pair) for pair in zip(*gathered, strict=True)])
    stacked_points = torch.cat([points, points + torch.tensor([2, 0, 0, 0])])
    expected = ours.forward_points([torch.cat(pair) for pair in zip(*steps, strict=True)], size, stacked_points)
    torch.testing.assert_close(rows, expected, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("interpolation", ["nearest", "linear"])
@settings(max_examples=60, deadline=None)
@given(coarse=st.integers(1, 40), fine=st.integers(1, 200))
def test_a_voxel_finds_what_torch_would_put_there(interpolation: str, coarse: int, fine: int) -> None:
    feature = torch.arange(coarse, dtype=torch.float32)[None, None, :, None]
    mode = "nearest" if interpolation == "nearest" else "bilinear"
    expected = F.interpolate(feature, (fine, 1), mode=mode)[0, 0]
    found = features_at(feature, (fine, 1), every_voxel(1, (fine, 1)), interpolation=interpolation)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(
    ("steps", "hidden", "expected"),
    [(1, (128, 32), 127_489), (8, (128, 32), 987_649), (3, (128, 32), 373_249), (1, (), 961)],
    ids=["tedm", "ledme", "ledm", "linear probe"],
)
def test_the_papers_heads_are_as_large_as_published(steps: int, hidden: tuple[int, ...], expected: int) -> None:
    made = ReadOutHead(REFERENCE * steps, 1, dimensions=2, hidden=hidden)
    assert sum(parameter.numel() for parameter in made.parameters()) == expected


def test_steps_on_the_batch_axis_share_the_weights_and_the_statistics() -> None:
    size, shapes = GRIDS["2d"]
    shared = head()
    first, second = maps(shapes), [3 * feature + 1 for feature in maps(shapes)]
    together = shared([torch.cat(pair) for pair in zip(first, second, strict=True)], size)
    assert together.shape == (4, 3, *size)
    projected = nn.Sequential(nn.ReLU(), nn.Identity())
    tail, shared.tail = shared.tail, projected
    hidden = torch.cat([shared(features, size) for features in (first, second)])
    torch.testing.assert_close(tail[1].running_mean, 0.1 * hidden.mean((0, 2, 3)))  # momentum 0.1, from zero
    variance = 0.9 + 0.1 * hidden.transpose(0, 1).flatten(1).var(1)
    torch.testing.assert_close(tail[1].running_var, variance)


def test_a_layer_norm_leaves_every_voxel_by_itself() -> None:
    size, shapes = GRIDS["2d"]
    ours, features = head(norm="layer"), maps(shapes)
    before = ours(features, size)
    features[2][:, :, 3, 5] += 100  # of the map at full resolution
    changed = (ours(features, size) != before).any(1)
    assert changed[:, 3, 5].all()
    assert changed.sum() == 2


def test_maps_may_be_made_while_they_are_read() -> None:
    size, shapes = GRIDS["2d"]
    ours, features = head().eval(), maps(shapes)
    torch.testing.assert_close(ours(iter(features), size), ours(features, size))


@pytest.mark.parametrize("count", [2, 4])
def test_another_number_of_maps_is_refused(count: int) -> None:
    size, shapes = GRIDS["2d"]
    features = (maps(shapes) * 2)[:count]
    with pytest.raises(ValueError, match="argument"):
        head()(features, size)
    with pytest.raises(ValueError, match="argument"):
        head().forward_points(features, size, torch.zeros(1, 3, dtype=torch.long))


def test_a_map_finer_than_the_grid_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\(16, 24\) voxels is finer than the grid of \(8, 12\)"):
        head()(maps(GRIDS["2d"][1]), (8, 12))


def test_first_weights_do_not_depend_on_how_the_stack_is_divided() -> None:
    projections = ReadOutHead((16, 4080), 1, dimensions=2, hidden=(64,)).projections
    for projection in projections:
        assert projection.weight.std().item() == pytest.approx(1 / math.sqrt(3 * 4096), rel=0.1)
    assert [projection.bias is None for projection in projections] == [True, False]


def test_no_more_than_three_maps_of_full_resolution_exist_while_predicting() -> None:
    """Of 40 maps (eight timesteps of five resolutions), as a head has that reads all timesteps at once."""
    levels = [(16 >> i, 16 >> i, 16 >> i) for i in reversed(range(5))]
    with torch.device("meta"):
        ours = ReadOutHead((4,) * 40, 2, dimensions=3, hidden=(64,)).eval()
        features = [torch.empty(1, 4, *shape) for shape in levels * 8]
    full = 64 * 16**3 * 4
    with torch.no_grad(), LiveTensors(block=1) as tracker:
        ours(features, (16, 16, 16))
    assert tracker.peak < 3.3 * full


@pytest.mark.parametrize(
    ("interpolation", "expected"), [("nearest", [(8, 12), (16, 24)]), ("linear", [(16, 24), (16, 24)])]
)
def test_a_coarse_map_takes_the_short_way_up(
    interpolation: str, expected: list[tuple[int, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[tuple[int, ...]] = []
    interpolate = F.interpolate
    monkeypatch.setattr(F, "interpolate", lambda x, size, mode: (made.append(size), interpolate(x, size, mode=mode))[1])
    size, shapes = GRIDS["2d"]
    head((7, 5, 3, 7, 5, 3), interpolation=interpolation)(maps(shapes) * 2, size)
    assert made == expected


def test_points_cost_the_memory_of_points_alone() -> None:
    with torch.device("meta"):
        ours = ReadOutHead((32,), 2, dimensions=3, hidden=(64,))
        feature, points = torch.empty(1, 32, 64, 64, 64), torch.empty(1000, 4, dtype=torch.long)
    with LiveTensors(block=1) as tracker:
        ours.forward_points([feature], (64, 64, 64), points).sum().backward()
    assert tracker.peak - feature.nbytes < 1000 * (32 + 6 * 64) * 4


def test_it_works_in_half_precision_of_a_network_under_autocast() -> None:
    size, shapes = GRIDS["3d"]
    ours, features = head(dimensions=3).float(), [feature.float() for feature in maps(shapes)]
    exact = ours.eval()(features, size)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = ours([feature.bfloat16() for feature in features], size)
        points = ours.forward_points([feature.bfloat16() for feature in features], size, every_voxel(2, size))
    torch.testing.assert_close(rounded.float(), exact, rtol=0.1, atol=0.1)
    torch.testing.assert_close(points.float(), exact.movedim(1, -1).flatten(0, -2), rtol=0.1, atol=0.1)
