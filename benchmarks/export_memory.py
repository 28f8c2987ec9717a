"""Peak memory of bringing a prediction onto the raw grid and writing it, beside nnU-Net 2.8.1's own export.

Command: `python benchmarks/export_memory.py [--venv FOLDER] [--scratch FOLDER] [--side 300] [--classes 16]`; the first
run makes an environment with nnunetv2 in `--venv`. Linux; a few minutes. Needs about 8 GB of memory for nnU-Net's side.

Both get the prediction of one case: the same smooth probabilities of `--classes` classes (nnU-Net their logarithms) on
a grid of 4/5 of the side, which belong to an image of `--side` voxels a side, 1 mm. Each export runs in a process of
its own that holds the array already and has exported a tiny one before. Writes `export_memory.json` and `.md` to
`--out`:
- `machine`, `setting`;
- `exports`: per export `before_gb`, the process with the array before (GB of 1e9 bytes); `added_gb`, how far resident
  memory rose above that; `added_volumes`, the same in float32 arrays of the raw image; `cpu_seconds`. `probabilities`:
  written as well (nnU-Net float32, ours float16). `on_disk`: the array was left on disk, as above `--memory`.
- `labels_differ`: share of voxels in which the two label maps differ; averages of logarithms are not those of
  probabilities.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from nnunet_plan_file import nnunet_plans
from nnunet_venv import nnunet_python, versions
from scipy import ndimage

from autodiffseg.atomic import write_json, write_text
from autodiffseg.fingerprint import IntensityStatistics
from autodiffseg.images import read_label
from autodiffseg.plans import ConfigurationPlan, NetworkPlan, NormalisationPlan, Plan

HERE = Path(__file__).parent
CONFIGURATION = "3d_fullres"
SPACING = 1.25
"""Of the plan, mm; the image has 1."""


def make_plan() -> Plan:
    """The least that resampling needs."""
    ones = (1, 1, 1)
    configuration = ConfigurationPlan(
        dimensions=3,
        spacing=(SPACING,) * 3,
        median_shape=ones,
        patch_size=(8, 8, 8),
        batch_size=2,
        batch_dice=False,
        normalisation=(NormalisationPlan(scheme="zscore"),),
        network=NetworkPlan(
            features=(1, 1), kernels=(ones, ones), strides=(ones, ones), encoder_blocks=(1, 1), decoder_blocks=(1,)
        ),
        mirror_axes=(),
    )
    statistics = IntensityStatistics(mean=0, median=0, std=1, min=0, max=1, percentile_00_5=0, percentile_99_5=1)
    return Plan(
        name="test",
        preset="cpu",
        dataset="Dataset999_Export",
        fingerprint_hash="",
        transpose=(0, 1, 2),
        intensities=(statistics,),
        configurations={CONFIGURATION: configuration},
        iterations=1,
    )


def write_arrays(folder: Path, classes: int, side: int) -> None:
    """Smooth random logits that are log-probabilities, and the probabilities; class by class, to hold few."""
    rng = np.random.default_rng(0)
    logits = np.lib.format.open_memmap(folder / "logits.npy", "w+", np.float32, (classes, side, side, side))
    for channel in logits:
        smooth = ndimage.zoom(rng.normal(size=(side // 12,) * 3).astype(np.float32), side / (side // 12), order=1)
        channel[...] = 4 * smooth
    for plane in range(side):
        values = logits[:, plane]
        logits[:, plane] = values - np.log(np.exp(values).sum(0))
    probabilities = np.lib.format.open_memmap(folder / "probabilities.npy", "w+", np.float32, logits.shape)
    for source, target in zip(logits, probabilities, strict=True):
        np.exp(source, out=target)


def run_side(python: Path, script: str, setting: dict[str, Any], folder: Path) -> dict[str, Any]:
    """One export in a fresh process."""
    path = folder / "setting.json"
    path.write_text(json.dumps(setting))
    no_folders = dict.fromkeys(("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"), "")
    environment = os.environ | no_folders | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [str(python), str(HERE / script), str(path)], capture_output=True, text=True, env=environment, check=False
    )
    if done.returncode:
        raise SystemExit(f"{script} failed:\n{done.stderr[-3000:]}")
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


def main() -> None:
    """Measure all exports and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--venv", type=Path)
    parser.add_argument("--scratch", type=Path)
    parser.add_argument("--side", type=int, default=300)
    parser.add_argument("--classes", type=int, default=16)
    parser.add_argument("--out", type=Path, default=HERE / "results")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.scratch) as temporary:
        folder = Path(temporary)
        python = nnunet_python(arguments.venv or folder / "venv")
        found = measure(folder, python, arguments.side, arguments.classes)
    command = f"python benchmarks/export_memory.py --side {arguments.side} --classes {arguments.classes}"
    found = {"machine": machine(python), "command": command, **found}
    write_json(arguments.out / "export_memory.json", found)
    write_text(arguments.out / "export_memory.md", page(found))
    print(page(found))


def measure(folder: Path, python: Path, side: int, classes: int) -> dict[str, Any]:
    """All exports of arrays of one size."""
    plan, volume = make_plan(), 4 * side**3
    write_arrays(folder, classes, round(side / SPACING))
    labels = {"background": 0} | {f"class {number}": number for number in range(1, classes)}
    setting: dict[str, Any] = {
        "plan": json.loads(plan.model_dump_json()),
        "plans": nnunet_plans(plan, CONFIGURATION),
        "configuration": CONFIGURATION,
        "spacing": SPACING,
        "dataset": {"channel_names": {"0": "MR"}, "labels": labels, "numTraining": 1, "file_ending": ".nii.gz"},
        "geometry": {
            "shape": (side,) * 3, "spacing": (1.0,) * 3, "origin": (0.0,) * 3, "direction": (1, 0, 0, 0, 1, 0, 0, 0, 1)
        },
        "logits": str(folder / "logits.npy"),
        "probabilities_file": str(folder / "probabilities.npy"),
    }  # fmt: skip
    exports = []
    for tool, probabilities, on_disk in (
        ("nnU-Net", False, False),
        ("nnU-Net", True, False),
        ("autodiffseg", False, False),
        ("autodiffseg", True, False),
        ("autodiffseg", False, True),
        ("autodiffseg", True, True),
    ):
        ours = tool == "autodiffseg"
        out = str(folder / tool) if ours else str(folder / "nnunet_case")
        asked = setting | {"probabilities": probabilities, "on_disk": on_disk, "out": out}
        script = "our_export_side.py" if ours else "nnunet_export_side.py"
        told = run_side(Path(sys.executable) if ours else python, script, asked, folder)
        exports.append(
            {
                "tool": tool,
                "probabilities": probabilities,
                "on_disk": on_disk,
                "before_gb": round(told["before_bytes"] / 1e9, 3),
                "added_gb": round(told["added_bytes"] / 1e9, 3),
                "added_volumes": round(told["added_bytes"] / volume, 2),
                "cpu_seconds": round(told["cpu_seconds"], 1),
            }
        )
        print(exports[-1], file=sys.stderr)
    differ = read_label(folder / "nnunet_case.nii.gz")[0] != read_label(folder / "autodiffseg" / "case.nii.gz")[0]
    sizes = {"classes": classes, "raw_side": side, "planned_side": round(side / SPACING), "volume_gb": volume / 1e9}
    return {"setting": sizes, "exports": exports, "labels_differ": float(differ.mean())}


def machine(python: Path) -> dict[str, Any]:
    """Where it ran."""
    ours = {name: version(name) for name in ("autodiffseg", "numpy", "scikit-image", "SimpleITK", "blosc2")}
    return {
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "date": time.strftime("%Y-%m-%d"),
        "autodiffseg": ours,
        "nnunet": versions(python),
    }


def page(found: dict[str, Any]) -> str:
    """The results as a Markdown page."""
    setting = found["setting"]
    raw, planned = (" × ".join([str(setting[key])] * 3) for key in ("raw_side", "planned_side"))
    lines = [
        f"# Memory of export beside nnU-Net {found['machine']['nnunet']['nnunetv2']}",
        "",
        f"{setting['classes']} classes on {planned} voxels, brought onto an image of {raw} voxels and written. One "
        f"float32 array of the image is {setting['volume_gb']:.3g} GB.",
        "",
        "| | written | array | before, GB | added, GB | added, float arrays of the image | CPU s |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in found["exports"]:
        written = "label map and probabilities" if row["probabilities"] else "label map"
        where = "on disk" if row["on_disk"] else "in memory"
        numbers = [f"{row[key]:.3g}" for key in ("before_gb", "added_gb", "added_volumes", "cpu_seconds")]
        lines.append(f"| {row['tool']} | {written} | {where} | {' | '.join(numbers)} |")
    lines += [
        "",
        f"The label maps differ in {100 * found['labels_differ']:.2g} % of voxels: nnU-Net interpolates logits, "
        "autodiffseg probabilities.",
        "",
        f"{found['machine']['cores']} cores, other work beside; {found['machine']['date']}. "
        f"Command: `{found['command']}`.",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
