"""Predictions that another program made, scored as an entrant of a comparison."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from autodiffseg.dataset import IMAGE_ENDINGS
from autodiffseg.errors import UserError
from autodiffseg.evaluation.comparison import Entrant
from autodiffseg.evaluation.folder import ScoringTask, read_pair
from autodiffseg.evaluation.overlap import label_values
from autodiffseg.evaluation.placement import require_same_orientation
from autodiffseg.evaluation.scoring import score_label_maps
from autodiffseg.evaluation.summary import CaseScores
from autodiffseg.labels import LabelSpec
from autodiffseg.preprocessing.parallel import for_each_case, useful_processes


def read_externals(asked: Sequence[str]) -> dict[str, Path]:
    """`NAME=FOLDER` options as name -> folder.

    Raises:
        UserError: when one has no name, a name comes twice, or a folder does not exist.
    """
    found: dict[str, Path] = {}
    for text in asked:
        name, equals, folder = text.partition("=")
        if not name or not equals:
            raise UserError(f"--external {text}: give a name and a folder, as in --external nnU-Net=results/nnUNet.")
        if name in found:
            raise UserError(f"--external {text}: the name {name} is given twice.")
        if not Path(folder).is_dir():
            raise UserError(f"--external {text}: {folder} is no folder.")
        found[name] = Path(folder)
    return found


def find_predictions(folder: Path) -> dict[str, Path]:
    """The label maps of a folder by case: of its `fold_*/validation`, else of its `fold_*`, else its own.

    Raises:
        UserError: when there are none, or a case comes in two folds.
    """
    folds = sorted(path for path in folder.glob("fold_*") if path.is_dir() and path.name != "fold_all")
    places = [fold / "validation" if (fold / "validation").is_dir() else fold for fold in folds] or [folder]
    found: dict[str, Path] = {}
    for place in places:
        for path in sorted(place.iterdir()):
            ending = next((ending for ending in IMAGE_ENDINGS if path.name.endswith(ending)), None)
            if ending is None or path.name.startswith("."):
                continue
            case = path.name.removesuffix(ending)
            if case in found:
                raise UserError(f"{found[case]} and {path} are of the same case; leave one of the folds out.")
            found[case] = path
    if not found:
        raise UserError(f"{folder} holds no label maps, neither itself nor in fold_*/validation.")
    return found


def score_external(
    name: str,
    predictions: Mapping[str, Path],
    references: Path,
    spec: LabelSpec,
    *,
    ending: str,
    metrics: Sequence[str],
    processes: int = 1,
    on_case: Callable[[], None] | None = None,
) -> Entrant:
    """Score the predictions of another program.

    Args:
        name: of the entrant.
        predictions: case -> label map.
        references: folder that has a reference label map of every case.
        spec: what the labels mean; the predictions must hold no others.
        ending: of the references.
        metrics: names.
        processes: that work.
        on_case: called after each case.

    Raises:
        UserError: names every prediction that cannot be read, lies on another grid or holds other labels; the first one
            whose voxel axes run elsewhere than its reference's.
    """
    tasks = {
        case: ScoringTask(case, path, references / f"{case}{ending}", spec, tuple(metrics))
        for case, path in predictions.items()
    }
    require_same_orientation({case: (task.prediction, task.reference) for case, task in tasks.items()})
    count = useful_processes([task.reference for task in tasks.values()], processes)
    scored = for_each_case(score_external_case, tasks, processes=count, on_case=on_case)
    return Entrant(name, scored, {}, facts={"kind": "external"})


def score_external_case(task: ScoringTask) -> CaseScores:
    """The metrics of one case of another program.

    Raises:
        UserError: when a file cannot be read, the two are on different grids, or the labels are not the dataset's.
    """
    prediction, reference, spacing_mm = read_pair(task.prediction, task.reference)
    strange = sorted(label_values(prediction) - task.spec.values)
    if strange:
        raise UserError(
            f"{task.prediction} holds the label {strange[0]}, which dataset.json does not declare; "
            "translate its labels to the dataset's."
        )
    scores = score_label_maps(prediction, reference, task.spec, spacing_mm=spacing_mm, metrics=task.metrics)
    return CaseScores(task.case, scores, str(task.prediction), str(task.reference))
