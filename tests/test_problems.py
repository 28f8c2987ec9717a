"""Tests of listing what is wrong with a dataset."""

from pathlib import Path

import pytest

from autodiffseg.errors import UserError
from autodiffseg.problems import Problem, gather_notes, require_sound


def test_a_problem_reads_as_one_line() -> None:
    assert str(Problem("a.png", "it is empty", "fill it")) == "a.png: it is empty; fill it"


def test_fatal_problems_are_all_listed_and_notes_are_not() -> None:
    problems = [Problem("a", "bad", "mend"), Problem("b", "odd", "look", fatal=False), Problem("c", "worse", "mend")]
    with pytest.raises(UserError) as error:
        require_sound(problems, Path("Dataset001_X"))
    assert str(error.value) == "Dataset001_X has 2 problems:\n  a: bad; mend\n  c: worse; mend"


def test_notes_alone_are_sound() -> None:
    require_sound([Problem("b", "odd", "look", fatal=False)], Path("x"))


@pytest.mark.parametrize(("count", "lines"), [(30, 31), (31, 32), (500, 32)])
def test_the_list_is_cut_at_thirty(count: int, lines: int) -> None:
    with pytest.raises(UserError) as error:
        require_sound([Problem(f"f{number}", "bad", "mend") for number in range(count)], Path("x"))
    text = str(error.value).splitlines()
    assert len(text) == lines
    if count > 30:
        assert text[-1] == f"  … and {count - 30} more"


def test_notes_that_say_the_same_become_one_and_come_last() -> None:
    notes = [Problem(name, "odd", "look", fatal=False) for name in "abc"]
    fatal = [Problem(name, "bad", "mend") for name in "de"]
    other = Problem("f", "strange", "look", fatal=False)
    gathered = gather_notes([notes[0], fatal[0], *notes[1:], other, fatal[1]])
    assert gathered == [*fatal, Problem("a and 2 more", "odd", "look", fatal=False), other]
