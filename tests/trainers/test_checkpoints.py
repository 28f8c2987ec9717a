"""Checkpoints: refused when they are damaged, foreign or do not fit; never executed."""

from __future__ import annotations

import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from autodiffseg.cli import run
from autodiffseg.errors import UserError
from autodiffseg.trainers.checkpoints import initialise_from, load_trainer, load_weights, save_checkpoint, trainer_class

CPU = torch.device("cpu")


class Bomb:
    """Pickles to a call, as a hostile file would."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("exploded"),))


def test_a_hostile_file_is_refused_and_not_executed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bomb.pt").write_bytes(pickle.dumps(Bomb()))
    torch.save({"format": 1, "network": Bomb()}, tmp_path / "bomb2.pt")
    for name in ("bomb.pt", "bomb2.pt"):
        with pytest.raises(UserError, match=name):
            load_trainer(tmp_path / name, CPU)
    assert not (tmp_path / "exploded").exists()


def test_missing_damaged_and_foreign_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "half.pt").write_bytes(b"PK\x03\x04 half a file")
    torch.save({"weights": 1}, tmp_path / "foreign.pt")
    for name, words in (("none.pt", "does not exist"), ("half.pt", "no readable"), ("foreign.pt", "no checkpoint")):
        with pytest.raises(UserError, match=words):
            load_trainer(tmp_path / name, CPU)


def test_a_reader_that_gives_no_reason_is_told_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise AssertionError

    (tmp_path / "odd.pt").touch()
    monkeypatch.setattr(torch, "load", fail)
    with pytest.raises(UserError, match=r"odd\.pt is no readable checkpoint \(AssertionError\)"):
        load_trainer(tmp_path / "odd.pt", CPU)


def test_weights_of_another_network_are_refused(make_trainer: Callable[..., Any]) -> None:
    trainer, other = make_trainer("supervised"), make_trainer("diffusion")
    with pytest.raises(UserError, match="does not fit"):
        load_weights(trainer, other.network.state_dict(), source=Path("other.pt"))


Change = Callable[[dict[str, Any]], Any]


def fewer(network: dict[str, Any]) -> dict[str, Any]:
    return dict(list(network.items())[1:])


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda content: content.pop("plan"), "its 'plan' is missing or of another kind"),
        (lambda content: content.update(options={}), "its 'options' is missing or of another kind"),
        (lambda content: content.update(configuration=["2d"]), "its 'configuration' is missing or of another kind"),
        (lambda content: content.pop("network"), "its 'network' is missing or of another kind"),
        (lambda content: content.update(network=torch.zeros(3)), "its 'network' is missing or of another kind"),
        (lambda content: content["network"].update(more=3), "its 'network' is missing or of another kind"),
        (lambda content: content["network"].update({5: torch.zeros(1)}), "its 'network' is missing or of another kind"),
        (lambda content: content["network"].update(more=torch.zeros(1)), "does not fit this network: Unexpected key"),
        (lambda content: content.update(network=fewer(content["network"])), "does not fit this network: Missing key"),
        (lambda content: content.update(network={}), "does not fit this network: Missing key"),
        (
            lambda content: content["network"].update({name: w[:1] for name, w in content["network"].items()}),
            r"does not fit this network: size mismatch",
        ),
        (
            lambda content: content["network"].update({n: w.to("meta") for n, w in content["network"].items()}),
            r"does not fit this network: While copying",
        ),
    ],
)
def test_predict_tells_of_wrong_weights_in_a_line(
    change: Change, told: str, trained_phantom: Path, phantom_raw: Path, tmp_path: Path, capsys: Any
) -> None:
    model = tmp_path / "model"
    shutil.copytree(next(trained_phantom.glob("results/*/supervised*")), model)
    path = model / "fold_0" / "checkpoint_last.pt"
    content = torch.load(path, weights_only=True)
    change(content)
    torch.save(content, path)
    source = next((phantom_raw / "imagesTs").glob("*_0000.*"))
    arguments = ["predict", "-i", str(source), "-o", str(tmp_path / "out"), "--model", str(model), "--device", "cpu"]
    assert run(arguments) == 2
    error = capsys.readouterr().err
    assert str(path) in error
    assert told in error
    assert error.count("\n") == 1
    assert len(error) < len(str(path)) + 250
    assert not (tmp_path / "out").exists()


def test_what_fits_of_another_checkpoint_is_taken_over(make_trainer: Callable[..., Any], tmp_path: Path) -> None:
    source, target = make_trainer("supervised"), make_trainer("diffusion")
    with torch.no_grad():
        source.network.heads[0].weight.fill_(0.25)
    save_checkpoint(tmp_path / "s.pt", source, "supervised")
    taken, total = initialise_from(target, tmp_path / "s.pt")
    assert 0 < taken < total
    assert (target.network.heads[0].weight == 0.25).all()


def test_a_trainer_must_be_a_trainer() -> None:
    with pytest.raises(UserError, match="no subclass"):
        trainer_class("pathlib:Path")
    with pytest.raises(UserError, match="Did you mean 'recycling'"):
        trainer_class("recycle")
