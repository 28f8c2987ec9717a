"""nnUNetPlans.json as data: its keys, checked, in the form of any release of nnU-Net v2."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ConfigDict, Field

from autodiffseg.errors import UserError
from autodiffseg.fingerprint import IntensityStatistics
from autodiffseg.plans import Count
from autodiffseg.records import Record

from .nnunet_network import Architecture

DEFAULT_RESAMPLING = "resample_data_or_seg_to_shape"


class NnunetConfiguration(Record):
    """A configuration of nnUNetPlans.json with what it inherits; the network is read by `nnunet_network`."""

    model_config = ConfigDict(extra="allow")

    inherits_from: str | None = None
    previous_stage: str | None = None
    preprocessor_name: str = "DefaultPreprocessor"
    batch_size: int
    patch_size: tuple[Count, ...] = Field(min_length=2, max_length=3)
    median_image_size_in_voxels: tuple[float, ...]
    spacing: tuple[float, ...]
    normalization_schemes: tuple[str, ...]
    use_mask_for_norm: tuple[bool, ...]
    batch_dice: bool
    resampling_fn_data: str = DEFAULT_RESAMPLING
    resampling_fn_data_kwargs: dict[str, Any] = {}
    resampling_fn_seg: str = DEFAULT_RESAMPLING
    resampling_fn_seg_kwargs: dict[str, Any] = {}
    architecture: Architecture | None = None


class NnunetIntensity(IntensityStatistics):
    """As ours; a key that we do not know is passed over."""

    model_config = ConfigDict(extra="ignore")


class NnunetPlan(Record):
    """nnUNetPlans.json, as far as it decides anything for us."""

    model_config = ConfigDict(extra="ignore")

    dataset_name: str
    plans_name: str
    transpose_forward: tuple[int, int, int]
    configurations: dict[str, dict[str, Any]]
    foreground_intensity_properties_per_channel: dict[str, NnunetIntensity] | None = None
    foreground_intensity_properties_by_modality: dict[str, NnunetIntensity] | None = None
    """The same under the name that the first releases used."""
    image_reader_writer: str | None = None
    label_manager: str | None = None


def is_nnunet_plan(content: object) -> bool:
    """Whether parsed JSON is a plan of nnU-Net (ours has `transpose` where theirs has `transpose_forward`)."""
    return isinstance(content, dict) and "plans_name" in content and "transpose_forward" in content


def with_inherited(configurations: Mapping[str, dict[str, Any]], *, source: str) -> dict[str, dict[str, Any]]:
    """Every configuration with its parent's values for the keys that it lacks; nnU-Net merges no deeper than that.

    Raises:
        UserError: when a parent does not exist or a configuration inherits from itself in the end.
    """
    done: dict[str, dict[str, Any]] = {}
    for name in configurations:
        whole: dict[str, Any] = {}
        line: list[str] = []
        at: object = name
        while isinstance(at, str):
            if at in line:
                raise UserError(f"{source}: configuration '{name}' inherits from itself, by way of '{line[-1]}'.")
            if at not in configurations:
                raise UserError(f"{source}: configuration '{name}' inherits from '{at}', which the file lacks.")
            whole = {**configurations[at], **whole}
            line.append(at)
            at = configurations[at].get("inherits_from")
        done[name] = {**whole, "inherits_from": configurations[name].get("inherits_from")}
    return done
