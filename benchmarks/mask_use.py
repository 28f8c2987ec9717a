"""Does a diffusion network use its mask input? Dice per sampling step, and the output with the mask replaced by noise.

Command:
    python benchmarks/mask_use.py FOLD_FOLDER --workspace WORKSPACE [--output FILE.json]

Predicts the validation cases of a trained fold twice, without mirroring: as it is, and with every mask input replaced
by fresh noise of the same seed (the noise level told to the network is unchanged). Prints one JSON object:

    dice_per_step           mean foreground Dice over the cases after every sampling step
    dice_with_noise_mask    the same after the last step, its mask input replaced
    changed_voxels          share of voxels whose class changes, among those that are foreground in either prediction
    probability_change      mean over the same voxels of half the L1 distance of the two class distributions, in [0, 1]
    cases, steps, sampler, trainer, updates, seed, versions, hardware
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from autodiffseg.diffusion.process import network_view
from autodiffseg.evaluation.overlap import class_overlaps
from autodiffseg.inference.predictor import CasePredictor
from autodiffseg.labels import LabelSpec
from autodiffseg.preprocessing.case_store import CaseStore
from autodiffseg.runs import RECORD, RunRecord
from autodiffseg.trainers.checkpoints import LAST, load_trainer
from autodiffseg.trainers.diffusion import DiffusionTrainer
from autodiffseg.trainers.precision import choose_device
from autodiffseg.trainers.prediction import make_predictor
from autodiffseg.trainers.prediction_options import PredictionOptions
from autodiffseg.trainers.provenance import hardware, versions
from autodiffseg.workspace import Workspace


def main() -> None:
    """Measure one fold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("fold", type=Path)
    parser.add_argument("--workspace", type=Path, default=None)
    parser.add_argument("--output", type=Path, default=None)
    arguments = parser.parse_args()
    text = json.dumps(measure(arguments.fold, Workspace(arguments.workspace)), indent=2)
    print(text)
    if arguments.output is not None:
        arguments.output.write_text(text + "\n", encoding="utf-8")


def measure(fold: Path, workspace: Workspace) -> dict[str, object]:
    """All figures of one fold."""
    record = RunRecord.load(fold / RECORD)
    device = choose_device(None)
    trainer, blinded = (load_trainer(fold / LAST, device) for _ in range(2))
    if not isinstance(trainer, DiffusionTrainer) or not isinstance(blinded, DiffusionTrainer):
        raise SystemExit(f"{fold} is no diffusion model: it has no mask input.")
    blind(blinded)
    store = CaseStore(workspace.preprocessed(record.dataset) / trainer.plan.data_id(record.configuration))
    cases = record.validation_cases
    options = PredictionOptions(mirroring=False)
    predictors: list[CasePredictor] = [
        make_predictor([model], trainer.plan, record.configuration, trainer.spec, device=device, options=options)
        for model in (trainer, blinded)
    ]
    per_step, noise_dice, changed, moved = [], [], [], []
    for case in cases:
        image = np.asarray(store.image(case)[:])
        label = np.asarray(store.label(case)[:])[0].clip(min=0)
        steps = predictors[0].predict_every_step(image, case)
        replaced = predictors[1].predict(image, case)
        per_step.append([mean_dice(trainer.spec.decode(step), label, trainer.spec) for step in steps])
        plain, noisy = trainer.spec.decode(steps[-1]), trainer.spec.decode(replaced)
        noise_dice.append(mean_dice(noisy, label, trainer.spec))
        foreground = (plain > 0) | (noisy > 0)
        changed.append((plain != noisy)[foreground].mean())
        moved.append(np.abs(steps[-1] - replaced).sum(axis=0)[foreground].mean() / 2)
    return {
        "trainer": record.trainer,
        "dataset": record.dataset,
        "fold": record.fold,
        "cases": len(cases),
        "steps": trainer.plan.diffusion.sampling_steps,
        "sampler": trainer.plan.diffusion.sampler,
        "dice_per_step": [round(float(value), 5) for value in np.mean(per_step, axis=0)],
        "dice_with_noise_mask": round(float(np.mean(noise_dice)), 5),
        "changed_voxels": round(float(np.mean(changed)), 5),
        "probability_change": round(float(np.mean(moved)), 5),
        "updates": record.iterations_done,
        "seed": record.seed,
        "versions": versions(),
        "hardware": hardware(device),
    }


def blind(trainer: DiffusionTrainer) -> None:
    """Replace what the network sees of x_t by fresh noise; the level stays."""
    shown = trainer.mask_input
    rng = torch.Generator(trainer.device).manual_seed(0)

    def noise_instead(x_t: Tensor, alpha_bar_t: Tensor) -> tuple[Tensor, Tensor | None]:
        return network_view(trainer.standard_normal(x_t.shape, rng)), shown(x_t, alpha_bar_t)[1]

    trainer.mask_input = noise_instead  # type: ignore[method-assign]


def mean_dice(pred: npt.NDArray[np.integer[Any]], gt: npt.NDArray[np.integer[Any]], spec: LabelSpec) -> float:
    """Mean over foreground classes."""
    return float(np.nanmean([overlap.dice for overlap in class_overlaps(pred, gt, spec).values()]))


if __name__ == "__main__":
    main()
