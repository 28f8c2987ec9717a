"""The command postprocess."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from autodiffseg.command_options import ProcessesOption
from autodiffseg.errors import UserError

if TYPE_CHECKING:
    from autodiffseg.postprocessing.record import DiceFigures, Postprocessing

console = Console(highlight=False)


def command(
    sources: Annotated[
        list[Path],
        typer.Option(
            "-i", "--input", help="Folder of label maps; may be repeated. To find rules, also a model folder."
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Folder for the label maps that the rules have been applied to."),
    ] = None,
    rules: Annotated[
        Path | None, typer.Option("--rules", help="Apply the rules of this postprocessing.json, or of a model's.")
    ] = None,
    find: Annotated[
        bool, typer.Option("--find", help="Find the rules that help, on predictions of cases that no model trained on.")
    ] = False,
    references: Annotated[
        Path | None, typer.Option("-r", "--references", help="To find rules: folder of reference label maps.")
    ] = None,
    dataset_json: Annotated[
        Path | None,
        typer.Option(help="Says what the labels mean. Default: the one beside the label maps or the references."),
    ] = None,
    num_processes: ProcessesOption = None,
) -> None:
    """Remove components of label maps (of this program or of any other) that are more likely wrong than right.

    --find tries on cross-validation predictions what helps: to keep the largest component of the foreground, then of
    each class; to remove components below a volume, of the foreground and of each class. A rule is adopted when the
    mean Dice rises and no class falls. What was tried, with figures and a paired test, is in postprocessing.json. A
    model's own, found when its last fold is validated or by -i MODEL --find, lies in its folder; `predict` applies it.

    Components are joined over faces, edges and corners; volumes are mm³ (2D: mm²; pixels where a format has no
    spacing). Removed voxels become background, or, of a region, what the region was painted over.

    Examples:

      autodiffseg postprocess -i predictions -o cleaned --rules recycling__cpu__3d_fullres/postprocessing.json

      autodiffseg postprocess -i fold_0/validation -i fold_1/validation -r labelsTr --find -o cleaned
    """
    from autodiffseg.postprocessing.record import FILE, Postprocessing
    from autodiffseg.postprocessing.sources import is_model
    from autodiffseg.preprocessing.parallel import default_processes

    if find == (rules is not None):
        raise UserError("Name the rules with --rules FILE, or look for them with --find; one of the two.")
    _check_places(sources, out)
    processes = num_processes or default_processes()
    if find:
        found = _find(sources, out, references, dataset_json, processes)
        _show(found)
        homes = [source for source in sources if is_model(source)] + ([out] if out is not None else [])
        if not homes:
            console.print("Nothing was written; -o names a folder for the rules and the label maps.", soft_wrap=True)
        for home in homes:
            found.save(home / FILE)
            console.print(f"Rules are in {home / FILE}.", soft_wrap=True)
        rules_file = homes[0] / FILE if homes else Path(FILE)
    else:
        assert rules is not None
        rules_file = rules / FILE if rules.is_dir() else rules
        found = Postprocessing.load(rules_file)
        if out is None:
            raise UserError("-o names the folder for the label maps that the rules are to be applied to.")
    if out is not None:
        _apply(sources, out, found, rules_file, dataset_json, processes)


def _check_places(sources: list[Path], out: Path | None) -> None:
    """Refuse an output folder that would overwrite what is read."""
    if out is None:
        return
    if out.exists() and not out.is_dir():
        raise UserError(f"{out} is no folder; -o names the folder for the label maps.")
    if out.resolve() in [folder.resolve() for folder in (*sources, *_folders(sources))]:
        raise UserError(f"{out} is the input folder; give the result a folder of its own with -o.")


def _folders(sources: list[Path]) -> list[Path]:
    """Those with label maps: of a model, the validations of its folds."""
    from autodiffseg.postprocessing.sources import is_model
    from autodiffseg.runs import VALIDATION

    return [
        path
        for source in sources
        for path in (sorted(source.glob(f"fold_[0-9]*/{VALIDATION}")) if is_model(source) else [source])
    ]


def _find(
    sources: list[Path], out: Path | None, references: Path | None, dataset_json: Path | None, processes: int
) -> Postprocessing:
    """Look for rules, with a line that tells of each pass over the files."""
    from autodiffseg.dataset import DatasetJson
    from autodiffseg.postprocessing.origin import validated_weights
    from autodiffseg.postprocessing.search import find_rules
    from autodiffseg.postprocessing.sources import (
        find_dataset_json,
        is_model,
        label_files,
        pair_with_references,
        validated_pairs,
    )

    weights: dict[str, tuple[str, ...]] = {}
    if len(sources) == 1 and is_model(sources[0]):
        pairs, weights = validated_pairs(sources[0], references), validated_weights(sources[0])
    elif references is None:
        raise UserError("--find compares with references: name their folder with -r, or a model's folder with -i.")
    else:
        ending, cases = label_files(sources)
        pairs = pair_with_references(cases, references, ending)
    truth = next(iter(pairs.values())).reference.parent
    if out is not None and out.resolve() == truth.resolve():
        raise UserError(f"{out} is the folder of the references; give the result a folder of its own with -o.")
    if dataset_json is not None:
        declared = DatasetJson.load(dataset_json)
    else:
        nearby = find_dataset_json(*sources, truth, truth.parent)
        if nearby is None:
            raise UserError(
                f"Neither {sources[0]} nor {truth} has a dataset.json; say what the labels mean with --dataset-json."
            )
        declared = nearby
    groups = [declared.group(case) for case in pairs] if declared.has_groups else None
    with console.status("Looking for rules") as status:
        found = find_rules(
            pairs,
            declared.spec,
            groups=groups,
            processes=processes,
            on_pass=lambda number: status.update(f"Looking for rules on {len(pairs)} cases, pass {number}"),
        )
    return found.model_copy(update={"checkpoints": weights})


def _apply(
    sources: list[Path], out: Path, found: Postprocessing, file: Path, dataset_json: Path | None, processes: int
) -> None:
    """Write the label maps, and what is needed to read them, into `out`."""
    import shutil

    from autodiffseg.dataset import DatasetJson
    from autodiffseg.postprocessing.folder import apply_to_files
    from autodiffseg.postprocessing.record import FILE
    from autodiffseg.postprocessing.sources import label_files

    folders = _folders(sources)
    _, cases = label_files(folders)
    beside = next((path for folder in sources if (path := folder / "dataset.json").is_file()), None)
    known = dataset_json or beside
    if known is not None:
        found.require_labels(DatasetJson.load(known).spec, source=file)
    columns = (TextColumn("Applying rules"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("apply", total=len(cases))
        changed = apply_to_files(
            cases, out, found.rules, found.spec, processes=processes, on_case=lambda: progress.advance(task)
        )
    if known is not None:
        shutil.copyfile(known, out / "dataset.json")
    found.save(out / FILE)
    told = "; ".join(map(str, found.rules)) or "no rule"
    console.print(
        f"Applied: {told}. {len(changed)} of {len(cases)} label maps changed; they are in {out}.", soft_wrap=True
    )


def _show(found: Postprocessing) -> None:
    """What was tried, and what came of it."""
    table = Table()
    for name in ("Rule", "Mean Dice before", "after", "p", "Adopted"):
        table.add_column(Text(name), justify="left" if name in ("Rule", "Adopted") else "right")
    for trial in found.tried:
        verdict = "yes" if trial.adopted else f"no: {trial.why}"
        table.add_row(Text(str(trial.rule)), *_cells(trial.before, trial.after, trial.p), Text(verdict))
    if found.before is not None and found.after is not None:
        table.add_section()
        table.add_row(f"All that was adopted ({len(found.rules)})", *_cells(found.before, found.after, found.p), "")
    console.print(table)


def _cells(before: DiceFigures, after: DiceFigures, p: float | None) -> list[str]:
    figures = ["–" if one.mean is None else f"{one.mean:.4f}" for one in (before, after)]
    return [*figures, "–" if p is None else f"{p:.2g}"]
