"""What the few-label study tells of its pretraining and its pool: measured once, beside the rows."""

from __future__ import annotations

import csv
from typing import Any

from few_rows import CONFIGURATION, DATASET, SHIFTED, SHIFTED_NAME, Setting
from few_state import ABOUT

from autodiffseg.atomic import write_json
from autodiffseg.dataset import DatasetJson, RawDataset
from autodiffseg.evaluation.shifted_set import ShiftedSet, read_shifted_set
from autodiffseg.preprocessing.image_run import Grid
from autodiffseg.preprocessing.parallel import default_processes
from autodiffseg.preprocessing.pool_overlap import overlap
from autodiffseg.preprocessing.unlabelled_pool import prepare_pool
from autodiffseg.runs import RECORD, RunRecord
from autodiffseg.sharing.privacy import command_without_paths, without_paths
from autodiffseg.trainers.backbone import read_backbone


def shifted_set(setting: Setting) -> ShiftedSet:
    """The shifted set of the study."""
    folder = setting.data / SHIFTED
    model = DatasetJson.load(setting.workspace.dataset_json_path(DATASET))
    return read_shifted_set(folder / "imagesTr", folder / "labelsTr", SHIFTED_NAME, model=model)


def write_about(setting: Setting) -> None:
    """Describe the finished pretraining and its pool; nothing where that is done.

    Of the shifted set it is told how many images are in the pool, the same or in another size: such a set is not quite
    unseen.
    """
    path = setting.results / ABOUT
    if path.is_file():
        return
    plan = setting.workspace.plan(DATASET, setting.plan)
    pool = prepare_pool(
        DATASET,
        RawDataset(setting.data / DATASET),
        setting.pool_folders(),
        plan=plan,
        configuration=CONFIGURATION,
        workspace=setting.workspace,
        processes=default_processes(),
    )
    shared = overlap(pool, shifted_set(setting).images, Grid(plan, CONFIGURATION), processes=default_processes())
    backbone, record = read_backbone(setting.backbone), RunRecord.load(setting.backbone / RECORD)
    told = without_paths(record.model_dump(mode="json", exclude={"training_cases", "validation_cases"}))
    content: dict[str, Any] = {
        "size": setting.size,
        "run": {**told, "command": command_without_paths(record.command)},
        "backbone": {
            **backbone.record.model_dump(mode="json", include={"updates", "ema_decay", "pool_images", "loss"}),
            "features": backbone.record.network.features,
            "base_steps": backbone.record.diffusion.base_steps,
            "schedule": backbone.record.diffusion.schedule,
        },
        "pool": {folder.name: sum(1 for _ in folder.glob("*_0000.png")) for folder in setting.pool_folders()},
        "in_the_pool": {"images": shared.images, "same": len(shared.same), "alike": len(shared.alike)},
        "patients": patients(setting),
    }
    write_json(path, content)


def patients(setting: Setting) -> dict[str, str]:
    """Case of the shifted set -> its patient, by a number of ours."""
    path = setting.data / SHIFTED / "cases.csv"
    if not path.is_file():
        return {}
    with path.open(encoding="utf-8", newline="") as file:
        found = {row["case"]: row["patient"] for row in csv.DictReader(file)}
    numbers = {patient: f"patient {number}" for number, patient in enumerate(dict.fromkeys(found.values()))}
    return {case: numbers[patient] for case, patient in found.items()}
