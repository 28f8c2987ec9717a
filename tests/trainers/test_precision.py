"""Device and precision: chosen by what is there, refused with the cure."""

from __future__ import annotations

import pytest
import torch

from autodiffseg.errors import UserError
from autodiffseg.trainers import precision
from autodiffseg.trainers.precision import autocast, choose_device, choose_precision

CPU = torch.device("cpu")


@pytest.mark.parametrize(("has_bf16", "expected"), [(True, "bf16"), (False, "fp32")])
def test_auto_on_a_cpu_is_bf16_where_the_processor_has_it(
    monkeypatch: pytest.MonkeyPatch, has_bf16: bool, expected: str
) -> None:
    monkeypatch.setattr(precision, "cpu_has_bf16", lambda: has_bf16)
    assert choose_precision("auto", CPU) == expected
    assert choose_precision("fp32", CPU) == "fp32"


@pytest.mark.parametrize(("supported", "expected"), [(True, "bf16"), (False, "fp16")])
def test_auto_on_cuda_is_bf16_where_supported_natively(
    monkeypatch: pytest.MonkeyPatch, supported: bool, expected: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: supported)
    assert choose_precision("auto", torch.device("cuda")) == expected


def test_what_is_not_possible_is_refused() -> None:
    for name, words in (("fp16", "CUDA"), ("int8", "bf16 and fp16 are possible")):
        with pytest.raises(UserError, match=words):
            choose_precision(name, CPU)
    for name in ("gpu", "meta", "cuda:99"):
        with pytest.raises(UserError, match=f"--device {name}"):
            choose_device(name)


def test_leaving_autocast_forgets_the_casts_of_a_pass_without_gradient() -> None:
    layer, x = torch.nn.Linear(4, 4), torch.randn(2, 4)
    with torch.no_grad(), autocast(CPU, "bf16"):
        layer(x)
    with autocast(CPU, "bf16"):
        y = layer(x)
    y.float().sum().backward()
    assert y.dtype == torch.bfloat16
    assert layer.weight.grad is not None
