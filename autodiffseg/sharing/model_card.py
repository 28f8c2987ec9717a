"""The model card: what a shared model is, on what it was trained and how well it did, for people to read."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autodiffseg import __version__
from autodiffseg.dataset import DatasetJson
from autodiffseg.evaluation.summary import SUMMARY, Summary, load_summary
from autodiffseg.plans import Plan
from autodiffseg.postprocessing.record import FILE as POSTPROCESSING
from autodiffseg.postprocessing.record import Postprocessing
from autodiffseg.runs import VALIDATION, fold_folder
from autodiffseg.sharing.privacy import command_without_paths

if TYPE_CHECKING:
    from autodiffseg.sharing.packing import PackedModel

LICENCE_KEYS = ("licence", "license")
"""Of dataset.json: the first is the Medical Segmentation Decathlon's spelling."""


def model_card(models: Sequence[PackedModel], needed: Sequence[PackedModel], staging: Path) -> str:
    """The card in Markdown.

    Args:
        models: that predict is to be given.
        needed: members of ensembles and previous stages of cascades among them.
        staging: the folder in which the files to be shared lie.
    """
    dataset = DatasetJson.load(staging / models[0].name / "dataset.json")
    name = models[0].first.dataset
    lines = [f"# Segmentation of {dataset.name or name}", ""]
    lines += [*_what(models, needed, dataset, name), *_use(models, dataset)]
    for model in (*models, *needed):
        lines += _model(model, staging)
    lines += _data(dataset)
    lines += ["", f"Written by autodiffseg {__version__}. model.json lists every file with its hash."]
    return "\n".join(lines) + "\n"


def _what(
    models: Sequence[PackedModel], needed: Sequence[PackedModel], dataset: DatasetJson, name: str
) -> Iterator[str]:
    description = (dataset.model_extra or {}).get("description")
    yield from ([str(description), ""] if description else [])
    yield f"Trained on {name}. It segments:"
    yield ""
    yield "| label | integer |"
    yield "|---|---|"
    for label, members in dataset.spec.foreground.items():
        yield f"| {_cell(label)} | {', '.join(map(str, members))} |"
    yield ""
    yield f"Input: `{dataset.file_ending}` files, one per channel: {', '.join(map(_cell, dataset.channels))}."
    if len(models) > 1:
        yield "It is an ensemble: the probabilities of the models that predict is given are averaged."
    yield ""
    yield "Of each model this file holds the weights of its folds (not the state of the training, which cannot be"
    yield "gone on with), plan, dataset.json, the records of the trainings, validation scores and postprocessing."
    for model in (*models, *needed):
        for folder in model.needs():
            role = "averages its probabilities with others'" if model.first.members else "is shown its segmentation"
            yield f"`{folder.name}` is in the file because `{model.name}` {role}; predict finds it by itself."


def _use(models: Sequence[PackedModel], dataset: DatasetJson) -> Iterator[str]:
    named = " ".join(f"--model RESULTS/{model.name}" for model in models)
    yield from ("", "## Use", "```")
    yield "autodiffseg import-model FILE.zip"
    yield f"autodiffseg predict -i SCANS -o OUT {named}"
    yield "```"
    yield f"SCANS holds files `CASE_0000{dataset.file_ending}`; RESULTS is the folder that import-model names."


def _model(model: PackedModel, staging: Path) -> Iterator[str]:
    folder, record = staging / model.name, model.first
    plan = Plan.load(folder / "plan.json")
    configuration = plan.configuration(record.configuration)
    minutes = sum(one.training_seconds for one in model.records.values()) / 60
    trained = {case for one in model.records.values() for case in one.training_cases}
    yield from ("", f"## {folder.name}", "")
    yield "| | |"
    yield "|---|---|"
    size = "×".join(map(str, configuration.patch_size))
    spacing = "×".join(f"{step:.4g}" for step in configuration.spacing or ()) or "as they come"
    rows: list[tuple[str, object]] = [
        ("trainer", f"`{record.trainer}`"),
        ("configuration", f"{record.configuration}, plan {record.plan}: patches of {size} voxels at {spacing} mm"),
        ("folds", ", ".join(model.records)),
        ("cases", f"{len(trained)} in training, over all folds"),
        ("parameters", f"{record.parameters / 1e6:.2f} million"),
        ("updates per fold", ", ".join(_all({str(one.iterations_done) for one in model.records.values()}))),
        ("training", f"{minutes:.1f} minutes in all; {_cell(record.hardware)}, {record.device} {record.precision}"),
        ("seeds", ", ".join(_all({str(one.seed) for one in model.records.values()}))),
        ("versions", ", ".join(f"{name} {number}" for name, number in record.versions.items())),
        ("revision", record.git_revision or "unknown"),
        ("command", f"`{command_without_paths(record.command)}`" if record.command else "unknown"),
    ]
    for name, value in rows:
        yield f"| {name} | {value} |"
    yield from _scores(model, folder)
    if (folder / POSTPROCESSING).is_file():
        yield from _postprocessing(Postprocessing.load(folder / POSTPROCESSING))


def _scores(model: PackedModel, folder: Path) -> Iterator[str]:
    """The scores of the cases that no fold has trained on, as the networks' label maps gave them."""
    scored: dict[str, Any] = {}
    classes: dict[str, str] = {}
    for fold, record in model.records.items():
        path = fold_folder(folder, fold) / VALIDATION / SUMMARY
        if fold == "all" or not path.is_file():
            continue
        summary, seen = load_summary(path), set(record.training_cases)
        classes = summary.classes
        scored |= {case.case: case for case in summary.cases if case.case not in seen and case.case not in scored}
    yield ""
    if not scored:
        yield "It has no scores: no fold was validated on cases that it did not train on."
        return
    whole = Summary(classes, tuple(scored.values()))
    yield f"Validation on {len(scored)} cases, each by a fold that did not train on it, before postprocessing:"
    yield ""
    yield "| label | Dice | HD95 [mm] | neither predicted nor there |"
    yield "|---|---|---|---|"
    for key, name in classes.items():
        yield f"| {_cell(name)} | {_figures(whole.mean[key])} | {whole.n_empty[key]} |"
    yield f"| mean | {_figures(whole.foreground_mean)} | |"


def _postprocessing(found: Postprocessing) -> Iterator[str]:
    yield ""
    if not found.rules:
        yield "Postprocessing: none; no rule helped in cross-validation."
        return
    yield "Postprocessing, which predict applies:"
    yield from (f"- {rule}" for rule in found.rules)
    if found.before is not None and found.after is not None:
        figures = [_number(one.mean, 4) for one in (found.before, found.after)]
        yield ""
        yield f"With it the mean Dice of {found.cases} cases went from {figures[0]} to {figures[1]}."


def _data(dataset: DatasetJson) -> Iterator[str]:
    extra = dataset.model_extra or {}
    licence = next((str(extra[key]) for key in LICENCE_KEYS if extra.get(key)), "")
    yield from ("", "## Licence", "")
    yield f"Of the data, by its dataset.json: {_cell(licence) if licence else 'not stated'}."
    if extra.get("reference"):
        yield f"Its source: {_cell(str(extra['reference']).strip())}."
    yield "Of the weights: for whoever shares this file to say; what the data's licence asks for may bind them."


def _figures(scores: dict[str, float]) -> str:
    return f"{_number(scores.get('Dice'), 4)} | {_number(scores.get('HD95'), 2)}"


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None or math.isnan(value) else f"{value:.{digits}f}"


def _all(values: set[str]) -> list[str]:
    return sorted(values, key=lambda value: (len(value), value))


def _cell(text: str) -> str:
    """Text of others that can stand in a cell of a table."""
    return " ".join(text.replace("|", "/").split())
