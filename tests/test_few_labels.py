"""Tests of few-label subsets."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodiffseg.cli import run
from autodiffseg.command_options import LARGEST_LABEL_SEED
from autodiffseg.errors import UserError
from autodiffseg.few_labels import keep_labelled, read_counts
from autodiffseg.folds import Fold

FOLD = Fold(train=tuple(f"case_{number:02d}" for number in range(24)), val=("held_out",))


def kept(count: int, seed: int = 0, fold: Fold = FOLD, cases_per_patient: int = 1) -> Fold:
    def group(case: str) -> str:
        return case if cases_per_patient == 1 else f"patient_{int(case[-2:]) // cases_per_patient}"

    return keep_labelled(fold, count, seed=seed, group=group, name="0")


@given(st.integers(1, 23), st.integers(0, 50))
def test_subsets_of_one_seed_are_nested_and_keep_the_order_and_the_validation_cases(count: int, seed: int) -> None:
    few, more = kept(count, seed), kept(count + 1, seed)
    assert len(few.train) == count
    assert {*few.train} < {*more.train} <= {*FOLD.train}
    assert few.train == tuple(sorted(few.train))
    assert few.val == FOLD.val


def test_every_case_comes_first_about_equally_often() -> None:
    firsts = [kept(1, seed).train[0] for seed in range(480)]
    counts = [firsts.count(case) for case in FOLD.train]
    assert sum((count - 20) ** 2 / 20 for count in counts) < 49.7  # chi-squared, 23 degrees of freedom, p = 0.001


def test_the_subset_does_not_depend_on_how_the_fold_lists_its_cases() -> None:
    turned = Fold(train=FOLD.train[::-1], val=FOLD.val)
    assert sorted(kept(5, 7, turned).train) == sorted(kept(5, 7).train)


def test_the_chosen_cases_of_a_seed_stay_what_they_are() -> None:
    assert kept(3).train == ("case_10", "case_11", "case_22")


@given(st.integers(1, 8), st.integers(0, 50))
def test_groups_are_counted_and_never_split(count: int, seed: int) -> None:
    few = kept(count, seed, cases_per_patient=3)
    patients = [int(case[-2:]) // 3 for case in few.train]
    assert len(set(patients)) == count
    assert all(patients.count(patient) == 3 for patient in patients)


def test_all_that_there_are_is_the_whole_fold_and_one_more_is_refused() -> None:
    assert kept(24) == FOLD
    with pytest.raises(UserError, match=r"--n-labelled 25: fold 0 has 24 training cases"):
        kept(25)
    with pytest.raises(UserError, match=r"--n-labelled 9: fold 0 has 8 groups of training cases"):
        kept(9, cases_per_patient=3)


def test_numbers_of_labels_are_read_and_mistakes_named() -> None:
    assert read_counts(["1", "12", "all"]) == (1, 12, None)
    for wrong, message in ((["0"], "whole numbers"), (["three"], "whole numbers"), (["1", "1"], "given twice")):
        with pytest.raises(UserError, match=message):
            read_counts(wrong)


@pytest.mark.parametrize("seed", [-1, LARGEST_LABEL_SEED + 1])
@pytest.mark.parametrize(
    "command",
    [
        "train D 2d 0 --n-labelled 1 --label-seed",
        "analyse timesteps D 2d --backbone b.pt --label-seed",
        "analyse labels D --label-seeds 0 --label-seeds",
        "benchmark D --n-labelled 1 --label-seeds 0 --label-seeds",
    ],
)
def test_a_label_seed_that_cannot_be_one_is_refused_by_every_command(
    command: str, seed: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*command.split(), str(seed)]) == 2
    assert "Invalid value for '--label-seed" in capsys.readouterr().err


def test_the_largest_label_seed_is_one() -> None:
    assert len(kept(3, LARGEST_LABEL_SEED).train) == 3
