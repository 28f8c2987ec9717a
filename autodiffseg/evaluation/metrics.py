"""Metrics: the name, unit and direction of every score of a segmentation."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal, NamedTuple

from autodiffseg.errors import UserError

Better = Literal["more", "less", "zero"]


class Metric(NamedTuple):
    """One score."""

    name: str
    """As in summary.json."""
    unit: str
    """"" for a fraction."""
    better: Better
    """More, less, or nearer to zero."""
    digits: int
    """After the point, where it is shown."""

    @property
    def title(self) -> str:
        """With its unit: "HD95 [mm]"."""
        return f"{self.name} [{self.unit}]" if self.unit else self.name


COUNTS = ("TP", "FP", "FN", "TN", "n_pred", "n_ref")
"""Voxels; written with every score, as nnU-Net does."""
OVERLAP = ("Dice", "IoU")
"""Written with every score too."""
LESION_COUNTS = ("lesions_pred", "lesions_ref", "lesions_matched")
"""Written with the lesion scores: rates over many cases can be pooled from them."""
KNOWN = {
    metric.name: metric
    for metric in (
        Metric("Dice", "", "more", 4),
        Metric("IoU", "", "more", 4),
        Metric("HD95", "mm", "less", 2),
        Metric("HD", "mm", "less", 2),
        Metric("ASSD", "mm", "less", 3),
        Metric("VolumeDifference", "ml", "zero", 3),
        Metric("RelativeVolumeDifference", "", "zero", 4),
        Metric("Sensitivity", "", "more", 4),
        Metric("Precision", "", "more", 4),
        Metric("Specificity", "", "more", 4),
        Metric("LesionPrecision", "", "more", 4),
        Metric("LesionRecall", "", "more", 4),
        Metric("LesionF1", "", "more", 4),
    )
}
"""All but NSD, which has a tolerance in its name."""
DEFAULT = (
    "Dice", "IoU", "HD95", "HD", "ASSD", "NSD@1mm", "NSD@2mm", "VolumeDifference", "RelativeVolumeDifference",
    "Sensitivity", "Precision", "Specificity", "LesionPrecision", "LesionRecall", "LesionF1",
)  # fmt: skip


def find_metric(name: str) -> Metric:
    """The metric of a name; `NSD@1.5mm` is the surface Dice at a tolerance of 1.5 mm.

    Raises:
        UserError: when there is none of that name.
    """
    if name in KNOWN:
        return KNOWN[name]
    if tolerance_mm(name) is not None:
        return Metric(name, "", "more", 4)
    raise UserError(f"There is no metric '{name}'. Known: {', '.join(KNOWN)}, and NSD@1mm with any number of mm.")


def tolerance_mm(name: str) -> float | None:
    """The tolerance in the name of a surface Dice; None for other names."""
    found = re.fullmatch(r"NSD@(\d+(?:\.\d+)?)mm", name)
    return float(found[1]) if found else None


def read_metrics(asked: Sequence[str]) -> tuple[str, ...]:
    """Names from options that may each hold several, parted by commas; each once.

    Raises:
        UserError: when there is none of that name.
    """
    names = dict.fromkeys(name.strip() for text in asked for name in text.split(",") if name.strip())
    return tuple(find_metric(name).name for name in names)
