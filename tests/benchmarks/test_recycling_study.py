"""benchmarks/recycling_study.py: its list of runs, its rows, and verdicts that follow the data."""

from __future__ import annotations

import importlib
import shutil
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from autodiffseg import registry
from autodiffseg.atomic import write_json
from autodiffseg.evaluation.step_scores import StepScores
from autodiffseg.labels import LabelSpec
from autodiffseg.plans import Plan
from autodiffseg.runs import RunRecord
from autodiffseg.trainers.checkpoints import trainer_class
from autodiffseg.trainers.options import read_settings
from autodiffseg.workspace import Workspace

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
CASES = tuple(f"case_{number:02d}" for number in range(20))
EASE = np.linspace(-0.03, 0.03, 20)
"""Of each case, the same for every run: what pairing takes out."""


class Modules(NamedTuple):
    runs: Any
    scores: Any
    measure: Any
    state: Any
    pairs: Any
    findings: Any
    report: Any
    agreement: Any
    study: Any


@pytest.fixture
def modules(monkeypatch: pytest.MonkeyPatch) -> Modules:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    names = [f"study_{name}" for name in Modules._fields if name != "study"] + ["recycling_study"]
    return Modules(*map(importlib.import_module, names))


def scores(dice: float, *, samples: int = 1, steps: tuple[float, ...] = (0.0,), first: int = 1) -> StepScores:
    """Two classes; `steps` are added to the Dice step by step, and samples lie 0.001 apart."""
    shifts = 0.001 * np.arange(samples)[None, :, None, None] + np.array(steps)[None, None, :, None]
    values = np.broadcast_to(dice + EASE[:, None, None, None] + shifts, (20, samples, len(steps), 2)).copy()
    return StepScores(("Anterior", "Posterior"), CASES, {"Dice": values, "HD95": 10 * (1 - values)}, first)


def record(modules: Modules, run: Any) -> dict[str, Any]:
    made = RunRecord(
        dataset="Dataset004_Hippocampus", trainer=run.trainer, plan=run.plan, configuration="3d_fullres", tag=run.tag,
        fold="0", seed=run.seed, options={}, plan_hash="", iterations=run.updates, hardware="a machine",
    )  # fmt: skip
    return {"purpose": run.purpose, "run": made.model_dump(mode="json"), "measured_on": {}, "measured": {}}


def put(
    modules: Modules, results: Path, trainer: str, dice: float, *, rise: float = 0.0, ddim: float = 0.0, seeds: int = 1
) -> None:
    """Rows of the main runs of a trainer, each seed 0.0001 better than the one before; `ddim` is its rise with DDIM."""
    study, part = modules.runs.HIPPOCAMPUS, modules.scores.Part
    for run in study.main_runs(trainer)[:seeds]:
        value = dice + 0.0001 * run.seed
        sampler = "none" if trainer == "supervised" else "ddpm"
        count = 1 if trainer == "supervised" else 5
        parts = {part(sampler, count, True): scores(value, first=count)}
        if trainer != "supervised":
            way = tuple(np.linspace(-rise, 0, 5))
            parts[part("ddim", 5, True)] = scores(value - 0.001, first=5)
            parts[part("ddpm", 5, False)] = scores(value, samples=5, steps=way)
            parts[part("ddim", 5, False)] = scores(value, steps=tuple(np.linspace(-ddim, 0, 5)))
        write(modules, results, study.name(run), record(modules, run), parts)


def write(modules: Modules, results: Path, name: str, content: dict[str, Any], parts: dict[Any, StepScores]) -> None:
    json_file, csv_file = modules.measure.row_files(modules.runs.HIPPOCAMPUS, name, results)
    modules.scores.write_parts(csv_file, parts)
    write_json(json_file, content)


def put_pairs(modules: Modules, results: Path, kind: Any, dice: float) -> None:
    for pair in modules.pairs.pairs(modules.runs.HIPPOCAMPUS):
        if pair.kind == kind:
            content = {"members": [], "agreement": {"a": [0.95, 0.5], "b": [0.97, None], "c": [None, 0.7]}}
            write(modules, results, pair.name, content, {modules.pairs.PAIR: scores(dice, first=5)})


def findings(modules: Modules, results: Path) -> list[Any]:
    found: list[Any] = modules.findings.findings(modules.state.State.read(modules.runs.HIPPOCAMPUS, results))
    return found


def test_there_are_six_trainers_and_three_seeds_of_three(modules: Modules) -> None:
    study = modules.runs.HIPPOCAMPUS
    seeds = {trainer: [run.seed for run in study.main_runs(trainer)] for trainer in modules.runs.TRAINERS}
    assert set(seeds) == set(registry.known(registry.TRAINERS)) & set(seeds)
    assert sum(map(len, seeds.values())) == 12
    assert [name for name, found in seeds.items() if found == [0, 1, 2]] == ["supervised", "recycling", "diffusion"]


def test_no_two_runs_have_the_same_folder_and_all_settings_are_options(modules: Modules) -> None:
    for study in modules.runs.STUDIES.values():
        assert len({study.name(run) for run in study.runs}) == len(study.runs)
        for run in study.runs:
            read_settings(trainer_class(run.trainer).Options, run.settings)


def test_a_command_names_what_makes_a_run_what_it_is(modules: Modules) -> None:
    study = modules.runs.HIPPOCAMPUS
    run = next(run for run in study.runs if run.tag == "2000-mse")
    line = " ".join(study.command(run, Path("ws")))
    assert line.startswith("train Dataset004_Hippocampus 3d_fullres 0 --trainer recycling --plan cpu --seed 0")
    assert "--iterations 2000" in line
    assert "--tag 2000-mse --set dice_weight=0" in line
    assert study.name(run) == "recycling__cpu__3d_fullres__2000-mse"


def test_rows_come_back_as_they_were_written(modules: Modules, tmp_path: Path) -> None:
    part = modules.scores.Part("ddpm", 5, False)
    written = scores(0.8, samples=5, steps=(0.0, 0.1, 0.12))
    written.values["HD95"][3, 2, 1, 0] = np.nan
    last = scores(0.7, first=5)
    modules.scores.write_parts(tmp_path / "rows.csv", {part: written, part._replace(sampler="ddim"): last})
    read = modules.scores.read_parts(tmp_path / "rows.csv")
    assert (read[part].cases, read[part].classes, read[part].steps) == (CASES, written.classes, (1, 2, 3))
    assert read[part._replace(sampler="ddim")].first_step == 5
    for metric, values in written.values.items():
        np.testing.assert_allclose(read[part].values[metric], values, atol=1e-4)


def test_rows_that_were_cut_short_are_refused(modules: Modules, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    modules.scores.write_parts(path, {modules.scores.Part("ddpm", 5, False): scores(0.8, samples=2)})
    path.write_text("\n".join(path.read_text().splitlines()[:-1]) + "\n")
    with pytest.raises(modules.scores.UserError, match="lacks rows"):
        modules.scores.read_parts(path)


def test_a_training_of_other_options_is_refused(modules: Modules, tmp_path: Path) -> None:
    run = modules.runs.HIPPOCAMPUS.main_runs("diffusion")[0]
    made = RunRecord.model_validate(record(modules, run)["run"])
    modules.measure.require_as_listed(run, made.model_copy(update={"options": {"log_snr_shift": 0.0}}), tmp_path)
    with pytest.raises(modules.measure.UserError, match="log_snr_shift"):
        modules.measure.require_as_listed(run, made.model_copy(update={"options": {"log_snr_shift": -2.1}}), tmp_path)
    with pytest.raises(modules.measure.UserError, match="not the one"):
        modules.measure.require_as_listed(run, made.model_copy(update={"seed": 3}), tmp_path)


def test_nothing_measured_is_said_and_no_finding_claimed(modules: Modules, tmp_path: Path) -> None:
    assert {one.verdict for one in findings(modules, tmp_path)} == {"not measured yet"}
    text = modules.report.write_report(tmp_path / "rows").read_text()
    assert "0 of 20 trainings" in text
    assert "| " not in text


def test_what_the_paper_found_is_found_in_data_made_so(modules: Modules, tmp_path: Path) -> None:
    dice = {"recycling": 0.881, "recycling-next": 0.86, "self-conditioning-same": 0.82, "self-conditioning-next": 0.83}
    for trainer, value in dice.items():
        put(modules, tmp_path, trainer, value, rise=0.004, seeds=3)
    put(modules, tmp_path, "diffusion", 0.80, rise=-0.05, seeds=3)
    put(modules, tmp_path, "supervised", 0.882, seeds=3)
    for kind, value in zip(modules.pairs.KINDS, (0.889, 0.89, 0.886, 0.885), strict=True):
        put_pairs(modules, tmp_path, kind, value)
    found = findings(modules, tmp_path)
    assert [one.verdict for one in found[:5]] == ["holds"] * 5
    assert "-0.10 Dice points" in found[3].here
    assert "Of other seeds, less two supervised: +0.40 Dice points" in found[4].here
    assert "both get wrong: `supervised` + `recycling`, same seed 60 %; " in found[4].here
    assert found[5].verdict == "holds in part"  # samples lie 0.004 apart: little, but at every step alike


def test_the_opposite_is_found_in_data_made_so(modules: Modules, tmp_path: Path) -> None:
    put(modules, tmp_path, "recycling", 0.80, rise=-0.01, seeds=3)
    put(modules, tmp_path, "diffusion", 0.85, rise=0.01, seeds=3)
    put(modules, tmp_path, "supervised", 0.88, seeds=3)
    put_pairs(modules, tmp_path, modules.pairs.KINDS[0], 0.87)
    found = findings(modules, tmp_path)
    assert "Its first step less supervised training" not in found[2].here  # which has no rows without mirroring
    verdicts = [one.verdict for one in found[:5]]
    assert verdicts == ["does not hold so far"] + ["does not hold"] * 4  # three of the family are missing


def test_where_diffusion_does_not_fall_it_is_told_whether_it_began_low(modules: Modules, tmp_path: Path) -> None:
    put(modules, tmp_path, "diffusion", 0.85, rise=0.01)
    study = modules.runs.HIPPOCAMPUS
    run = study.main_runs("supervised")[0]
    for alone, has_fallen in ((0.88, True), (0.83, False)):
        parts = {modules.scores.Part("none", 1, False): scores(alone)}
        write(modules, tmp_path, study.name(run), record(modules, run), parts)
        found = findings(modules, tmp_path)[2]
        assert found.verdict == "does not hold so far"
        first = 0.84 + 0.002 - alone  # the five samples lie 0.001 apart
        assert f"{100 * first:+.2f} Dice points" in found.here
        assert ("lost before the first answer" in found.here) == has_fallen


def test_diffusion_that_falls_with_ddim_alone_falls_in_part(modules: Modules, tmp_path: Path) -> None:
    put(modules, tmp_path, "diffusion", 0.85, rise=0.01, ddim=-0.02, seeds=3)
    found = findings(modules, tmp_path)[2]
    assert found.verdict == "holds in part"
    assert "Of DDIM: -2.00 Dice points" in found.here


def test_two_models_that_only_equal_their_controls_hold_in_part(modules: Modules, tmp_path: Path) -> None:
    for trainer in ("recycling", "supervised"):
        put(modules, tmp_path, trainer, 0.88, seeds=3)
    for kind in modules.pairs.KINDS:
        put_pairs(modules, tmp_path, kind, 0.89)
    assert findings(modules, tmp_path)[4].verdict == "holds in part"


def test_a_verdict_on_some_of_the_trainings_is_one_for_the_time_being(modules: Modules, tmp_path: Path) -> None:
    put(modules, tmp_path, "supervised", 0.882)
    put(modules, tmp_path, "recycling", 0.881, rise=0.001)
    assert [one.verdict for one in findings(modules, tmp_path)[:4]] == [
        "not measured yet",
        "holds so far",
        "not measured yet",
        "holds so far",
    ]


def test_seeds_that_one_of_two_lacks_are_not_compared(modules: Modules) -> None:
    method = modules.state.Trained((0, 1), np.array([[0.5] * 8, [0.9] * 8]))
    other = modules.state.Trained((0, 2), np.array([[0.4] * 8, [0.1] * 8]))
    found = modules.state.difference(method, other)
    assert found.seeds == (0,)
    assert found.interval.mean == pytest.approx(0.1)
    assert modules.state.difference(method, modules.state.Trained((2,), other.values[1:])) is None


def test_a_report_of_some_runs_shows_the_others_as_missing(modules: Modules, tmp_path: Path) -> None:
    put(modules, tmp_path / "rows", "recycling", 0.88, rise=0.004)
    put(modules, tmp_path / "rows", "supervised", 0.8825)
    text = modules.report.write_report(tmp_path / "rows").read_text()
    assert "2 of 20 trainings have been measured" in text
    row = next(line for line in text.splitlines() if line.startswith("| `recycling` | Diff. rec. x_T"))
    assert "| 0 (2 missing) | 0.8800 ± 0.0187 | 1.20 ± 0.19 | 0.8790 ± 0.0187 |" in row
    assert "| `recycling` | DDPM | 0 | -0.25 [-0.25, -0.25] |" in text
    lacking = next(line for line in text.splitlines() if line.startswith("| `diffusion` | Diff. |"))
    assert lacking == "| `diffusion` | Diff. | none (3 missing) | – | – | – | – | 5 |"
    for picture in ("steps", "spread", "numbers_of_steps", "differences"):
        there = (tmp_path / "rows" / "Dataset004_Hippocampus" / f"{picture}.png").is_file()
        assert there == (f"{picture}.png" in text) == (picture != "numbers_of_steps")


def test_pairs_are_of_every_two_seeds(modules: Modules) -> None:
    found: dict[Any, list[tuple[int, int]]] = {}
    for pair in modules.pairs.pairs(modules.runs.HIPPOCAMPUS):
        found.setdefault(pair.kind, []).append((pair.first.seed, pair.second.seed))
    two = [(0, 1), (0, 2), (1, 2)]
    both_ways = [(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)]
    wanted = [[(0, 0), (1, 1), (2, 2)], both_ways, two, two]
    assert found == dict(zip(modules.pairs.KINDS, wanted, strict=True))
    kinds = [pair.kind for pair in modules.pairs.pairs(modules.runs.JSRT)]
    assert [kinds.count(kind) for kind in modules.pairs.KINDS] == [2, 2, 1, 1]


def test_two_models_agree_as_far_as_their_maps_and_errors_do(modules: Modules) -> None:
    spec = LabelSpec(labels={"background": 0, "one": 1, "two": 2})
    first, second, reference = (np.array(voxels).reshape(1, 2, 4) for voxels in (
        [0, 1, 1, 2, 2, 2, 0, 0], [0, 1, 2, 2, 2, 0, 0, 1], [0, 1, 2, 2, 1, 1, 0, 0]
    ))  # fmt: skip
    found = modules.agreement.agreement(first, second, reference, spec)
    assert found.dice == pytest.approx((2 * 1 / (2 + 2) + 2 * 2 / (3 + 3)) / 2)
    assert found.errors_in_common == pytest.approx(2 / 4)
    nothing = np.zeros((1, 2, 4), int)
    assert np.isnan(modules.agreement.agreement(nothing, nothing, nothing, spec)).all()
    assert modules.agreement.mean_agreement([{"members": []}]) is None


def test_what_is_measured_depends_on_what_a_run_is_for(modules: Modules) -> None:
    study = modules.runs.HIPPOCAMPUS
    first, second, *_ = study.main_runs("recycling")
    parts = {run: {one.part: one for one in modules.measure.wanted(run)} for run in (first, second)}
    assert parts[first][modules.scores.Part("ddpm", 5, False)].samples == 5
    assert set(parts[first]) - set(parts[second]) == {
        modules.scores.Part(sampler, count, False) for sampler in ("ddpm", "ddim") for count in (1, 2, 3, 10, 20)
    }
    supervised = modules.measure.wanted(study.main_runs("supervised")[0])
    assert [one.part for one in supervised] == [("none", 1, True), ("none", 1, False)]


def test_the_edited_plan_has_a_transformer_and_else_is_the_same(
    modules: Modules, planned_phantom: Path, tmp_path: Path
) -> None:
    workspace = Workspace(Path(shutil.copytree(planned_phantom, tmp_path / "workspace")))
    dataset = next((workspace.root / "preprocessed").iterdir()).name
    study = modules.runs.Study(dataset, "3d_fullres", ())
    plan = workspace.plan(dataset, "cpu")
    edited = Plan.load(modules.study.with_transformer(study, workspace))
    network = edited.configurations["3d_fullres"].network
    assert network.transformer_layers == 1
    assert network.model_copy(update={"transformer_layers": 0}) == plan.configurations["3d_fullres"].network
    assert edited.data_id("3d_fullres") == plan.data_id("3d_fullres")


def test_a_training_that_fails_stops_no_other(
    modules: Modules, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(modules.study, "RESULTS", tmp_path)
    study = modules.runs.HIPPOCAMPUS
    modules.study.train(study, study.runs[:2], Workspace(tmp_path), jobs=1, threads=1, python=Path("/bin/false"))
    assert capsys.readouterr().out.count("exit status 1, so it is missing") == 2


@pytest.mark.slow
def test_trainings_are_measured_once_and_pairs_are_means(
    modules: Modules, planned_phantom: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace, results = Workspace(Path(shutil.copytree(planned_phantom, tmp_path / "workspace"))), tmp_path / "rows"
    dataset = next((workspace.root / "preprocessed").iterdir()).name
    runs = [modules.runs.main_run(trainer, 3, seed) for trainer, seed in (("supervised", 0), ("recycling", 1))]
    study = modules.runs.Study(dataset, "3d_fullres", (*runs, modules.runs.main_run("recycling", 3)))
    monkeypatch.setattr(modules.study, "RESULTS", results)
    modules.study.train(study, runs, workspace, jobs=1, threads=1, python=Path(sys.executable))
    files = [modules.measure.row_files(study, study.name(run), results) for run in runs]
    written = [path.stat().st_mtime_ns for pair in files for path in pair]
    modules.study.train(study, runs, workspace, jobs=1, threads=1, python=Path(sys.executable))
    modules.study.measure_finished(study, runs, workspace)
    assert [path.stat().st_mtime_ns for pair in files for path in pair] == written
    state = modules.state.State.read(study, results)
    assert state.missing == ["recycling__cpu__3d_fullres"]
    assert {run: set(state.rows[study.name(run)].parts) for run in runs} == {
        run: {one.part for one in modules.measure.wanted(run)} for run in runs
    }
    modules.pairs.measure_pair(study, modules.pairs.Pair(runs[0], runs[0]), workspace, results, tell=print)
    twice = modules.measure.rows_of(study, "pair__supervised-0__supervised-0", results).parts[modules.pairs.PAIR]
    alike = modules.agreement.mean_agreement(
        [modules.measure.rows_of(study, "pair__supervised-0__supervised-0", results).record]
    )
    assert alike == (1.0, 1.0)
    once = state.rows[study.name(runs[0])].parts[modules.scores.Part("none", 1, True)]
    np.testing.assert_allclose(twice.values["Dice"], once.values["Dice"], atol=1e-6)
