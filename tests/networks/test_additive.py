"""The recycling paper's network: as large as the released one, and wired as it is."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from autodiffseg.networks.additive import AdditiveBody
from autodiffseg.networks.conditioning import ConditionedInstanceNorm
from autodiffseg.networks.unet import UNet
from autodiffseg.planners.patch import plan_network
from autodiffseg.planners.presets import IMGX_UNET
from autodiffseg.planners.topology import plan_topology
from autodiffseg.plans import NetworkPlan

# The paper's datasets with our axis order: spacing in mm, patch, channels, classes, the first halving of the release,
# and the parameters that the supervised networks of release v0.3.2 were counted to have.
DATASETS = {
    "muscle ultrasound": ((1.0, 1.0), (480, 512), 1, 2, (2, 2), 11_603_554),
    "abdominal CT": ((5.0, 1.5, 1.5), (128, 128, 128), 1, 16, (2, 2, 2), 32_334_448),
    "prostate MR": ((2.5, 0.75, 0.75), (32, 256, 256), 1, 9, (1, 2, 2), 32_317_833),
    "brain MR": ((1.0, 1.0, 1.0), (128, 128, 128), 4, 2, (2, 2, 2), 32_336_578),
}


def planned(dataset: str) -> NetworkPlan:
    spacing, patch, *_ = DATASETS[dataset]
    return plan_network(plan_topology(spacing, patch, max_stages=IMGX_UNET.max_stages), IMGX_UNET)


def on_meta(plan: NetworkPlan, dataset: str, *, diffusion: bool = False) -> UNet:
    _, _, channels, classes, *_ = DATASETS[dataset]
    with torch.device("meta"):
        return UNet(
            plan,
            image_channels=channels,
            classes=classes,
            mask_channels=classes if diffusion else 0,
            level_conditioning="film" if diffusion else "none",
        )


def size(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def small(dimensions: int = 3, **changes: object) -> NetworkPlan:
    """Two stages of one block each, with attention."""
    values = {
        "encoder": "residual",
        "features": (8, 16),
        "kernels": ((3,) * dimensions,) * 2,
        "strides": ((1,) * dimensions, (2,) * dimensions),
        "encoder_blocks": (1, 1),
        "decoder_blocks": (2, 2),
        "skips": "add",
        "activation": "gelu",
        "transformer_layers": 1,
        "deep_supervision": False,
    }
    return NetworkPlan.model_validate({**values, **changes})


def network(dimensions: int = 3, **changes: object) -> UNet:
    torch.manual_seed(0)
    plan = small(dimensions, **changes)
    return UNet(plan, image_channels=1, classes=3, mask_channels=3, level_conditioning="film")


def inputs(dimensions: int = 3) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    patch = (8,) * dimensions
    return torch.randn(2, 1, *patch), torch.rand(2, 3, *patch), torch.tensor([-5.0, 3.0])


@pytest.mark.parametrize("dataset", DATASETS)
def test_with_the_papers_halvings_every_weight_of_the_release_is_there(dataset: str) -> None:
    first_halving, counted = DATASETS[dataset][4:]
    plan = planned(dataset)
    plan = plan.model_copy(update={"strides": (plan.strides[0], first_halving, *plan.strides[2:])})
    assert size(on_meta(plan, dataset)) == counted


@pytest.mark.parametrize("dataset", DATASETS)
def test_as_planned_the_network_is_within_a_per_mille_of_the_release(dataset: str) -> None:
    plan = planned(dataset)
    assert plan.features == (32, 64, 128, 256)
    assert size(on_meta(plan, dataset)) == pytest.approx(DATASETS[dataset][5], rel=1e-3)


@pytest.mark.parametrize("dataset", DATASETS)
def test_the_diffusion_network_has_mask_channels_and_level_layers_more_and_nothing_else(dataset: str) -> None:
    supervised = dict(on_meta(planned(dataset), dataset).named_parameters())
    network = on_meta(planned(dataset), dataset, diffusion=True)
    diffusion = dict(network.named_parameters())
    assert set(supervised) < set(diffusion)
    assert [n for n in supervised if diffusion[n].shape != supervised[n].shape] == ["additive.stem.conv.weight"]
    taps, classes = 3 ** len(DATASETS[dataset][1]), DATASETS[dataset][3]
    mask_channels = taps * classes * 32
    embedding = (64 * 128 + 128) + (128 * 128 + 128)
    # A scale and a shift, of 128 inputs and a bias each, per channel of the norms of the stem and of 22 blocks.
    channels = 32 + 2 * (5 * (32 + 64 + 128 + 256) + 2 * 256)
    levels = {name: p.numel() for name, p in diffusion.items() if name not in supervised}
    assert all(".norm.film." in name or name.startswith("embedding.") for name in levels)
    assert sum(levels.values()) == embedding + 2 * 129 * channels
    assert size(network) == sum(p.numel() for p in supervised.values()) + mask_channels + sum(levels.values())


def test_skips_are_added_last_in_first_out() -> None:
    """With every layer the identity, or zero, each result can be told by the multiple of the input that it is."""
    body = AdditiveBody(small(strides=((1, 1, 1), (1, 1, 1)), features=(8, 8)), 8, conditioned=False)
    seen: list[float] = []

    def scaled(factor: float) -> nn.Module:
        class Scale(nn.Module):
            def forward(self, x: torch.Tensor, *_: object) -> torch.Tensor:
                seen.append(float(x))
                return factor * x

        return Scale()

    def twice() -> nn.ModuleList:
        return nn.ModuleList([scaled(1), scaled(1)])

    body.stem, body.attention = scaled(1), None  # type: ignore[assignment]
    body.encoder = nn.ModuleList([nn.ModuleList([scaled(2)]), nn.ModuleList([scaled(4)])])  # skips 1, 2 and 6, 24
    body.downsample, body.upsample = nn.ModuleList([scaled(3)]), nn.ModuleList([scaled(1)])
    body.bottom, body.decoder = twice(), nn.ModuleList([twice(), twice()])
    (finest,) = body(torch.ones(()), None)
    into_the_decoder = [24 + 24, 48 + 6, 54 + 2, 56 + 1]
    assert seen[-5:] == [into_the_decoder[0], into_the_decoder[1], 54, into_the_decoder[2], into_the_decoder[3]]
    assert float(finest) == 57


@pytest.mark.parametrize("dimensions", [2, 3])
def test_the_two_halves_compute_what_the_whole_computes(dimensions: int) -> None:
    net, (image, mask, level) = network(dimensions), inputs(dimensions)
    whole = net(image, mask, level)
    assert whole.shape == (2, 3, *image.shape[2:])
    torch.testing.assert_close(net.denoise(net.encode(image), mask, level), whole)


def test_every_parameter_has_a_gradient_at_initialisation() -> None:
    net = network()
    net(*inputs()).square().mean().backward()
    assert [name for name, p in net.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []


def test_the_noise_level_changes_the_output() -> None:
    net, (image, mask, level) = network(), inputs()
    assert (net(image, mask, level) - net(image, mask, level + 8)).abs().max() > 1e-3


@pytest.mark.parametrize("layers", [0, 1])
def test_only_by_attention_does_a_corner_see_the_other(layers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # An instance norm's mean would reach everywhere too.
    monkeypatch.setattr(ConditionedInstanceNorm, "forward", lambda self, x, embedding: x)
    net = UNet(small(2, transformer_layers=layers), image_channels=1, classes=3)
    image = torch.randn(1, 1, 64, 64, requires_grad=True)
    net(image)[0, 0, 0, 0].backward()
    assert image.grad is not None
    assert bool(image.grad[0, 0, 60, 60] != 0) == (layers == 1)


def test_deep_supervision_works_with_added_skips_too() -> None:
    changes = {
        "features": (8, 16, 16),
        "kernels": ((3, 3),) * 3,
        "strides": ((1, 1), (2, 2), (2, 2)),
        "encoder_blocks": (1, 1, 1),
        "decoder_blocks": (2, 2, 2),
        "deep_supervision": True,
    }
    net = network(2, **changes)
    image, mask, level = inputs(2)
    assert [tuple(x.shape[1:]) for x in net.forward_features(image, mask, level)] == [(16, 4, 4), (8, 8, 8)]
    assert [tuple(x.shape[2:]) for x in net(image, mask, level)] == [(8, 8)]


def test_norms_are_followed_by_gelu_but_not_where_the_size_changes() -> None:
    net = on_meta(planned("muscle ultrasound"), "muscle ultrasound")
    kinds = [type(module) for module in net.modules()]
    assert kinds.count(nn.GELU) == 1 + 2 * 22 + 1  # the stem, two a block, and the perceptron of attention
    assert nn.LeakyReLU not in kinds
    for resize in (*net.additive.downsample, *net.additive.upsample):  # type: ignore[union-attr,misc]
        assert {type(module).__name__ for module in resize.children()} <= {
            "Conv2d", "ConvTranspose2d", "ConditionedInstanceNorm",
        }  # fmt: skip
