"""UNet: shapes, halves that agree with the whole, conditioning that works, and gradients everywhere."""

from __future__ import annotations

import pytest
import torch

from autodiffseg.networks.unet import UNet
from autodiffseg.plans import NetworkPlan


def network_plan(dimensions: int = 3, **changes: object) -> NetworkPlan:
    """Three small stages, the second anisotropic in 3D."""
    one, two = (1,) * dimensions, (2,) * dimensions
    values = {
        "features": (4, 8, 16),
        "kernels": ((3,) * dimensions,) * 3,
        "strides": (one, (1, *two[1:]), two),
        "encoder_blocks": (1, 1, 1),
        "decoder_blocks": (1, 1),
        "deep_supervision": False,
        **changes,
    }
    return NetworkPlan.model_validate(values)


def inputs(dimensions: int = 3, mask_channels: int = 3) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    patch = (4, 8, 8)[-dimensions:]
    return torch.randn(2, 2, *patch), torch.rand(2, mask_channels, *patch), torch.tensor([-5.0, 3.0])


def conditioned(dimensions: int = 3, **changes: object) -> UNet:
    torch.manual_seed(1)
    plan = network_plan(dimensions, **changes)
    return UNet(plan, image_channels=2, classes=3, mask_channels=3, level_conditioning="film")


@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize("encoder", ["plain", "residual"])
def test_the_two_halves_compute_what_the_whole_computes(dimensions: int, encoder: str) -> None:
    net = conditioned(dimensions, encoder=encoder)
    image, mask, level = inputs(dimensions)
    whole = net(image, mask, level)
    assert whole.shape == (2, 3, *image.shape[2:])
    torch.testing.assert_close(net.denoise(net.encode(image), mask, level), whole)


def test_every_parameter_has_a_gradient_at_initialisation() -> None:
    net = conditioned(deep_supervision=True, transformer_layers=1, encoder="residual")
    sum(logits.square().mean() for logits in net(*inputs())).backward()
    assert [name for name, p in net.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []


def test_the_noise_level_changes_the_output_at_initialisation() -> None:
    net = conditioned()
    image, mask, level = inputs()
    assert (net(image, mask, level) - net(image, mask, level + 8)).abs().max() > 1e-3


def test_samples_of_a_batch_do_not_see_each_other() -> None:
    net = conditioned(transformer_layers=1)
    image, mask, level = inputs()
    alone = torch.cat([net(image[i : i + 1], mask[i : i + 1], level[i : i + 1]) for i in range(2)])
    torch.testing.assert_close(net(image, mask, level), alone)


def test_deep_supervision_gives_a_list_finest_first_without_the_coarsest_level() -> None:
    net = conditioned(deep_supervision=True)
    image, mask, level = inputs()
    assert [logits.shape[2:] for logits in net(image, mask, level)] == [image.shape[2:]]
    four = conditioned(
        deep_supervision=True,
        features=(4, 8, 8, 8),
        kernels=((3, 3, 3),) * 4,
        strides=((1, 1, 1), (2, 2, 2), (2, 2, 2), (1, 1, 2)),
        encoder_blocks=(1,) * 4,
        decoder_blocks=(1,) * 3,
    )
    assert [tuple(logits.shape[2:]) for logits in four(image, mask, level)] == [(4, 8, 8), (2, 4, 4)]
    assert four.eval()(image, mask, level).shape[2:] == image.shape[2:]


def test_decoder_features_come_coarse_to_fine() -> None:
    image, mask, level = inputs()
    features = conditioned().forward_features(image, mask, level)
    assert [tuple(x.shape[1:]) for x in features] == [(8, 4, 4, 4), (4, 4, 8, 8)]


def test_a_diffusion_network_exceeds_the_supervised_one_only_by_mask_and_level_layers() -> None:
    plain = UNet(network_plan(), image_channels=2, classes=3)
    extra = {name for name, _ in conditioned().named_parameters()} - {name for name, _ in plain.named_parameters()}
    assert extra
    assert all("film" in name or name.startswith("embedding") for name in extra)
    shapes = dict(plain.named_parameters())
    wider = [n for n, p in conditioned().named_parameters() if n in shapes and p.shape != shapes[n].shape]
    assert wider == ["encoder.0.blocks.0.conv.weight"]


@pytest.mark.parametrize(
    ("encoder", "blocks", "convolutions", "millions"),
    [("plain", (2,) * 6, 2, 31.2), ("residual", (1, 3, 4, 6, 6, 6), 1, 102.4)],
)
def test_networks_are_as_large_as_nnunets(
    encoder: str, blocks: tuple[int, ...], convolutions: int, millions: float
) -> None:
    plan = network_plan(
        encoder=encoder,
        features=(32, 64, 128, 256, 320, 320),
        kernels=((3, 3, 3),) * 6,
        strides=((1, 1, 1), *((2, 2, 2),) * 5),
        encoder_blocks=blocks,
        decoder_blocks=(convolutions,) * 5,
        deep_supervision=True,
    )
    with torch.device("meta"):
        net = UNet(plan, image_channels=1, classes=3)
    # Theirs has a bias in every convolution, ours where no norm takes it away again: as many as those norms' biases.
    biases = sum(module.bias.numel() for module in net.modules() if type(module).__name__ == "ConditionedInstanceNorm")
    assert sum(p.numel() for p in net.parameters()) + biases == pytest.approx(millions * 1e6, abs=5e4)


def test_a_residual_encoder_begins_with_a_stem() -> None:
    net = conditioned(encoder="residual")
    assert net.stem is not None
    assert net.stem.conv.weight.shape == (4, 5, 3, 3, 3)
    assert conditioned().stem is None


def test_wrong_input_is_refused() -> None:
    image, mask, level = inputs()
    net = conditioned()
    with pytest.raises(ValueError, match="not divisible"):
        net(image[..., :7], mask[..., :7], level)
    with pytest.raises(ValueError, match="mask channels"):
        net(image, None, level)
    with pytest.raises(ValueError, match="noise level"):
        net(image, mask, None)
