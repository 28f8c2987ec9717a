"""Prediction beside nnU-Net 2.8.1's: seconds per case of the same network with the same weights, case by case in turn.

Command: `python benchmarks/prediction_vs_nnunet.py DATA [--venv FOLDER] [--scratch FOLDER] [--cases 8]`; DATA holds the
raw datasets Dataset004_Hippocampus and Dataset150_BraTS15mini. The first run makes an environment with nnunetv2 in
`--venv`. Without `--venv` and `--scratch` both are temporary. A quarter of an hour on two quiet cores.

nnU-Net plans each dataset; its plan is imported, so that patch, network, spacing and windows are the same. Weights are
random, made by nnU-Net and taken over. Three processes predict each case in turn, mirrored along all axes, from the
image file to the label file: nnU-Net in fp32 (what it does on a processor), autodiffseg in fp32 and in bf16. Each has
predicted one case before the clock runs. Writes `prediction_vs_nnunet.json` and `.md` to `--out`:
- `machine`: processor, cores, versions, load average before and after;
- `datasets`: for each `patch`, `cases`, `seconds` of each tool for each case, `median_seconds`, `cpu_seconds` (median
  of the processor's), `ratio` (median over cases of our seconds by nnU-Net's for the same case), `cpu_ratio`, `peak_mb`
  of each process, and `alike`: share of voxels that got the label of nnU-Net's without mirroring, where both should be
  equal but for rounding (with it nnU-Net averages logits, we probabilities).
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from nnunet_venv import nnunet_python
from preprocessing_vs_nnunet import describe_machine

from autodiffseg.atomic import write_json, write_text
from autodiffseg.dataset import RawDataset
from autodiffseg.images import read_label

HERE = Path(__file__).parent
CONFIGURATION = "3d_fullres"
DATASETS = ("Dataset004_Hippocampus", "Dataset150_BraTS15mini")
TOOLS = ("nnunet fp32", "autodiffseg fp32", "autodiffseg bf16")
TARGETS = {"autodiffseg fp32": 1.0, "autodiffseg bf16": 0.6}


class Tool:
    """A process that predicts cases when it is asked to."""

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        self._command = command
        self._said = tempfile.TemporaryFile("w+")  # noqa: SIM115  # open while it runs; an unread pipe would fill up
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._said, text=True, env=environment
        )
        self._expect()  # ready

    def predict(self, case: str, files: tuple[Path, ...]) -> dict[str, float]:
        """Predict one case; what the process says of it."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"case": case, "files": [str(path) for path in files]}) + "\n")
        self._process.stdin.flush()
        told: dict[str, float] = json.loads(self._expect())
        return told

    def close(self) -> None:
        """End the process."""
        self._process.communicate()
        self._said.close()

    def _expect(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._process.communicate()
            self._said.seek(0)
            said = self._said.read()[-3000:]
            self._said.close()
            raise SystemExit(f"{shlex.join(self._command)} failed:\n{said}")
        return line


class Bench:
    """A dataset that nnU-Net has planned, and the commands of all tools for it."""

    def __init__(self, raw: RawDataset, scratch: Path, python: Path, threads: int) -> None:
        self.raw, self._scratch, self._python, self._threads = raw, scratch, python, threads
        places = {"nnUNet_raw": raw.folder.parent, "nnUNet_preprocessed": scratch, "nnUNet_results": scratch}
        self._environment = {
            **os.environ,
            "OMP_NUM_THREADS": str(threads),
            "nnUNet_compile": "false",
            **{name: str(path) for name, path in places.items()},
        }
        number = raw.name.removeprefix("Dataset").partition("_")[0]
        command = [str(python), str(HERE / "nnunet_prediction_side.py"), "plan", number]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=self._environment)
        if done.returncode:
            raise SystemExit(f"{shlex.join(command)} failed:\n{done.stderr[-3000:]}")
        self.plans = scratch / raw.name / "nnUNetPlans.json"

    def start(self, name: str, *more: str) -> Tool:
        """The process of a tool; that of nnU-Net comes first, since it makes the weights."""
        tool, precision = name.split()
        weights, out = self._scratch / f"{self.raw.name}.npz", self.label_folder(name)
        if tool == "nnunet":
            side = [str(self._python), str(HERE / "nnunet_prediction_side.py"), "predict", self.raw.name, CONFIGURATION]
            end: list[str] = []
        else:
            description = self.raw.folder / "dataset.json"
            side = [sys.executable, str(HERE / "our_prediction_side.py"), str(self.plans), str(description)]
            side.append(CONFIGURATION)
            end = [precision]
        return Tool([*side, str(weights), str(out), str(self._threads), *end, *more], self._environment)

    def label_folder(self, name: str) -> Path:
        """Where a tool writes."""
        return self._scratch / "labels" / self.raw.name / name.replace(" ", "_")


def measure(bench: Bench, count: int) -> dict[str, Any]:
    """Seconds of every tool for the first `count` cases."""
    files = {case: bench.raw.images(case) for case in bench.raw.cases[: count + 1]}
    first, *timed = files
    tools = {name: bench.start(name) for name in TOOLS}
    told: dict[str, list[dict[str, float]]] = {name: [] for name in TOOLS}
    for tool in tools.values():
        tool.predict(first, files[first])
    for case in timed:
        for name, tool in tools.items():
            told[name].append(tool.predict(case, files[case]))
        print(case, {name: round(of[-1]["seconds"], 2) for name, of in told.items()}, file=sys.stderr)
    for tool in tools.values():
        tool.close()

    def ratio(key: str, name: str) -> float:
        pairs = zip(told[name], told[TOOLS[0]], strict=True)
        return round(statistics.median(ours[key] / theirs[key] for ours, theirs in pairs), 3)

    def medians(key: str) -> dict[str, float]:
        return {name: round(statistics.median(row[key] for row in of), 2) for name, of in told.items()}

    patch = json.loads(bench.plans.read_text())["configurations"][CONFIGURATION]["patch_size"]
    return {
        "patch": patch,
        "cases": timed,
        "seconds": {name: [round(row["seconds"], 3) for row in of] for name, of in told.items()},
        "median_seconds": medians("seconds"),
        "cpu_seconds": medians("cpu"),
        "ratio": {name: ratio("seconds", name) for name in TARGETS},
        "cpu_ratio": {name: ratio("cpu", name) for name in TARGETS},
        "peak_mb": {name: round(of[-1]["peak_mb"]) for name, of in told.items()},
        "alike": agreement(bench, first, files[first]),
    }


def agreement(bench: Bench, case: str, files: tuple[Path, ...]) -> dict[str, float]:
    """Share of voxels of one case that got the label of nnU-Net's, without mirroring."""
    labels = {}
    for name in TOOLS:
        tool = bench.start(name, "--no-mirroring")
        tool.predict(case, files)
        tool.close()
        labels[name] = read_label(bench.label_folder(name) / f"{case}{bench.raw.json.file_ending}")[0]
    return {name: round(float(np.mean(labels[name] == labels[TOOLS[0]])), 6) for name in TARGETS}


def table(found: dict[str, Any]) -> str:
    """The findings as Markdown."""
    machine = found["machine"]
    lines = [
        "# Prediction beside nnU-Net 2.8.1",
        "",
        f"Median seconds per case on {found['threads']} cores, from image file to label file, all mirrored versions; "
        "the same network, weights, patch and windows. Ratio: ours by nnU-Net's for the same case, median over cases.",
        "",
        "| dataset (cases, patch) | " + " | ".join(TOOLS) + " | ratio fp32 | ratio bf16 | labels alike fp32 / bf16 |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, row in found["datasets"].items():
        seconds, ratios = row["median_seconds"], row["ratio"]
        patch = "x".join(map(str, row["patch"]))
        lines.append(
            f"| {name} ({len(row['cases'])}, {patch}) | "
            + " | ".join(f"{seconds[tool]:.2f}" for tool in TOOLS)
            + "".join(f" | {ratios[tool]:.2f} (wanted {limit})" for tool, limit in TARGETS.items())
            + " | "
            + " / ".join(f"{row['alike'][tool]:.4%}" for tool in TARGETS)
            + " |"
        )
    lines += [
        "",
        f"{machine['processor']}, {machine['cores']} cores, load average {machine['load_before'][0]:.1f} before and "
        f"{machine['load_after'][0]:.1f} after; {machine['date']}. Command: `{found['command']}`.",
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder of the raw datasets")
    parser.add_argument("--venv", type=Path, help="environment with nnunetv2; made if it is not there")
    parser.add_argument("--scratch", type=Path, help="folder for plans, weights and label maps")
    parser.add_argument("--out", type=Path, default=HERE / "results", help="folder for the findings")
    parser.add_argument("--cases", type=int, default=8, help="of each dataset")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", choices=DATASETS, help="one dataset alone")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        scratch = (options.scratch or Path(temporary) / "scratch").resolve()
        scratch.mkdir(parents=True, exist_ok=True)
        python = nnunet_python(options.venv or Path(temporary) / "venv")
        found: dict[str, Any] = {"machine": describe_machine(python), "threads": options.threads, "datasets": {}}
        amount = f"--cases {options.cases} --threads {options.threads}"
        found["command"] = f"python benchmarks/prediction_vs_nnunet.py DATA {amount}"
        found["machine"]["load_before"] = os.getloadavg()
        for name in [options.only] if options.only else DATASETS:
            bench = Bench(RawDataset(options.data.resolve() / name), scratch, python, options.threads)
            found["datasets"][name] = measure(bench, options.cases)
        found["machine"]["load_after"] = os.getloadavg()
    options.out.mkdir(parents=True, exist_ok=True)
    write_json(options.out / "prediction_vs_nnunet.json", found)
    write_text(options.out / "prediction_vs_nnunet.md", table(found))
    print(table(found))


if __name__ == "__main__":
    main()
