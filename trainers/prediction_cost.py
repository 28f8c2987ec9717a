"""What a prediction costs: operations of the networks, counted without computing them."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from autodiffseg.errors import UserError
from autodiffseg.inference.windows import origins
from autodiffseg.memory.stand_in import meta_stands_for
from autodiffseg.preprocessing.case_store import CaseStore
from autodiffseg.runs import fold_folder, fold_records
from autodiffseg.sampling import Sampling
from autodiffseg.workspace import Workspace

from .base import Trainer
from .checkpoints import LAST, load_trainer
from .prediction import choose_sampling
from .prediction_options import PredictionOptions
from .training_memory import meta_twin


def operations_per_case(run: Path, workspace: Workspace, cases: Sequence[str]) -> float:
    """Floating-point operations of one fold of a run for a case, mean over `cases`; all members, stages and mirrors.

    NaN when the trainer cannot be run without data, or a case is not preprocessed.

    Raises:
        UserError: when a member, a previous stage or a checkpoint is gone.
    """
    records = fold_records(run)
    fold, record = next(iter(records.items()))
    if record.members:
        return sum(operations_per_case(run.parent / name, workspace, cases) for name in record.members)
    # One may be in training, and have no checkpoint yet.
    fold = next((one for one in records if (fold_folder(run, one) / LAST).is_file()), fold)
    trainer = load_trainer(fold_folder(run, fold) / LAST, torch.device("cpu"), "fp32")
    store = CaseStore(workspace.preprocessed(record.dataset) / trainer.plan.data_id(record.configuration))
    if not all(store.has(case) for case in cases):
        return math.nan
    windows = float(np.mean([_windows(trainer, store.properties(case).shape) for case in cases]))
    try:
        own = windows * patch_operations(trainer, choose_sampling(trainer.plan))
    except UserError:
        return math.nan
    before = operations_per_case(run.parent / record.previous_run, workspace, cases) if record.previous_run else 0
    return own + before


def patch_operations(trainer: Trainer, sampling: Sampling) -> int:
    """Floating-point operations of one prediction of a patch, all sampling steps, counted on tensors without content.

    Raises:
        UserError: when the trainer cannot be run without data.
    """
    patch = trainer.configuration.patch_size
    with meta_stands_for("cpu"), meta_twin(trainer) as twin, torch.no_grad():

        def noise(step: int, channels: int) -> torch.Tensor:
            return torch.empty((1, channels, *patch), device=twin.device)

        image = torch.empty((1, twin.image_channels, *patch), device=twin.device)
        with FlopCounterMode(display=False) as counter:
            deque(twin.predict_steps(image, noise, sampling), maxlen=0)
    return int(counter.get_total_flops())


def _windows(trainer: Trainer, shape: Sequence[int]) -> int:
    """Patches that the sliding window takes for a preprocessed case of `shape` (Z, Y, X), mirrored ones counted in."""
    planned = trainer.configuration
    window = (*(1,) * (3 - planned.dimensions), *planned.patch_size)
    padded = [max(size, length) for size, length in zip(shape, window, strict=True)]
    mirrors: int = 1 if trainer.pairs_mirrors else 2 ** len(trainer.mirror_axes)
    return len(origins(padded, window, PredictionOptions().step_size)) * mirrors
