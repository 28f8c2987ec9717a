"""Rules of postprocessing for a pair of runs, found on what the two say together of their validation cases."""

from __future__ import annotations

from pathlib import Path

from autodiffseg.postprocessing.record import FILE
from autodiffseg.postprocessing.search import find_rules
from autodiffseg.postprocessing.sources import pair_with_references
from autodiffseg.preprocessing.parallel import default_processes

from .best_search import BestSearch
from .pair_scores import RunPair


def postprocess(search: BestSearch, pair: RunPair) -> Path | None:
    """Find the rules of a pair that has been scored, and write them beside its label maps.

    Returns:
        The file; None where it need not be named, for no rule helps and the runs have none of their own either.

    Raises:
        UserError: when label maps or references are missing or damaged.
    """
    spec, ending = search.declared.spec, search.declared.file_ending
    files = {case: pair.folder / f"{case}{ending}" for case in search.cases}
    pairs = pair_with_references(files, search.references, ending)
    groups = [search.declared.group(case) for case in pairs] if search.declared.has_groups else None
    found = find_rules(pairs, spec, groups=groups, processes=default_processes())
    found.save(pair.folder / FILE)
    return pair.folder / FILE if found.rules or any((run.folder / FILE).is_file() for run in pair.runs) else None
