"""A folder of predictions: whether it can be made, and the record of how it came about."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autodiffseg.atomic import write_text
from autodiffseg.dataset import DatasetJson
from autodiffseg.errors import UserError
from autodiffseg.postprocessing.rules import Rule
from autodiffseg.records import Record
from autodiffseg.runs import PREDICTION_RECORD
from autodiffseg.sampling import Sampling

from .prediction_options import PredictionOptions

if TYPE_CHECKING:
    from .prediction_outputs import PredictionOutputs


class ModelRecord(Record):
    """One of the models of a prediction."""

    model: str
    """Its folder."""
    weight: float
    """Of its probabilities in the mean; within a model its folds count alike."""
    checkpoints: dict[str, str]
    """Fold -> hash of its checkpoint file."""
    previous_model: str = ""
    """Of a cascade: folder of the model that segmented the images first."""
    previous_checkpoints: dict[str, str] = {}
    """Fold of `previous_model` -> hash of its checkpoint file."""
    configuration: str
    sampling: Sampling


class PredictionRecord(PredictionOptions):
    """predict.json of a folder of predictions: how they came about."""

    schema_version: int = 2
    input: str
    images: dict[str, str] = {}
    """Case -> hash of the image files that its label map was made of."""
    checkpoint: str
    """last or best."""
    models: tuple[ModelRecord, ...]
    postprocessing: tuple[Rule, ...] = ()
    """Applied to every label map, in this order."""
    device: str
    precision: str
    versions: dict[str, str]

    def same_predictions(self, other: PredictionRecord) -> bool:
        """Whether both describe the same predictions, wherever and of whatever cases they were made."""
        return self._essence() == other._essence()

    def _essence(self) -> dict[str, Any]:
        free: Any = dict.fromkeys(("input", "images", "device", "precision", "versions"), True)
        return self.model_dump(exclude={**free, "models": {"__all__": {"model", "previous_model"}}})


def parse_part(part: str) -> tuple[int, int]:
    """`i/n` as (i, n).

    Raises:
        UserError: when it is anything else, or i is not below n.
    """
    match = re.fullmatch(r"(\d+)/(\d+)", part)
    if match is None or int(match[1]) >= int(match[2]):
        raise UserError(f"--part {part}: it is I/N with I from 0 to N-1, such as 0/4, 1/4, 2/4 and 3/4.")
    return int(match[1]), int(match[2])


def check_folders(source: Path, out: Path) -> None:
    """Refuse an output folder that is the input folder, or no folder.

    Raises:
        UserError: also when the input does not exist.
    """
    if not source.exists():
        raise UserError(f"{source} does not exist; -i names a folder of CASE_0000 files or one such file.")
    folder = source.parent if source.is_file() else source
    if out.exists() and not out.is_dir():
        raise UserError(f"{out} is no folder; -o names the folder for the predictions.")
    if out.resolve() == folder.resolve():
        raise UserError(f"{out} is the input folder; give the predictions a folder of their own with -o.")


def prepare_output(
    outputs: PredictionOutputs, record: PredictionRecord, dataset: DatasetJson, cases: Sequence[str], *, go_on: bool
) -> None:
    """Make the output folder, with what `evaluate` and a later reader need to know.

    Afterwards every label map in it was made as predict.json says: without `go_on` those of `cases` are removed, and a
    folder with other ones that were made otherwise is refused. So it stays true that what is there is done. Of label
    maps that are kept the earlier predict.json tells from which images they were made.

    Args:
        outputs: the folder, and what will be written.
        record: how the predictions will be made, with the images of those alone that are not there yet.
        dataset: of the model.
        cases: those that will be predicted, of this part alone.
        go_on: keep their label maps.

    Raises:
        UserError: when it cannot be written to, or holds predictions that were made otherwise or nobody knows how.
    """
    out, ending = outputs.folder, outputs.ending
    before = _same_before(out, record, go_on=go_on)
    if before is None:
        ours = set() if go_on else {path.name for case in cases for path in outputs.existing(case)}
        strangers = sorted(name for name in _predictions(out, ending) if name not in ours)
        if strangers:
            cure = " or leave out --continue to replace them" if go_on else " or remove them"
            raise UserError(
                f"{out} holds predictions that no {PREDICTION_RECORD} says to be of this model and these options "
                f"({len(strangers)}, first: {strangers[0]}); choose another folder{cure}."
            )
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
        for case in () if go_on else cases:
            for path in outputs.existing(case):
                path.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"{out} cannot be written to: {os.strerror(error.errno or 0)}.") from error
    write_dataset_json(out, dataset)
    images = {**(before.images if before is not None else {}), **record.images}
    record.model_copy(update={"images": dict(sorted(images.items()))}).save(out / PREDICTION_RECORD)


def write_dataset_json(folder: Path, dataset: DatasetJson) -> None:
    """Say beside label maps what they mean, for `evaluate`.

    Without our own optional keys, which would be null: nnU-Net's tools take some that are there for meant.
    """
    write_text(folder / "dataset.json", dataset.model_dump_json(indent=2, by_alias=True, exclude_defaults=True) + "\n")


def _same_before(out: Path, record: PredictionRecord, *, go_on: bool) -> PredictionRecord | None:
    """The predict.json that is there, if it tells of predictions like these.

    Raises:
        UserError: with `go_on`, when it tells of others or cannot be read.
    """
    if not (out / PREDICTION_RECORD).is_file():
        return None
    try:
        before = PredictionRecord.load(out / PREDICTION_RECORD)
    except UserError:
        if go_on:
            raise
        return None
    same = before.same_predictions(record)
    if go_on and not same:
        raise UserError(
            f"{out / PREDICTION_RECORD} tells of predictions by another model or other options; choose another folder, "
            "or leave out --continue to replace them."
        )
    return before if same else None


def _predictions(out: Path, ending: str) -> list[str]:
    names = [path.name for path in out.iterdir()] if out.is_dir() else []
    return [name for name in names if name.endswith((ending, ".npz")) and not name.startswith(".")]


def select_cases(cases: Sequence[str], part: tuple[int, int]) -> list[str]:
    """Every n-th case, beginning with the i-th: n machines share the work without talking."""
    first, count = part
    return list(cases)[first::count]
