"""The whole path on MSD Hippocampus, fold 0, preset `cpu`: times, Dice, HD95, and how the mask input is used.

Command:
    python benchmarks/hippocampus_fold0.py RAW_DATASET [--workspace FOLDER] [--trainer NAME …]

Runs the commands of the README, each in a process of its own: `plan-and-preprocess` (timed in a fresh workspace),
`train` for supervised, diffusion and recycling (about an hour on two cores; finished runs are not trained again), then
`mask_use.py` for the trainers that have a mask input, and `compare`. Writes benchmarks/results/:

    hippocampus_fold0.md          the table, the figures below it, machine, versions, seeds and commands
    hippocampus_fold0.json        {plan_seconds, runs: {trainer: {dice, hd95_mm, training_seconds, record, mask_use}}}
    hippocampus_fold0_cases.csv   run, case, class, Dice, HD95
"""

from __future__ import annotations

import argparse
import json
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from mask_use import measure

from autodiffseg.evaluation.summary import SUMMARY, load_summary
from autodiffseg.runs import RECORD, VALIDATION, RunRecord, fold_folder, run_name
from autodiffseg.workspace import Workspace

RESULTS = Path(__file__).parent / "results"
TRAINERS = ("supervised", "diffusion", "recycling")
PLAN, CONFIGURATION, FOLD = "cpu", "3d_fullres", "0"


def main() -> None:
    """Run what is missing, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--workspace", type=Path, default=Path("autodiffseg_workspace"))
    parser.add_argument("--trainer", action="append", default=None)
    arguments = parser.parse_args()
    trainers = arguments.trainer or list(TRAINERS)
    dataset, workspace = arguments.dataset.resolve().name, Workspace(arguments.workspace)

    planning = ["plan-and-preprocess", str(arguments.dataset), "-c", CONFIGURATION, "--preset", PLAN]
    with tempfile.TemporaryDirectory() as fresh:
        seconds = autodiffseg([*planning, "--workspace", fresh])
    autodiffseg([*planning, "--workspace", str(arguments.workspace)])
    runs = {}
    for trainer in trainers:
        fold = fold_folder(workspace.results(dataset) / run_name(trainer, PLAN, CONFIGURATION), FOLD)
        if not ((fold / RECORD).is_file() and RunRecord.load(fold / RECORD).finished):
            training = ["train", dataset, CONFIGURATION, FOLD, "--trainer", trainer, "--plan", PLAN, "--continue"]
            autodiffseg([*training, "--workspace", str(arguments.workspace)])
        runs[trainer] = figures(fold, workspace)
    with tempfile.TemporaryDirectory() as report:
        chosen = [part for trainer in trainers for part in ("--trainer", trainer)]
        autodiffseg(["compare", dataset, *chosen, "--workspace", str(arguments.workspace), "-o", report])
        table = (Path(report) / "comparison.md").read_text(encoding="utf-8").partition("\n\n")[2]  # below its title
        RESULTS.mkdir(exist_ok=True)
        shutil.copy(Path(report) / "comparison_cases.csv", RESULTS / "hippocampus_fold0_cases.csv")
    content = {"dataset": dataset, "plan_seconds": round(seconds, 2), "runs": runs}
    (RESULTS / "hippocampus_fold0.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    (RESULTS / "hippocampus_fold0.md").write_text(report_text(table, seconds, runs), encoding="utf-8")
    print((RESULTS / "hippocampus_fold0.md").read_text(encoding="utf-8"))


def autodiffseg(arguments: list[str]) -> float:
    """Run one command line; its wall time in seconds, the start of Python included."""
    print("$ autodiffseg", shlex.join(arguments), flush=True)
    began = time.perf_counter()
    subprocess.run([sys.executable, "-m", "autodiffseg", *arguments], check=True)
    return time.perf_counter() - began


def figures(fold: Path, workspace: Workspace) -> dict[str, Any]:
    """What a finished fold gives and cost."""
    record = RunRecord.load(fold / RECORD)
    scores = load_summary(fold / VALIDATION / SUMMARY).foreground_mean
    return {
        "dice": round(scores["Dice"], 5),
        "hd95_mm": round(scores["HD95"], 3),
        "training_seconds": round(record.training_seconds, 1),
        "record": record.model_dump(),
        "mask_use": measure(fold, workspace) if record.trainer != "supervised" else None,
    }


def report_text(table: str, plan_seconds: float, runs: dict[str, Any]) -> str:
    """The Markdown page."""
    record = next(iter(runs.values()))["record"]
    lines = [
        "# Hippocampus, fold 0, preset `cpu`",
        "MSD Task04 (CC-BY-SA 4.0), the 208 labelled cases of a public copy: 166 to train on, 42 to validate on.",
        "",
        table,
        f"`plan-and-preprocess` of {CONFIGURATION} in a fresh workspace: {plan_seconds:.1f} s.",
        "",
        "## The mask input",
        "Without mirroring. *Noise mask*: every mask input replaced by fresh noise, the level unchanged; the last two",
        "columns are over the voxels that are foreground in either prediction (`mask_use.py`).",
        "",
        "| trainer | Dice after step 1, 2, … | Dice with noise mask | voxels that change | mean probability change |",
        "| --- | --- | ---: | ---: | ---: |",
    ]
    for name, run in runs.items():
        use = run["mask_use"]
        if use is not None:
            steps = " ".join(f"{value:.4f}" for value in use["dice_per_step"])
            measured = (
                f"{use['dice_with_noise_mask']:.4f} | {use['changed_voxels']:.4f} | {use['probability_change']:.4f}"
            )
            lines.append(f"| {name} | {steps} | {measured} |")
    lines += ["", "## How", f"Machine: {record['hardware']}. Precision {record['precision']}."]
    lines += ["Versions: " + ", ".join(f"{name} {number}" for name, number in record["versions"].items()) + ".", ""]
    lines += [
        "| trainer | seed | updates | training minutes | revision | command |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, run in runs.items():
        made = run["record"]
        minutes = f"{run['training_seconds'] / 60:.1f}"
        cells = [name, made["seed"], made["iterations_done"], minutes, made["git_revision"], f"`{made['command']}`"]
        lines.append("| " + " | ".join(str(cell) for cell in cells) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
