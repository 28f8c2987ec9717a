"""docs/file_formats.md names every key of every record that we write, and no key that is gone."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from autodiffseg.dataset import CaseFiles, DatasetJson
from autodiffseg.fingerprint import Fingerprint, IntensityStatistics
from autodiffseg.geometry import Geometry
from autodiffseg.plans import ConfigurationPlan, DiffusionPlan, NetworkPlan, NormalisationPlan, Plan
from autodiffseg.preprocessing.case_store import CaseProperties
from autodiffseg.runs import RunRecord

TEXT = (Path(__file__).parents[1] / "docs" / "file_formats.md").read_text(encoding="utf-8")
SECTIONS = {
    "dataset.json": (DatasetJson, CaseFiles),
    "fingerprint.json": (Fingerprint, IntensityStatistics),
    "plans/NAME.json": (Plan, ConfigurationPlan, NetworkPlan, NormalisationPlan, DiffusionPlan),
    "The case store": (CaseProperties, Geometry),
    "run.json": (RunRecord,),
}


def section(title: str) -> str:
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", TEXT, flags=re.MULTILINE | re.DOTALL)
    assert found, f"no section '{title}'"
    return found.group(1)


def keys_of(title: str) -> set[str]:
    return {field.alias or name for record in SECTIONS[title] for name, field in record.model_fields.items()}


@pytest.mark.parametrize("title", SECTIONS)
def test_every_key_of_a_record_is_explained(title: str) -> None:
    told = set(re.findall(r"`([^`\n]+)`", section(title)))
    assert keys_of(title) - told == set()


@pytest.mark.parametrize("title", SECTIONS)
def test_every_key_in_a_table_exists(title: str) -> None:
    tables = re.findall(r"^\| key \|.*?\n\n", section(title) + "\n\n", flags=re.MULTILINE | re.DOTALL)
    first_columns = [line.split("|")[1] for table in tables for line in table.splitlines() if line.startswith("|")]
    told = {key for column in first_columns for key in re.findall(r"`(\w+)`", column)}
    assert told
    assert told - keys_of(title) == set()
