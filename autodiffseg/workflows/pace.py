"""How long the trainings of a study take: by those of the same kind in the results, else by a forecast."""

from __future__ import annotations

from autodiffseg import registry
from autodiffseg.errors import UserError
from autodiffseg.runs import dataset_runs, fold_records
from autodiffseg.workflows.study import Step, Study


class Pace:
    """How long trainings take: by those of the same kind in the results, else by a forecast for this CPU."""

    def __init__(self, study: Study) -> None:
        """Of the trainings of `study`."""
        self.study = study
        self._forecasts: dict[tuple[str, str], float | None] = {}

    def seconds(self, step: Step) -> float | None:
        """What is left of a training; None when that cannot be said."""
        study = self.study
        if step.training is None or not study.is_planned:
            return None
        updates = study.iterations or study.workspace.plan(study.dataset, study.plan).iterations
        if step.training not in self._forecasts:
            self._forecasts[step.training] = self._of_an_update(*step.training, updates)
        pace = self._forecasts[step.training]
        left = updates if step.updates_left is None else step.updates_left
        return None if pace is None else pace * left

    def _of_an_update(self, trainer: str, configuration: str, updates: int) -> float | None:
        study = self.study
        records = [
            record
            for run in dataset_runs(study.workspace, study.dataset)
            for record in fold_records(run).values()
            if (record.trainer, record.plan, record.configuration) == (trainer, study.plan, configuration)
        ]
        done = sum(record.iterations_done for record in records)
        if done:
            return sum(record.training_seconds for record in records) / done
        forecast = registry.load(registry.SERVICES, "training-time")
        try:
            seconds = forecast(
                study.workspace, study.dataset, trainer=trainer, plan=study.plan, configuration=configuration,
                iterations=updates, device=study.device,
            )  # fmt: skip
        except UserError:
            return None  # a forecast is no condition: the training itself will say what is wrong
        return None if seconds is None else float(seconds) / updates
