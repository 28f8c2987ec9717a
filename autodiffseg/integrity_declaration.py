"""The part of the integrity check that opens no image: contradictions within dataset.json."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from autodiffseg.dataset import IMAGE_ENDINGS, DatasetJson
from autodiffseg.problems import Problem

HIGHEST = 255  # label maps are written as 8 bit
_Wrong = partial(Problem, "dataset.json")


def check_declaration(json: DatasetJson) -> list[Problem]:
    """Every contradiction within dataset.json."""
    return [*_check_files(json), *_check_labels(json), *_check_regions(json)]


def _check_files(json: DatasetJson) -> Iterator[Problem]:
    if json.file_ending not in IMAGE_ENDINGS:
        yield _Wrong(f"file_ending '{json.file_ending}' is not known", f"use one of {', '.join(IMAGE_ENDINGS)}")
    expected = {str(index) for index in range(len(json.channel_names))}
    if not json.channel_names:
        yield _Wrong("channel_names is empty", 'name each channel, as in {"0": "MRI"}')
    elif set(json.channel_names) != expected:
        yield _Wrong(
            f"the keys of channel_names are {', '.join(json.channel_names)}",
            f"number them from 0 to {len(expected) - 1}, like the files _0000, _0001, …",
        )
    for case in json.dataset or {}:
        if "/" in case or "\\" in case:
            yield _Wrong(f"the case id '{case}' holds a slash", "case ids name files; use letters, digits, '_' and '-'")


def _check_labels(json: DatasetJson) -> Iterator[Problem]:
    labels, spec = json.labels, json.spec
    if labels.get("background") != 0:
        yield _Wrong("labels has no 'background' that is 0", 'declare "background": 0')
    if not spec.foreground:
        yield _Wrong("labels declares no foreground class", "name at least one class beside background")
    single = [(name, value) for name, value in labels.items() if isinstance(value, int)]
    owners: dict[int, list[str]] = {}
    for name, value in single:
        owners.setdefault(value, []).append(name)
    for value, names in owners.items():
        if len(names) > 1:
            yield _Wrong(f"labels gives {value} to {' and '.join(names)}", "give each class its own number")
    strange = sorted(value for value in spec.values if not 0 <= value <= HIGHEST)
    if strange:
        yield _Wrong(f"labels holds {_listed(strange)}", f"use whole numbers from 0 to {HIGHEST}")
    if "ignore" in labels:
        ignore = labels["ignore"]
        if not isinstance(ignore, int) or ignore != max(spec.values) or ignore == 0:
            yield _Wrong(f"the label 'ignore' is {ignore}", "it must be one number, higher than all other labels")


def _check_regions(json: DatasetJson) -> Iterator[Problem]:
    spec = json.spec
    if not spec.has_regions:
        return
    for name, value in json.labels.items():
        members = (value,) if isinstance(value, int) else value
        if not members:
            yield _Wrong(f"region '{name}' is empty", "list the integers that belong to it")
        elif not isinstance(value, int) and 0 in members:
            yield _Wrong(f"region '{name}' holds 0, the background", "list foreground integers only")
        elif not isinstance(value, int) and spec.ignore in members:
            yield _Wrong(f"region '{name}' holds {spec.ignore}, the ignore label", "take it out")
    order = json.regions_class_order
    wanted = len(spec.foreground)
    if order is None:
        yield _Wrong("labels has regions but regions_class_order is missing", "list the integer to paint per region")
        return
    if len(order) != wanted:
        yield _Wrong(f"regions_class_order has {len(order)} entries", f"give one for each of the {wanted} regions")
    strange = sorted(set(order) - {value for members in spec.foreground.values() for value in members})
    if strange:
        yield _Wrong(f"regions_class_order paints {_listed(strange)}", "paint integers that belong to a region")


def _listed(values: list[int]) -> str:
    return ", ".join(map(str, values))
