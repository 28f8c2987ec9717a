"""Preprocessing beside nnU-Net 2.8.1's: seconds on Hippocampus, and arrays on datasets that have to be resampled.

Command: `python benchmarks/preprocessing_vs_nnunet.py DATA [--venv FOLDER] [--scratch FOLDER] [--repeats 5]`; DATA
holds the raw datasets Dataset004_Hippocampus, Dataset027_ACDC and Dataset150_BraTS15mini. The first run makes an
environment with nnunetv2 in `--venv`. Without `--venv` and `--scratch` both are temporary. Ten minutes at most on two
cores.

Both tools get the same raw files, one plan (ours, written as nnU-Net's plans file too) and the same number of
processes, and take turns, so that other work on the machine hits both. No output is removed before the end, since
making files was seen to be ten times slower on a disk from which many had just been removed. Writes
`preprocessing_vs_nnunet.json` and `.md` to `--out`:
- `machine`: processor, cores, versions, load average before and after the timed runs;
- `speed`: seconds of each tool in every repeat. `run`: nnU-Net's `DefaultPreprocessor.run` and our
  `preprocess_dataset` in an interpreter that has imported them; starting worker processes is part of it. `whole`: the
  command from start to exit, interpreter and imports included. `here`: all cases in one process that has already done
  them once: no start-up at all. `cpu`: processor seconds of `whole`, over all its processes. `times_faster`: ratio of
  the medians.
- `agreement`: per dataset, over all cases: `cases`, how many were `resampled`, and as mean and worst case
  `image_difference` (mean absolute difference in standard deviations of nnU-Net's array), `label_dice` (lowest class of
  a case) and `outside_differs` (share of voxels whose mark "outside the body" differs).
It fails if a shape differs.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import blosc2
import numpy as np
from aside import set_aside
from changed_headers import Change, copy_dataset, every_other, thick_slices, unchanged
from nnunet_plan_file import nnunet_plans
from nnunet_venv import nnunet_python, versions

from autodiffseg.atomic import write_json, write_text
from autodiffseg.dataset import RawDataset
from autodiffseg.planners.fingerprint_extraction import take_fingerprint
from autodiffseg.planners.planner import make_plan
from autodiffseg.planners.presets import find_preset
from autodiffseg.plans import Plan
from autodiffseg.preprocessing.case_store import CaseStore

HERE = Path(__file__).parent
CONFIGURATION = "3d_fullres"


class Setting(NamedTuple):
    """A dataset as both tools get it."""

    name: str
    source: str
    change: Change
    spacing: tuple[float, float, float] | None = None
    """Target, mm, instead of the planned one."""


SPEED = Setting("Hippocampus, as it is", "Dataset004_Hippocampus", unchanged)
AGREEMENT = (
    Setting("Hippocampus, every other case 1.3 x 0.9 x 1.1 mm", "Dataset004_Hippocampus", every_other),
    Setting("ACDC, slices of 5 to 10 mm, pixels of 1.2 to 1.8 mm", "Dataset027_ACDC", thick_slices),
    Setting("BraTS15mini at 1.5 mm", "Dataset150_BraTS15mini", unchanged, (1.5, 1.5, 1.5)),
)


class Bench:
    """A dataset prepared for both tools, which are run as commands."""

    def __init__(self, setting: Setting, data: Path, scratch: Path, python: Path, processes: int) -> None:
        self.folder = scratch / setting.name.replace(" ", "_").replace(",", "")
        raw = copy_dataset(data / setting.source, self.folder / "raw" / setting.source, setting.change)
        self.raw, self.processes, self._python = raw, processes, python
        self.plan = make_our_plan(raw, setting.spacing, processes)
        self._plan_path = self.folder / "plan.json"
        self.plan.save(self._plan_path)
        theirs = self.folder / "nnunet" / raw.name
        write_json(theirs / "nnUNetPlans.json", nnunet_plans(self.plan, CONFIGURATION))
        write_json(theirs / "dataset.json", json.loads((raw.folder / "dataset.json").read_text()))
        self.their_cases = theirs / f"nnUNetPlans_{CONFIGURATION}"
        self.our_cases = self.folder / "ours"
        places = {"nnUNet_raw": raw.folder.parent, "nnUNet_preprocessed": theirs.parent, "nnUNet_results": scratch}
        self._environment = {**os.environ, "OMP_NUM_THREADS": "1", **{name: str(path) for name, path in places.items()}}

    def ours(self, processes: int) -> dict[str, float]:
        """Preprocess with autodiffseg; 0 processes: without start-up."""
        paths = [str(self.raw.folder), str(self._plan_path), CONFIGURATION, str(self.our_cases), str(processes)]
        return self._time(self.our_cases, [sys.executable, str(HERE / "our_side.py"), *paths])

    def theirs(self, processes: int) -> dict[str, float]:
        """Preprocess with nnU-Net; 0 processes: without start-up."""
        arguments = [self.raw.name, CONFIGURATION, str(processes)]
        return self._time(self.their_cases, [str(self._python), str(HERE / "nnunet_side.py"), *arguments])

    def _time(self, out: Path, command: list[str]) -> dict[str, float]:
        set_aside(out)
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=self._environment)
        whole, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
        if done.returncode:
            raise SystemExit(f"{shlex.join(command)} failed:\n{done.stderr[-3000:]}")
        told = json.loads(done.stdout.strip().splitlines()[-1])
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return {"run": told["run_seconds"], "whole": whole, "cpu": cpu}


def make_our_plan(raw: RawDataset, spacing: tuple[float, float, float] | None, processes: int) -> Plan:
    """Our default plan of a dataset."""
    fingerprint = take_fingerprint(raw, "", processes=processes)
    channels, preset = raw.json.channels, find_preset("default")
    return make_plan(fingerprint, channels=channels, spec=raw.spec, preset=preset, name="default", spacing=spacing).plan


def measure_speed(bench: Bench, repeats: int) -> dict[str, Any]:
    """Seconds of both tools, taking turns."""
    seconds: dict[str, dict[str, list[float]]] = {"nnunet": {}, "autodiffseg": {}}
    for repeat in range(repeats):
        for tool, run in (("nnunet", bench.theirs), ("autodiffseg", bench.ours)):
            many, one = run(bench.processes), run(0)
            for key, value in (*many.items(), ("here", one["run"])):
                seconds[tool].setdefault(key, []).append(round(value, 3))
        print(f"repeat {repeat + 1}: {json.dumps(seconds)}", file=sys.stderr)
    medians = {tool: {key: statistics.median(values) for key, values in of.items()} for tool, of in seconds.items()}
    faster = {key: round(medians["nnunet"][key] / value, 2) for key, value in medians["autodiffseg"].items()}
    settings = {"cases": len(bench.raw.cases), "processes": bench.processes, "repeats": repeats}
    return {**settings, "seconds": seconds, "median_seconds": medians, "times_faster": faster}


def compare(bench: Bench) -> dict[str, Any]:
    """The arrays of both tools, case by case."""
    store = CaseStore(bench.our_cases)
    rows = []
    for case in bench.raw.cases:
        image, label = store.image(case)[:], store.label(case)[0]
        their_image = blosc2.open(str(bench.their_cases / f"{case}.b2nd"))[:]
        their_label = blosc2.open(str(bench.their_cases / f"{case}_seg.b2nd"))[0]
        if image.shape != their_image.shape or label.shape != their_label.shape:
            raise SystemExit(f"{case}: our shape is {image.shape}, theirs {their_image.shape}")
        crop = store.properties(case).crop
        rows.append(
            {
                "resampled": label.shape != tuple(high - low for low, high in crop),
                "image_difference": float(np.abs(image - their_image).mean() / their_image.std()),
                "label_dice": min(dices(label, their_label)),
                "outside_differs": float(np.mean((label < 0) != (their_label < 0))),
            }
        )
    summary: dict[str, Any] = {"cases": len(rows), "resampled": sum(row["resampled"] for row in rows)}
    summary["spacing_mm"] = bench.plan.configuration(CONFIGURATION).spacing
    for key, worst in (("image_difference", max), ("label_dice", min), ("outside_differs", max)):
        values = [row[key] for row in rows]
        summary[key] = {"mean": float(np.mean(values)), "worst": float(worst(values))}
    return summary


def dices(ours: Any, theirs: Any) -> list[float]:
    """Of every foreground class that one of them has; 1 where there is none."""
    classes = sorted({*np.unique(ours).tolist(), *np.unique(theirs).tolist()} - {0, -1})
    return [2 * np.sum((ours == c) & (theirs == c)) / (np.sum(ours == c) + np.sum(theirs == c)) for c in classes] or [
        1.0
    ]


def table(found: dict[str, Any]) -> str:
    """The findings as Markdown."""
    speed, machine = found["speed"], found["machine"]
    lines = ["# Preprocessing beside nnU-Net 2.8.1", ""]
    if speed:
        lines += [
            f"Hippocampus, {CONFIGURATION}, {speed['cases']} cases, {speed['processes']} processes, medians of "
            f"{speed['repeats']} alternating runs, seconds:",
            "",
            "| | nnU-Net | autodiffseg | times faster |",
            "|---|---|---|---|",
        ]
        names = {
            "run": "preprocessing, start of worker processes included",
            "whole": "whole command, interpreter and imports included",
            "here": "all cases in one process, no start-up",
            "cpu": "processor seconds of the whole command",
        }
        for key, name in names.items():
            theirs, ours = (speed["median_seconds"][tool][key] for tool in ("nnunet", "autodiffseg"))
            lines.append(f"| {name} | {theirs:.2f} | {ours:.2f} | {speed['times_faster'][key]:.2f} |")
        lines.append("")
    if found["agreement"]:
        lines += [
            "Agreement of the arrays at the same target spacing (mean; worst case in brackets):",
            "",
            "| dataset | cases (resampled) | image: mean absolute difference, SD | label: Dice of the worst class |",
            "|---|---|---|---|",
        ]
        for name, row in found["agreement"].items():
            image, label = row["image_difference"], row["label_dice"]
            lines.append(
                f"| {name} | {row['cases']} ({row['resampled']}) | {image['mean']:.2g} ({image['worst']:.2g}) | "
                f"{label['mean']:.5f} ({label['worst']:.5f}) |"
            )
        lines.append("")
    lines += [
        f"{machine['processor']}, {machine['cores']} cores, load average {machine['load_before'][0]:.1f} before and "
        f"{machine['load_after'][0]:.1f} after; {machine['date']}. Command: `{found['command']}`.",
        "",
    ]
    return "\n".join(lines)


def describe_machine(python: Path) -> dict[str, Any]:
    """Processor, cores and versions of both environments."""
    info = Path("/proc/cpuinfo")
    names = [line.split(":")[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
    ours = ("autodiffseg", "numpy", "scipy", "scikit-image", "SimpleITK", "blosc2", "batchgenerators")
    return {
        "processor": names[0] if names else platform.processor(),
        "cores": os.cpu_count(),
        "date": time.strftime("%Y-%m-%d"),
        "python": platform.python_version(),
        "autodiffseg": {name: version(name) for name in ours},
        "nnunet": versions(python),
    }


def main() -> None:
    """Measure, compare and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder of the raw datasets")
    parser.add_argument("--venv", type=Path, help="environment with nnunetv2; made if it is not there")
    parser.add_argument("--scratch", type=Path, help="folder for copies and preprocessed cases")
    parser.add_argument("--out", type=Path, default=HERE / "results", help="folder for the findings")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--only", choices=["speed", "agreement"])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        scratch = options.scratch or Path(temporary) / "scratch"
        python = nnunet_python(options.venv or Path(temporary) / "venv")
        found: dict[str, Any] = {"machine": describe_machine(python), "speed": None, "agreement": {}}
        amount = f"--repeats {options.repeats} --processes {options.processes}"
        found["command"] = f"python benchmarks/preprocessing_vs_nnunet.py DATA {amount}"
        found["machine"]["load_before"] = os.getloadavg()
        if options.only != "agreement":
            bench = Bench(SPEED, options.data, scratch, python, options.processes)
            found["speed"] = measure_speed(bench, options.repeats)
            found["agreement"][SPEED.name] = compare(bench)
        found["machine"]["load_after"] = os.getloadavg()
        for setting in AGREEMENT if options.only != "speed" else ():
            bench = Bench(setting, options.data, scratch, python, options.processes)
            for run in (bench.theirs, bench.ours):
                run(options.processes)
            found["agreement"][setting.name] = compare(bench)
            print(setting.name, json.dumps(found["agreement"][setting.name]), file=sys.stderr)
    options.out.mkdir(parents=True, exist_ok=True)
    write_json(options.out / "preprocessing_vs_nnunet.json", found)
    write_text(options.out / "preprocessing_vs_nnunet.md", table(found))
    print(table(found))


if __name__ == "__main__":
    main()
