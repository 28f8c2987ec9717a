"""Recycling with a frozen teacher: whose first pass it is, what is kept of it, and which files are refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from autodiffseg.errors import UserError
from autodiffseg.sampling import Sampling
from autodiffseg.trainers.checkpoints import LAST, load_trainer, save_checkpoint
from autodiffseg.trainers.options import read_settings
from autodiffseg.trainers.recycling import RecyclingOptions
from autodiffseg.trainers.training_memory import bare_loop, training_memory

Make = Callable[..., Any]
CPU = torch.device("cpu")
X0, STEPS = torch.zeros(2, 3, 8, 8, 8), torch.tensor([400, 900])


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def taught_by(path: Path, *more: str) -> tuple[str, ...]:
    return ("first_pass_weights=teacher", f"teacher={path}", *more)


@pytest.fixture
def teacher(make_trainer: Make, tmp_path: Path) -> Any:
    """A recycling trainer with weights of its own, saved as `teacher.pt`."""
    return saved(make_trainer("recycling"), tmp_path / "teacher.pt", "recycling")


def saved(trainer: Any, path: Path, name: str) -> Any:
    with torch.no_grad():
        for parameter in trainer.network.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=rng(7)))
    save_checkpoint(path, trainer, name)
    return trainer


def test_the_teacher_makes_the_first_pass_whatever_the_student_has_learnt(
    make_trainer: Make, make_batch: Make, teacher: Any, tmp_path: Path
) -> None:
    student, image = make_trainer("recycling", settings=taught_by(tmp_path / "teacher.pt")), make_batch().image
    wanted, _ = teacher.noised_mask(image, X0, STEPS, rng())
    alone, _ = make_trainer("recycling").noised_mask(image, X0, STEPS, rng())
    before, _ = student.noised_mask(image, X0, STEPS, rng())
    torch.testing.assert_close(before, wanted)
    assert (alone - wanted).abs().max() > 0.1
    loop = bare_loop(student)
    for _ in range(3):
        loop.step(make_batch())
    assert torch.equal(student.noised_mask(image, X0, STEPS, rng())[0], before)
    assert all(p.grad is None and not p.requires_grad for p in student.teacher.trainer.network.parameters())


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("diffusion", ()),
        ("diffusion", ("prediction=noise", "log_snr_shift=-2")),
        ("recycling-next", ("level_conditioning=none",)),
        ("self-conditioning-same", ()),
    ],
)
def test_a_teacher_answers_noise_as_it_does_in_its_own_first_step(
    make_trainer: Make, make_batch: Make, tmp_path: Path, name: str, settings: tuple[str, ...]
) -> None:
    saved(make_trainer(name, settings=settings), tmp_path / "t.pt", name)
    student, image = make_trainer("recycling", settings=taught_by(tmp_path / "t.pt")), make_batch().image
    x_last = torch.randn(2, 3, 8, 8, 8, generator=rng())
    teacher = load_trainer(tmp_path / "t.pt", CPU, "fp32")
    first = next(iter(teacher.predict_steps(image, lambda step, channels: x_last, Sampling(steps=3))))
    torch.testing.assert_close(student.teacher.answer(image, x_last), first)


def train(loop: Any, batch: Any, updates: int) -> None:
    for _ in range(updates):
        loop.step(batch)
        loop.update += 1


def weights(trainer: Any) -> list[Tensor]:
    return [parameter.detach() for parameter in trainer.network.parameters()]


def test_it_is_not_saved_again_and_a_resumed_training_is_the_uninterrupted_one(
    make_trainer: Make, make_batch: Make, teacher: Any, tmp_path: Path
) -> None:
    whole, first, second = (make_trainer("recycling", settings=taught_by(tmp_path / "teacher.pt")) for _ in "abc")
    loops = [bare_loop(trainer) for trainer in (whole, first, second)]
    for loop in loops:
        loop.folder, loop.record = tmp_path, loop.record.model_copy(update={"trainer": "recycling"})
    train(loops[0], make_batch(), 5)
    train(loops[1], make_batch(), 3)
    loops[1]._save(LAST)
    assert {key: value.numel() for key, value in torch.load(tmp_path / LAST)["trainer_state"].items()} == {
        "teacher": 16
    }
    loops[2].resume()
    train(loops[2], make_batch(), 2)
    assert all(torch.equal(a, b) for a, b in zip(weights(whole), weights(second), strict=True))


def test_a_training_does_not_go_on_with_another_teacher(make_trainer: Make, teacher: Any, tmp_path: Path) -> None:
    path = tmp_path / "teacher.pt"
    begun = make_trainer("recycling", settings=taught_by(path)).state()
    make_trainer("recycling", settings=taught_by(path)).load_state(begun)
    saved(teacher, path, "recycling")
    with pytest.raises(UserError, match=r"teacher\.pt is not the teacher that this training was begun with"):
        make_trainer("recycling", settings=taught_by(path)).load_state(begun)


def test_prediction_needs_no_teacher(make_trainer: Make, make_batch: Make, teacher: Any, tmp_path: Path) -> None:
    student = make_trainer("recycling", settings=taught_by(tmp_path / "teacher.pt"))
    save_checkpoint(tmp_path / "student.pt", student, "recycling")
    (tmp_path / "teacher.pt").unlink()
    loaded = load_trainer(tmp_path / "student.pt", CPU, "fp32")
    noise = torch.randn(2, 3, 8, 8, 8, generator=rng())
    *_, answer = loaded.predict_steps(make_batch().image, lambda step, channels: noise, Sampling(steps=2))
    assert answer.isfinite().all()
    with pytest.raises(UserError, match=r"--set teacher: .*teacher\.pt does not exist"):
        bare_loop(loaded)


def test_what_cannot_teach_is_refused_before_the_first_update(make_trainer: Make, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "supervised.pt", make_trainer("supervised"), "supervised")
    save_checkpoint(tmp_path / "plan.pt", make_trainer("recycling", deep_supervision=True), "recycling")
    save_checkpoint(tmp_path / "labels.pt", make_trainer("recycling", regions=True), "recycling")
    (tmp_path / "half.pt").write_bytes(b"PK\x03\x04")
    for name, words in (
        ("none.pt", "does not exist"),
        ("half.pt", "no readable checkpoint"),
        ("supervised.pt", "of the trainer supervised, which makes no mask from noise"),
        ("plan.pt", "another plan than 'tiny' is now"),
        ("labels.pt", "on other labels"),
    ):
        with pytest.raises(UserError, match=rf"--set teacher: .*{name}.*{words}"):
            bare_loop(make_trainer("recycling", settings=taught_by(tmp_path / name)))


def test_a_teacher_that_knows_the_cases_to_be_validated_is_refused(
    make_trainer: Make, teacher: Any, tmp_path: Path
) -> None:
    student = make_trainer("recycling", settings=taught_by(tmp_path / "teacher.pt"))
    record = bare_loop(teacher).record
    record.model_copy(update={"training_cases": ("a", "b")}).save(tmp_path / "run.json")
    student.before_training(record.model_copy(update={"training_cases": ("a", "b"), "validation_cases": ("c",)}))
    with pytest.raises(UserError, match=r"on 1 of this fold's validation cases \(b\); take one of the same"):
        student.before_training(record.model_copy(update={"validation_cases": ("b", "c")}))


def test_a_teacher_is_named_where_it_is_used_and_nowhere_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="first_pass_weights=teacher needs teacher=CHECKPOINT"):
        read_settings(RecyclingOptions, ["first_pass_weights=teacher"])
    with pytest.raises(UserError, match=r"teacher=.*t\.pt is not used without first_pass_weights=teacher"):
        read_settings(RecyclingOptions, ["teacher=t.pt"])
    monkeypatch.chdir(tmp_path)
    options = read_settings(RecyclingOptions, taught_by(Path("t.pt")))
    assert options.teacher == str(tmp_path.resolve() / "t.pt")  # a training may be gone on with from anywhere


def test_the_teacher_counts_as_one_more_set_of_weights(make_trainer: Make, teacher: Any, tmp_path: Path) -> None:
    def counted(*settings: str) -> Any:
        options = make_trainer("recycling", settings=settings).options
        return training_memory(type(teacher), teacher.plan, "patches", teacher.dataset, options, block=1)

    plain, taught = counted(), counted(*taught_by(tmp_path / "teacher.pt"))
    numbers = sum(parameter.numel() for parameter in teacher.network.parameters())
    assert taught.parameters - plain.parameters == pytest.approx(4 * numbers, rel=0.02)
    assert taught.peak - plain.peak >= 4 * numbers
