"""Seconds to score one case of many classes: every metric of 15 classes on 256 x 256 x 128 voxels.

Command: `python benchmarks/metrics_speed.py [--repeats 3] [--venv FOLDER]`; one process, no data, under a minute
without `--venv`. The case is 15 ellipsoids of 14,000 to 81,000 voxels at 1.5 x 0.8 x 0.8 mm; the prediction is the
same moved by a voxel or two, with one stray island a class, so that distance transforms are not cut down to almost
nothing.

Prints one JSON object:
- `machine`: versions and processor;
- `shape`, `classes`, `repeats`: what was timed;
- `overlap`: counting alone (Dice, IoU, TP, FP, FN, TN); `surfaces`: the same with HD95, HD, ASSD, NSD@1mm and NSD@2mm;
  `all`: everything that `evaluate` computes of the two label maps in memory. Files are not read. Each has
  `wall_seconds` and `cpu_seconds` of the repeat with the least CPU time: on a machine with other work the wall time
  tells little;
- `dice`, `hd95_mm`, `nsd_1mm`: foreground means, so that a faster but wrong version shows;
- `peers`, with `--venv`: what `metric_peers.py` says of MONAI and nnU-Net on the same masks, in an environment of its
  own that the first run makes in FOLDER.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import numpy.typing as npt
from nnunet_venv import nnunet_python

from autodiffseg.evaluation.overlap import class_overlaps
from autodiffseg.evaluation.scoring import score_label_maps
from autodiffseg.geometry import Geometry
from autodiffseg.images import write_image
from autodiffseg.labels import LabelSpec

SHAPE = (128, 256, 256)
SPACING_MM = (1.5, 0.8, 0.8)
CLASSES = 15
SURFACES = ("HD95", "HD", "ASSD", "NSD@1mm", "NSD@2mm")
MONAI = "monai==1.6.1"
SPEC = LabelSpec(labels={"background": 0, **{f"organ {value}": value for value in range(1, CLASSES + 1)}})


def make_case(*, moved: bool) -> npt.NDArray[np.int16]:
    """`(Z, Y, X)` label map; `moved` gives the prediction."""
    rng = np.random.default_rng(0)
    label = np.zeros(SHAPE, dtype=np.int16)
    z, y, x = np.indices(SHAPE, sparse=True)
    for value in range(1, CLASSES + 1):
        row, column = divmod(value - 1, 4)
        centre = np.array([64, 32 + 64 * row, 32 + 64 * column]) + rng.integers(-6, 7, size=3)
        radii = rng.uniform(11, 29, size=3)
        shift = rng.integers(-2, 3, size=3)
        if moved:
            centre = centre + shift
        inside = sum(((axis - c) / r) ** 2 for axis, c, r in zip((z, y, x), centre, radii, strict=True)) <= 1
        label[inside] = value
        if moved:
            corner = [2 + 8 * value, 250, 250 - 15 * value]
            label[tuple(slice(start, start + 2) for start in corner)] = value
    return label


def fastest(work: Callable[[], object], repeats: int) -> dict[str, float]:
    """Seconds of the call with the least CPU time of `repeats`."""
    seconds = []
    for _ in range(repeats):
        cpu, wall = time.process_time(), time.perf_counter()
        work()
        seconds.append((time.process_time() - cpu, time.perf_counter() - wall))
    least, its_wall = min(seconds)
    return {"wall_seconds": round(its_wall, 3), "cpu_seconds": round(least, 3)}


def measure(repeats: int) -> dict[str, Any]:
    """The JSON object that the first lines of this file describe."""
    reference, prediction = make_case(moved=False), make_case(moved=True)
    scores = score_label_maps(prediction, reference, SPEC, spacing_mm=SPACING_MM)
    return {
        "machine": {
            "python": platform.python_version(),
            "processor": platform.processor() or platform.machine(),
            **{name: version(name) for name in ("autodiffseg", "numpy", "scipy")},
        },
        "shape": SHAPE,
        "classes": CLASSES,
        "repeats": repeats,
        "overlap": fastest(lambda: class_overlaps(prediction, reference, SPEC), repeats),
        "surfaces": fastest(
            lambda: score_label_maps(prediction, reference, SPEC, spacing_mm=SPACING_MM, metrics=SURFACES), repeats
        ),
        "all": fastest(lambda: score_label_maps(prediction, reference, SPEC, spacing_mm=SPACING_MM), repeats),
        "dice": round(float(np.mean([metrics["Dice"] for metrics in scores.values()])), 4),
        "hd95_mm": round(float(np.mean([metrics["HD95"] for metrics in scores.values()])), 3),
        "nsd_1mm": round(float(np.mean([metrics["NSD@1mm"] for metrics in scores.values()])), 4),
    }


def measure_peers(venv: Path, repeats: int) -> dict[str, Any]:
    """What `metric_peers.py` prints."""
    python = nnunet_python(venv)
    subprocess.run([str(python), "-m", "pip", "install", "--quiet", "--no-deps", MONAI], check=True)
    grid = Geometry(
        shape=SHAPE, spacing=SPACING_MM, origin=(0.0, 0.0, 0.0), direction=(1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
    )
    with tempfile.TemporaryDirectory() as folder:
        for name, moved in (("prediction", True), ("reference", False)):
            write_image(Path(folder) / f"{name}.nii.gz", make_case(moved=moved), grid)
        command = [str(python), "-W", "ignore", str(Path(__file__).with_name("metric_peers.py")), folder, str(repeats)]
        told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found: dict[str, Any] = json.loads(told.splitlines()[-1])
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3, help="calls of which the fastest counts")
    parser.add_argument("--venv", type=Path, help="folder of an environment for MONAI and nnU-Net; made if missing")
    arguments = parser.parse_args()
    found = measure(arguments.repeats)
    if arguments.venv is not None:
        found["peers"] = measure_peers(arguments.venv, arguments.repeats)
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
