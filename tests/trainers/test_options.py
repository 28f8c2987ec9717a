"""Settings: read, checked, and refused with a hint."""

from __future__ import annotations

import pytest

from autodiffseg.errors import UserError
from autodiffseg.trainers.options import TrainerOptions, as_settings, read_settings
from autodiffseg.trainers.read_out import ReadOutOptions
from autodiffseg.trainers.recycling import RecyclingOptions


def test_settings_are_read_by_the_type_of_the_option() -> None:
    options = read_settings(RecyclingOptions, ["learning_rate=0.5", "warmup=7", "augment=false", "pure_noise_share=0"])
    assert (options.learning_rate, options.warmup, options.augment, options.pure_noise_share) == (0.5, 7, False, 0.0)
    assert options.weight_decay == TrainerOptions().weight_decay


def test_none_is_said_by_its_name_and_only_where_it_means_something() -> None:
    assert read_settings(RecyclingOptions, []).log_snr_shift == 0
    assert read_settings(RecyclingOptions, ["log_snr_shift=None"]).log_snr_shift is None
    with pytest.raises(UserError, match="--set learning_rate=None"):
        read_settings(RecyclingOptions, ["learning_rate=None"])


@pytest.mark.parametrize(
    ("options", "settings"),
    [
        (RecyclingOptions, ("augment=False", "log_snr_shift=None", "learning_rate=0.5")),
        (ReadOutOptions, ("timesteps=1,25", "hidden=", "backbone=/somewhere", "voxels=500")),
        (TrainerOptions, ()),
    ],
)
def test_what_is_not_usual_can_be_set_again(options: type[TrainerOptions], settings: tuple[str, ...]) -> None:
    made = read_settings(options, settings)
    told = as_settings(made)
    assert sorted(told) == sorted(settings)
    assert read_settings(options, told) == made


def test_a_loss_of_nothing_is_refused() -> None:
    with pytest.raises(UserError, match="--set: all weights of the loss are 0"):
        read_settings(TrainerOptions, ["dice_weight=0", "cross_entropy_weight=0"])
    assert read_settings(TrainerOptions, ["dice_weight=0", "cross_entropy_weight=0", "mse_weight=1"]).mse_weight == 1


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("learning_rate", "name=value"),
        ("lerning_rate=1", "Did you mean 'learning_rate'"),
        ("warmup=many", "--set warmup=many"),
        ("learning_rate=-1", "greater than 0"),
        ("pure_noise_share=0.5", "Unknown option 'pure_noise_share'"),
    ],
)
def test_wrong_settings_are_refused(setting: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        read_settings(TrainerOptions, [setting])
