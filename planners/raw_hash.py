"""Whether the raw files are still those that were looked at: a hash over their contents."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from autodiffseg.dataset import RawDataset
from autodiffseg.file_hashes import hash_files, hash_of_text


def hash_raw(dataset: RawDataset, cache: Path, *, threads: int) -> str:
    """A hash over labels, channels, case ids and the bytes of every training file.

    A file whose size and time of change are those of the last call is taken from `cache`, which is written anew.

    Raises:
        UserError: when a file cannot be read.
    """
    files = [(case, path.name, path) for case in dataset.cases for path in (*dataset.images(case), dataset.label(case))]
    for case in dataset.cases:
        files += [(case, f"{who}/{path.name}", path) for who, path in dataset.annotations(case).items()]
    digests = hash_files((path for _, _, path in files), cache, threads=threads)
    return _combine(dataset, ((case, name, digests[path]) for case, name, path in files))


def _combine(dataset: RawDataset, entries: Iterable[tuple[str, str, str]]) -> str:
    spec = dataset.spec.model_dump(mode="json")
    return hash_of_text(json.dumps([spec, dataset.json.channels, sorted(entries)], sort_keys=True))
