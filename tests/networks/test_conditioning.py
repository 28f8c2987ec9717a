"""Noise-level conditioning: exactly a scale and a shift after the norm, at no cost in memory."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from autodiffseg.networks.conditioning import EMBEDDING, ConditionedInstanceNorm, LevelEmbedding


def make_norm() -> ConditionedInstanceNorm:
    torch.manual_seed(0)
    norm = ConditionedInstanceNorm(5, conditioned=True).double()
    torch.nn.init.normal_(norm.weight)
    torch.nn.init.normal_(norm.bias)
    return norm


def test_folding_into_the_affine_equals_scale_and_shift_after_the_norm() -> None:
    norm, x = make_norm(), torch.randn(3, 5, 4, 6, dtype=torch.float64)
    embedding = torch.randn(3, EMBEDDING, dtype=torch.float64)
    assert norm.film is not None
    scale, shift = norm.film(embedding).float().double().chunk(2, dim=1)
    expected = F.instance_norm(x, weight=norm.weight, bias=norm.bias) * (1 + scale[..., None, None])
    torch.testing.assert_close(norm(x, embedding), expected + shift[..., None, None], rtol=1e-6, atol=1e-6)


def test_without_conditioning_it_is_instance_norm() -> None:
    norm, x = ConditionedInstanceNorm(3, conditioned=False), torch.randn(2, 3, 4, 4, 4) * 3 + 2
    result = norm(x, None)
    torch.testing.assert_close(result.mean(dim=(2, 3, 4)), torch.zeros(2, 3), atol=1e-5, rtol=0)
    torch.testing.assert_close(result.std(dim=(2, 3, 4), unbiased=False), torch.ones(2, 3), atol=1e-4, rtol=0)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_values_and_gradients_are_those_of_torchs_instance_norm(layout: torch.memory_format) -> None:
    norm = make_norm()
    x = (torch.randn(3, 5, 4, 6, dtype=torch.float64) * 3 + 2).to(memory_format=layout).requires_grad_()
    looked_at, gradients = torch.randn(3, 5, 4, 6, dtype=torch.float64), []
    for answer in (norm(x, None), F.instance_norm(x, weight=norm.weight, bias=norm.bias)):
        gradients.append(torch.autograd.grad((answer * looked_at).sum(), (x, norm.weight, norm.bias)))
    torch.testing.assert_close(norm(x, None), F.instance_norm(x, weight=norm.weight, bias=norm.bias))
    torch.testing.assert_close(gradients[0], gradients[1])


def test_conditioning_keeps_no_more_for_the_backward_pass() -> None:
    x = torch.randn(2, 5, 8, 8, 8)

    def kept(conditioned: bool) -> int:
        norm = ConditionedInstanceNorm(5, conditioned=conditioned)
        sizes: dict[int, int] = {}

        def remember(tensor: torch.Tensor) -> torch.Tensor:
            sizes[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(remember, lambda tensor: tensor):
            norm(x.requires_grad_(), torch.randn(2, EMBEDDING) if conditioned else None)
        return sum(size for size in sizes.values() if size >= x.nbytes)

    assert kept(conditioned=True) == kept(conditioned=False) == x.nbytes


def test_levels_are_told_apart_over_the_whole_range() -> None:
    torch.manual_seed(0)
    embedding = LevelEmbedding()(torch.arange(-20.0, 21.0))
    distances = torch.cdist(embedding, embedding) + torch.eye(41) * 9
    assert distances.min() > 1e-3
