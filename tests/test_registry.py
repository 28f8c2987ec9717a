"""Tests of finding commands and trainers by name."""

from importlib.metadata import EntryPoint

import pytest

from autodiffseg import registry
from autodiffseg.errors import UserError

GROUP = "test.group"


def announce(monkeypatch: pytest.MonkeyPatch, *points: tuple[str, str]) -> None:
    made = [EntryPoint(name, value, GROUP) for name, value in points]
    monkeypatch.setattr(registry, "entry_points", lambda group: [point for point in made if point.group == group])


def test_a_name_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    announce(monkeypatch, ("error", "autodiffseg.errors:UserError"))
    assert registry.load(GROUP, "error") is UserError


def test_an_object_of_another_package_is_imported() -> None:
    assert registry.load(GROUP, "autodiffseg.errors:UserError") is UserError


@pytest.mark.parametrize("name", ["no_such_package:X", "autodiffseg.errors:Missing"])
def test_what_cannot_be_imported_is_a_user_error(name: str) -> None:
    with pytest.raises(UserError, match="cannot be imported"):
        registry.load(GROUP, name)


def test_an_unknown_name_gives_the_nearest_and_all_known(monkeypatch: pytest.MonkeyPatch) -> None:
    announce(monkeypatch, ("recycling", "a:b"), ("diffusion", "a:c"))
    with pytest.raises(UserError, match=r"Did you mean 'recycling'\? Known: diffusion, recycling\."):
        registry.load(GROUP, "recyclin")
    assert "Did you mean" not in registry.unknown("name", "zzz", ["recycling"])


def test_two_things_of_one_name_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    announce(monkeypatch, ("x", "a:b"), ("x", "a:c"))
    with pytest.raises(UserError, match="announced twice"):
        registry.known(GROUP)


def test_the_same_announcement_may_be_met_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    announce(monkeypatch, ("x", "a:b"), ("x", "a:b"))
    assert set(registry.known(GROUP)) == {"x"}


def test_the_installed_package_announces_its_commands() -> None:
    assert {"train", "predict", "convert", "phantom"} <= set(registry.known(registry.COMMANDS))
