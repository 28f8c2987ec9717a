"""Does sampling tell where a segmentation is wrong? Uncertainties against voxel errors on MSD Hippocampus, fold 0.

Command:
    python benchmarks/uncertainty_study.py RAW_DATASET --workspace WORKSPACE --scratch FOLDER [--samples 8]

Predicts the validation cases of fold 0 (plan `cpu`, 3d_fullres) by the command `predict`, with what has finished
training in WORKSPACE: recycling with `--num-samples`, its mirrors in turn and without mirrors; supervised; and all
training seeds of supervised together, and supervised and recycling together. What lies in SCRATCH already is not
predicted again. Models of other folds are no control here: they were trained on these cases.

Each uncertainty is scored as a detector of the wrong voxels of one label map, in the band of three voxels around it and
the reference: AUROC per case, its mean over cases with a 95 % bootstrap interval, and the paired differences to two
controls, 1 / distance to the predicted boundary and supervised's softmax entropy, with Wilcoxon's p (Holm over the
rows). Writes into benchmarks/results/:

    uncertainty_hippocampus.md      tables, machine and versions
    uncertainty_hippocampus.json
        targets         prediction -> dice, wrong_share_of_band, detectors: uncertainty -> auroc, low, high, pooled
                        (over the voxels of all cases), differences: control -> mean, low, high, p_holm; spearman
        calibration     prediction -> area -> of the top label ECE, ECE_per_case, adaptive_ECE_per_case, NLL, Brier
        agreement       prediction of recycling -> of its samples dice_between_samples, volume_range_share (largest
                        minus smallest, of the volume), entropy_band (nats); means over cases
        intervals       trainer -> class -> cases covered by the 90 % interval from the other cases' errors, half_width
        geometry        files written, and the largest difference of spacing, origin or direction to the image
        runs, cases, samples, commands, versions, hardware
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from uncertainty_page import CONTROLS, DISTANCE, page

from autodiffseg.atomic import write_json, write_text
from autodiffseg.dataset import RawDataset
from autodiffseg.evaluation.calibration_case import TOP_LABEL, CalibrationTask, score_calibration
from autodiffseg.evaluation.error_detection import auroc, spearman
from autodiffseg.evaluation.foreground_band import distance_to_other_labels, foreground_band
from autodiffseg.evaluation.overlap import class_overlaps
from autodiffseg.evaluation.statistics import bootstrap_mean, holm, mean_of, paired_wilcoxon
from autodiffseg.evaluation.summary import SUMMARY, load_summary
from autodiffseg.images import read_geometry, read_image, read_label
from autodiffseg.labels import LabelSpec
from autodiffseg.runs import RECORD, VALIDATION, RunRecord, fold_folder
from autodiffseg.trainers.provenance import hardware, versions
from autodiffseg.uncertainty.case_uncertainty import CaseUncertainty
from autodiffseg.uncertainty.conformal import conformal_quantile, relative_error, volume_interval
from autodiffseg.uncertainty.map_files import existing_maps, map_file, record_file
from autodiffseg.workspace import Workspace

RESULTS = Path(__file__).parent / "results"
PLAN, CONFIGURATION, FOLD = "cpu", "3d_fullres", "0"
Volume = npt.NDArray[np.floating[Any]]


def main() -> None:
    """Predict what is missing, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--workspace", type=Path, required=True)
    parser.add_argument("--scratch", type=Path, required=True)
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--all-mirrors", action="store_true", help="recycling's default too: eight times the work")
    parser.add_argument("--cases", type=int, default=None, help="the first ones alone, to try the script")
    arguments = parser.parse_args()
    raw = RawDataset(arguments.dataset)
    runs = finished_runs(Workspace(arguments.workspace).results(raw.name))
    recycling, supervised = runs["recycling"][0], runs["supervised"]
    cases = list(RunRecord.load(fold_folder(recycling, FOLD) / RECORD).validation_cases)[: arguments.cases]
    images = link_images(raw, cases, arguments.scratch / "images")
    draws = ["--num-samples", str(arguments.samples)]
    commands = {
        "recycling, mirrors in turn": ([recycling], [*draws, "--rotate-mirrors"]),
        "recycling, no mirrors": ([recycling], [*draws, "--no-mirroring"]),
        "supervised": (supervised[:1], ["--uncertainty"]),
        "supervised and recycling": ([supervised[0], recycling], ["--uncertainty"]),
    }
    if len(supervised) > 1:
        commands[f"{len(supervised)} seeds of supervised"] = (supervised, ["--uncertainty"])
    if arguments.all_mirrors:
        commands["recycling, all mirrors"] = ([recycling], draws)
    folders, told = {}, []
    for name, (models, options) in commands.items():
        folders[name] = arguments.scratch / name.replace(",", "").replace(" ", "-")
        chosen = [part for model in models for part in ("--model", str(model))]
        line = ["predict", "-i", str(images), "-o", str(folders[name]), *chosen, "--fold", FOLD, *options]
        line += ["--save-probabilities", "--continue"]
        autodiffseg(line)
        places = {str(arguments.scratch): "SCRATCH", str(arguments.workspace): "WORKSPACE"}
        command = shlex.join(["autodiffseg", *line])
        for place, name_of_place in places.items():
            command = command.replace(place, name_of_place)
        told.append(command)

    detectors = {
        f"{name}: {part.replace('_', ' ')}": (folder, part)
        for name, folder in folders.items()
        for part in existing_maps(folder, cases[0])
        if part != "residual"  # of such samples it is nearly the total
    }
    targets = {name: score_target(folder, detectors, raw, cases) for name, folder in folders.items()}
    sampled = {name: folder for name, folder in folders.items() if name.startswith("recycling")}
    content = {
        "targets": targets,
        "calibration": {name: calibration(folder, raw, cases) for name, folder in folders.items()},
        "agreement": {name: agreement(folder, cases) for name, folder in sampled.items()},
        "intervals": {trainer: coverage(runs[trainer][0], raw.spec) for trainer in ("recycling", "supervised")},
        "geometry": geometry(folders.values(), raw, cases),
        "runs": {run.name: run_facts(run) for group in runs.values() for run in group},
        "cases": len(cases),
        "samples": arguments.samples,
        "commands": told,
        "versions": versions(),
        "hardware": hardware(torch.device("cpu")),
    }
    write_json(RESULTS / "uncertainty_hippocampus.json", without_nan(content))
    write_text(RESULTS / "uncertainty_hippocampus.md", page(content))
    print(page(content))


def autodiffseg(arguments: list[str]) -> None:
    """Run one command line."""
    print("$ autodiffseg", shlex.join(arguments), flush=True)
    subprocess.run([sys.executable, "-m", "autodiffseg", *arguments], check=True)


def finished_runs(results: Path) -> dict[str, list[Path]]:
    """Trainer -> its model folders of plan and configuration whose fold has finished, by seed; other tags left out."""
    found: dict[str, list[tuple[int, Path]]] = {"recycling": [], "supervised": []}
    for trainer, runs in found.items():
        for path in results.glob(f"{trainer}__{PLAN}__{CONFIGURATION}*/fold_{FOLD}/{RECORD}"):
            record = RunRecord.load(path)
            own_tag = f"seed-{record.seed}" if record.seed else ""
            if record.finished and record.tag == own_tag:
                runs.append((record.seed, path.parent.parent))
        if not runs:
            raise SystemExit(f"{results} has no finished run of {trainer}, plan {PLAN}, fold {FOLD}; train it first.")
    return {trainer: [path for _, path in sorted(runs)] for trainer, runs in found.items()}


def link_images(raw: RawDataset, cases: list[str], folder: Path) -> Path:
    """A folder that holds the images of these cases alone."""
    folder.mkdir(parents=True, exist_ok=True)
    for case in cases:
        for file in raw.images(case):
            if not (folder / file.name).exists():
                (folder / file.name).symlink_to(file.resolve())
    return folder


def score_target(
    predictions: Path, detectors: dict[str, tuple[Path, str]], raw: RawDataset, cases: list[str]
) -> dict[str, Any]:
    """How well each uncertainty finds the wrong voxels of these label maps."""
    areas: dict[str, list[float]] = {name: [] for name in (DISTANCE, *detectors)}
    means: dict[str, list[float]] = {name: [] for name in areas}
    pooled: dict[str, list[Volume]] = {name: [] for name in areas}
    wrong: list[npt.NDArray[np.bool_]] = []
    dice = []
    for case in cases:
        label, reference = (
            read_label(predictions / f"{case}{raw.json.file_ending}")[0],
            read_label(raw.label(case))[0],
        )
        band = foreground_band((label > 0) | (reference > 0))
        error = (label != reference)[band]
        volumes: dict[str, Volume] = {DISTANCE: 1 / distance_to_other_labels(label)}
        volumes |= {name: read_image(map_file(folder, case, part))[0][0] for name, (folder, part) in detectors.items()}
        for name, volume in volumes.items():
            areas[name].append(auroc(volume[band], error))
            means[name].append(float(volume[band].mean()))
            pooled[name].append(volume[band])
        wrong.append(error)
        dice.append(mean_of(np.array([found.dice for found in class_overlaps(label, reference, raw.spec).values()])))
    against = {control: differences(areas, control) for control in CONTROLS}
    rows: dict[str, Any] = {}
    for name, values in areas.items():
        mean = bootstrap_mean(np.array(values))
        rows[name] = {
            "auroc": mean.mean,
            "low": mean.low,
            "high": mean.high,
            "pooled": auroc(np.concatenate(pooled[name]), np.concatenate(wrong)),
            "differences": {control: found[name] for control, found in against.items() if name in found},
            "spearman": spearman(np.array(means[name]), np.array(dice)),
        }
    share = float(np.concatenate(wrong).mean())
    return {"dice": float(np.mean(dice)), "wrong_share_of_band": share, "detectors": rows}


def differences(areas: dict[str, list[float]], control: str) -> dict[str, dict[str, float | None]]:
    """Every other uncertainty minus the control, case by case: mean, 95 % bootstrap interval, Wilcoxon's p by Holm."""
    others = {name: np.array(values) - np.array(areas[control]) for name, values in areas.items() if name != control}
    adjusted = holm([paired_wilcoxon(values, np.zeros_like(values)).p for values in others.values()])
    found: dict[str, dict[str, float | None]] = {}
    for (name, values), p in zip(others.items(), adjusted, strict=True):
        mean = bootstrap_mean(values)
        found[name] = {"mean": mean.mean, "low": mean.low, "high": mean.high, "p_holm": p}
    return found


def calibration(predictions: Path, raw: RawDataset, cases: list[str]) -> dict[str, Any]:
    """Of the top label, over the image and the band: ECE of all voxels together, means over cases of the rest."""
    tasks = [CalibrationTask(predictions / f"{case}.npz", raw.label(case), raw.spec) for case in cases]
    scores = [score for task in tasks for score in score_calibration(task) if score.statement == TOP_LABEL]
    found = {}
    for area in ("image", "band"):
        inside = [score for score in scores if score.area == area]
        pooled = inside[0].reliability
        for score in inside[1:]:
            pooled = pooled + score.reliability
        found[area] = {
            "ECE": pooled.ece,
            "ECE_per_case": mean_of(np.array([score.reliability.ece for score in inside])),
            "adaptive_ECE_per_case": mean_of(np.array([score.adaptive_ece for score in inside])),
            "NLL": mean_of(np.array([score.nll for score in inside])),
            "Brier": mean_of(np.array([score.brier for score in inside])),
        }
    return found


def agreement(predictions: Path, cases: list[str]) -> dict[str, Any]:
    """How alike the samples are: mean pairwise Dice, and the entropies of the band; means over cases."""
    records = [CaseUncertainty.load(record_file(predictions, case)) for case in cases]
    classes = records[0].classes
    spreads = {
        name: [(c.largest_sample - c.smallest_sample) / c.volume for r in records if (c := r.classes[name]).volume]  # type: ignore[operator]  # several samples
        for name in classes
    }
    return {
        "dice_between_samples": {
            n: mean_of(np.array([r.classes[n].dice_between_samples for r in records])) for n in classes
        },
        "volume_range_share": {name: float(np.mean(spread)) for name, spread in spreads.items()},
        "entropy_band": {
            part: float(np.mean([r.entropy_band[part] for r in records if r.entropy_band]))
            for part in records[0].entropy_image
        },
    }


def coverage(run: Path, spec: LabelSpec) -> dict[str, Any]:
    """The volume intervals on real cases: each validation case by the errors of all others."""
    summary = load_summary(fold_folder(run, FOLD) / VALIDATION / SUMMARY)
    keys = {name: key for key, name in summary.classes.items()}
    found = {}
    for name in spec.foreground:
        pairs = [(case.metrics[keys[name]]["n_pred"], case.metrics[keys[name]]["n_ref"]) for case in summary.cases]
        scores = [relative_error(*pair) for pair in pairs]
        quantiles = [conformal_quantile(scores[:n] + scores[n + 1 :]) for n in range(len(scores))]
        ends = [volume_interval(pred, quantile) for (pred, _), quantile in zip(pairs, quantiles, strict=True)]
        covered = sum(low <= ref <= high for (low, high), (_, ref) in zip(ends, pairs, strict=True))
        found[name] = {"covered": covered, "cases": len(pairs), "half_width": float(np.mean(quantiles))}
    return found


def geometry(folders: Any, raw: RawDataset, cases: list[str]) -> dict[str, Any]:
    """The largest difference of spacing, origin or direction between any written file and its image."""
    largest, files = 0.0, 0
    for folder in folders:
        for case in cases:
            image = read_geometry(raw.images(case)[0])
            labels = list(folder.rglob(f"{case}{raw.json.file_ending}"))
            for path in [*labels, *existing_maps(folder, case).values()]:
                found = read_geometry(path)
                assert found.shape == image.shape, path
                for ours, theirs in zip(found.model_dump().values(), image.model_dump().values(), strict=True):
                    largest = max(largest, float(np.abs(np.subtract(ours, theirs)).max()))
                files += 1
    return {"files": files, "largest_difference": largest}


def run_facts(run: Path) -> dict[str, Any]:
    """What is needed to train a run again."""
    record = RunRecord.load(fold_folder(run, FOLD) / RECORD)
    return {
        "updates": record.iterations_done,
        "seed": record.seed,
        "command": record.command,
        "revision": record.git_revision,
    }


def without_nan(value: Any) -> Any:
    """null instead of NaN, which is not JSON."""
    if isinstance(value, dict):
        return {key: without_nan(part) for key, part in value.items()}
    return None if isinstance(value, float) and np.isnan(value) else value


if __name__ == "__main__":
    main()
