"""A shifted set predicted and scored by a trained fold, as far as that has not been done with the files of today."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from autodiffseg.dataset import DatasetJson
from autodiffseg.evaluation.comparison import SHOWN
from autodiffseg.evaluation.shifted_set import ShiftedSet, score_shifted
from autodiffseg.evaluation.shifted_state import ShiftedState, shifted_scores, shifted_state
from autodiffseg.evaluation.summary import SUMMARY, Summary, write_summary
from autodiffseg.preprocessing.parallel import default_processes
from autodiffseg.runs import RunRecord, fold_folder
from autodiffseg.sampling import SamplingRequest

from .prediction_job import PredictionJob, run_prediction
from .prediction_options import PredictionOptions, WantedOutputs
from .resources import Resources, default_writers

METRICS = (*SHOWN, "Precision", "Sensitivity")
"""The last two tell whether a model marks too much or too little of another domain."""


def scored_shifted_set(
    shifted: ShiftedSet,
    model: Path,
    record: RunRecord,
    declared: DatasetJson,
    *,
    device: str | None,
    precision: str,
    console: Console,
) -> Summary:
    """The scores of a fold on a shifted set, in the set's own classes.

    As validation does, the images are predicted mirrored as in training, and without postprocessing. Predictions lie
    in the fold's folder.

    Args:
        shifted: the set.
        model: folder of the run.
        record: of its fold, which has finished.
        declared: dataset.json of the model's dataset.
        device: None is the usual one.
        precision: of the network.
        console: for progress.

    Raises:
        UserError: when images do not fit the model, or predictions the references.
    """
    ending = declared.file_ending
    folder = shifted.predictions(fold_folder(model, record.fold))
    state = shifted_state(shifted, model, record, ending=ending)
    if state in (ShiftedState.NONE, ShiftedState.STALE, ShiftedState.PART):
        (folder / SUMMARY).unlink(missing_ok=True)
        job = _job(shifted, model, record, folder, device, precision, go_on=state is ShiftedState.PART)
        run_prediction(job, console)
        state = ShiftedState.PREDICTED
    if state is ShiftedState.PREDICTED:
        summary = score_shifted(
            shifted, folder, declared.spec, ending=ending, metrics=METRICS, processes=default_processes()
        )
        write_summary(
            summary, folder, checkpoint="last", updates=record.iterations_done, references=shifted.reference_hash
        )
    return shifted_scores(shifted, model, record)


def _job(
    shifted: ShiftedSet,
    model: Path,
    record: RunRecord,
    folder: Path,
    device: str | None,
    precision: str,
    *,
    go_on: bool,
) -> PredictionJob:
    return PredictionJob(
        source=shifted.images,
        out=folder,
        models=(model,),
        folds=(record.fold,),
        checkpoint="last",
        sampling=SamplingRequest(),
        options=PredictionOptions(),
        wanted=WantedOutputs(),
        postprocessing=None,
        postprocess=False,
        resources=Resources(None, default_writers()),
        part="0/1",
        go_on=go_on,
        device=device,
        precision=precision,
    )
