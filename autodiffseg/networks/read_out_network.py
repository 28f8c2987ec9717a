"""ReadOutNetwork: a frozen denoiser of images, and the small head that reads its features at chosen noise levels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor, nn

from autodiffseg.diffusion.process import per_sample
from autodiffseg.networks.conditioning import LEVEL_LIMIT
from autodiffseg.networks.read_out_head import ReadOutHead
from autodiffseg.networks.unet import UNet


class ReadOutNetwork(nn.Module):
    """The head alone is trained: the backbone never has a gradient and is never in training mode.

    The steps that are read stand beside the weights, each with its log-SNR, so that they mean the same noise wherever
    the weights go, whatever becomes of the schedule.
    """

    timesteps: Tensor
    log_snr: Tensor

    def __init__(self, backbone: UNet, head: ReadOutHead, timesteps: Sequence[int], log_snr: Tensor) -> None:
        """Freeze the backbone.

        Args:
            backbone: predicts the noise in an image, told its level.
            head: of the decoder's features.
            timesteps: indices of base steps, `(S,)`.
            log_snr: log ᾱ/(1-ᾱ) of these steps, `(S,)`.
        """
        super().__init__()
        self.backbone = backbone.requires_grad_(False).eval()
        self.head = head
        self.register_buffer("timesteps", torch.tensor(timesteps, dtype=torch.int64))
        self.register_buffer("log_snr", log_snr.float())

    def train(self, mode: bool = True) -> Self:
        """Switch the head; the backbone stays in evaluation."""
        super().train(mode)
        self.backbone.eval()
        return self

    @torch.no_grad()
    def features(self, image: Tensor, noise: Tensor, step: int) -> list[Tensor]:
        """What the backbone's decoder makes of an image with noise.

        Args:
            image: `(B, C, *patch)`, as the backbone was trained on.
            noise: like it, standard normal.
            step: which of the steps that are read, from 0 on.

        Returns:
            `(B, channels, *spatial)` of each decoder level, coarse to fine, at their own resolution.
        """
        log_snr = self.log_snr[step].expand(len(image))  # (B,)
        # Not from ᾱ: in float32 1-ᾱ would be off by a thousandth at the first steps.
        signal, spread = (per_sample(value.sigmoid().sqrt(), image) for value in (log_snr, -log_snr))
        x_t = signal * image + spread * noise
        return self.backbone.forward_features(x_t, None, log_snr.clamp(-LEVEL_LIMIT, LEVEL_LIMIT))
