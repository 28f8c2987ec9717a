"""The closed form against counts that nnU-Net's own networks report, and against a network counted layer by layer."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from autodiffseg.networks.unet import UNet
from autodiffseg.planners.memory_budget import convolution_elements, stage_shapes
from autodiffseg.plans import NetworkPlan


def network(features: tuple[int, ...], axes: int, encoder: str = "plain", blocks: tuple[int, ...] = ()) -> NetworkPlan:
    stages = len(features)
    return NetworkPlan.model_validate(
        {
            "encoder": encoder,
            "features": features,
            "kernels": ((3,) * axes,) * stages,
            "strides": ((1,) * axes, *((2,) * axes,) * (stages - 1)),
            "encoder_blocks": blocks or (2,) * stages,
            "decoder_blocks": (1 if blocks else 2,) * (stages - 1),
        }
    )


RESIDUAL = (1, 3, 4, 6, 6, 6, 6, 6)

# nnU-Net 2.8.1's compute_conv_feature_map_size with three outputs.
ORACLE = [
    (network((32, 64, 128, 256, 320, 320), 3), (128,) * 3, 452_796_416),
    (network((32, 64, 128, 256, 512, 512, 512, 512), 2), (512,) * 2, 82_886_656),
    (network((32, 64, 128, 256, 320, 320), 3, "residual", RESIDUAL[:6]), (128,) * 3, 557_420_544),
    (network((32, 64, 128, 256, 512, 512, 512, 512), 2, "residual", RESIDUAL), (512,) * 2, 129_703_936),
]


@pytest.mark.parametrize(("plan", "patch", "elements"), ORACLE)
def test_counts_are_those_of_nnunet(plan: NetworkPlan, patch: tuple[int, ...], elements: int) -> None:
    assert convolution_elements(plan, patch, channels=3) == elements


def test_a_two_stage_network_counted_by_hand() -> None:
    plan = network((4, 8), 2)
    # 2 convolutions of 4 at 16 voxels; 2 of 8 at 4; up and 2 convolutions of 4 at 16; the head of 3 at 16.
    assert convolution_elements(plan, (4, 4), channels=3) == 2 * 4 * 16 + 2 * 8 * 4 + 3 * 4 * 16 + 3 * 16


def test_a_residual_network_counted_by_hand() -> None:
    plan = network((4, 8), 2, "residual", (1, 2))
    stem, finest, coarsest, projection = 4 * 16, 2 * 4 * 16, 4 * 8 * 4, 8 * 4
    assert convolution_elements(plan, (4, 4), channels=3) == (
        stem + finest + coarsest + projection + 2 * 4 * 16 + 3 * 16
    )


def test_stage_shapes_follow_the_strides() -> None:
    plan = network((4, 8, 8), 2).model_copy(update={"strides": ((1, 1), (1, 2), (2, 2))})
    assert list(stage_shapes(plan, (6, 8))) == [(6, 8), (6, 4), (3, 2)]


@pytest.mark.parametrize("blocks", [1, 2])
def test_a_network_with_added_skips_is_counted_as_its_convolutions_are(blocks: int) -> None:
    values = {"skips": "add", "transformer_layers": 1, "decoder_blocks": (blocks + 1,) * 3, "deep_supervision": False}
    plan = NetworkPlan.model_validate({**network((8, 16, 16), 2, "residual", (blocks,) * 3).model_dump(), **values})
    made: list[int] = []
    with torch.device("meta"):
        net = UNet(plan, image_channels=1, classes=5)
        for module in net.modules():
            if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
                module.register_forward_hook(lambda module, inputs, output: made.append(output.numel()))
        net(torch.empty(1, 1, 16, 16))
    assert convolution_elements(plan, (16, 16), channels=5) == sum(made)
