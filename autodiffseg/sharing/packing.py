"""Packing models into one zip file, stripped of what only training needs and of paths."""

from __future__ import annotations

import json
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autodiffseg import __version__
from autodiffseg.atomic import atomic_path, write_json, write_text
from autodiffseg.checkpoint_file import LAST, RESUME_KEYS, checkpoint_id, read_checkpoint
from autodiffseg.dataset import DatasetJson
from autodiffseg.errors import UserError
from autodiffseg.evaluation.summary import SUMMARY
from autodiffseg.file_hashes import sha256_of
from autodiffseg.postprocessing.record import FILE as POSTPROCESSING
from autodiffseg.postprocessing.record import Postprocessing
from autodiffseg.records import read_json, read_text
from autodiffseg.runs import RECORD, VALIDATION, RunRecord, finished_folds, fold_folder, fold_records
from autodiffseg.sharing import manifest
from autodiffseg.sharing.manifest import Manifest, SharedFile, is_safe_name
from autodiffseg.sharing.model_card import model_card
from autodiffseg.sharing.privacy import command_without_paths, last_part, without_paths

NO_NEED = ("dataset", "groups")
"""Keys of dataset.json that tell of single cases; prediction needs neither."""


@dataclass(frozen=True)
class PackedModel:
    """A model folder, and which of its folds are packed."""

    folder: Path
    """Absolute."""
    records: dict[str, RunRecord]
    """Fold -> its record."""

    @property
    def name(self) -> str:
        """Of its folder, here and in the zip file."""
        return self.folder.name

    @property
    def first(self) -> RunRecord:
        """The record of the first fold; what is not of the fold is alike in all."""
        return next(iter(self.records.values()))

    def needs(self) -> dict[Path, tuple[str, ...]]:
        """What must lie beside it -> folds: members with the ensemble's, a previous stage with all (none are named)."""
        found: dict[Path, tuple[str, ...]] = {}
        for fold, record in self.records.items():
            for name in record.members:
                found[self.folder.parent / name] = (*found.get(self.folder.parent / name, ()), fold)
        if self.first.previous_run:
            found[self.folder.parent / self.first.previous_run] = ()
        return found


def choose_folds(model: Path, folds: Sequence[str] = ()) -> PackedModel:
    """The folds of a model that are asked for, or all finished ones.

    Raises:
        UserError: when there is no model, a fold is missing or unfinished, or its last checkpoint is gone.
    """
    finished = finished_folds(model)
    unfinished = [fold for fold in folds if fold not in finished]
    if unfinished:
        raise UserError(f"{model}: fold {unfinished[0]} is not there or not finished; finished: {', '.join(finished)}.")
    records = fold_records(model)
    packed = PackedModel(model.resolve(), {fold: records[fold] for fold in dict.fromkeys(folds or finished)})
    for fold, record in packed.records.items():
        if not record.members and not (path := fold_folder(model, fold) / LAST).is_file():
            raise UserError(f"{path} does not exist; leave fold {fold} out by naming the others with --fold.")
    return packed


def needed_models(models: Sequence[PackedModel]) -> list[PackedModel]:
    """The members of ensembles and the previous stages of cascades, each after those that it needs itself.

    Raises:
        UserError: when one does not lie where it must.
    """
    named = {model.folder for model in models}
    found: dict[Path, PackedModel] = {}

    def gather(model: PackedModel) -> None:
        for folder, folds in model.needs().items():
            if folder in named:
                continue
            if not folder.is_dir():
                kind = "an ensemble, and its member" if model.first.members else "a cascade, and its previous stage"
                raise UserError(f"{model.folder} is {kind} {folder} is missing; put it there.")
            part = choose_folds(folder, folds)
            gather(part)
            known = found[folder].records if folder in found else {}
            found[folder] = PackedModel(folder, known | part.records)

    for model in models:
        gather(model)
    return list(found.values())


def pack(
    models: Sequence[PackedModel], needed: Sequence[PackedModel], out: Path, on_fold: Callable[[], None] | None = None
) -> Manifest:
    """Write the zip file, atomically.

    Args:
        models: that `predict` is to be given, of one dataset.
        needed: what they need, from `needed_models`.
        out: the file.
        on_fold: called after each fold.

    Raises:
        UserError: when the models are of several datasets, names cannot be used everywhere, or files cannot be read.
    """
    everything = [*needed, *models]
    _require_sharable(everything)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".tmp-", dir=out.parent) as name:
        staging, ids = Path(name), Renamed({})
        for model in everything:
            _stage(model, staging, ids, on_fold)
        write_text(staging / manifest.CARD, model_card(models, needed, staging))
        record = Manifest(
            dataset=models[0].first.dataset,
            models=tuple(model.name for model in models),
            needed=tuple(model.name for model in needed),
            trainers=tuple(dict.fromkeys(model.first.trainer for model in (*models, *needed))),
            files={path.relative_to(staging).as_posix(): _describe(path) for path in _files(staging)},
            versions={"autodiffseg": __version__},
        )
        record.save(staging / manifest.FILE)
        with atomic_path(out) as temporary, zipfile.ZipFile(temporary, "w") as archive:
            first = [staging / manifest.FILE, staging / manifest.CARD]
            for path in [*first, *(path for path in _files(staging) if path not in first)]:
                _add(archive, path, path.relative_to(staging).as_posix())
    return record


class Renamed(dict[tuple[str, str], tuple[str, str]]):
    """(Folder name, fold) of a checkpoint -> its hash as it was trained, and as it is shared."""

    def now(self, folder: str, fold: str, known: str) -> str:
        """The hash that stands for a `known` one; itself where the checkpoint is not shared or was another."""
        before, after = self.get((folder, fold), ("", ""))
        return after if known == before else known


def _require_sharable(models: Sequence[PackedModel]) -> None:
    names = [model.name for model in models]
    datasets = {model.first.dataset for model in models}
    if len(datasets) > 1:
        raise UserError(f"The models are of several datasets ({', '.join(sorted(datasets))}); export them one by one.")
    for name in (*names, *datasets):
        if not is_safe_name(name):
            raise UserError(f"'{name}' cannot name a folder on every system; rename the folder.")
    if len({name.casefold() for name in names}) < len(names):
        raise UserError(f"Two of the models have the same folder name ({', '.join(names)}); rename one.")


def _stage(model: PackedModel, staging: Path, ids: Renamed, on_fold: Callable[[], None] | None) -> None:
    """Put the files of a model into the staging folder."""
    target = staging / model.name
    for fold, record in model.records.items():
        source, folder = fold_folder(model.folder, fold), fold_folder(target, fold)
        folder.mkdir(parents=True)
        _share_record(record, ids).save(folder / RECORD)
        if record.members:
            _copy_json(staging / next(iter(record.members)), target)
        else:
            content = share_checkpoint(source / LAST, folder / LAST)
            ids[model.name, fold] = (checkpoint_id(source / LAST), checkpoint_id(folder / LAST))
            write_json(target / "plan.json", json.loads(content["plan"]))
            write_json(target / "dataset.json", json.loads(content["dataset"]))
        if (source / "progress.csv").is_file():
            write_text(folder / "progress.csv", read_text(source / "progress.csv"))
        if (source / VALIDATION / SUMMARY).is_file():
            summary = read_json(read_text(source / VALIDATION / SUMMARY), source=str(source / VALIDATION / SUMMARY))
            write_json(folder / VALIDATION / SUMMARY, _only_names(summary))
        if on_fold is not None:
            on_fold()
    if (model.folder / POSTPROCESSING).is_file():
        rules = Postprocessing.load(model.folder / POSTPROCESSING)
        _share_rules(rules, model, ids).save(target / POSTPROCESSING)


def _copy_json(member: Path, ensemble: Path) -> None:
    """Members share one dataset; of their plans the first's stands for all."""
    for name in ("plan.json", "dataset.json"):
        write_text(ensemble / name, read_text(member / name))


def share_checkpoint(source: Path, target: Path) -> dict[str, Any]:
    """Write a checkpoint without what only training needs; what was written is returned.

    Raises:
        UserError: when it cannot be read.
    """
    import torch

    content = {key: value for key, value in read_checkpoint(source).items() if key not in RESUME_KEYS}
    dataset = DatasetJson.parse(content["dataset"], source=f"{source}, dataset")
    kept = dataset.model_dump(mode="json", by_alias=True, exclude_defaults=True, exclude=set(NO_NEED))
    content["dataset"] = json.dumps(without_paths(kept))
    content["options"] = json.dumps(without_paths(json.loads(content["options"])))  # a teacher's file is a path
    torch.save(content, target)
    return content


def _share_record(record: RunRecord, ids: Renamed) -> RunRecord:
    """Without paths, and with the hashes that the checkpoints beside it have now."""
    told = without_paths(record.model_dump(mode="json"))
    told |= {
        "command": command_without_paths(record.command),
        "members": {name: ids.now(name, record.fold, known) for name, known in record.members.items()},
        "previous_checkpoints": {
            fold: ids.now(record.previous_run, fold, known) for fold, known in record.previous_checkpoints.items()
        },
    }
    return RunRecord.model_validate(told)


def _share_rules(rules: Postprocessing, model: PackedModel, ids: Renamed) -> Postprocessing:
    """With the hashes that the checkpoints have now, so that the rules are known to be for them."""
    renewed = {}
    for fold, known in rules.checkpoints.items():
        record = model.records.get(fold)
        homes = (record.members if record is not None else None) or (model.name,)
        renewed[fold] = known  # of a fold that is not shared
        if len(known) == len(homes):
            renewed[fold] = tuple(ids.now(home, fold, one) for home, one in zip(homes, known, strict=True))
    return rules.model_copy(update={"checkpoints": renewed})


def _only_names(summary: Any) -> Any:
    """A summary.json whose files are called by their names."""
    for case in summary.get("metric_per_case", ()):
        for key in ("prediction_file", "reference_file"):
            if key in case:
                case[key] = last_part(case[key])
    return without_paths(summary)


def _files(staging: Path) -> list[Path]:
    return sorted(path for path in staging.rglob("*") if path.is_file())


def _describe(path: Path) -> SharedFile:
    return SharedFile(bytes=path.stat().st_size, sha256=sha256_of(path))


def _add(archive: zipfile.ZipFile, path: Path, name: str) -> None:
    """Add a file; weights hardly compress. No time is written, so that the same model is the same file."""
    info = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
    info.compress_type = zipfile.ZIP_STORED if name.endswith(".pt") else zipfile.ZIP_DEFLATED
    info.external_attr = 0o644 << 16
    info.file_size = path.stat().st_size  # decides before writing whether more than 2 GB are to be expected
    with path.open("rb") as source, archive.open(info, "w") as target:
        while block := source.read(1 << 20):
            target.write(block)
