"""Memory layout: channels last where a device trains faster with it, and the same answer in either."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from autodiffseg.networks.blocks import ConvBlock
from autodiffseg.trainers.memory_layout import training_layout


@pytest.mark.parametrize(
    ("device", "precision", "dimensions", "layout"),
    [
        ("cpu", "fp32", 2, torch.contiguous_format),
        ("cpu", "bf16", 2, torch.channels_last),
        ("cpu", "fp32", 3, torch.channels_last_3d),
        ("cpu", "bf16", 3, torch.channels_last_3d),
        ("cuda", "bf16", 2, torch.contiguous_format),
        ("cuda", "fp16", 3, torch.contiguous_format),
    ],
)
def test_channels_are_last_on_a_cpu_but_for_2d_in_fp32(
    device: str, precision: Any, dimensions: int, layout: torch.memory_format
) -> None:
    assert training_layout(torch.device(device), precision, dimensions) == layout


def test_a_block_answers_the_same_in_both_layouts() -> None:
    torch.manual_seed(0)
    block, x = ConvBlock(4, 4, (3, 3), (1, 1), conditioned=False).double(), torch.randn(2, 4, 6, 5, dtype=torch.double)
    expected = block(x, None)
    found = block.to(memory_format=torch.channels_last)(x, None)
    torch.testing.assert_close(found, expected)
