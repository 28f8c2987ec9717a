"""The integrity check of a raw dataset: every problem at once, before any work starts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from autodiffseg.dataset import IMAGE_ENDINGS, RawDataset
from autodiffseg.errors import UserError
from autodiffseg.geometry import show_spacing
from autodiffseg.integrity_case import CaseTask, check_case
from autodiffseg.integrity_declaration import check_declaration
from autodiffseg.preprocessing.parallel import for_each_case
from autodiffseg.problems import Problem, gather_notes, require_sound

__all__ = ["Problem", "check_dataset", "require_sound"]

FEW_BYTES = 40e6  # less than this is read sooner than worker processes start
FAR_APART = 20.0  # times the usual voxel size: more than slices differ between scanners, less than units do


def check_dataset(dataset: RawDataset, *, processes: int, on_case: Callable[[], None] | None = None) -> list[Problem]:
    """Check dataset.json and every file of the training cases.

    Args:
        dataset: the dataset.
        processes: worker processes; 1, and small datasets, are checked in this process.
        on_case: called after each case, for a progress bar.

    Returns:
        Everything that is wrong, in the order of the cases; notes (not fatal) last, alike ones gathered.

    Raises:
        UserError: names the case at which a worker process died, which lack of memory makes happen.
    """
    problems = [*check_declaration(dataset.json), *_check_layout(dataset)]
    if dataset.json.file_ending in IMAGE_ENDINGS:
        dimensions: dict[int, list[str]] = {}
        spacings: dict[str, tuple[float, float, float]] = {}
        foreground = False
        tasks = _tasks(dataset)
        jobs = {task.case: task for task in tasks}
        workers = 1 if _bytes(tasks) < FEW_BYTES else processes
        for findings in for_each_case(check_case, jobs, processes=workers, on_case=on_case).values():
            problems += findings.problems
            foreground |= findings.foreground
            if findings.dimensions is not None:
                dimensions.setdefault(findings.dimensions, []).append(findings.image)
            if findings.spacing is not None:
                spacings[findings.image] = findings.spacing
        problems += [*_check_dimensions(dimensions), *_check_spacings(spacings)]
        if not foreground and not any(problem.fatal for problem in problems):
            what = "no training case has any foreground: there is nothing to learn"
            problems.append(Problem("labelsTr", what, "look whether these are the right label maps"))
    return gather_notes(problems)


def _check_layout(dataset: RawDataset) -> Iterator[Problem]:
    """What can be seen from the names of files and folders alone."""
    json, folder = dataset.json, dataset.folder
    if not dataset.cases:
        place = "dataset.json" if json.dataset is not None else "imagesTr"
        cure = f"add imagesTr/CASE_0000{json.file_ending} and labelsTr/CASE{json.file_ending}"
        yield Problem(place, "there is no training case", cure)
    if json.num_training is not None and json.num_training != len(dataset.cases):
        what = f"numTraining is {json.num_training}, but there are {len(dataset.cases)} training cases"
        yield Problem("dataset.json", what, "mend the number if no case is lost", fatal=False)
    for name in dataset.strangers:
        yield Problem(f"imagesTr/{name}", "its name has no channel number", f"call it CASE_0000{json.file_ending}")
    for name in (*json.annotators.values(), *json.unlabelled):
        if not (folder / name).is_dir():
            yield Problem(name, "dataset.json names this folder, but it is missing", "add it or mend dataset.json")
    for case in dataset.cases:
        try:
            dataset.group(case)
        except UserError as error:
            # One line stands for all cases: they have one cause.
            yield Problem("dataset.json", str(error).partition(": ")[2].rstrip("."), "every case needs a group")
            return


def _tasks(dataset: RawDataset) -> list[CaseTask]:
    json, folder = dataset.json, dataset.folder
    numbered = json.dataset is None
    tasks = []
    for case in dataset.cases:
        # A case without images has none to list: its first channel is named as the missing file.
        missing = (folder / "imagesTr" / f"{case}_0000{json.file_ending}",)
        tasks.append(
            CaseTask(
                case=case,
                folder=folder,
                images=dataset.images(case) or missing,
                labels=(dataset.label(case), *dataset.annotations(case).values()),
                channels=len(json.channel_names),
                values=json.spec.values,
                ignore=json.spec.ignore,
                numbered=numbered,
            )
        )
    return tasks


def _bytes(tasks: Sequence[CaseTask]) -> int:
    return sum(path.stat().st_size for task in tasks for path in (*task.images, *task.labels) if path.is_file())


def _check_dimensions(images: dict[int, list[str]]) -> Iterator[Problem]:
    if len(images) < 2:
        return
    total = sum(map(len, images.values()))
    rare = min(images, key=lambda dimensions: (len(images[dimensions]), dimensions))
    common = next(dimensions for dimensions in images if dimensions != rare)
    more = f" and {len(images[rare]) - 1} more" if len(images[rare]) > 1 else ""
    what = f"this is {rare}D as {len(images[rare])} of {total} images are, others are {common}D"
    yield Problem(images[rare][0] + more, what, "a dataset is either 2D or 3D; store all images alike")


def _check_spacings(spacings: dict[str, tuple[float, float, float]]) -> Iterator[Problem]:
    """Voxel sizes far from those of the other images: on the common grid such a case would be tiny or enormous."""
    usual = [sorted(axis)[(len(axis) - 1) // 2] for axis in zip(*spacings.values(), strict=True)]  # medians
    for image, spacing in spacings.items():
        if any(max(own / other, other / own) > FAR_APART for own, other in zip(spacing, usual, strict=True)):
            own_size, usual_size = show_spacing(spacing), show_spacing(usual)
            what = f"its voxel size is {own_size} mm (z, y, x), that of most images is about {usual_size}"
            yield Problem(image, what, "see whether it is given in mm", fatal=False)
