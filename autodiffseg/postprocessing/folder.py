"""Applying rules to a folder of label maps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from autodiffseg.images import read_label, write_image
from autodiffseg.labels import LabelSpec
from autodiffseg.postprocessing.rules import Rule, apply_rules
from autodiffseg.preprocessing.parallel import for_each_case, useful_processes


class CleaningTask(NamedTuple):
    """One label map, in a form that a worker process can be given."""

    source: Path
    target: Path
    rules: tuple[Rule, ...]
    spec: LabelSpec


def apply_to_files(
    cases: Mapping[str, Path],
    out: Path,
    rules: Sequence[Rule],
    spec: LabelSpec,
    *,
    processes: int = 1,
    on_case: Callable[[], None] | None = None,
) -> list[str]:
    """Write the label map of every case into `out`, under its own name and on its own grid.

    Returns:
        The cases that were changed.

    Raises:
        UserError: names every case whose file cannot be read or written.
    """
    tasks = {case: CleaningTask(path, out / path.name, tuple(rules), spec) for case, path in cases.items()}
    processes = useful_processes(cases.values(), processes)
    changed = for_each_case(clean_file, tasks, processes=processes, on_case=on_case)
    return [case for case, different in changed.items() if different]


def clean_file(task: CleaningTask) -> bool:
    """Apply the rules to one file; whether that changed anything.

    Raises:
        UserError: when it cannot be read or written.
    """
    label, geometry = read_label(task.source)
    cleaned = apply_rules(label, task.rules, task.spec, spacing_mm=geometry.spacing)
    small = cleaned.size == 0 or (cleaned.min() >= 0 and cleaned.max() <= np.iinfo(np.uint8).max)
    write_image(task.target, cleaned.astype(np.uint8 if small else np.int16), geometry)
    return not np.array_equal(label, cleaned)
