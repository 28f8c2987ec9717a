"""PredictionOptions and WantedOutputs: what predict is asked for, but for models and images."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import cast, get_args

from autodiffseg.errors import UserError
from autodiffseg.inference.window_options import Mode
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
    mode: Mode = "tile"
    """Windows alone, all in step, or one for the whole case."""
    mirroring: bool = True
    """Average over mirrored versions."""
    mirror_axes: tuple[int, ...] | None = None
    """Patch axes along which; None: the plan's."""
    rotate_mirrors: bool = False
    """One mirrored version in each sample, in turn, instead of all in each."""
    rotate_timesteps: bool = False
    """Of read-outs: one of the noise levels in each sample, in turn, instead of the mean over all in each."""
    deterministic: bool = False
    """The same bits on any number of threads and with any memory."""


def read_mode(name: str) -> Mode:
    """The mode called `name`.

    Raises:
        UserError: when there is none.
    """
    modes = get_args(Mode)
    if name not in modes:
        raise UserError(f"--mode {name}: {', '.join(modes[:-1])} and {modes[-1]} are possible.")
    return cast(Mode, name)


def read_mirror_axes(text: str | None, *, mirroring: bool) -> tuple[int, ...] | None:
    """Patch axes of `--mirror-axes`, such as `0,2` or `none`; None is the plan's.

    Raises:
        UserError: when it is anything else, or no mirroring is wanted.
    """
    if text is None:
        return None
    if not mirroring:
        raise UserError(f"--mirror-axes {text} and --no-mirroring contradict each other; leave one out.")
    if text.lower() == "none":
        return ()
    if re.fullmatch(r"\d(,\d)*", text) is None:
        raise UserError(f"--mirror-axes {text}: it is a list of patch axes such as 0,2, or none.")
    return tuple(map(int, text.split(",")))


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
