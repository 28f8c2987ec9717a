"""The stand-in for autocast casts what torch's own autocast casts, on CUDA and on the CPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from autodiffseg.memory.autocast_lists import LISTS, Place
from autodiffseg.memory.autocast_policy import AutocastPolicy
from autodiffseg.memory.live_tensors import LiveTensors

HALF: dict[Place, torch.dtype] = {"cuda": torch.float16, "cpu": torch.bfloat16}

# What a trainer may call on x and y `(1, 4, 8, 8, 8)` and the matrix m `(8, 8)`, all of one type.
CALLS: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "conv3d": lambda x, y, m: F.conv3d(x, y),
    "conv2d": lambda x, y, m: F.conv2d(x.flatten(0, 1), y.flatten(0, 1)),
    "conv_transpose3d": lambda x, y, m: F.conv_transpose3d(x, y.transpose(0, 1)),
    "linear": lambda x, y, m: F.linear(m, m),
    "operator @": lambda x, y, m: m @ m,
    "addmm": lambda x, y, m: torch.addmm(m, m, m),
    "bmm": lambda x, y, m: torch.bmm(m.unsqueeze(0), m.unsqueeze(0)),
    "attention": lambda x, y, m: F.scaled_dot_product_attention(*[m.unsqueeze(0)] * 3),
    "instance_norm": lambda x, y, m: F.instance_norm(x),
    "batch_norm": lambda x, y, m: F.batch_norm(x, None, None, training=True),
    "group_norm": lambda x, y, m: F.group_norm(x, 2),
    "layer_norm": lambda x, y, m: F.layer_norm(m, (8,)),
    "leaky_relu": lambda x, y, m: F.leaky_relu(x),
    "silu": lambda x, y, m: F.silu(x),
    "gelu": lambda x, y, m: F.gelu(x),
    "sigmoid": lambda x, y, m: x.sigmoid(),
    "softmax": lambda x, y, m: x.softmax(1),
    "log_softmax": lambda x, y, m: F.log_softmax(x, dim=1),
    "exp": lambda x, y, m: x.exp(),
    "log": lambda x, y, m: x.log(),
    "power": lambda x, y, m: x**2,
    "sqrt": lambda x, y, m: x.sqrt(),
    "sum": lambda x, y, m: x.sum((0, 2, 3, 4)),
    "mean": lambda x, y, m: x.mean(),
    "mse_loss": lambda x, y, m: F.mse_loss(x, y),
    "cross_entropy": lambda x, y, m: F.cross_entropy(x, y.softmax(1)),
    "binary_cross_entropy_with_logits": lambda x, y, m: F.binary_cross_entropy_with_logits(x, y),
    "avg_pool3d": lambda x, y, m: F.avg_pool3d(x, 2),
    "trilinear": lambda x, y, m: F.interpolate(x, scale_factor=2, mode="trilinear"),
    "nearest": lambda x, y, m: F.interpolate(x, scale_factor=2, mode="nearest"),
    "cat": lambda x, y, m: torch.cat([x, y]),
    "where": lambda x, y, m: torch.where(x > 0, x, y),
    "sum of two": lambda x, y, m: x + y,
}


def result_type(place: Place, call: Callable[[Tensor, Tensor, Tensor], Tensor], given: torch.dtype) -> torch.dtype:
    """The type that the stand-in gives on the meta device."""
    x = torch.empty(1, 4, 8, 8, 8, dtype=given, device="meta")
    with AutocastPolicy(HALF[place], place=place):
        return call(x, x.clone(), torch.empty(8, 8, dtype=given, device="meta")).dtype


@contextmanager
def cuda_autocast_of_fake_tensors() -> Iterator[None]:
    """CUDA's own autocast, without CUDA: torch's fake tensors, below `torch.autocast`, which would refuse."""
    before = torch.get_autocast_dtype("cuda")
    torch.set_autocast_dtype("cuda", HALF["cuda"])
    torch.set_autocast_enabled("cuda", True)
    torch.autocast_increment_nesting()
    try:
        with FakeTensorMode(), torch.no_grad():  # a graph of fake CUDA tensors would end the process
            yield
    finally:
        torch.autocast_decrement_nesting()
        torch.clear_autocast_cache()
        torch.set_autocast_enabled("cuda", False)
        torch.set_autocast_dtype("cuda", before)


@pytest.mark.parametrize("given", ["half", "single"])
@pytest.mark.parametrize("name", CALLS)
def test_types_are_those_of_torchs_cuda_autocast(name: str, given: str) -> None:
    kind = HALF["cuda"] if given == "half" else torch.float32
    with cuda_autocast_of_fake_tensors():
        x = torch.empty(1, 4, 8, 8, 8, dtype=kind, device="cuda")
        expected = CALLS[name](x, torch.empty_like(x), torch.empty(8, 8, dtype=kind, device="cuda")).dtype
    assert result_type("cuda", CALLS[name], kind) == expected


@pytest.mark.parametrize("given", ["half", "single"])
@pytest.mark.parametrize("name", CALLS)
def test_types_are_those_of_torchs_cpu_autocast(name: str, given: str) -> None:
    kind = HALF["cpu"] if given == "half" else torch.float32
    x = torch.rand(1, 4, 8, 8, 8).to(kind)
    with torch.autocast("cpu", dtype=HALF["cpu"]):
        expected = CALLS[name](x, x.clone(), torch.rand(8, 8).to(kind)).dtype
    assert result_type("cpu", CALLS[name], kind) == expected


@pytest.mark.parametrize(("place", "key"), [("cuda", "AutocastCUDA"), ("cpu", "AutocastCPU")])
def test_every_operator_that_torch_casts_is_on_a_list(place: Place, key: str) -> None:
    lists = LISTS[place]
    refused = {"binary_cross_entropy"} if place == "cuda" else set()  # by autocast itself, with an error
    registered = {
        name.removeprefix("aten::").partition(".")[0]
        for name in torch._C._dispatch_get_registrations_for_dispatch_key(key)
        if name.startswith("aten::")
    }
    listed = lists.lower | lists.fp32 | lists.fp32_result | lists.promote
    assert registered - listed == refused
    assert len(registered) > 100


def test_no_name_is_on_two_lists() -> None:
    for lists in LISTS.values():
        assert sum(map(len, lists)) == len(frozenset().union(*lists))


def test_a_weight_is_cast_once_for_each_context() -> None:
    layer, x = nn.Linear(256, 256, bias=False, device="meta"), torch.empty(256, device="meta", requires_grad=True)
    policy = AutocastPolicy(torch.float16, place="cuda")
    with LiveTensors(block=1) as tracker:
        for calls in (1, 3):
            with policy:
                results = [layer(x) for _ in range(calls)]  # alive, and with them what the backward pass needs
            assert tracker.current == 2 * (256 * 256 + 256 + len(results) * 256)  # weight, input, results


def test_the_gradient_arrives_at_the_weight_in_its_own_type() -> None:
    layer = nn.Conv3d(1, 2, 3, device="meta")
    with AutocastPolicy(torch.float16, place="cuda"):
        out = layer(torch.empty(1, 1, 4, 4, 4, device="meta"))
    out.float().sum().backward()
    assert out.dtype == torch.float16
    assert layer.weight.grad is not None
    assert layer.weight.grad.dtype == torch.float32


def test_double_precision_and_integers_are_left_alone() -> None:
    with AutocastPolicy(torch.float16, place="cuda"):
        assert torch.empty(2, 2, dtype=torch.float64, device="meta").exp().dtype == torch.float64
        assert torch.empty(2, dtype=torch.int64, device="meta").sum().dtype == torch.int64
