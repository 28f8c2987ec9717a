"""Pictures of preprocessed cases, to be looked at: do the label maps lie on the images, and the right way round?

Command:
    python benchmarks/overlay_preprocessed.py DATASET CONFIGURATION OUT [--plan NAME] [--workspace WORKSPACE] [CASE ...]

Writes OUT/DATASET_CONFIGURATION_CASE_CHANNEL.png: the slices with most foreground as the network is given them, with
the outlines of the stored label map. Without CASE it takes the first case that has foreground.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from autodiffseg.dataset import DatasetJson
from autodiffseg.errors import UserError
from autodiffseg.preprocessing.case_store import CaseStore
from autodiffseg.workflows.overlay import save_overlay
from autodiffseg.workspace import Workspace


def main() -> None:
    """Draw the cases that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset")
    parser.add_argument("configuration")
    parser.add_argument("out", type=Path)
    parser.add_argument("cases", nargs="*")
    parser.add_argument("--plan", default=None)
    parser.add_argument("--workspace", type=Path, default=None)
    arguments = parser.parse_args()
    workspace = Workspace(arguments.workspace)
    dataset = workspace.planned_dataset(arguments.dataset)
    plan = workspace.plan(dataset, workspace.choose_plan(dataset, arguments.plan))
    store = CaseStore(workspace.preprocessed(dataset) / plan.data_id(arguments.configuration))
    json = DatasetJson.load(workspace.dataset_json_path(dataset))
    for case in arguments.cases or [first_with_foreground(store)]:
        for path in draw(store, case, json, arguments.out, prefix=f"{dataset}_{arguments.configuration}"):
            print(path)


def first_with_foreground(store: CaseStore) -> str:
    """The first case of a store in whose label map there is any class."""
    for case in store.cases():
        if any(store.properties(case).class_voxels.values()):
            return case
    raise UserError(f"{store.folder} holds no case with foreground; preprocess the dataset first.")


def draw(store: CaseStore, case: str, json: DatasetJson, out: Path, *, prefix: str) -> list[Path]:
    """One picture per channel; what stands above it are facts of the stored arrays."""
    properties, label = store.properties(case), store.label(case)[:]  # (A, Z, Y, X)
    outlines = dict(zip(("label", *json.annotators), label, strict=True))
    size = " × ".join(map(str, properties.shape))
    spacing = " × ".join(f"{value:.3g}" for value in properties.spacing)
    paths = []
    for number, (name, channel) in enumerate(zip(json.channels, store.image(case)[:], strict=True)):
        paths.append(out / f"{prefix}_{case}_{number}.png")
        save_overlay(
            paths[-1],
            channel,
            outlines,
            classes=json.spec.foreground,
            spacing_mm=properties.spacing,
            title=f"{case}, {name}\n{size} voxels of {spacing} mm\nmean {channel.mean():.2g}, std {channel.std():.2g}",
        )
    return paths


if __name__ == "__main__":
    main()
