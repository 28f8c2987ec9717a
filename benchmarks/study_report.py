"""The report of the recycling study: Markdown from the rows that are there; what lacks is named, never filled in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import study_step_tables as steps
import study_tables as tables
from study_findings import findings
from study_pictures import save_pictures
from study_runs import STUDIES
from study_state import State

from autodiffseg.atomic import write_text

CONVENTIONS = """
- Fold 0 of the dataset's split; a case counts by its mean over foreground classes. Mean ± standard deviation over cases
  of a case's mean over training seeds. Empty masks: one empty is Dice 0 and HD95 the image diagonal, both empty is
  left out.
- Tables of answers: five steps, the last checkpoint, averaged over mirrored versions, as `predict` does by default.
  Everything per step, over sampling seeds and over numbers of steps is without mirroring, an eighth of the work.
- Differences are paired by case, on the training seeds that both rows have. With three training seeds the interval is a
  two-level bootstrap over trainings and cases, else a bootstrap over cases, which says nothing of training anew. p:
  two-sided Wilcoxon (Pratt) of the cases' means, adjusted by Holm within a table.
- On par: the whole interval lies within ± 0.5 Dice points.
- The trainers that noise the label have `log_snr_shift=0` here, as in the paper; our plans shift the noise of
  `diffusion` by default (docs/methods.md tells what that brought in a short training).
"""


class Section(NamedTuple):
    """A part of what is told of a dataset."""

    heading: str
    told: str
    """What stands above the tables."""
    tables: tuple[Callable[[State], str], ...]
    picture: str = ""
    """Its name, if there is one."""


def write_report(results: Path) -> Path:
    """Write the report beside the folder of the rows; its file."""
    states = [State.read(study, results) for study in STUDIES.values()]
    lines = ["# The recycling paper's study, repeated", ""]
    lines += [
        "Fu et al., *A recycling training strategy for medical image segmentation with diffusion denoising models*",
        "(arXiv 2308.16355), with our trainers on public data: what holds, and what does not. Written by",
        "`recycling_study.py` from the rows in `recycling_study/`.",
        "",
        "## How to read it",
        CONVENTIONS.strip(),
        "",
    ]
    for state in states:
        lines += [*_study(state, results), ""]
    path = results.with_suffix(".md")
    write_text(path, "\n".join(lines).rstrip() + "\n")
    return path


def _study(state: State, results: Path) -> Iterator[str]:
    study = state.study
    done = len(study.runs) - len(state.missing)
    yield f"## {study.dataset}, {study.configuration}, fold {study.fold}"
    yield f"{study.says} {done} of {len(study.runs)} trainings have been measured."
    if state.missing:
        yield "Not yet: " + ", ".join(f"`{name}`" for name in state.missing) + "."
    if not state.rows:
        return
    pictures = save_pictures(state, results / study.dataset)
    yield ""
    yield "### Which findings hold"
    for finding in findings(state):
        yield f"- **{finding.claim}: {finding.verdict}.** Paper: {finding.paper} Here: {finding.here or 'nothing yet.'}"
    for section in _sections(state):
        yield from ("", f"### {section.heading}", section.told)
        for table in section.tables:
            yield from ("", table(state).rstrip())
        if section.picture in pictures:
            told = pictures[section.picture]
            yield from ("", f"![{told}]({results.name}/{study.dataset}/{section.picture}.png)")
    yield from ("", "### Trainings")
    yield from _trainings(state)


def _sections(state: State) -> Iterator[Section]:
    purposes = {run.purpose for run in state.study.runs}
    updates = state.study.main_runs("recycling")[0].updates
    yield Section("Equal updates", f"All trained for {updates} updates.", (tables.equal_updates,))
    against = (tables.against_supervised,)
    yield Section("Differences to supervised training", "Of the answers above, paired.", against, "differences")
    yield Section("Per class", "DDPM; the same predictions.", (tables.per_class,))
    if len(state.study.main_runs("recycling")) > 1:
        yield Section("Training seeds", "Mean Dice of each training by itself (DDPM).", (tables.training_seeds,))
    if "equal wall time" in purposes:
        yield Section("Equal wall time", _WALL_TIME, (tables.equal_wall_time,))
    yield Section("Two models averaged", _AVERAGED, (tables.two_averaged,))
    if "ablation" in purposes:
        yield Section("Ablations", _ABLATIONS, (tables.ablations,))
    yield Section("Over the steps", _STEPS, (steps.dice_ddpm, steps.dice_ddim, steps.hd95_ddpm), "steps")
    yield Section("Spread over sampling seeds", _SPREAD, (steps.spread_over_seeds,), "spread")
    yield Section("Numbers of sampling steps", _NUMBERS, (steps.numbers_ddpm, steps.numbers_ddim), "numbers_of_steps")


_WALL_TIME = """Recycling's 5000 updates set the time. An update of the others without a first pass costs less, so
supervised training and diffusion get as many more updates, with a learning rate that falls over all of them. Minutes
are updates times the median seconds of an update, measured in turns on quiet cores (`diffusion_cost.py`);
self-conditioning and recycling-next have a first pass too and cost what recycling does."""
_AVERAGED = """Probabilities of two trainings averaged. Two of the same trainer are the control: whatever they are, two
models are better than one. Trainings of the same seed see the same batches in the same order, which may make them err
alike; two of the same trainer never do, so their counterpart is the row of other seeds. Intervals of rows of other
seeds are over cases alone, since a training is in several pairs. What two models have in common no mean can mend:
errors in common are the voxels that both get wrong, among those that either does."""
_ABLATIONS = """Recycling for 2000 updates, one training each, so the intervals say nothing of training anew. The last
column is without mirroring."""
_STEPS = """Mean after every step, without mirroring, over cases, sampling seeds and training seeds (the paper's Figure
3). Supervised training has one pass."""
_SPREAD = """Largest less smallest score of a case's five sampling seeds, averaged over cases and training seeds (the
paper's Table 4); DDPM, without mirroring."""
_NUMBERS = "Dice of the answer (the paper's Table 3); training seed 0, without mirroring."


def _trainings(state: State) -> Iterator[str]:
    rows = [state.rows[name].record for run in state.study.runs if (name := state.study.name(run)) in state.rows]
    machines = dict.fromkeys(f"{row['run']['hardware']}, {row['run']['precision']}" for row in rows)
    versions = dict.fromkeys(", ".join(f"{k} {v}" for k, v in row["run"]["versions"].items()) for row in rows)
    yield f"Trained on: {'; '.join(machines)}. Versions: {'; '.join(versions)}."
    yield "Trainings ran two at a time while the machine did other work, so their wall time says little of their cost."
    yield ""
    yield "| command | updates | parameters | precision | wall time [min] | revision |"
    yield "| --- | ---: | ---: | --- | ---: | --- |"
    for row in rows:
        run = row["run"]
        yield (
            f"| `{run['command']}` | {run['iterations_done']} | {run['parameters']} | {run['precision']} | "
            f"{run['training_seconds'] / 60:.0f} | {run['git_revision']} |"
        )
