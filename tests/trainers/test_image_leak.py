"""Images seen in pretraining: they are remembered in all that begins with its weights, and refused or told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autodiffseg.errors import UserError
from autodiffseg.runs import RunRecord, SeenCases
from autodiffseg.trainers.checkpoints import LAST, save_checkpoint
from autodiffseg.trainers.image_leak import require_images_unseen, require_weights_unseen, unknown_overlap
from autodiffseg.trainers.training_memory import bare_loop

Make = Callable[..., Any]
Save = Callable[..., Path]
TINY = "Dataset999_Tiny"
ABC = SeenCases(dataset=TINY, cases=("a", "b", "c"), fold="0")


def ask(*seen: SeenCases, cases: tuple[str, ...] = ("b", "c", "d"), fold: str = "1", dataset: str = TINY) -> bool:
    return require_images_unseen(seen, Path("last.pt"), dataset=dataset, fold=fold, validation_cases=cases)


def test_weights_that_saw_validation_cases_are_refused() -> None:
    assert not ask()
    assert not ask(ABC, cases=("d", "e"))
    with pytest.raises(
        UserError,
        match=r"has seen 2 of fold 1's validation cases among the training images of fold 0 \(b, c\)",
    ):
        ask(SeenCases(dataset=TINY, cases=()), ABC)


def test_weights_that_were_allowed_to_see_them_are_told() -> None:
    allowed = ABC.model_copy(update={"transductive": True})
    assert ask(allowed) is True
    assert ask(allowed, cases=("d",)) is False


def test_fold_all_validates_on_its_training_cases_and_hides_nothing() -> None:
    assert ask(ABC, fold="all") is False


def test_cases_of_another_dataset_are_others_whatever_they_are_called(make_trainer: Make, save_backbone: Save) -> None:
    assert ask(ABC, dataset="Dataset110_JSRT") is False
    trainer = make_trainer("tedm", settings=(f"backbone={save_backbone(labelled=('a',))}",))
    record = bare_loop(trainer).record
    assert unknown_overlap(record) == []
    of_another = record.model_copy(update={"dataset": "Dataset110_JSRT", "validation_cases": ("a",)})
    trainer.before_training(of_another)
    (note,) = unknown_overlap(of_another.model_copy(update=trainer.recorded()))
    assert note.startswith(
        "The weights were pretrained for Dataset999_Tiny. Whether they have seen images of Dataset110"
    )


@pytest.fixture
def begun(make_trainer: Make, save_backbone: Save, tmp_path: Path) -> Callable[..., Path]:
    """A function that gives the checkpoint of a training of fold 1, begun with a backbone that has seen a and b."""

    def begin(**changes: Any) -> Path:
        path = save_backbone(labelled=("a", "b"), **changes)
        trainer = make_trainer("finetune-ddpm", settings=(f"backbone={path}",))
        told = {"fold": "1", "training_cases": ("d",), "validation_cases": ("c",)}
        (tmp_path / "fold_1").mkdir()
        bare_loop(trainer).record.model_copy(update=told).save(tmp_path / "fold_1" / "run.json")
        save_checkpoint(tmp_path / "fold_1" / LAST, trainer, "finetune-ddpm")
        return tmp_path / "fold_1" / LAST

    return begin


def test_what_a_backbone_has_seen_is_known_of_all_that_began_with_it(begun: Callable[..., Path]) -> None:
    path = begun(fold="1")
    seen, met = require_weights_unseen(path, dataset=TINY, fold="2", validation_cases=("e",))
    assert not met
    assert seen == (
        SeenCases(dataset=TINY, cases=("a", "b"), fold="1"), SeenCases(dataset=TINY, cases=("d",), labels=True)
    )  # fmt: skip
    with pytest.raises(
        UserError, match=r"fold_1.checkpoint_last\.pt has seen 1 of fold 0's validation cases among the tr"
    ):
        require_weights_unseen(path, dataset=TINY, fold="0", validation_cases=("b", "c"))
    second = RunRecord.load(path.parent / "run.json").model_copy(update={"seen": seen, "training_cases": ("e",)})
    second.save(path.parent / "run.json")  # as if it had begun with that training's weights in turn
    with pytest.raises(UserError, match=r"--init-from .* was trained on 1 of this fold's validation cases \(d\)"):
        require_weights_unseen(path, dataset=TINY, fold="0", validation_cases=("c", "d"))


def test_that_it_was_allowed_to_is_known_too(begun: Callable[..., Path]) -> None:
    path = begun(transductive=True)
    for cases, met in ((("b", "c"), True), (("c",), False)):
        assert require_weights_unseen(path, dataset=TINY, fold="0", validation_cases=cases)[1] is met


def test_an_old_record_that_says_no_more_than_that_it_was_allowed_to_is_believed(begun: Callable[..., Path]) -> None:
    path = begun()
    old = RunRecord.load(path.parent / "run.json").model_copy(update={"seen": (), "transductive": True})
    old.save(path.parent / "run.json")
    assert require_weights_unseen(path, dataset=TINY, fold="1", validation_cases=("c",))[1]
    assert not require_weights_unseen(path, dataset=TINY, fold="0", validation_cases=("a",))[1]
