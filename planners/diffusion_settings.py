"""The diffusion part of a plan, from the fingerprint: encoding, how far the noise is shifted, sampler and steps."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from autodiffseg.fingerprint import Fingerprint, LeakageCurve
from autodiffseg.labels import LabelSpec
from autodiffseg.plans import DiffusionPlan

WANTED_LEAKAGE = 0.5
"""Of the label, on average over the base steps: as many steps hide it as show it."""
FARTHEST_SHIFT = -6.0
"""The first base step of the linear schedule is then still at 3.2, where every structure shows."""
SHIFT_STEP = 0.1


class DiffusionSettings(NamedTuple):
    """The planned settings and a sentence for each."""

    plan: DiffusionPlan
    reasons: tuple[str, ...]


def plan_diffusion(fingerprint: Fingerprint, spec: LabelSpec) -> DiffusionSettings:
    """Plan the diffusion; the result depends on the arguments alone."""
    usual = DiffusionPlan()
    curve = fingerprint.leakage.curve if fingerprint.leakage else None
    shift = 0.0 if curve is None else plan_shift(curve, linear_log_snr(usual))
    plan = DiffusionPlan(encoding="regions" if spec.has_regions else "classes", log_snr_shift=shift, leakage=curve)
    if spec.has_regions:
        encoding = "Encoding `regions`: labels overlap, so each has a channel of its own (sigmoid)."
    else:
        encoding = "Encoding `classes`: labels exclude each other, one channel each and one for background (softmax)."
    sampling = (
        f"Sampler `{plan.sampler}` with {plan.sampling_steps} `{plan.respacing}` steps: the recycling paper's number; "
        "it depends on nothing in the data."
    )
    return DiffusionSettings(plan, (encoding, *_shift_reasons(fingerprint, plan), sampling))


def plan_shift(curve: LeakageCurve, log_snr: npt.NDArray[np.float64]) -> float:
    """The shift nearest to zero, in tenths from 0 to -6, with which at most half of the label is given away.

    Args:
        curve: of the dataset.
        log_snr: of every base step, before the shift.
    """
    steps = round(FARTHEST_SHIFT / -SHIFT_STEP)
    for tenths in range(steps):
        shift = -round(tenths * SHIFT_STEP, 1) or 0.0
        if mean_leakage(curve, log_snr + shift) <= WANTED_LEAKAGE:
            return shift
    return FARTHEST_SHIFT


def mean_leakage(curve: LeakageCurve, log_snr: npt.NDArray[np.float64]) -> float:
    """The mean of the curve over these levels; beyond its ends it stays as it is there."""
    return float(np.interp(log_snr, curve.log_snr, curve.leaked).mean())


def linear_log_snr(plan: DiffusionPlan) -> npt.NDArray[np.float64]:
    """log ᾱ/(1-ᾱ) of the base steps of the linear schedule before its shift.

    `autodiffseg.diffusion.schedule` has it too, but planning would have to load torch for it.
    """
    alpha_bar = np.cumprod(1 - np.linspace(plan.beta_start, plan.beta_end, plan.base_steps))
    return np.asarray(np.log(alpha_bar) - np.log1p(-alpha_bar))


def _shift_reasons(fingerprint: Fingerprint, plan: DiffusionPlan) -> tuple[str, ...]:
    if fingerprint.leakage is None:
        return ("No `log_snr_shift`: the fingerprint holds no leakage curve.",)
    leakage, levels = fingerprint.leakage, linear_log_snr(plan)
    before, after = (mean_leakage(leakage.curve, levels + shift) for shift in (0.0, plan.log_snr_shift))
    seen = (
        f"Smoothing the noised label of {leakage.blocks} pieces of training cases (each at most "
        f"{leakage.block_voxels:,} voxels) gives away {before:.0%} of it, on average over the base steps: 0 % is "
        "guessing, 100 % the label itself."
    )
    if plan.log_snr_shift == 0:
        decided = "That is half or less: `log_snr_shift` is 0."
    elif after > WANTED_LEAKAGE:
        decided = (
            f"`log_snr_shift` **{plan.log_snr_shift:g}**, the farthest allowed, leaves {after:.0%}; half was wanted."
        )
    else:
        decided = (
            f"`log_snr_shift` **{plan.log_snr_shift:g}** brings that to {after:.0%}: as many updates hide the label as "
            "show it. It is for trainers that noise the label; recycling keeps 0. `--set log_snr_shift=0` does without."
        )
    return (seen, decided)
