"""docs/file_formats.md names every key of every record that we write, and no key that is gone."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch

from autodiffseg.cli import run
from autodiffseg.dataset import CaseFiles, DatasetJson
from autodiffseg.evaluation.comparison_csv import FIGURES
from autodiffseg.fingerprint import (
    ComponentStatistics,
    Fingerprint,
    IntensityStatistics,
    LabelLeakage,
    LeakageCurve,
    Spread,
)
from autodiffseg.geometry import Geometry
from autodiffseg.plans import ConfigurationPlan, DiffusionPlan, NetworkPlan, NormalisationPlan, Plan
from autodiffseg.postprocessing.record import DiceFigures, Postprocessing, Trial
from autodiffseg.postprocessing.rules import Rule
from autodiffseg.preprocessing.case_store import CaseProperties
from autodiffseg.preprocessing.image_store import ImageProperties
from autodiffseg.runs import RunRecord, SeenCases
from autodiffseg.sampling import Sampling
from autodiffseg.sharing.manifest import Manifest, SharedFile
from autodiffseg.trainers.backbone import BackboneRecord, Preprocessing
from autodiffseg.trainers.inference_record import CandidateRecord, InferenceRecord, LackRecord
from autodiffseg.trainers.logbook import FIRST, LAST
from autodiffseg.trainers.prediction_folder import ModelRecord, PredictionRecord
from autodiffseg.uncertainty.case_uncertainty import CaseUncertainty, ClassUncertainty, table_text

TEXT = (Path(__file__).parents[1] / "docs" / "file_formats.md").read_text(encoding="utf-8")
SECTIONS = {
    "dataset.json": (DatasetJson, CaseFiles),
    "fingerprint.json": (
        Fingerprint,
        IntensityStatistics,
        ComponentStatistics,
        Spread,
        LabelLeakage,
        LeakageCurve,
    ),
    "plans/NAME.json": (Plan, ConfigurationPlan, NetworkPlan, NormalisationPlan, DiffusionPlan),
    "The case store": (CaseProperties, Geometry),
    "Unlabelled images": (ImageProperties,),
    "run.json": (RunRecord, SeenCases),
    "pretraining.json": (BackboneRecord, Preprocessing),
    "uncertainty/, uncertainty.csv": (CaseUncertainty, ClassUncertainty),
    "The zip file of a model": (Manifest, SharedFile),
    "postprocessing.json": (Postprocessing, Rule, Trial, DiceFigures),
    "inference.json": (InferenceRecord, CandidateRecord, LackRecord),
    "predict.json": (PredictionRecord, ModelRecord, Sampling),
}


def section(title: str) -> str:
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", TEXT, flags=re.MULTILINE | re.DOTALL)
    assert found, f"no section '{title}'"
    return found.group(1)


def table_keys(title: str) -> set[str]:
    """The names in the first columns of the tables of a section."""
    tables = re.findall(r"^\| (?:key|column) \|.*?\n\n", section(title) + "\n\n", flags=re.MULTILINE | re.DOTALL)
    columns = [line.split("|")[1] for table in tables for line in table.splitlines() if line.startswith("|")]
    return {key for column in columns for key in re.findall(r"`(\w+)`", column)}


def keys_of(title: str) -> set[str]:
    return {field.alias or name for record in SECTIONS[title] for name, field in record.model_fields.items()}


@pytest.mark.parametrize("title", SECTIONS)
def test_every_key_of_a_record_is_explained(title: str) -> None:
    told = set(re.findall(r"`([^`\n]+)`", section(title)))
    assert keys_of(title) - told == set()


@pytest.mark.parametrize("title", SECTIONS)
def test_every_key_in_a_table_exists(title: str) -> None:
    assert table_keys(title)
    assert table_keys(title) - keys_of(title) == set()


def test_the_columns_of_the_progress_file_are_explained(trained_phantom: Path) -> None:
    text = next(trained_phantom.glob("results/*/recycling*/fold_0/progress.csv")).read_text()
    assert table_keys("progress.csv") == set(text.splitlines()[0].split(","))
    assert {*FIRST, *LAST} < table_keys("progress.csv")


@pytest.mark.parametrize("name", ["last", "best"])
def test_the_keys_of_a_checkpoint_are_explained(name: str, trained_phantom: Path) -> None:
    path = next(trained_phantom.glob(f"results/*/supervised*/fold_0/checkpoint_{name}.pt"))
    keys = set(torch.load(path, weights_only=True))
    of_last_alone = {"optimiser", "scaler", "trainer_state", "best", "training_seconds"}
    assert keys == table_keys("checkpoint_last.pt, checkpoint_best.pt") - (set() if name == "last" else of_last_alone)


def test_the_keys_of_a_summary_are_explained(trained_phantom: Path) -> None:
    path = next(trained_phantom.glob("results/*/recycling*/fold_0/validation/summary.json"))
    summary = json.loads(path.read_text())
    assert set(summary) == table_keys("summary.json")
    case = summary["metric_per_case"][0]
    told = set(re.findall(r"`([^`\n]+)`", section("summary.json")))
    assert {*case, *case["metrics"]["1"]} - told == set()


def test_the_columns_of_the_uncertainty_table_are_explained() -> None:
    one = ClassUncertainty(volume=1.0)
    record = CaseUncertainty(
        case="a", models=1, samples=1, band_voxels=0, entropy_band=None, entropy_image={}, unit="ml",
        classes={"CLASS": one}, interval="",
    )  # fmt: skip
    header = table_text([record]).splitlines()[0].split(",")
    told = set(re.findall(r"`(\w+)`", section("uncertainty/, uncertainty.csv")))
    assert {column for column in header if not column.startswith("entropy_")} - told == set()


def test_the_keys_of_a_comparison_are_explained(trained_phantom: Path, tmp_path: Path) -> None:
    assert run(["compare", "Phantom", "--workspace", str(trained_phantom), "-o", str(tmp_path)]) == 0
    title = "comparison.md, comparison.tex, comparison.csv, comparison.json"
    content = json.loads((tmp_path / "comparison.json").read_text())
    assert set(content) == table_keys(title)
    told = set(re.findall(r"`([^`\n]+)`", section(title)))
    entrant = content["entrants"][0]
    foreground = entrant["results"]["Dice"]["foreground"]
    for part in (
        entrant,
        foreground,
        foreground["test"],
        entrant["runs"][0],
        next(iter(entrant["trainings"][0].values())),
    ):
        assert set(part) - told == set()
    assert set(FIGURES) - told == set()
    assert {path.name for path in tmp_path.iterdir()} <= {
        *(f"comparison.{ending}" for ending in ("md", "tex", "csv", "json")),
        "comparison_classes.csv",
        "comparison_cases.csv",
    }
