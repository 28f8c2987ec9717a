"""RawDataset: a folder in the nnU-Net raw layout, read as it is."""

from __future__ import annotations

import os
import re
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, Field, field_validator

from autodiffseg.errors import UserError
from autodiffseg.labels import LabelSpec
from autodiffseg.records import Record

IMAGE_ENDINGS = (".nii.gz", ".nii", ".mha", ".nrrd", ".png", ".tif", ".tiff", ".bmp")


class CaseFiles(Record):
    """Where one case lies, when dataset.json names the files instead of following the folder convention."""

    images: tuple[str, ...]
    label: str


class DatasetJson(Record):
    """dataset.json of nnU-Net v2 with our optional keys; keys that we do not know are kept and ignored."""

    model_config = ConfigDict(frozen=True, extra="allow")

    name: str = ""
    channel_names: dict[str, str]
    labels: dict[str, int | tuple[int, ...]]
    regions_class_order: tuple[int, ...] | None = None
    num_training: int | None = Field(default=None, alias="numTraining")
    file_ending: str
    dataset: dict[str, CaseFiles] | None = None
    annotators: dict[str, str] = {}
    """Annotator -> folder of label maps; labelsTr stays the reference for evaluation."""
    unlabelled: tuple[str, ...] = ()
    """Folders of images without labels."""
    groups: dict[str, str] | None = None
    """Case -> group (patient, site): groups are never split between training and validation."""
    group_regex: str | None = None
    """Regular expression whose first group, found in the case id, names the case's group."""

    @field_validator("labels", mode="before")
    @classmethod
    def _whole_numbers(cls, labels: Any) -> Any:
        # Decathlon files and hand-written ones give "1" or 1.0 for 1.
        if not isinstance(labels, dict):
            return labels

        def whole(value: Any) -> Any:
            return int(value) if isinstance(value, str | float) and float(value).is_integer() else value

        return {
            name: tuple(map(whole, value)) if isinstance(value, list | tuple) else whole(value)
            for name, value in labels.items()
        }

    @field_validator("group_regex")
    @classmethod
    def _compiles(cls, pattern: str | None) -> str | None:
        try:
            re.compile(pattern or "")
        except re.error as error:
            raise ValueError(f"it is no regular expression ({error})") from error
        return pattern

    @property
    def spec(self) -> LabelSpec:
        """The labels alone."""
        return LabelSpec(labels=self.labels, regions_class_order=self.regions_class_order)

    @property
    def channels(self) -> tuple[str, ...]:
        """Channel names in the order of the files `_0000`, `_0001`, …

        Raises:
            UserError: when a key of channel_names is no whole number.
        """
        strange = [key for key in self.channel_names if not key.isdecimal()]
        if strange:
            raise UserError(f"dataset.json: channel_names has the key '{strange[0]}'; number the channels from 0.")
        return tuple(self.channel_names[key] for key in sorted(self.channel_names, key=int))

    @property
    def has_groups(self) -> bool:
        """Whether cases belong to groups."""
        return self.groups is not None or self.group_regex is not None

    def group(self, case: str) -> str:
        """The group of a case (patient, site); without groups every case is its own.

        Raises:
            UserError: when dataset.json declares groups and this case has none.
        """
        if self.groups is not None:
            if case not in self.groups:
                raise UserError(f"dataset.json: 'groups' does not name case '{case}'; add it.")
            return self.groups[case]
        if self.group_regex is not None:
            found = re.search(self.group_regex, case)
            if found is None or not found.groups() or found[1] is None:
                raise UserError(
                    f"dataset.json: 'group_regex' finds no group in case id '{case}'; "
                    "it must match every id and have one pair of brackets."
                )
            return found.group(1)
        return case


class RawDataset:
    """A raw dataset folder: dataset.json, imagesTr/CASE_0000.ext, labelsTr/CASE.ext.

    Reading this object opens no image; `autodiffseg.integrity` does, and reports what is wrong.
    """

    def __init__(self, folder: Path) -> None:
        """Read dataset.json.

        Raises:
            UserError: when dataset.json is missing or wrong.
        """
        self.folder = folder
        self.json = DatasetJson.load(folder / "dataset.json")

    @property
    def name(self) -> str:
        """The folder's name; it names the dataset everywhere else."""
        return self.folder.resolve().name

    @property
    def spec(self) -> LabelSpec:
        """What the labels mean."""
        return self.json.spec

    @cached_property
    def cases(self) -> tuple[str, ...]:
        """Ids of the training cases, sorted: those with images or with a label (integrity pairs them)."""
        if self.json.dataset is not None:
            return tuple(sorted(self.json.dataset))
        ending = self.json.file_ending
        labelled = {name.removesuffix(ending) for name in _names(self.folder / "labelsTr", ending)}
        return tuple(sorted({*self._training_files, *labelled}))

    @property
    def strangers(self) -> tuple[str, ...]:
        """Names in imagesTr that have the right ending but no channel number: no case owns them."""
        if self.json.dataset is not None:
            return ()
        return unnumbered_files(self.folder / "imagesTr", self.json.file_ending)

    def images(self, case: str) -> tuple[Path, ...]:
        """The files of a training case, one per channel (one RGB file may stand for three channels)."""
        if self.json.dataset is not None:
            return tuple(self._named(name) for name in self.json.dataset[case].images)
        return self._training_files.get(case, ())

    @cached_property
    def _training_files(self) -> dict[str, tuple[Path, ...]]:
        return group_case_files(self.folder / "imagesTr", self.json.file_ending)

    def label(self, case: str) -> Path:
        """The label file of a training case."""
        if self.json.dataset is not None:
            return self._named(self.json.dataset[case].label)
        return self.folder / "labelsTr" / f"{case}{self.json.file_ending}"

    def annotations(self, case: str) -> dict[str, Path]:
        """Annotator -> label file of a training case, in the order of dataset.json, for those who looked at it."""
        name = f"{case}{self.json.file_ending}"
        files = {annotator: self.folder / folder / name for annotator, folder in self.json.annotators.items()}
        return {annotator: path for annotator, path in files.items() if path.is_file()}

    def _named(self, name: str) -> Path:
        # nnU-Net allows environment variables here; absolute paths stay as they are.
        return self.folder / os.path.expandvars(name)

    def group(self, case: str) -> str:
        """The group of a case; see `DatasetJson.group`."""
        return self.json.group(case)


def group_case_files(folder: Path, ending: str) -> dict[str, tuple[Path, ...]]:
    """Files `CASE_0000.ext`, `CASE_0001.ext`, … of a folder as case -> files in channel order; {} if no folder."""
    pattern = _numbered(ending)
    cases: dict[str, list[Path]] = {}
    for name in _names(folder, ending):
        match = pattern.fullmatch(name)
        if match is not None:
            cases.setdefault(match.group(1), []).append(folder / name)
    return {case: tuple(paths) for case, paths in cases.items()}


def unnumbered_files(folder: Path, ending: str) -> tuple[str, ...]:
    """Names in a folder that have the ending but no channel number, so that no case owns them."""
    pattern = _numbered(ending)
    return tuple(name for name in _names(folder, ending) if pattern.fullmatch(name) is None)


def _numbered(ending: str) -> re.Pattern[str]:
    return re.compile(rf"(.+)_(\d{{4}}){re.escape(ending)}")


def _names(folder: Path, ending: str) -> list[str]:
    """Sorted names with this ending; hidden files, which macOS leaves behind in archives, are passed over."""
    if not folder.is_dir():
        return []
    return sorted(
        path.name for path in folder.iterdir() if path.name.endswith(ending) and not path.name.startswith(".")
    )
