"""Surface metrics of 200 pairs of random shapes by MONAI and by the surface-distance library, which ours must equal.

Command: `python benchmarks/metrics_oracles.py`, in an environment that has `monai` and `surface-distance` beside
autodiffseg (neither is a dependency; they only check); half a minute. Writes
`tests/evaluation/surface_oracles.json`, which the tests hold our metrics to without either library:
- `versions`: of the libraries that computed the numbers;
- `pairs`: per pair of `oracle_shapes.py` the voxels of both masks (`n_pred`, `n_ref`: the shapes are the same ones);
  of MONAI's defaults `HD`, `HD95` and the symmetric `ASSD` in mm; `NSD` of MONAI with `use_subvoxels` and of
  surface-distance (`NSD_surface_distance`) at the pair's tolerance.
Prints the largest difference of each number to ours.
"""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from oracle_shapes import ShapePair, shape_pairs

from autodiffseg.evaluation.mask_pair import MaskPair
from autodiffseg.evaluation.surface import surface_distances
from autodiffseg.evaluation.surface_dice import weighed_distances

OUT = Path(__file__).parents[1] / "tests" / "evaluation" / "surface_oracles.json"


def our_values(pair: ShapePair) -> dict[str, float]:
    """The same numbers by autodiffseg."""
    masks = MaskPair.of(pair.prediction, pair.reference, spacing_mm=pair.spacing_mm)
    distances, dice = surface_distances(masks), weighed_distances(masks).surface_dice(pair.tolerance_mm)
    return {
        "HD": distances.hausdorff_mm,
        "HD95": distances.hd95_mm,
        "ASSD": distances.mean_surface_distance_mm,
        "NSD": dice,
        "NSD_surface_distance": dice,
    }


def oracle_values(pair: ShapePair) -> dict[str, float]:
    """The numbers by the two libraries."""
    import surface_distance
    import torch
    from monai.metrics import (
        compute_average_surface_distance,
        compute_hausdorff_distance,
        compute_surface_dice,
    )

    flat = pair.prediction.shape[0] == 1
    prediction, reference = (mask[0] if flat else mask for mask in (pair.prediction, pair.reference))
    spacing = pair.spacing_mm[1:] if flat else pair.spacing_mm
    batch = [torch.from_numpy(np.ascontiguousarray(mask))[None, None] for mask in (prediction, reference)]
    common: dict[str, Any] = {"include_background": True, "spacing": spacing}
    distances = surface_distance.compute_surface_distances(reference, prediction, spacing)
    dice = compute_surface_dice(*batch, [pair.tolerance_mm], use_subvoxels=True, **common)
    return {
        "HD": float(compute_hausdorff_distance(*batch, **common)),
        "HD95": float(compute_hausdorff_distance(*batch, percentile=95, **common)),
        "ASSD": float(compute_average_surface_distance(*batch, symmetric=True, **common)),
        "NSD": float(dice),
        "NSD_surface_distance": float(surface_distance.compute_surface_dice_at_tolerance(distances, pair.tolerance_mm)),
    }


def main() -> None:
    """Compute, write and print."""
    pairs, differences = [], []
    for pair in shape_pairs():
        oracle, ours = oracle_values(pair), our_values(pair)
        differences.append([abs(oracle[name] - ours[name]) for name in oracle])
        counts = {"n_pred": int(pair.prediction.sum()), "n_ref": int(pair.reference.sum())}
        pairs.append(counts | {name: round(value, 6) for name, value in oracle.items()})
    versions = {name: version(name) for name in ("monai", "surface-distance", "torch", "numpy", "scipy")}
    rows = ",\n".join(json.dumps(row) for row in pairs)
    OUT.write_text(f'{{"versions": {json.dumps(versions)},\n"pairs": [\n{rows}\n]}}\n', encoding="utf-8")
    largest = np.max(differences, axis=0)
    print(json.dumps({name: float(f"{value:.2g}") for name, value in zip(oracle, largest, strict=True)}, indent=2))


if __name__ == "__main__":
    main()
