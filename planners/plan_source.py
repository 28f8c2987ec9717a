"""Where `--plan-from` takes a plan: from a dataset of the workspace, or a file of ours or nnU-Net's."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from autodiffseg.errors import UserError
from autodiffseg.plans import Plan
from autodiffseg.records import read_json, read_text
from autodiffseg.workspace import Workspace

from .imported_plan import import_plan
from .nnunet_plan import is_nnunet_plan


class Source(NamedTuple):
    """A plan that was made elsewhere."""

    plan: Plan
    path: Path
    origin: str
    """Where it comes from, for a sentence."""
    notes: tuple[str, ...]
    """What of it could not be taken over as it was."""


def find_source(text: str, workspace: Workspace) -> Source:
    """The plan that `text` names: a JSON file, or DATASET or DATASET:PLAN of the workspace.

    Raises:
        UserError: when there is none, or the file is no plan; the message says what was looked for.
    """
    path = Path(text)
    if path.is_file():
        content = read_json(read_text(path), source=text)
        if is_nnunet_plan(content):
            plan, notes = import_plan(content, source=text)
            return Source(plan, path, f"nnU-Net's plan '{plan.name}' of {plan.dataset} ({path.name})", notes)
        plan = Plan.check(content, source=text).model_copy(update={"name": path.stem})
        return Source(plan, path, f"the plan '{plan.name}' of {plan.dataset} ({path.name})", ())
    if path.suffix == ".json":
        raise UserError(
            f"--plan-from {text}: there is no such file; give a plan's JSON file, or DATASET or DATASET:PLAN."
        )
    named, _, name = text.partition(":")
    dataset = workspace.planned_dataset(named)
    plan = workspace.plan(dataset, workspace.choose_plan(dataset, name or None))
    return Source(plan, workspace.plan_path(dataset, plan.name), f"the plan '{plan.name}' of {dataset}", ())


def name_for(source: Plan, dataset: str) -> str:
    """Name of the plan on `dataset` unless the user gives one: its own, and where it is from if that is elsewhere."""
    if source.dataset == dataset:
        return source.name
    return f"{source.name}-from-{re.sub(r'^Dataset[0-9]+_', '', source.dataset)}"
