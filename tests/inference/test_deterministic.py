"""Same bits, or nearly: what the number of threads and of patches at a time may change in a real network's answers."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pytest
import torch

from autodiffseg.diffusion.trajectory import Trajectory
from autodiffseg.inference.predictor import CasePredictor
from autodiffseg.inference.window_options import WindowOptions
from autodiffseg.networks.unet import UNet
from autodiffseg.plans import ConfigurationPlan, NetworkPlan, NormalisationPlan
from autodiffseg.sampling import NoiseSource, Sampling

CPU = torch.device("cpu")
SHAPES = [(9, 21, 18), (5, 7, 33)]
"""Odd sizes; the second is smaller than a patch along two axes."""
WAYS = [(1, 1), (1, 5), (2, 2), (3, 1), (3, 16)]
"""Threads, and patches at a time."""


class Denoiser:
    """A network with random weights, channels last as trainers have it on a CPU, sampled in three steps."""

    def __init__(self, configuration: ConfigurationPlan, *, bf16: bool = False) -> None:
        self.bf16 = bf16
        torch.manual_seed(0)
        network = UNet(configuration.network, image_channels=1, classes=3, mask_channels=3, level_conditioning="film")
        self.network = network.eval().to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]

    def denoise(
        self, patch: torch.Tensor, x_t: torch.Tensor, alpha_bar_t: float, previous: torch.Tensor | None
    ) -> torch.Tensor:
        level = torch.full((len(x_t),), alpha_bar_t, device=x_t.device)
        with torch.autocast(patch.device.type, dtype=torch.bfloat16, enabled=self.bf16):
            logits = self.network.denoise(patch, (x_t.clamp(-1, 1) + 1) / 2, level)
        return torch.softmax(5 * logits.float(), dim=1)

    def trajectory(self, sampling: Sampling) -> Trajectory:
        return Trajectory(self.denoise, (0.01, 0.4, 0.9), sampling, 3)

    def predict_steps(self, patch: torch.Tensor, noise: NoiseSource, sampling: Sampling) -> Iterator[torch.Tensor]:
        return self.trajectory(sampling).walk(patch, noise)


@pytest.fixture(scope="module")
def configuration() -> ConfigurationPlan:
    three, two, one = (3, 3, 3), (2, 2, 2), (1, 1, 1)
    network = NetworkPlan(
        features=(8, 16), kernels=(three, three), strides=(one, two), encoder_blocks=(1, 1), decoder_blocks=(1,)
    )
    return ConfigurationPlan(
        dimensions=3,
        spacing=(1.0, 1.0, 1.0),
        median_shape=(16, 16, 16),
        patch_size=(8, 16, 16),
        batch_size=2,
        batch_dice=False,
        normalisation=(NormalisationPlan(scheme="zscore"),),
        network=network,
        mirror_axes=(0, 2),
    )


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def answers(
    configuration: ConfigurationPlan, shape: tuple[int, ...], *, mode: str, deterministic: bool, bf16: bool = False
) -> list[npt.NDArray[np.float32]]:
    """One prediction for each of WAYS."""
    model, image = (
        Denoiser(configuration, bf16=bf16),
        np.random.default_rng(0).normal(size=(1, *shape)).astype(np.float32),
    )
    found = []
    for count, patches in WAYS:
        torch.set_num_threads(count)
        options = WindowOptions(mode=mode, deterministic=deterministic, patches=patches)  # type: ignore[arg-type]
        made = CasePredictor([model], configuration, channels=3, device=CPU, sampling=Sampling(), options=options)
        found.append(made.predict(image, "case"))
        assert torch.get_num_threads() == count
    return found


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    ("mode", "bf16"), [("tile", False), ("tile", True), ("synchronised", False), ("volume", False)]
)
def test_deterministic_predictions_have_the_same_bits_whatever_threads_and_patches(
    configuration: ConfigurationPlan, shape: tuple[int, ...], mode: str, bf16: bool
) -> None:
    first, *others = answers(configuration, shape, mode=mode, deterministic=True, bf16=bf16)
    assert all(np.array_equal(other, first) for other in others)


@pytest.mark.parametrize("shape", SHAPES)
def test_other_predictions_differ_by_rounding_and_in_labels_at_ties_alone(
    configuration: ConfigurationPlan, shape: tuple[int, ...]
) -> None:
    first, *others = answers(configuration, shape, mode="tile", deterministic=False)
    ordered = np.sort(first, axis=0)
    tie = ordered[-1] - ordered[-2] < 2e-4
    for other in others:
        assert np.abs(other - first).max() < 1e-4
        assert ((other.argmax(0) == first.argmax(0)) | tie).all()
    assert tie.mean() < 0.01


@pytest.mark.gpu
def test_on_a_gpu_too_bits_depend_on_nothing_else_when_that_is_asked_for(configuration: ConfigurationPlan) -> None:
    cuda, image = torch.device("cuda"), np.random.default_rng(0).normal(size=(1, 9, 21, 18)).astype(np.float32)
    model = Denoiser(configuration)
    model.network.to(cuda)
    found = []
    for deterministic, patches in ((True, 1), (True, 7), (False, 7)):
        options = WindowOptions(deterministic=deterministic, patches=patches)
        made = CasePredictor([model], configuration, channels=3, device=cuda, sampling=Sampling(), options=options)
        found.append(made.predict(image, "case"))
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_allclose(found[2], found[0], atol=1e-3)  # TF32 may be on
