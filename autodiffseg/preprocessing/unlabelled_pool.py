"""The unlabelled images that a network is pretrained on: found, checked, guarded against leaks and preprocessed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from autodiffseg.dataset import DatasetJson, RawDataset
from autodiffseg.errors import UserError
from autodiffseg.folds import Fold
from autodiffseg.plans import Plan
from autodiffseg.preprocessing.case_store import CaseStore
from autodiffseg.preprocessing.image_files import ImageFiles, find_images, unlabelled_folders
from autodiffseg.preprocessing.image_run import Grid, prepare_images
from autodiffseg.preprocessing.image_store import ImageStore
from autodiffseg.preprocessing.leakage_guard import (
    group_note,
    known_held_out_images,
    known_labelled_images,
    known_test_images,
    leaks,
    likeness_note,
    refuse_leaks,
)
from autodiffseg.preprocessing.previous_stage import Watch
from autodiffseg.problems import SHOWN
from autodiffseg.workspace import Workspace

FOLDER = "unlabelled"
"""Beside the preprocessed cases of a configuration, in which only files are cases."""


class Pool(NamedTuple):
    """Preprocessed images to learn from without labels."""

    store: ImageStore
    """Holds all of them; of labelled cases under their own ids."""
    images: tuple[str, ...]
    """Ids, sorted; each image once."""
    digests: dict[str, str]
    """Id -> digest of the preprocessed array."""
    labelled: tuple[str, ...]
    """Labelled cases, test images and other held-out images among them, sorted by their ids there."""
    skipped: tuple[str, ...]
    """Files of the broken ones that were passed over."""
    notes: tuple[str, ...]
    """Lines for the user."""

    @property
    def digest(self) -> str:
        """Of all images, whatever their names and folders."""
        return hashlib.blake2b("".join(sorted(self.digests.values())).encode(), digest_size=16).hexdigest()


def prepare_pool(
    dataset: str,
    raw: RawDataset | None,
    folders: Sequence[Path],
    *,
    plan: Plan,
    configuration: str,
    workspace: Workspace,
    fold: Fold | None = None,
    held_out: Sequence[Path] = (),
    transductive: bool = False,
    skip_broken: bool = False,
    processes: int,
    watch: Watch | None = None,
) -> Pool:
    """Bring unlabelled images onto the grid and the intensities of a labelled dataset's plan; what is done is kept.

    Args:
        dataset: full name of the labelled dataset, which has been planned and preprocessed.
        raw: its raw folder, for the folders under `unlabelled` of its dataset.json and for its test images; None
            when it is not at hand.
        folders: of unlabelled images, or of datasets whose dataset.json lists such; none means the dataset's own.
        plan: of the labelled dataset.
        configuration: of the plan.
        workspace: where it lies.
        fold: whose training images are learnt from too; its validation cases are not.
        held_out: folders of other images that will be tested on.
        transductive: let labelled cases and test images in.
        skip_broken: pass over images that mean nothing.
        processes: at most, for preprocessing; they change no byte.
        watch: told how many images there are to preprocess, if any; what it returns is called after each.

    Raises:
        UserError: when there are no images, when some are broken or leak, or when the configuration is a cascade.
    """
    grid = Grid(plan, configuration)
    require_no_cascade(plan, configuration)
    json = DatasetJson.load(workspace.dataset_json_path(dataset))
    images = _find(dataset, json, raw, folders, optional=fold is not None)
    cases = CaseStore(workspace.preprocessed(dataset) / plan.data_id(configuration))
    store = ImageStore(cases.folder / FOLDER / "images", labelled=cases, cases=() if fold is None else fold.train)
    notes: list[str] = []

    labelled = known_labelled_images(cases, store, threads=processes)
    own = {case: found.digest for case, found in labelled if case in store.cases and found is not None}
    known = [one for one in labelled if one.case not in own]
    if raw is None:
        notes.append(f"The raw images of {dataset} are not at hand: unlabelled ones were not compared with imagesTs.")
    else:
        known += known_test_images(raw, grid, store, processes=processes)
    known += known_held_out_images(held_out, grid, store, processes=processes)
    forbidden = [] if transductive else known
    refuse_leaks(leaks(dict.fromkeys(images), forbidden))  # by name, before anything is preprocessed

    good, broken = prepare_images(images, grid, store, processes=processes, watch=watch)
    if broken and not skip_broken:
        raise UserError(_tell(broken))
    refuse_leaks(leaks(good, forbidden))
    notes += likeness_note(good, forbidden) + group_note(images, forbidden, json)

    digests, seen = dict(own), set(own.values())
    for properties in sorted(good.values(), key=lambda properties: properties.image):
        if properties.digest not in seen:
            digests[properties.image] = properties.digest
            seen.add(properties.digest)
    if not digests:
        raise UserError(
            f"No unlabelled images remain: all {len(broken)} are broken, such as {next(iter(broken.values()))}"
        )
    if broken:
        notes.append(f"{len(broken)} broken images are passed over, such as {next(iter(broken.values()))}")
    if twice := len(good) + len(own) - len(digests):
        notes.append(f"{twice} images are there more than once; each is learnt from once.")
    seen_cases = tuple(sorted({*own, *leaks(good, known).values()}))
    skipped = tuple(str(image.files[0]) for image in broken)
    return Pool(store, tuple(sorted(digests)), digests, seen_cases, skipped, tuple(notes))


def require_no_cascade(plan: Plan, configuration: str) -> None:
    """Refuse a configuration whose images come with a segmentation: unlabelled ones have none.

    Raises:
        UserError: for a cascade; the message names what to pretrain instead.
    """
    before = plan.configuration(configuration).previous_stage
    if before is not None:
        raise UserError(
            f"{configuration} is a cascade, which is shown segmentations beside the image; pretrain {before} or "
            "another configuration that has no previous stage."
        )


def _find(
    dataset: str, json: DatasetJson, raw: RawDataset | None, folders: Sequence[Path], *, optional: bool
) -> list[ImageFiles]:
    """The images of all folders.

    Raises:
        UserError: when there are none but they are not optional, or a folder is wrong.
    """
    declared = json.unlabelled if raw is None else raw.json.unlabelled
    if not folders and declared and raw is None:
        raise UserError(
            f"The raw folder of {dataset}, in which its unlabelled images lie ({', '.join(declared)}), is not at hand; "
            "give its path as DATASET, or name the folders with --unlabelled FOLDER."
        )
    if not folders and raw is not None:
        folders = [raw.folder / name for name in declared]
    if not folders and not optional:
        raise UserError(
            f"There are no unlabelled images: dataset.json of {dataset} lists none under 'unlabelled'. Name their "
            "folders with --unlabelled FOLDER."
        )
    own = [place for folder in folders for place in unlabelled_folders(folder)]
    return [image for folder in dict.fromkeys(own) for image in find_images(folder, len(json.channels))]


def _tell(broken: Mapping[ImageFiles, str]) -> str:
    noun = "image is" if len(broken) == 1 else "images are"
    lines = [f"{len(broken)} unlabelled {noun} broken; mend or remove, or pass over with --skip-broken:"]
    lines += [f"  {fault}" for fault in list(broken.values())[:SHOWN]]
    if len(broken) > SHOWN:
        lines.append(f"  … and {len(broken) - SHOWN} more")
    return "\n".join(lines)
