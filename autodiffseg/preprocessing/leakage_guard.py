"""Which unlabelled images are labelled cases or test images: known by name, or by what is left after preprocessing."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from autodiffseg.dataset import DatasetJson, RawDataset
from autodiffseg.errors import UserError
from autodiffseg.file_hashes import hash_files
from autodiffseg.preprocessing.case_store import CaseStore
from autodiffseg.preprocessing.image_files import ImageFiles, find_any_images, find_images
from autodiffseg.preprocessing.image_run import Grid, prepare_images
from autodiffseg.preprocessing.image_sketch import find_same
from autodiffseg.preprocessing.image_store import ImageProperties, ImageStore
from autodiffseg.preprocessing.parallel import fitting_processes

SHOWN = 3
"""Leaks that a message names."""
COPIES = 2
"""Of a case, that may be in memory while it is looked at."""


class KnownImage(NamedTuple):
    """A labelled case or test image."""

    case: str
    properties: ImageProperties | None
    """None when it cannot be read."""


def known_labelled_images(store: CaseStore, images: ImageStore, *, threads: int) -> list[KnownImage]:
    """The cases of a case store, of any fold.

    Args:
        store: the preprocessed cases.
        images: a folder beside its own remembers their properties, so that only new cases are read.
        threads: how many cases are read at a time, at most; fewer where the memory does not suffice.

    Raises:
        UserError: when a case is damaged.
    """
    paths = {case: store.image_file(case) for case in store.cases()}
    hashes = hash_files(paths.values(), images.beside("labelled_files.json"), threads=threads)
    kept = ImageStore(images.beside("labelled"))

    def name_of(case: str) -> str:
        return f"{case}-{hashes[paths[case]][:12]}"

    def look(case: str) -> KnownImage:
        name = name_of(case)
        if not kept.has(name):
            kept.write(ImageProperties.of(name, store.image(case)[:], store.properties(case).spacing), None)
        return KnownImage(case, kept.properties(name))

    new = (case for case in paths if not kept.has(name_of(case)))
    largest = max((COPIES * math.prod(store.image(case).shape) * 4 for case in new), default=0)
    with ThreadPoolExecutor(fitting_processes(threads, largest) if largest else threads) as pool:
        return list(pool.map(look, paths))


def known_test_images(raw: RawDataset, grid: Grid, images: ImageStore, *, processes: int) -> list[KnownImage]:
    """What lies in imagesTs of a raw dataset; what cannot be read is known by its name alone.

    Args:
        raw: the labelled dataset.
        grid: of its preprocessed cases.
        images: a folder beside its own remembers their properties.
        processes: at most.

    Raises:
        UserError: when they cannot be preprocessed though nothing is wrong with them, as for want of memory.
    """
    found = find_any_images(raw.folder / "imagesTs", len(raw.json.channels))
    if not found:
        return []
    kept = ImageStore(images.beside("test_images"))
    good, _ = prepare_images(found, grid, kept, processes=processes, keep=False)
    return [KnownImage(image.name, good.get(image)) for image in found]


def known_held_out_images(
    folders: Iterable[Path], grid: Grid, images: ImageStore, *, processes: int
) -> list[KnownImage]:
    """What lies in other folders that will be tested on, called FOLDER/NAME: that another is called NAME is no leak.

    Args:
        folders: of images, named as unlabelled ones are.
        grid: of the labelled dataset's preprocessed cases.
        images: a folder beside its own remembers their properties.
        processes: at most.

    Raises:
        UserError: when a folder is missing or holds no images, or one of them is broken and so cannot be looked for.
    """
    channels = len(grid.plan.configuration(grid.configuration).normalisation)
    found = [image for folder in dict.fromkeys(folders) for image in find_images(folder, channels)]
    kept = ImageStore(images.beside("held_out"))
    good, broken = prepare_images(found, grid, kept, processes=processes, keep=False)
    if broken:
        raise UserError(f"--held-out: {next(iter(broken.values()))} Take it away, or mend it.")
    return [KnownImage(f"{image.files[0].parent.name}/{image.name}", properties) for image, properties in good.items()]


def leaks(images: Mapping[ImageFiles, ImageProperties | None], known: Iterable[KnownImage]) -> dict[ImageFiles, str]:
    """Unlabelled image -> the known case that it is; of one without properties only the name is compared."""
    names, digests = set(), {}
    for case, properties in known:
        names.add(case)
        if properties is not None:
            digests[properties.digest] = case
    found = {}
    for image, own in images.items():
        same = None if own is None else digests.get(own.digest)
        if same is not None or image.name in names:
            found[image] = same or image.name
    return found


def refuse_leaks(found: Mapping[ImageFiles, str]) -> None:
    """Refuse unlabelled images that are known.

    Raises:
        UserError: when there are any; the message names the first.
    """
    if not found:
        return
    shown = [f"{image.files[0]} is {case}" for image, case in list(found.items())[:SHOWN]]
    more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    noun = "image is a case that is" if len(found) == 1 else "images are cases that are"
    raise UserError(
        f"{len(found)} unlabelled {noun} validated or tested on, by content or name ({'; '.join(shown)}{more}): what "
        "is learnt from can be neither. Take them away (rename what has nothing but its name in common with a case), "
        "or give --transductive, which is recorded; --with-training-images --fold K learns from the training images of "
        "one fold alone."
    )


def likeness_note(images: Mapping[ImageFiles, ImageProperties], known: Iterable[KnownImage]) -> list[str]:
    """A line that names unlabelled images that look as known ones do, as a copy of another size does; none if none."""
    found = find_same(
        {str(image.files[0]): properties.sketch for image, properties in images.items()},
        {case: properties.sketch for case, properties in known if properties is not None},
    )
    if not found:
        return []
    shown = [f"{image} like {case}, correlation {correlation:.4f}" for image, case, correlation in found[:SHOWN]]
    more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    noun = "image looks like a case" if len(found) == 1 else "images look like cases"
    return [
        f"{len(found)} unlabelled {noun} that is validated or tested on ({'; '.join(shown)}{more}): a copy of another "
        "size or compression, mirrored or negative (correlation -1), leaks as much as the image itself; take it away "
        "if it is one."
    ]


def group_note(images: Iterable[ImageFiles], known: Iterable[KnownImage], json: DatasetJson) -> list[str]:
    """A line that counts unlabelled images of the groups (patients, sites) that known ones belong to; none if none."""
    if not json.has_groups:
        return []
    groups = {group for case, _ in known if (group := _group(json, case)) is not None}
    found = [image for image in images if _group(json, image.name) in groups]
    if not found:
        return []
    return [
        f"{len(found)} unlabelled images are of groups (patients, sites) that are validated or tested on, such as "
        f"{found[0].files[0]} of {_group(json, found[0].name)}: scores may be better there than on groups never seen."
    ]


def _group(json: DatasetJson, name: str) -> str | None:
    """The group of an image; None when dataset.json does not tell, as it need not for unlabelled ones."""
    try:
        return json.group(name)
    except UserError:
        return None
