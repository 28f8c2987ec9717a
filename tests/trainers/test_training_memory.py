"""Memory counted without data equals what the allocator hands out on real tensors, and what arithmetic says."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile

from autodiffseg import registry
from autodiffseg.dataloading.batches import Batch
from autodiffseg.dataset import DatasetJson
from autodiffseg.errors import UserError
from autodiffseg.fingerprint import IntensityStatistics
from autodiffseg.memory.estimate import TrainingMemory
from autodiffseg.memory.live_tensors import LiveTensors
from autodiffseg.plans import ConfigurationPlan, NetworkPlan, NormalisationPlan, Plan
from autodiffseg.trainers.checkpoints import trainer_class
from autodiffseg.trainers.options import read_settings
from autodiffseg.trainers.precision import cpu_has_bf16
from autodiffseg.trainers.pretrained import PretrainedTrainer
from autodiffseg.trainers.training_memory import bare_loop, training_memory

TRAINERS = sorted(registry.known(registry.TRAINERS))
WITHOUT_BF16 = pytest.mark.skipif(not cpu_has_bf16(), reason="this processor imitates bf16, in copies of its own")
PRECISIONS = ["fp32", pytest.param("bf16", marks=WITHOUT_BF16)]


@pytest.fixture(autouse=True)
def random_backbones(monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights count by their number: real ones of a pretraining are not needed, on the meta device or beside it."""
    monkeypatch.setattr(PretrainedTrainer, "needs_backbone", False)


def dataset(classes: int = 3) -> DatasetJson:
    labels = {"background": 0} | {f"class {i}": i for i in range(1, classes)}
    return DatasetJson.model_validate({"channel_names": {"0": "MR"}, "labels": labels, "file_ending": ".nii.gz"})


def make_plan(
    patch: tuple[int, ...],
    features: tuple[int, ...],
    *,
    batch: int = 2,
    deep_supervision: bool = False,
    encoder: str = "plain",
    blocks: tuple[int, ...] | None = None,
    decoder_convolutions: int = 2,
    **more: Any,
) -> Plan:
    axes, stages = len(patch), len(features)
    network = NetworkPlan.model_validate(
        {
            "encoder": encoder,
            "features": features,
            "kernels": ((3,) * axes,) * stages,
            "strides": ((1,) * axes, *((2,) * axes,) * (stages - 1)),
            "encoder_blocks": blocks or (2,) * stages,
            "decoder_blocks": (decoder_convolutions,) * (stages - 1),
            "deep_supervision": deep_supervision,
            **more,
        }
    )
    configuration = ConfigurationPlan.model_validate(
        {
            "dimensions": axes,
            "spacing": (1.0,) * axes,
            "median_shape": patch,
            "patch_size": patch,
            "batch_size": batch,
            "batch_dice": axes == 2,
            "normalisation": (NormalisationPlan(scheme="zscore"),),
            "network": network,
            "mirror_axes": (),
        }
    )
    return Plan(
        name="memory",
        preset="default",
        dataset="Dataset999_Memory",
        fingerprint_hash="",
        transpose=(0, 1, 2),
        intensities=(IntensityStatistics(**dict.fromkeys(IntensityStatistics.model_fields, 0.0)),),
        configurations={"patches": configuration},
        iterations=10,
    )


def traced(name: str, plan: Plan, *, classes: int = 3, **settings: Any) -> TrainingMemory:
    cls = trainer_class(name)
    return training_memory(cls, plan, "patches", dataset(classes), cls.Options(), **settings)


def allocator_peak(name: str, plan: Plan, precision: Any) -> int:
    """The most bytes that torch's CPU allocator had handed out at once over two real updates, by torch's profiler."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as watched:
        cls, configuration = trainer_class(name), plan.configuration("patches")
        device = torch.device("cpu")
        alone = ["from_scratch=true"] if "from_scratch" in cls.Options.model_fields else []  # there is no backbone here
        options = read_settings(cls.Options, alone)
        trainer = cls(plan, "patches", dataset(), options, device=device, precision=precision)
        shape = (configuration.batch_size, *configuration.patch_size)
        image = torch.randn(shape[0], 1, *shape[1:])
        batch = Batch(image, torch.randint(3, shape, dtype=torch.int16), ("",) * shape[0])
        loop = bare_loop(trainer)
        for _ in range(2):
            loop.step(batch)
            loop.update += 1
    events = [event for event in watched.profiler.kineto_results.events() if event.name() == "[memory]"]  # type: ignore[union-attr]
    current = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        current += event.nbytes()
        peak = max(peak, current)
    return peak


@pytest.mark.parametrize("deep_supervision", [False, True])
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("patch", [(16, 16, 16), (64, 64)])
@pytest.mark.parametrize("name", TRAINERS)
def test_meta_tensors_take_what_the_allocator_gives_to_real_ones(
    name: str, patch: tuple[int, ...], precision: Any, deep_supervision: bool
) -> None:
    plan = make_plan(patch, (8, 16, 32, 32), deep_supervision=deep_supervision)
    tracked = traced(name, plan, precision=precision, place="cpu", block=1).peak
    # Where nothing is kept for a backward pass, the copy shows which a processor's convolution makes of its input.
    most = 0.1 if name in ("ledm", "ledme", "linear-probe") else 0.03
    assert tracked == pytest.approx(allocator_peak(name, plan, precision), rel=most)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_residual_encoder_takes_what_the_allocator_gives(precision: Any) -> None:
    plan = make_plan((16, 16, 16), (8, 16, 32), encoder="residual", blocks=(1, 2, 2), decoder_convolutions=1)
    tracked = traced("recycling", plan, precision=precision, place="cpu", block=1).peak
    assert tracked == pytest.approx(allocator_peak("recycling", plan, precision), rel=0.03)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_added_skips_and_attention_take_what_the_allocator_gives(precision: Any) -> None:
    like_the_paper = {"skips": "add", "activation": "gelu", "transformer_layers": 1, "decoder_blocks": (3,) * 4}
    plan = make_plan((32, 32, 32), (8, 16, 16, 32), encoder="residual", **like_the_paper)  # 64 tokens
    tracked = traced("recycling", plan, precision=precision, place="cpu", block=1).peak
    assert tracked == pytest.approx(allocator_peak("recycling", plan, precision), rel=0.03)


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("name", TRAINERS)
def test_on_a_gpu_the_allocator_hands_out_what_was_counted(name: str, precision: Any) -> None:
    """Before any calibration; cuDNN's workspaces are among what is handed out."""
    plan, cls = make_plan((64, 64, 64), (32, 64, 128, 256), deep_supervision=True), trainer_class(name)
    device = torch.device("cuda")
    torch.cuda.empty_cache()
    before = torch.cuda.memory_allocated(device)
    trainer = cls(plan, "patches", dataset(), cls.Options(), device=device, precision=precision)
    label = torch.randint(3, (2, 64, 64, 64), dtype=torch.int16, device=device)
    batch = Batch(torch.randn(2, 1, 64, 64, 64, device=device), label, ("", ""))
    loop = bare_loop(trainer)
    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=False):
        for update in range(3):
            if update == 2:  # the optimiser's state is there, and no kernel is searched for any more
                torch.cuda.reset_peak_memory_stats(device)
            loop.step(batch)
    allocated = torch.cuda.max_memory_allocated(device) - before
    assert traced(name, plan, precision=precision).peak == pytest.approx(allocated, rel=0.05)


@pytest.mark.parametrize("name", TRAINERS)
def test_weights_and_optimiser_take_four_bytes_a_number(name: str) -> None:
    plan = make_plan((16, 16, 16), (8, 16))
    network = trainer_class(name)(
        plan, "patches", dataset(), trainer_class(name).Options(), device=torch.device("cpu"), precision="fp32"
    ).network
    numbers = sum(parameter.numel() for parameter in network.parameters())
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    found = traced(name, plan, block=1)
    assert found.parameters == 4 * numbers + sum(buffer.nbytes for buffer in network.buffers())
    assert found.optimiser == 4 * (2 * sum(p.numel() for p in trained) + len(trained))  # two moments, a count a tensor


def test_what_a_convolution_keeps_is_what_one_computes_by_hand() -> None:
    """Batch 2 of one channel of 4³ through a 3³ convolution to 8 channels, then a rectifier in place."""
    layers = nn.Sequential(nn.Conv3d(1, 8, 3, padding=1), nn.LeakyReLU(0.01, inplace=True)).to("meta")
    x = torch.empty(2, 1, 4, 4, 4, device="meta")
    with LiveTensors(block=1) as tracker:
        out = layers(x)
        assert tracker.current == out.nbytes == 2 * 8 * 4**3 * 4
        out.sum().backward()  # the sum and its gradient are single numbers; then the gradient of the output, one copy
        assert tracker.peak < 3 * out.nbytes + 8 * 27 * 4 + 100


@pytest.mark.parametrize("name", ["recycling", "recycling-next"])
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_recycling_takes_what_diffusion_takes(precision: Any, name: str) -> None:
    """Its first pass is without gradient and leaves nothing but the noised mask, which diffusion makes as well."""
    plan = make_plan((16, 16, 16), (8, 16, 32), deep_supervision=True)
    recycling, diffusion = (traced(kind, plan, precision=precision, block=1) for kind in (name, "diffusion"))
    assert abs(recycling.peak - diffusion.peak) < 100  # bytes: a few numbers a sample
    assert abs(recycling.after_forward - diffusion.after_forward) < 100


@pytest.mark.parametrize("name", ["self-conditioning-same", "self-conditioning-next"])
def test_self_conditioning_takes_the_channels_of_one_more_mask(name: str) -> None:
    plan = make_plan((32, 32, 32), (8, 16, 32))
    own, diffusion = (traced(kind, plan, precision="fp32", block=1) for kind in (name, "diffusion"))
    voxels, weights = 2 * 3 * 32**3 * 4, 3 * 8 * 27 * 4
    assert own.parameters - diffusion.parameters == weights
    # Kept are the channels behind the image, and the new weights with their gradients and two moments.
    assert own.after_forward - diffusion.after_forward == voxels + 4 * weights


@pytest.mark.parametrize("name", ["diffusion", "recycling"])
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_being_told_the_level_costs_less_than_two_percent_of_the_activations(name: str, precision: Any) -> None:
    plan, cls = make_plan((64, 64, 64), (16, 32, 64), deep_supervision=True), trainer_class(name)
    told, untold = (
        training_memory(
            cls, plan, "patches", dataset(), read_settings(cls.Options, [f"level_conditioning={kind}"]),
            precision=precision,
        ).activations
        for kind in ("film", "none")
    )  # fmt: skip
    assert told < 1.02 * untold


def test_classes_conditioning_and_deep_supervision_cost_something() -> None:
    plain, deep = (make_plan((16, 16, 16), (8, 16, 16, 16), deep_supervision=on) for on in (False, True))
    assert traced("supervised", deep).after_forward > traced("supervised", plain).after_forward
    assert traced("supervised", plain, classes=9).peak > traced("supervised", plain).peak
    assert traced("diffusion", plain).parameters > traced("supervised", plain).parameters


def test_half_precision_halves_the_activations() -> None:
    plan = make_plan((32, 32, 32), (16, 32))
    half, single = (traced("supervised", plan, precision=precision) for precision in ("fp16", "fp32"))
    assert half.activations == pytest.approx(single.activations / 2, rel=0.1)
    assert half == traced("supervised", plan, precision="bf16")


def test_the_parts_sum_to_the_peak() -> None:
    found = traced("recycling", make_plan((16, 16), (8, 16)))
    assert found.peak == found.parameters + found.gradients + found.optimiser + found.activations
    assert 0 < found.after_forward <= found.peak


def test_many_weights_on_a_small_patch_peak_in_the_optimiser() -> None:
    """On CUDA AdamW works on all weights at once: weights, gradients, two moments and one temporary."""
    found = traced("supervised", make_plan((8, 8, 8), (64, 128, 256)), block=1)
    assert found.peak == pytest.approx(5 * found.parameters, rel=0.01)
    assert found.gradients == found.parameters


@pytest.mark.parametrize(
    ("settings", "gib"),
    [({}, 4.67), ({"encoder": "residual", "blocks": (1, 3, 4, 6, 6, 6), "decoder_convolutions": 1}, 6.07)],
)
def test_nnunets_networks_take_what_was_counted_for_them_elsewhere(settings: dict[str, Any], gib: float) -> None:
    """Peaks of its own networks at 128³, batch 2, fp16, by another tracker; SGD keeps half of what AdamW keeps."""
    plan = make_plan((128,) * 3, (32, 64, 128, 256, 320, 320), deep_supervision=True, **settings)
    found = traced("supervised", plan)
    assert (found.peak - found.optimiser / 2) / 2**30 == pytest.approx(gib, rel=0.03)


def test_a_trainer_that_looks_at_values_cannot_be_traced_and_is_told_so() -> None:
    supervised: Any = trainer_class("supervised")

    class Curious(supervised):  # type: ignore[misc]
        def loss(self, batch: Batch, rng: torch.Generator) -> Any:
            if batch.image.mean() > 0:  # there is no value to look at
                return super().loss(batch, rng)
            raise AssertionError

    with pytest.raises(UserError, match="Curious cannot be traced") as refused:
        training_memory(Curious, make_plan((16, 16), (8, 16)), "patches", dataset(), supervised.Options())
    assert "\n" not in str(refused.value)


def test_training_on_several_gpus_needs_buckets_of_the_gradients() -> None:
    plan = make_plan((16, 16), (8, 16))
    alone, together = traced("supervised", plan, block=1), traced("supervised", plan, block=1, processes=2)
    assert together.buckets == together.peak - alone.peak == alone.parameters


def test_a_cascade_is_traced_with_the_channels_of_its_previous_stage() -> None:
    single = make_plan((16, 16, 16), (8, 16))
    full = single.configuration("patches")
    cascade = full.model_copy(update={"previous_stage": "patches"})
    plan = single.model_copy(update={"configurations": {"low": full, "patches": cascade}})
    more = (
        traced("supervised", plan, precision="fp32", block=1).peak
        - traced("supervised", single, precision="fp32", block=1).peak
    )
    batch_and_weights = 2 * 2 * 16**3 * 4 + 2 * 8 * 27 * 4 * 3  # two classes: image channels; weights and their moments
    assert more == pytest.approx(batch_and_weights, rel=0.1)


@pytest.mark.parametrize("name", ["tedm", "ledme"])
def test_a_head_on_a_usual_network_of_128_voxels_a_side_fits_any_card(name: str) -> None:
    plan = make_plan((128, 128, 128), (32, 64, 128, 256, 320, 320))
    assert traced(name, plan, precision="fp16").peak < 3e9
