"""The page of `uncertainty_study.py`."""

from __future__ import annotations

import math
from typing import Any

DISTANCE = "1 / distance to the predicted boundary"
CONTROLS = (DISTANCE, "supervised: total")


def page(content: dict[str, Any]) -> str:
    """The Markdown page."""
    lines = [
        "# Uncertainty against error: Hippocampus, fold 0, plan `cpu`",
        f"MSD Task04 (CC-BY-SA 4.0), {content['cases']} validation cases, {content['samples']} samples of recycling.",
        "",
        "AUROC of each uncertainty as a detector of wrong voxels in the band of three voxels around prediction and",
        "reference: mean over cases [95 % bootstrap interval]. Δ: the paired difference to a control, * where p < 0.05",
        "(Wilcoxon, Holm over the rows). *Pooled* takes the voxels of all cases together; Spearman is of a case's mean",
        "uncertainty in the band with its Dice.",
    ]
    for name, target in content["targets"].items():
        lines += [
            "",
            f"## Errors of: {name}",
            f"Mean Dice {target['dice']:.4f}; {100 * target['wrong_share_of_band']:.1f} % of the band is wrong.",
            "",
            "| uncertainty | AUROC | Δ to distance | Δ to supervised | pooled | Spearman |",
            "| --- | ---: | ---: | ---: | ---: | ---: |",
        ]
        for detector, row in target["detectors"].items():
            cells = [
                detector,
                f"{row['auroc']:.4f} [{row['low']:.4f}, {row['high']:.4f}]",
                *(difference(row["differences"].get(control)) for control in CONTROLS),
                f"{row['pooled']:.4f}",
                "–" if math.isnan(row["spearman"]) else f"{row['spearman']:.3f}",
            ]
            lines.append("| " + " | ".join(cells) + " |")
    lines += [
        "",
        "## Calibration of the top label",
        "| prediction | area | ECE | adaptive ECE per case | NLL | Brier |",
    ]
    lines.append("| --- | --- | ---: | ---: | ---: | ---: |")
    for name, areas in content["calibration"].items():
        for area, row in areas.items():
            numbers = (row["ECE"], row["adaptive_ECE_per_case"], row["NLL"], row["Brier"])
            lines.append(f"| {name} | {area} | " + " | ".join(f"{number:.4f}" for number in numbers) + " |")
    lines += [
        "",
        "## How alike the samples of recycling are",
        "Means over cases. *Range*: largest minus smallest volume over samples, of the volume. Entropies of the band,",
        "nats.",
        "",
        "| prediction | Dice between two samples | range | total | between samples |",
        "| --- | --- | --- | ---: | ---: |",
    ]
    for name, alike in content["agreement"].items():
        dice = ", ".join(f"{label} {value:.4f}" for label, value in alike["dice_between_samples"].items())
        widths = ", ".join(f"{label} {100 * value:.2f} %" for label, value in alike["volume_range_share"].items())
        entropies = alike["entropy_band"]
        lines.append(f"| {name} | {dice} | {widths} | {entropies['total']:.4f} | {entropies['between_samples']:.4f} |")
    lines += [
        "",
        "## Volume intervals",
        "90 % split conformal intervals of each validation case from the errors of the others:",
        "",
    ]
    for trainer, classes in content["intervals"].items():
        for name, row in classes.items():
            width = f"±{100 * row['half_width']:.1f} % of the volume"
            lines.append(f"- {trainer}, {name}: {row['covered']} of {row['cases']} covered, {width}")
    same = content["geometry"]
    lines += [
        "",
        "## How",
        f"Geometry: {same['files']} files written; the largest difference of spacing, origin or direction to the image "
        f"is {same['largest_difference']:.1e}.",
        "",
        f"Machine: {content['hardware']}.",
        "Versions: " + ", ".join(f"{name} {number}" for name, number in content["versions"].items()) + ".",
        "",
    ]
    lines += [
        f"- `{name}`: {facts['updates']} updates, seed {facts['seed']}, revision {facts['revision']}"
        for name, facts in content["runs"].items()
    ]
    return "\n".join(lines) + "\n"


def difference(found: dict[str, Any] | None) -> str:
    """A paired difference with its interval; of the control itself a dash."""
    if found is None:
        return "–"
    star = "*" if found["p_holm"] is not None and found["p_holm"] < 0.05 else ""
    return f"{found['mean']:+.4f} [{found['low']:+.4f}, {found['high']:+.4f}]{star}"
