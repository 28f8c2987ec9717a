"""Presets by name."""

from __future__ import annotations

import pytest

from autodiffseg.errors import UserError
from autodiffseg.planners.patch import plan_patch
from autodiffseg.planners.presets import CPU, DEFAULT, IMGX_UNET, RESIDUAL_L, find_preset


def test_presets_are_found_by_name() -> None:
    assert find_preset("cpu") is CPU
    assert find_preset("default") is DEFAULT
    assert CPU.limits(2) is CPU.two
    assert CPU.limits(3) is CPU.three


def test_an_unknown_preset_is_refused_with_those_there_are() -> None:
    with pytest.raises(
        UserError, match=r"Unknown preset 'cpuu'. Did you mean 'cpu'\? Known: cpu, default, imgx-unet, residual-l"
    ):
        find_preset("cpuu")


def test_residual_encoders_grow_as_nnunets_do() -> None:
    assert RESIDUAL_L.blocks(7) == (1, 3, 4, 6, 6, 6, 6)
    assert RESIDUAL_L.blocks(2) == (1, 3)
    assert DEFAULT.blocks(3) == (2, 2, 2)


def test_budgets_scale_with_the_card() -> None:
    two_gigabytes = DEFAULT.scaled_to(2)
    assert (two_gigabytes.three.budget, two_gigabytes.two.budget) == (140e6, 21.25e6)
    assert RESIDUAL_L.scaled_to(24) == RESIDUAL_L
    with pytest.raises(UserError, match="made for a CPU"):
        CPU.scaled_to(8)


@pytest.mark.parametrize("shape", [(1, 300, 280), (3, 40, 40), (200, 240, 220)])
def test_the_papers_network_is_planned_with_its_own_widths_blocks_and_kernels(shape: tuple[int, ...]) -> None:
    found = plan_patch((6.0, 1.0, 1.0), shape, channels=3, preset=IMGX_UNET)
    network = found.network
    stages = len(network.features)
    assert network.features == (32, 64, 128, 256)[:stages]
    assert (network.encoder_blocks, network.decoder_blocks) == ((2,) * stages, (3,) * stages)
    assert (network.skips, network.activation, network.transformer_layers) == ("add", "gelu", 1)
    assert set(network.kernels) == {(3, 3, 3)}
    assert network.strides == found.topology.strides


def test_the_papers_patch_of_128_voxels_fits_its_preset_twice() -> None:
    elements = plan_patch((1, 1, 1), (128, 128, 128), channels=16, preset=IMGX_UNET).elements
    assert IMGX_UNET.three.min_batch == 2
    assert elements <= IMGX_UNET.three.budget
