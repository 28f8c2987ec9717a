"""PredictionOptions and WantedOutputs: what predict is asked for, but for models and images."""

from __future__ import annotations

from dataclasses import dataclass

from autodiffseg.records import Record


class PredictionOptions(Record):
    """What predictions depend on beside the models and their sampling.

    A new option needs a line here, a line in `predict`, and its use where the predictor is made
    (`prediction.make_predictor`); predict.json records it, and `--continue` compares it, by itself.
    """

    seed: int = 0
    """Of the noise."""
    samples: int = 1
    """Draws of each case, averaged."""
    step_size: float = 0.5
    """Largest distance of windows as a fraction of the patch."""
    mirroring: bool = True
    """Average over the plan's mirror axes."""


@dataclass(frozen=True)
class WantedOutputs:
    """What is written beside the label maps; it does not change them.

    A new one needs a line here, a line in `predict`, and its use in `prediction_outputs.PredictionOutputs`.
    """

    probabilities: bool = False
    """Write CASE.npz too, `probabilities` `(K, Z, Y, X)` float16 on the raw grid, wherever there is a label map."""
    steps: bool = False
    """Write every sampling step into a folder of its own."""
    uncertainty: bool = False
    """Write entropy maps and figures into `uncertainty/`, and uncertainty.csv."""
