"""benchmarks/few_label_study.py: its list of rows, its files, and verdicts that follow the data."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest
import skimage.io

from autodiffseg import registry
from autodiffseg.atomic import write_json
from autodiffseg.errors import UserError
from autodiffseg.evaluation.label_curves import Gap
from autodiffseg.evaluation.statistics import Interval, PairedTest
from autodiffseg.evaluation.summary import CaseScores, Summary
from autodiffseg.runs import RunRecord
from autodiffseg.trainers.checkpoints import trainer_class
from autodiffseg.trainers.options import read_settings
from autodiffseg.workspace import Workspace

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
CASES = tuple(f"case_{number:02d}" for number in range(24))
RNG = np.random.default_rng(0)
EASE = RNG.normal(0, 0.05, 24)
"""Of each case, the same for every row: what pairing takes out."""


class Modules(NamedTuple):
    rows: Any
    measure: Any
    state: Any
    findings: Any
    report: Any


Put = Callable[..., None]


@pytest.fixture
def modules(monkeypatch: pytest.MonkeyPatch) -> Modules:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return Modules(*(importlib.import_module(f"few_{name}") for name in Modules._fields))


@pytest.fixture
def setting(modules: Modules, tmp_path: Path) -> Any:
    (tmp_path / "rows").mkdir()
    return modules.rows.Setting(Path("data"), Workspace(tmp_path / "ws"), tmp_path / "rows")


@pytest.fixture
def put(modules: Modules, setting: Any) -> Put:
    """A function that writes the rows of a method, all label seeds of them, with a Dice in-domain and under shift."""

    def put(method: Any, labels: int | None, inside: float, shift: float) -> None:
        for row in modules.rows.rows():
            if (row.method, row.labels) != (method, labels):
                continue
            record = RunRecord(
                dataset=modules.rows.DATASET, trainer=method.trainer, plan=setting.plan, configuration="2d",
                tag=row.tag, fold="0", seed=0, options={}, plan_hash="", n_labelled=labels, iterations=1,
                training_seconds=30.0, hardware="a machine", command=f"autodiffseg train {row.tag}",
            )  # fmt: skip
            told = record.model_dump(mode="json", exclude={"validation_cases"})
            told["training_cases"] = 150 if labels is None else ["a"] * labels
            domains = {
                name: {
                    "classes": {"1": "lung"},
                    "metrics": ["Dice", "HD95", "Precision", "Recall"],
                    "cases": {
                        case: [[dice + ease + noise, 5.0, 0.8, 0.9]]
                        for case, ease, noise in zip(CASES, EASE, RNG.normal(0, 0.004, 24), strict=True)
                    },
                }
                for domain, dice in ((modules.rows.DATASET, inside), (modules.rows.SHIFTED_NAME, shift))
                for name in (domain, modules.rows.LUNGS_AS_ONE[domain])
            }
            content = {"method": method.name, "purpose": row.purpose, "passes": 8, "run": told, "domains": domains}
            write_json(setting.file(row), content)

    return put


def verdict(modules: Modules, setting: Any, words: str) -> str:
    found = modules.findings.findings(modules.state.State.read(setting))
    (one,) = [finding for finding in found if words in finding.claim]
    return str(one.verdict)


def test_the_rows_are_those_that_were_asked_for(modules: Modules) -> None:
    main = [row for row in modules.rows.rows() if row.purpose == "main"]
    for method in modules.rows.METHODS:
        listed = [(row.labels, row.label_seed) for row in main if row.method == method]
        one = [(1, seed) for seed in range(4)]
        assert listed == [*one, (3, 0), (3, 1), (3, 2), (6, 0), (12, 0), (None, 0)]
    assert {row.method.trainer for row in main} == {
        "supervised", "tedm", "ledm", "ledme", "linear-probe", "finetune-ddpm",
    }  # fmt: skip


def test_no_two_rows_share_a_folder_and_all_settings_are_options(modules: Modules, setting: Any) -> None:
    listed = list(modules.rows.rows())
    assert len({setting.name(row) for row in listed}) == len(listed)
    for row in listed:
        options = read_settings(trainer_class(row.method.trainer).Options, row.method.settings)
        reads = "backbone" in type(options).model_fields and not getattr(options, "from_scratch", False)
        assert row.method.backbone == reads
        assert row.method.trainer in registry.known(registry.TRAINERS)


def test_a_command_names_what_makes_a_row_what_it_is(modules: Modules, setting: Any) -> None:
    row = next(row for row in modules.rows.rows() if row.method == modules.rows.ONE_STEP_EIGHT and row.label_seed == 2)
    line = " ".join(setting.training(row))
    assert line.startswith("train Dataset110_JSRT 2d 0 --trainer tedm --plan cpu64 --tag t50x8 --iterations 800")
    assert "--n-labelled 1 --label-seed 2 --backbone" in line
    assert "--set augment=false --set timesteps=50 --set noises=8" in line
    assert setting.name(row) == "tedm__cpu64__2d__t50x8-n1-ls2"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"iterations": 3}, "other updates"),
        ({"label_seed": 1}, "other label seed"),
        ({"options": {}}, "other options"),  # augmented
        ({"backbone": "another"}, "other backbone"),
    ],
)
def test_a_training_that_is_not_the_listed_one_is_not_measured(
    modules: Modules, setting: Any, change: dict[str, Any], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(modules.measure, "read_backbone", lambda path: SimpleNamespace(digest="the one"))
    row = next(row for row in modules.rows.rows() if row.method == modules.rows.TEDM)
    listed = RunRecord(
        dataset=modules.rows.DATASET, trainer="tedm", plan=setting.plan, configuration="2d", tag=row.tag, fold="0",
        seed=0, options={"augment": False, "backbone": "anywhere"}, plan_hash="", n_labelled=1, iterations=800,
        backbone="the one",
    )  # fmt: skip
    modules.measure.require_as_listed(setting, row, listed, Path("fold"))
    with pytest.raises(UserError, match=told):
        modules.measure.require_as_listed(setting, row, listed.model_copy(update=change), Path("fold"))


def test_commands_are_understood(modules: Modules, setting: Any) -> None:
    import typer

    from autodiffseg.cli import build_app

    commands = typer.main.get_command(build_app()).commands  # type: ignore[attr-defined]  # a group
    for words in (setting.planning(), setting.pretraining(), *map(setting.training, modules.rows.rows())):
        assert commands[words[0]].make_context(words[0], list(words[1:])).params


def test_verdicts_follow_the_data(modules: Modules, setting: Any, put: Put) -> None:
    listed = modules.rows
    words = "at least 5 Dice points above supervised training without"
    assert verdict(modules, setting, words) == "not measured yet"
    put(listed.BASELINE, 1, 0.7, 0.60)
    for shift, expected in ((0.70, "holds"), (0.62, "holds in part"), (0.50, "does not hold")):
        put(listed.TEDM, 1, 0.8, shift)
        assert verdict(modules, setting, words) == f"{expected} so far"


@pytest.mark.parametrize(
    ("rule", "intervals", "expected"),
    [
        ("by_five_points", [(0.051, 0.09)], "holds"),
        ("by_five_points", [(0.049, 0.09)], "holds in part"),
        ("by_five_points", [(-0.01, 0.049)], "does not hold"),
        ("by_five_points", [(-0.01, 0.06)], "undecided"),
        ("all_above", [(0.001, 0.1), (0.001, 0.1)], "holds"),
        ("all_above", [(0.001, 0.1), (-0.001, 0.1)], "holds in part"),
        ("all_above", [(-0.1, 0.004), (-0.001, 0.1)], "does not hold"),
        ("all_above", [(-0.1, 0.006), (-0.001, 0.1)], "undecided"),
        ("no_worse", [(-0.004, 0.1), (-0.006, 0.1)], "holds in part"),
        ("no_worse", [(-0.02, 0.1), (-0.02, -0.006)], "does not hold"),
        ("no_worse", [(-0.02, 0.1), (-0.02, 0.1)], "undecided"),
        ("diversity", [(0.01, 0.1), (-0.1, 0.006)], "holds in part"),
        ("diversity", [(-0.01, 0.1), (-0.1, 0.004)], "undecided"),
    ],
)
def test_the_ends_of_intervals_decide(
    modules: Modules, rule: str, intervals: list[tuple[float, float]], expected: str
) -> None:
    gaps = [Gap(Interval((low + high) / 2, low, high), PairedTest(None, 34), 3) for low, high in intervals]
    assert getattr(modules.findings, rule)(gaps) == expected


def test_a_verdict_is_final_once_all_its_rows_are_there(modules: Modules, setting: Any, put: Put) -> None:
    for method in (modules.rows.TEDM, modules.rows.BASELINE):
        for labels in modules.rows.COUNTS:
            put(method, labels, 0.9, 0.8 if method == modules.rows.TEDM else 0.7)
    assert verdict(modules, setting, "at least 5 Dice points above supervised training without") == "holds"


@pytest.mark.parametrize(
    ("eight", "one", "expected"),
    [(0.6, 0.6, "holds"), (0.6, 0.5, "holds in part"), (0.7, 0.6, "does not hold"), (0.72, 0.72, "does not hold")],
)
def test_diversity_and_averaging_are_told_apart(
    modules: Modules, setting: Any, put: Put, eight: float, one: float, expected: str
) -> None:
    put(modules.rows.TEDM, 1, 0.8, 0.7)
    put(modules.rows.ONE_STEP_EIGHT, 1, 0.8, eight)
    put(modules.rows.ONE_STEP_VOXELS, 1, 0.8, one)
    assert verdict(modules, setting, "diversity of steps").removesuffix(" so far") == expected


@pytest.mark.parametrize(
    ("probe", "expected"), [(0.69, "holds"), (0.61, "does not hold"), (0.65, "undecided"), (0.75, "holds")]
)
def test_more_than_half_of_a_gain_is_judged_by_its_interval(
    modules: Modules, setting: Any, put: Put, probe: float, expected: str
) -> None:
    for method, shift in ((modules.rows.TEDM, 0.7), (modules.rows.BASELINE, 0.6), (modules.rows.PROBE, probe)):
        put(method, 1, 0.8, shift)
    assert verdict(modules, setting, "more than half of TEDM's gain").removesuffix(" so far") == expected


def test_of_a_gain_that_is_not_there_nothing_is_half(modules: Modules, setting: Any, put: Put) -> None:
    for method, shift in ((modules.rows.TEDM, 0.5), (modules.rows.BASELINE, 0.6), (modules.rows.PROBE, 0.7)):
        put(method, 1, 0.8, shift)
    assert verdict(modules, setting, "more than half of TEDM's gain").removesuffix(" so far") == "undecided"


def test_where_the_two_ways_of_scoring_disagree_both_are_told(modules: Modules, setting: Any, put: Put) -> None:
    put(modules.rows.BASELINE, 1, 0.7, 0.6)
    put(modules.rows.TEDM, 1, 0.7, 0.5)
    for row in modules.rows.rows():
        if (row.method, row.labels) == (modules.rows.TEDM, 1):
            content = json.loads(setting.file(row).read_text())
            cases = content["domains"][modules.rows.LUNGS_AS_ONE[modules.rows.SHIFTED_NAME]]["cases"]
            for scores in cases.values():
                scores[0][0] += 0.3
            write_json(setting.file(row), content)
    told = verdict(modules, setting, "at least 5 Dice points above supervised training without")
    assert told == "does not hold (each class), holds (lungs as one) so far"


def test_what_is_a_difference_of_two_trainings_is_called_so(modules: Modules, setting: Any, put: Put) -> None:
    put(modules.rows.BASELINE, None, 0.95, 0.8)
    put(modules.rows.TEDM, None, 0.95, 0.8)
    found = modules.findings.findings(modules.state.State.read(setting))
    (one,) = [finding for finding in found if "with all labels" in finding.claim]
    assert "less `supervised plain`, all labels, Dataset110_JSRT: each class" in one.here
    assert "(one training" in one.here
    assert "label seed" not in one.here


def test_lungs_as_one_forgive_a_lung_on_the_wrong_side(modules: Modules, tmp_path: Path) -> None:
    lungs = importlib.import_module("few_lungs")
    reference = np.zeros((1, 8, 8), dtype=np.uint8)
    reference[0, 2:6, 1:3], reference[0, 2:6, 5:7] = 1, 2
    swapped = np.array([0, 2, 1, 3], dtype=np.uint8)[reference]
    swapped[0, 0, 0] = 3  # heart
    for name, label in (("reference", reference), ("prediction", swapped)):
        skimage.io.imsave(tmp_path / f"{name}.png", label[0], check_contrast=False)
    case = CaseScores("a", {}, str(tmp_path / "prediction.png"), str(tmp_path / "reference.png"))
    (scores,) = lungs.lungs_as_one(Summary({}, (case,))).cases[0].metrics.values()
    assert (scores["Dice"], scores["TP"], scores["n_pred"]) == (1.0, 16, 16)


def test_with_all_labels_no_worse_means_within_half_a_point(modules: Modules, setting: Any, put: Put) -> None:
    listed = modules.rows
    for method, inside in ((listed.BASELINE, 0.95), (listed.AUGMENTED, 0.95), (listed.TEDM_AUGMENTED, 0.951)):
        put(method, None, inside, 0.8)
    for inside, expected in ((0.951, "holds"), (0.90, "holds in part")):
        put(listed.TEDM, None, inside, 0.8)
        assert verdict(modules, setting, "with all labels").removesuffix(" so far") == expected


def test_patients_are_the_units_of_the_shifted_set(modules: Modules, setting: Any, put: Put) -> None:
    put(modules.rows.BASELINE, 1, 0.7, 0.6)
    patients = {case: f"patient {number // 2}" for number, case in enumerate(CASES)}
    write_json(setting.results / modules.state.ABOUT, {"patients": patients})
    state = modules.state.State.read(setting)
    (shifted,) = state.values[modules.rows.SHIFTED_NAME].values()
    (inside,) = state.values[modules.rows.DATASET].values()
    assert {len(values) for values in shifted.values()} == {12}
    assert {len(values) for values in inside.values()} == {24}


def test_the_report_names_what_is_missing_and_shows_what_is_there(modules: Modules, setting: Any, put: Put) -> None:
    empty = modules.report.write_report(setting).read_text()
    assert "0 of 126 trainings have been measured" in empty
    put(modules.rows.BASELINE, 1, 0.7, 0.6)
    put(modules.rows.TEDM, 1, 0.8, 0.7)
    put(modules.rows.probe_of(10), 1, 0.8, 0.7)
    text = modules.report.write_report(setting).read_text()
    assert "9 of 126 trainings have been measured" in text
    assert "`ledme__cpu64__2d__plain-n1-ls0`" in text
    assert "| 1 | `tedm plain` | 4 | 8 | 0." in text
    assert (setting.results / "curves.png").is_file()
    assert "one head: 0.5 minutes; at most 4 were set: kept so far" in text
    assert "pretraining: not measured yet" in text


def test_a_row_comes_back_as_it_was_measured(modules: Modules, setting: Any, put: Put) -> None:
    put(modules.rows.TEDM, 3, 0.8, 0.7)
    row = next(row for row in modules.rows.rows() if (row.method, row.labels) == (modules.rows.TEDM, 3))
    found = modules.measure.read_row(setting, row)
    stored = json.loads(setting.file(row).read_text())["domains"][modules.rows.SHIFTED_NAME]["cases"][CASES[0]]
    assert found.scores[modules.rows.SHIFTED_NAME][CASES[0]].metrics["1"]["Dice"] == stored[0][0]
    assert found.passes == 8
    assert modules.measure.labels_of(row, found) == 3
