"""The fingerprint of the raw files as they are now: an earlier run's where nothing has changed, else a new one."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from autodiffseg.dataset import RawDataset
from autodiffseg.errors import UserError
from autodiffseg.fingerprint import Fingerprint
from autodiffseg.workspace import Workspace

from .reporter import Reporter


class Known(NamedTuple):
    """What an earlier run left."""

    earlier: Fingerprint | None
    """Its fingerprint if that can be read, whatever has become of the raw files."""
    current: bool
    """Whether the raw files are still those that it was taken from."""


def known_fingerprint(raw: RawDataset, workspace: Workspace, *, processes: int) -> Known:
    """Look for a fingerprint and compare the raw files with it."""
    try:
        earlier = Fingerprint.load(workspace.fingerprint_path(raw.name))
    except UserError:  # missing, of an older version or damaged: nobody's work is in it, and it is taken anew
        return Known(None, False)
    return Known(earlier, earlier.raw_hash == _hash_or_none(raw, _cache(raw, workspace), processes))


def check_raw(raw: RawDataset, *, processes: int, reporter: Reporter) -> None:
    """Open every file; tell the notes.

    Raises:
        UserError: lists all that is wrong.
    """
    from autodiffseg.integrity import check_dataset, require_sound

    processes = _fitting(raw, processes, reporter)
    with reporter.progress("Integrity", len(raw.cases)) as advance:
        problems = check_dataset(raw, processes=processes, on_case=advance)
    require_sound(problems, raw.folder)
    for problem in problems:
        reporter.tell(f"Note: {problem}")


def new_fingerprint(raw: RawDataset, workspace: Workspace, *, processes: int, reporter: Reporter) -> Fingerprint:
    """Take the fingerprint of the raw files; it is not written yet.

    Raises:
        UserError: when a case cannot be read.
    """
    from .fingerprint_extraction import take_fingerprint
    from .raw_hash import hash_raw

    raw_hash = hash_raw(raw, _cache(raw, workspace), threads=processes)
    processes = _fitting(raw, processes, reporter)
    with reporter.progress("Fingerprint", len(raw.cases)) as advance:
        return take_fingerprint(raw, raw_hash, processes=processes, on_case=advance, tell=reporter.tell)


def _fitting(raw: RawDataset, processes: int, reporter: Reporter) -> int:
    """As many processes as the free memory holds while each reads one of the largest cases."""
    from autodiffseg.preprocessing.case_memory import largest_cases, reading_bytes
    from autodiffseg.preprocessing.parallel import fitting_processes

    if processes == 1:
        return 1
    sizes = largest_cases(raw.images(case) for case in raw.cases)
    return fitting_processes(processes, reading_bytes(sizes), reporter.tell_once)


def _cache(raw: RawDataset, workspace: Workspace) -> Path:
    return workspace.preprocessed(raw.name) / "raw_files.json"


def _hash_or_none(raw: RawDataset, cache: Path, processes: int) -> str | None:
    """The hash of the raw files, or None where one cannot be read; the integrity check says more of it."""
    from .raw_hash import hash_raw

    try:
        return hash_raw(raw, cache, threads=processes)
    except UserError:
        return None
