"""The report of the few-label study: Markdown from the rows that are there; what lacks is named, never filled in."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from few_findings import findings
from few_rows import (
    ABLATED,
    ABLATIONS,
    AUGMENTED,
    BASELINE,
    DATASET,
    LONGER,
    METHODS,
    PRETRAINING,
    SHIFTED_NAME,
    TEDM,
    Method,
    Setting,
    rows,
)
from few_state import State
from study_cells import markdown

from autodiffseg.atomic import write_text
from autodiffseg.evaluation.curve_plot import save_curves
from autodiffseg.evaluation.label_curves import standings
from autodiffseg.evaluation.label_tables import LabelCurves, label_curves, label_panels, labels_table
from autodiffseg.evaluation.summary import Summary
from autodiffseg.evaluation.timestep_tables import ReadStep, timestep_panels, timesteps_table
from autodiffseg.trainers.backbone import USUAL_NOISE
from autodiffseg.trainers.timestep_probes import decibels_of

LIMITS = {"pretraining": 90.0, "one head": 4.0, "everything": 360.0}
"""Minutes that were set for two cores."""

CONVENTIONS = """
- Labelled domain: JSRT chest radiographs, right lung, left lung and heart; fold 0 of its split. Shifted domain:
  radiographs of sick lungs from elsewhere (COVID-19 and others), scored on the lungs, which is what its own
  dataset.json declares; its unit is the patient. Pool: chest radiographs without labels. Networks see images of
  {size} × {size} pixels; masks are scored on each case's own grid.
- "plain": without augmentation, as the TEDM paper trains its read-outs and its baseline. The others have the whole
  augmentation of our trainers.
- Label seeds choose which cases are the labelled ones; a smaller number of labels is a part of a larger one.
  Differences are paired by case and by label seed. With three label seeds their interval is a bootstrap over label
  seeds and units, else over units alone, which says nothing of other labels. p in findings: two-sided Wilcoxon
  (Pratt), not adjusted; in tables adjusted by Holm over the rows of a domain.
- The last checkpoint, no postprocessing; averaged over mirrored versions where training mirrored too. No validation
  labels were used to choose anything.
"""


def write_report(setting: Setting) -> Path:
    """Write the report beside the folder of the rows; its file."""
    state = State.read(setting)
    path = setting.results.with_suffix(".md")
    write_text(path, "\n".join(_lines(state)).rstrip() + "\n")
    return path


def _lines(state: State) -> Iterator[str]:
    yield from ("# What a pretrained denoiser knows: the TEDM paper's study, repeated", "")
    yield "Rosnati et al., *Robust semi-supervised segmentation with timestep ensembling diffusion models*"
    yield "(arXiv 2311.07421), with our trainers on public data: what holds, and what does not. Written by"
    yield f"`few_label_study.py` from the rows in `{state.setting.results.name}/`."
    yield from ("", "## How to read it", CONVENTIONS.strip().format(size=state.setting.size))
    listed = sum(1 for _ in rows())
    yield from ("", f"{len(state.measured)} of {listed} trainings have been measured.")
    if state.missing:
        yield "Not yet: " + ", ".join(f"`{name}`" for name in state.missing) + "."
    if not state.measured:
        return
    yield from ("", "## Which findings hold")
    for finding in findings(state):
        paper = f" Paper: {finding.paper}" if finding.paper else ""
        yield f"- **{finding.claim}: {finding.verdict}.**{paper} Here: {finding.here or 'nothing yet.'}"
    yield from ("", "## Methods", "")
    yield markdown(
        ["method", "what it is", "updates"],
        [[f"`{one.name}`", one.says, str(one.updates)] for one in (*METHODS, *ABLATIONS, *LONGER)],
    ).rstrip()
    yield from _curves(state)
    yield from _why(state)
    yield from _label_seeds(state)
    yield from _ablations(state)
    yield from _timesteps(state)
    yield from _cost(state)


def _curves(state: State) -> Iterator[str]:
    curves = _analysed(state, METHODS, BASELINE)
    if curves is None:
        return
    yield from ("", "## Dice by the number of labels", *_table(curves), "")
    picture = state.setting.results / "curves.png"
    save_curves(
        picture, curves.counts, label_panels(curves), title="Dice by the number of labels", xlabel="labels",
        logarithmic=True,
    )  # fmt: skip
    yield f"![Dice by the number of labels, in-domain and under shift]({state.setting.results.name}/{picture.name})"
    again = _analysed(state, METHODS, AUGMENTED)
    if again is not None:
        yield from ("", "### Against the augmented baseline", "The same rows, less `supervised`.", *_table(again))


def _why(state: State) -> Iterator[str]:
    """Precision and recall: how a method errs."""
    domains = state.domains(METHODS)
    found = {
        (domain.name, metric): standings(domain, baseline="", metric=metric)[0]
        for domain in domains
        for metric in ("Precision", "Recall")
    }
    curves = _analysed(state, METHODS, BASELINE)
    lines = []
    for place in curves.places if curves is not None else ():
        cells = [str(place.labels), f"`{place.method}`"]
        for domain in domains:
            pair = [found[domain.name, metric].get(place) for metric in ("Precision", "Recall")]
            cells.append(" / ".join("–" if one is None or math.isnan(one.mean) else f"{one.mean:.3f}" for one in pair))
        lines.append(cells)
    yield from ("", "## How they err", "Precision / recall, means as above.", "")
    yield markdown(["labels", "method", *(domain.name for domain in domains)], lines).rstrip()


def _label_seeds(state: State) -> Iterator[str]:
    """The mean of every label seed by itself, with one label."""
    header, lines = ["method"], []
    seeds = sorted({row.label_seed for row in state.measured if row.labels == 1})
    for name in (DATASET, SHIFTED_NAME):
        header += [f"{name}, seed {seed}" for seed in seeds]
    for method in METHODS:
        cells = [f"`{method.name}`"]
        for name in (DATASET, SHIFTED_NAME):
            found = next(
                (trainings for place, trainings in state.values.get(name, {}).items()
                 if (place.labels, place.method) == (1, method.name)),
                {},
            )  # fmt: skip
            means = {key.partition(".")[0]: float(values.mean()) for key, values in found.items()}
            cells += [f"{means[str(seed)]:.4f}" if str(seed) in means else "–" for seed in seeds]
        lines.append(cells)
    yield from ("", "## Which label it is", "Mean Dice with one label, label seed by label seed.", "")
    yield markdown(header, lines).rstrip()


def _ablations(state: State) -> Iterator[str]:
    curves = _analysed(state, (TEDM, *ABLATIONS), TEDM)
    if curves is not None:
        yield from ("", "## Ablations", *_table(curves, only=ABLATED))
    curves = _analysed(state, (BASELINE, TEDM, *LONGER), BASELINE)
    if curves is not None and any(row.method in LONGER for row in state.measured):
        yield from ("", "### Three times as long, with all labels", *_table(curves, only=(state.all_labels,)))


def _timesteps(state: State) -> Iterator[str]:
    probes = {row: one for row, one in state.measured.items() if row.purpose == "timestep"}
    if not probes:
        return
    read = []
    for row, one in sorted(probes.items(), key=lambda pair: int(pair[0].method.name.split()[1])):
        step = int(row.method.name.split()[1])
        summaries = {name: Summary(one.classes[name], tuple(cases.values())) for name, cases in one.scores.items()}
        read.append(ReadStep(step, decibels_of(USUAL_NOISE, step), summaries))
    table = timesteps_table(read, title="", notes=())
    yield from (
        "",
        "## Which noise levels know the anatomy",
        "A linear probe of one step alone, one label, label seed 0.",
    )
    yield from ("", markdown(table.header, list(table.texts())).rstrip(), "")
    picture = state.setting.results / "timesteps.png"
    steps = [one.step for one in read]
    save_curves(
        picture, steps, timestep_panels(read), title="Linear probes of single steps", xlabel="base step",
        logarithmic=True,
    )  # fmt: skip
    yield f"![Dice of linear probes by the step that they read]({state.setting.results.name}/{picture.name})"


def _cost(state: State) -> Iterator[str]:
    yield from ("", "## Pretraining, pool and cost")
    heads = {
        row: one.record["training_seconds"] / 60
        for row, one in state.measured.items()
        if row.method.trainer not in ("supervised", "finetune-ddpm")
    }
    minutes = {"one head": max(heads.values(), default=math.nan)}
    spent = sum(one.record["training_seconds"] for one in state.measured.values()) / 60
    about = state.about
    if about:
        run, backbone, shared = about["run"], about["backbone"], about["in_the_pool"]
        minutes["pretraining"] = run["training_seconds"] / 60
        pool = ", ".join(f"`{name}` {count}" for name, count in about["pool"].items())
        yield f"- Pool: {backbone['pool_images']} images ({pool}). Of the {shared['images']} images of {SHIFTED_NAME}"
        yield f"  {shared['same']} are in it and {shared['alike']} more are most likely copies in another size."
        yield f"- Denoiser: {run['parameters'] / 1e6:.2f} million parameters, {backbone['updates']} updates"
        yield f"  ({PRETRAINING} are planned), loss {backbone['loss']}, {backbone['schedule']} schedule of"
        yield f"  {backbone['base_steps']} steps: `{run['command']}`"
    minutes["everything"] = spent / 2 + minutes.get("pretraining", 0.0)
    for name, limit in LIMITS.items():
        value = minutes.get(name, math.nan)
        told = "not measured yet" if math.isnan(value) else f"{value:.1f} minutes"
        if name == "everything":
            told += " of training on two cores, after the pretraining one training on each"
        so_far = " so far" if state.missing and name != "pretraining" else ""
        kept = "" if math.isnan(value) else f": {'kept' if value <= limit else 'not kept'}{so_far}"
        yield f"- {name}: {told}; at most {limit:.0f} were set{kept}."
    machines = dict.fromkeys(f"{one.record['hardware']}, {one.record['precision']}" for one in state.measured.values())
    yield f"- Trained on: {'; '.join(machines)}. Wall time of machines that did other work meanwhile says little."
    yield from ("", "## Trainings", "", "| command | minutes | passes | revision |", "| --- | ---: | ---: | --- |")
    for one in state.measured.values():
        run = one.record
        yield (f"| `{run['command']}` | {run['training_seconds'] / 60:.1f} | {one.passes} | {run['git_revision']} |")


def _analysed(state: State, methods: Sequence[Method], baseline: Method) -> LabelCurves | None:
    domains = state.domains(methods)
    return label_curves(domains, baseline=baseline.name, passes=state.passes) if domains else None


def _table(curves: LabelCurves, *, only: Sequence[int] = ()) -> Iterator[str]:
    table = labels_table(curves, title="")
    lines = [list(row) for row in table.texts() if not only or int(row[0]) in only]
    yield ""
    yield markdown(table.header, [[row[0], f"`{row[1]}`", *row[2:]] for row in lines]).rstrip()
