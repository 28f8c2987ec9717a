"""Where predictions to find rules on come from: folders of label maps, or the validated folds of a model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from autodiffseg.dataset import IMAGE_ENDINGS, DatasetJson
from autodiffseg.errors import UserError
from autodiffseg.evaluation.summary import SUMMARY, load_summary
from autodiffseg.postprocessing.search import Pair
from autodiffseg.runs import VALIDATION, fold_folder, fold_records


def label_files(folders: Sequence[Path]) -> tuple[str, dict[str, Path]]:
    """The file ending of the label maps in some folders, and case -> file, sorted.

    Raises:
        UserError: when a folder is missing or holds none, when endings differ, or when two folders have the same case.
    """
    cases: dict[str, Path] = {}
    endings: dict[str, Path] = {}
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"{folder} is no folder.")
        names = sorted(
            path.name for path in folder.iterdir() if path.name[0] != "." and path.name.endswith(IMAGE_ENDINGS)
        )
        if not names:
            raise UserError(f"{folder} holds no label maps (CASE{', CASE'.join(IMAGE_ENDINGS)}).")
        for name in names:
            ending = next(ending for ending in IMAGE_ENDINGS if name.endswith(ending))
            endings.setdefault(ending, folder / name)
            case = name.removesuffix(ending)
            if case in cases:
                raise UserError(f"{cases[case]} and {folder / name} are of the same case; leave one of them out.")
            cases[case] = folder / name
    if len(endings) > 1:
        first, second, *_ = endings.values()
        raise UserError(f"{first} and {second} are files of two kinds; keep one kind of label maps.")
    return next(iter(endings)), dict(sorted(cases.items()))


def pair_with_references(cases: dict[str, Path], references: Path, ending: str) -> dict[str, Pair]:
    """Each prediction with the reference of the same name.

    Raises:
        UserError: when references are missing.
    """
    pairs = {case: Pair(path, references / f"{case}{ending}") for case, path in cases.items()}
    missing = [pair.reference for pair in pairs.values() if not pair.reference.is_file()]
    if missing:
        raise UserError(f"{missing[0]} does not exist ({len(missing)} of {len(pairs)} references are missing).")
    return pairs


def is_model(folder: Path) -> bool:
    """Whether a folder is that of a trained model."""
    return folder.is_dir() and bool(fold_records(folder))


def validated_pairs(model: Path, references: Path | None = None) -> dict[str, Pair]:
    """The validation predictions of all folds of a model with their references.

    Args:
        model: the folder that holds `fold_*`.
        references: folder of the references; None: where the summaries of the validations say.

    Raises:
        UserError: when no fold has been validated on cases of its own, or files are missing.
    """
    pairs: dict[str, Pair] = {}
    for fold, record in fold_records(model).items():
        folder = fold_folder(model, fold) / VALIDATION
        if fold == "all" or not (folder / SUMMARY).is_file():
            continue
        trained = set(record.training_cases)
        for case in load_summary(folder / SUMMARY).cases:
            if case.case in trained:
                continue
            prediction = folder / Path(case.prediction_file.replace("\\", "/")).name
            reference = Path(case.reference_file)
            pairs.setdefault(case.case, Pair(prediction, references / prediction.name if references else reference))
    if not pairs:
        raise UserError(f"{model} has no fold that was validated on cases of its own; run `autodiffseg validate`.")
    for pair in pairs.values():
        for path in pair:
            if not path.is_file():
                raise UserError(f"{path} does not exist; validate the fold anew, or name --references.")
    return dict(sorted(pairs.items()))


def find_dataset_json(*places: Path) -> DatasetJson | None:
    """The first dataset.json in some folders.

    Raises:
        UserError: when it is wrong.
    """
    found = next((path for place in places if (path := place / "dataset.json").is_file()), None)
    return DatasetJson.load(found) if found is not None else None
