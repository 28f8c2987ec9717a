"""The loop: resuming changes nothing, interruptions lose nothing, a diverging loss is named."""

from __future__ import annotations

import math
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from autodiffseg.errors import UserError
from autodiffseg.runs import RunRecord, asked_tag
from autodiffseg.trainers.checkpoints import LAST, read_checkpoint
from autodiffseg.trainers.loop import Loop
from autodiffseg.trainers.patch_validation import patch_dice
from autodiffseg.trainers.run_setup import RunRequest, prepare
from autodiffseg.workspace import Workspace

FAST = ("checkpoint_every=2", "validate_every=3", "validation_batches=1")
Start = Callable[..., tuple[Loop, Path]]


def nothing(update: int, row: dict[str, float]) -> None:
    """Nobody watches."""


@pytest.fixture
def start(planned_phantom: Path, tmp_path: Path) -> Start:
    """A function that prepares a short training on the phantom."""
    workspace = tmp_path / "workspace"
    shutil.copytree(planned_phantom, workspace)

    def make(
        trainer: str = "recycling",
        *,
        tag: str = "",
        go_on: bool = False,
        seed: int = 0,
        n_labelled: int | None = None,
        label_seed: int = 0,
    ) -> tuple[Loop, Path]:
        request = RunRequest(
            dataset="Phantom",
            configuration="3d_fullres",
            fold="0",
            trainer=trainer,
            plan=None,
            tag=tag,
            seed=seed,
            iterations=6,
            device="cpu",
            precision="fp32",
            settings=FAST,
            n_labelled=n_labelled,
            label_seed=label_seed,
        )
        loop, folder, _ = prepare(request, Workspace(workspace), go_on=go_on, init_from=None)
        return loop, folder

    return make


def weights(loop: Loop) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in loop.trainer.network.state_dict().items()}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(value, other[name]) for name, value in one.items())


@pytest.mark.slow
def test_a_resumed_run_ends_with_the_weights_of_an_uninterrupted_one(start: Start) -> None:
    whole, folder = start(tag="whole")
    whole.run(workers=0, on_update=nothing)

    def stop_at_three(update: int, row: dict[str, float]) -> None:
        if update == 3:
            os.kill(os.getpid(), signal.SIGTERM)

    broken, folder = start(tag="broken")
    with pytest.raises(KeyboardInterrupt):
        broken.run(workers=0, on_update=stop_at_three)
    halfway = RunRecord.load(folder / "run.json")
    assert halfway.iterations_done == 4
    assert not halfway.finished

    resumed, folder = start(tag="broken", go_on=True)
    assert resumed.update == halfway.iterations_done
    record = resumed.run(workers=1, on_update=nothing)
    assert record.finished
    assert same(weights(whole), weights(resumed))
    assert same(weights(whole), read_checkpoint(folder / LAST)["network"])
    other, _ = start(tag="other", seed=1)
    other.run(workers=0, on_update=nothing)
    assert not same(weights(whole), weights(other))


def crash_at_three(update: int, row: dict[str, float]) -> None:
    """Something goes wrong after the checkpoint of update 2."""
    if update == 3:
        raise OSError("disk full")


def test_a_crash_between_checkpoints_goes_back_to_the_last_one(start: Start) -> None:
    loop, folder = start("supervised")
    with pytest.raises(OSError, match="disk full"):
        loop.run(workers=0, on_update=crash_at_three)
    assert start("supervised", go_on=True)[0].update == 2
    assert not list(folder.glob(".tmp-*"))


def test_going_on_under_other_conditions_is_refused(start: Start) -> None:
    loop, folder = start("supervised")
    with pytest.raises(OSError, match="disk full"):
        loop.run(workers=0, on_update=crash_at_three)
    with pytest.raises(UserError, match="--continue"):
        start("supervised")
    record = RunRecord.load(folder / "run.json")
    for field, value in (("iterations", 99), ("precision", "bf16"), ("training_cases", ("phantom_000",))):
        record.model_copy(update={field: value}).save(folder / "run.json")
        with pytest.raises(UserError, match=f"--continue: .* has {field}"):
            start("supervised", go_on=True)


def test_a_run_from_before_an_option_existed_goes_on_with_its_default(start: Start) -> None:
    loop, folder = start()
    with pytest.raises(OSError, match="disk full"):
        loop.run(workers=0, on_update=crash_at_three)
    record = RunRecord.load(folder / "run.json")
    old = {name: value for name, value in record.options.items() if name not in ("prediction", "teacher")}
    record.model_copy(update={"options": old}).save(folder / "run.json")
    assert start(go_on=True)[0].update == 2
    record.model_copy(update={"options": {**old, "dice_weight": 0.5}}).save(folder / "run.json")
    with pytest.raises(UserError, match=r"--continue: .* has options"):
        start(go_on=True)


def test_a_checkpoint_of_another_trainer_plan_or_configuration_is_refused_though_its_weights_fit(start: Start) -> None:
    loop, folder = start("supervised")
    with pytest.raises(OSError, match="disk full"):
        loop.run(workers=0, on_update=crash_at_three)
    content = read_checkpoint(folder / LAST)
    plan = loop.trainer.plan.model_copy(update={"iterations": 7}).model_dump_json()
    for key, value, words in (
        ("trainer", "recycling", "is of the trainer recycling, not supervised"),
        ("configuration", "2d", "is of the configuration 2d, not 3d_fullres"),
        ("plan", plan, "was trained with another plan than 'cpu' is now"),
    ):
        torch.save({**content, key: value}, folder / LAST)
        with pytest.raises(UserError, match=words) as refused:
            start("supervised", go_on=True)
        assert "\n" not in str(refused.value)


def test_a_training_that_never_reached_a_checkpoint_may_be_repeated(start: Start) -> None:
    start("supervised")
    assert start("supervised")[0].update == 0


def test_the_record_keeps_the_cases_of_the_fold(start: Start) -> None:
    record = RunRecord.load(start("supervised")[1] / "run.json")
    assert record.validation_cases == ("phantom_003", "phantom_005")
    assert len(record.training_cases) == 4


def test_few_labels_are_trained_on_alone_and_named_by_folder_and_record(start: Start) -> None:
    loop, folder = start("supervised", n_labelled=2, label_seed=1, tag="mine", seed=3)
    every, _ = start("supervised")
    assert folder.parent.name == "supervised__cpu__3d_fullres__mine-n2-ls1-seed-3"
    assert (loop.record.n_labelled, loop.record.label_seed, len(loop.record.training_cases)) == (2, 1, 2)
    assert {*loop.record.training_cases} < {*every.record.training_cases}
    assert {case for n in range(6) for case in loop.training.batch(n).cases} == {*loop.record.training_cases}
    assert loop.record.validation_cases == every.record.validation_cases
    assert (asked_tag(loop.record), asked_tag(every.record)) == ("mine", "")


def test_more_labels_than_there_are_is_refused(start: Start) -> None:
    with pytest.raises(UserError, match=r"--n-labelled 9: fold 0 has 4 training cases; ask for 4 or fewer\."):
        start("supervised", n_labelled=9)


def test_few_labels_in_the_folder_of_another_subset_are_refused(start: Start) -> None:
    loop, _ = start("supervised", n_labelled=1)
    loop.run(workers=0, on_update=nothing)
    with pytest.raises(UserError, match="has training_cases"):
        start("supervised", tag="n1-ls0", go_on=True)


def test_a_missing_case_is_refused_for_fold_all_too(start: Start, tmp_path: Path) -> None:
    (json,) = (tmp_path / "workspace" / "preprocessed").rglob("3d_fullres-*/phantom_001.json")
    json.unlink()
    with pytest.raises(UserError, match="1 of 6 cases"):
        start("supervised")


@pytest.mark.parametrize("tag", ["a/b", "../x", "a__b", "", "-x"])
def test_only_tags_that_make_one_folder_are_possible(start: Start, tag: str) -> None:
    if tag:
        with pytest.raises(UserError, match="--tag"):
            start("supervised", tag=tag)
    else:
        assert start("supervised", tag=tag)[1].parent.name == "supervised__cpu__3d_fullres"


def test_a_loss_that_is_not_finite_is_named_with_its_cases(start: Start) -> None:
    loop, _ = start("supervised")
    with torch.no_grad():
        loop.trainer.network.heads[0].bias.fill_(math.nan)  # type: ignore[union-attr]
    with pytest.raises(UserError, match="not finite in updates 1 to 2"):
        loop.run(workers=0, on_update=nothing)


def test_patch_dice_is_repeatable_and_leaves_the_network_in_training_mode(start: Start) -> None:
    from autodiffseg.sampling import Sampling

    loop, _ = start()
    loop.trainer.network.train()
    one, two = (patch_dice(loop.trainer, loop.validation, Sampling(steps=2), batches=1) for _ in range(2))
    assert one == two
    assert 0 <= one <= 1
    assert loop.trainer.network.training
