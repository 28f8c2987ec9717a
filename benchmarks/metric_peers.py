"""Seconds that MONAI and nnU-Net take for the masks of `metrics_speed.py`, in an environment that has both.

Command: `python metric_peers.py FOLDER REPEATS`, called by `metrics_speed.py --venv`; FOLDER holds `prediction.nii.gz`
and `reference.nii.gz`. Its last line is JSON: `versions`, and wall and CPU seconds of the repeat with the least CPU
time of
- `monai_hd95`: `compute_hausdorff_distance(percentile=95)` of one-hot masks that are made beforehand;
- `monai_surface_dice`: `compute_surface_dice(use_subvoxels=True)` of the same at 1 mm;
- `nnunet_dice`: nnU-Net's `compute_metrics` (Dice, IoU and counts), which reads the two files itself.
`hd95_mm`, `nsd_1mm` and `dice` are the means over the classes.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
import torch
from monai.metrics import compute_hausdorff_distance, compute_surface_dice
from nnunetv2.evaluation.evaluate_predictions import compute_metrics
from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO


def fastest(work: Callable[[], Any], repeats: int) -> tuple[dict[str, float], Any]:
    """Seconds of the call with the least CPU time of `repeats`, and what the last one returned."""
    seconds, result = [], None
    for _ in range(repeats):
        cpu, wall = time.process_time(), time.perf_counter()
        result = work()
        seconds.append((time.process_time() - cpu, time.perf_counter() - wall))
    least, its_wall = min(seconds)
    return {"wall_seconds": round(its_wall, 3), "cpu_seconds": round(least, 3)}, result


def main() -> None:
    """Measure and print."""
    torch.set_num_threads(1)
    folder, repeats = Path(sys.argv[1]), int(sys.argv[2])
    files = [folder / f"{name}.nii.gz" for name in ("prediction", "reference")]
    images = [sitk.ReadImage(str(path)) for path in files]
    spacing = images[0].GetSpacing()[::-1]
    arrays = [sitk.GetArrayFromImage(image) for image in images]
    classes = range(1, int(arrays[1].max()) + 1)
    masks = [torch.from_numpy(np.stack([array == value for value in classes]))[None] for array in arrays]
    common: dict[str, Any] = {"include_background": True, "spacing": spacing}
    hd95, distances = fastest(lambda: compute_hausdorff_distance(*masks, percentile=95, **common), repeats)
    tolerances = [1.0] * len(classes)
    nsd, shares = fastest(lambda: compute_surface_dice(*masks, tolerances, use_subvoxels=True, **common), repeats)
    paths = [str(path) for path in reversed(files)]
    nnunet, scores = fastest(lambda: compute_metrics(*paths, SimpleITKIO(), list(classes)), repeats)
    dice = [row["Dice"] for row in scores["metrics"].values()]
    found = {
        "versions": {name: version(name) for name in ("monai", "nnunetv2", "torch", "numpy", "scipy")},
        "monai_hd95": hd95,
        "monai_surface_dice": nsd,
        "nnunet_dice": nnunet,
        "hd95_mm": round(float(distances.mean()), 3),
        "nsd_1mm": round(float(shares.mean()), 4),
        "dice": round(float(np.mean(dice)), 4),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
