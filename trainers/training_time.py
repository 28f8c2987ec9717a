"""How long a training would take, for those who ask by name: the service training-time."""

from __future__ import annotations

from autodiffseg.dataset import DatasetJson
from autodiffseg.workspace import Workspace

from .checkpoints import trainer_class
from .ensemble import is_ensemble
from .expected_time import expected_seconds
from .precision import choose_device, choose_precision


def training_seconds(
    workspace: Workspace,
    dataset: str,
    *,
    trainer: str,
    plan: str,
    configuration: str,
    iterations: int | None,
    device: str | None,
) -> float | None:
    """Seconds of one fold on this machine's CPU; None on a GPU, whose speed is not known beforehand.

    Args:
        workspace: where the plan lies.
        dataset: full name.
        trainer: a trainer's name; None is returned for one that stands for several.
        plan: name of a plan that exists.
        configuration: of the plan.
        iterations: updates; None means the plan's.
        device: as in train.

    Raises:
        UserError: when there is no such trainer, plan or configuration, or the trainer cannot be run without data.
    """
    chosen = choose_device(device)
    if chosen.type != "cpu" or is_ensemble(trainer):
        return None
    planned = workspace.plan(dataset, plan)
    planned.configuration(configuration)
    declared = DatasetJson.load(workspace.dataset_json_path(dataset))
    cls = trainer_class(trainer)
    made = cls(
        planned, configuration, declared, cls.Options(), device=chosen, precision=choose_precision("auto", chosen)
    )
    return expected_seconds(made, iterations or planned.iterations)
