"""The report of the few-label study: Markdown from the rows that are there; what lacks is named, never filled in."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from few_findings import findings
from few_rows import (
    ABLATIONS,
    AUGMENTED,
    BASELINE,
    BASELINE_LONGER,
    DOMAINS,
    FAST,
    FINETUNED,
    LONGER,
    LUNGS_AS_ONE,
    METHODS,
    PRETRAINING,
    PROBES,
    SCRATCH,
    SHIFTED_NAME,
    SHORTER,
    TEDM,
    TIMESTEPS,
    Method,
    Setting,
    probe_of,
    rows,
)
from few_state import State
from study_cells import markdown

from autodiffseg.atomic import write_text
from autodiffseg.evaluation.curve_plot import save_curves
from autodiffseg.evaluation.difference import ON_PAR_DICE
from autodiffseg.evaluation.label_curves import Domain, Place, Standings, standings
from autodiffseg.evaluation.label_tables import LabelCurves, label_curves, label_panels, labels_table
from autodiffseg.evaluation.summary import CaseScores

AS_ONE = tuple(LUNGS_AS_ONE.values())
LIMITS = {"pretraining": 90.0, "one head": 4.0, "everything": 360.0}
"""Minutes that were set for two cores."""

CONVENTIONS = f"""
- Labelled domain: JSRT chest radiographs, right lung, left lung and heart; fold 0 of its split. Shifted domain:
  radiographs of sick lungs from elsewhere (COVID-19 and others); its unit is the patient. Pool: chest radiographs
  without labels. Networks see images of {{size}} × {{size}} pixels; masks are scored on each case's own grid.
- Scored in two ways: "each class" is the mean over the classes that a set's own dataset.json declares (JSRT: both lungs
  and heart, {SHIFTED_NAME}: both lungs); "lungs as one" takes both lungs of the same masks together, as the paper does,
  so that a lung on the wrong side is no error.
- "plain": without augmentation, as the TEDM paper trains its read-outs and its baseline. The others have the whole
  augmentation of our trainers. {{pretraining}}
- Label seeds choose which cases are the labelled ones; a smaller number of labels is a part of a larger one. There is
  one training of each, so a difference with all labels, or with one label seed, is one of two trainings.
- Differences are paired by case and by label seed. With three label seeds or more their interval is a bootstrap over
  label seeds and units: with so few it is no wider than from the lowest seed to the highest, and so too narrow where
  labels matter most. With less it is one over units alone, which says nothing of other labels. p: two-sided Wilcoxon
  (Pratt) over units, each by its mean over label seeds, so for these labels alone; not adjusted in findings, in tables
  adjusted by Holm over the rows of a domain. ± in tables: standard deviation over units.
- Verdicts go by intervals: "above" is the whole interval above 0, "not above" its upper end at {100 * ON_PAR_DICE:g}
  points at most, "no worse" its lower end at -{100 * ON_PAR_DICE:g} at least, "at least 5 points" its lower end at 5;
  what is above 0 but not surely by 5 "holds in part". Where the two ways of scoring disagree, both are told.
- The paper's figures are those of the tables and box plots that come with its code, of both lungs as one at 128 × 128;
  that code pretrains for up to 500,000 updates. 77 of its 100 NIH images were in its own pool.
- The last checkpoint, no postprocessing; averaged over mirrored versions where training mirrored too. A column "passes"
  counts network calls of one such version. No validation labels were used to choose anything.
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
    conventions = CONVENTIONS.strip().format(size=state.setting.size, pretraining=_pretrained_with(state))
    yield from ("", "## How to read it", conventions)
    listed = sum(1 for _ in rows())
    yield from ("", f"{len(state.measured)} of {listed} trainings have been measured.")
    if state.missing:
        yield "Not yet: " + ", ".join(f"`{name}`" for name in state.missing) + "."
    if not state.measured:
        return
    yield from ("", "## Which findings hold")
    for finding in findings(state):
        paper = f" Paper: {finding.paper}" if finding.paper else ""
        yield f"- **{finding.claim}: {finding.verdict}.**{paper}{finding.here}"
    yield from ("", "## Methods", "")
    yield markdown(
        ["method", "what it is", "updates"],
        [[f"`{one.name}`", one.says, str(one.updates)] for one in (*METHODS, *ABLATIONS, *LONGER, *SHORTER)],
    ).rstrip()
    yield from _curves(state)
    yield from _why(state)
    yield from _label_seeds(state)
    yield from _ablations(state)
    yield from _timesteps(state)
    yield from _cost(state)


def _pretrained_with(state: State) -> str:
    """How the images of the pretraining were augmented."""
    options = state.about.get("run", {}).get("options", {})
    if not options:
        return ""
    strength = options["augmentation_strength"] if options["augment"] else 0
    if not strength:
        return "The denoiser beneath the read-outs was pretrained without augmentation too."
    return (
        "The denoiser beneath the read-outs was pretrained with light\n"
        "  augmentation (mirrored, scaled, brightness and contrast), which the paper's was not."
    )


def _curves(state: State) -> Iterator[str]:
    for title, names, file in (
        ("## Dice by the number of labels", DOMAINS, "curves.png"),
        ("### Both lungs as one class", AS_ONE, "curves_as_one.png"),
    ):
        curves = _analysed(state, METHODS, BASELINE, names)
        if curves is None:
            return
        yield from ("", title, *_table(curves), "")
        picture = state.setting.results / file
        shown = title.strip("# ")
        save_curves(picture, curves.counts, label_panels(curves), title=shown, xlabel="labels", logarithmic=True)
        yield f"![{shown}, in-domain and under shift]({state.setting.results.name}/{picture.name})"
    for title, names in (("Against the augmented baseline", DOMAINS), ("The same, both lungs as one class", AS_ONE)):
        again = _analysed(state, METHODS, AUGMENTED, names)
        if again is not None:
            yield from ("", f"### {title}", "The same rows, less `supervised`.", *_table(again))


def _why(state: State) -> Iterator[str]:
    """Precision and recall: how a method errs."""
    domains = state.domains(METHODS, AS_ONE)
    found = {
        (domain.name, metric): standings(domain, baseline="", metric=metric)[0]
        for domain in domains
        for metric in ("Precision", "Recall")
    }
    curves = _analysed(state, METHODS, BASELINE, AS_ONE)
    lines = []
    for place in curves.places if curves is not None else ():
        cells = [str(place.labels), f"`{place.method}`"]
        for domain in domains:
            pair = [found[domain.name, metric].get(place) for metric in ("Precision", "Recall")]
            cells.append(" / ".join("–" if one is None or math.isnan(one.mean) else f"{one.mean:.3f}" for one in pair))
        lines.append(cells)
    yield from ("", "## How they err", "Precision / recall, means as above; precision of masks that are not empty.", "")
    yield markdown(["labels", "method", *(domain.name for domain in domains)], lines).rstrip()


def _label_seeds(state: State) -> Iterator[str]:
    """The mean of every label seed by itself, with one label."""
    header, lines = ["method"], []
    seeds = sorted({row.label_seed for row in state.measured if row.labels == 1})
    names = (SHIFTED_NAME, LUNGS_AS_ONE[SHIFTED_NAME])
    for name in names:
        header += [f"{name}, seed {seed}" for seed in seeds]
    for method in METHODS:
        cells = [f"`{method.name}`"]
        for name in names:
            found = state.values.get(name, {}).get(Place(1, method.name), {})
            means = {key.partition(".")[0]: float(values.mean()) for key, values in found.items()}
            cells += [f"{means[str(seed)]:.4f}" if str(seed) in means else "–" for seed in seeds]
        lines.append(cells)
    yield from ("", "## Which label it is", "Mean Dice with one label, label seed by label seed.", "")
    yield markdown(header, lines).rstrip()


def _ablations(state: State) -> Iterator[str]:
    finetuned = (SCRATCH, FINETUNED, FAST)
    read_out = tuple(method for method in ABLATIONS if method not in finetuned)
    for title, methods, baseline, labels in (
        ("## Ablations", (TEDM, *read_out), TEDM, 1),
        ("### Of fine-tuning", finetuned, SCRATCH, 1),
        ("### Three times as long, with all labels", LONGER, BASELINE_LONGER, state.all_labels),
        ("### Ten times shorter, with one label", (*SHORTER, BASELINE, AUGMENTED), BASELINE, 1),
        ("### Ten times shorter, with three labels", (*SHORTER, BASELINE, AUGMENTED), BASELINE, 3),
    ):
        for name, names in ((title, DOMAINS), (f"{title}, both lungs as one class", AS_ONE)):
            curves = _analysed(state, methods, baseline, names, labels=labels)
            if curves is not None:
                yield from ("", name, *_table(curves))


def _timesteps(state: State) -> Iterator[str]:
    panels: dict[str, dict[str, list[float]]] = {}
    for name, names in (("each class", DOMAINS), ("lungs as one", AS_ONE)):
        curves = _analysed(state, PROBES, probe_of(1), names)
        if curves is None:
            return
        if names == DOMAINS:
            yield from ("", "## Which noise levels know the anatomy")
            yield "A linear probe of one step alone, one label, label seed 0."
        yield from ("", f"### By {name}", *_table(curves))
        panels[f"Dice, {name}"] = {
            domain: [_mean_at(curves.found[scored], probe_of(step)) for step in TIMESTEPS]
            for domain, scored in zip(DOMAINS, names, strict=True)
        }
    picture = state.setting.results / "timesteps.png"
    save_curves(picture, TIMESTEPS, panels, title="Linear probes of single steps", xlabel="base step", logarithmic=True)
    yield from ("", f"![Dice of linear probes by the step that they read]({state.setting.results.name}/{picture.name})")


def _mean_at(found: Standings, method: Method) -> float:
    """Its mean with one label; NaN where it is missing."""
    place = Place(1, method.name)
    return found[place].mean if place in found else math.nan


def _cost(state: State) -> Iterator[str]:
    yield from ("", "## Pretraining, pool and cost")
    heads = {
        row: one.record["training_seconds"] / 60
        for row, one in state.measured.items()
        if row.method.trainer not in ("supervised", "finetune-ddpm") and row.method not in LONGER
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
        yield "  Those of `imagesUn_portable256` are portable radiographs, many of COVID-19, from other sources: the"
        yield f"  denoiser has met such lungs, so {SHIFTED_NAME} is a domain without labels rather than one never seen."
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


def _analysed(
    state: State, methods: Sequence[Method], baseline: Method, names: Sequence[str], *, labels: int | None = None
) -> LabelCurves | None:
    """The rows of some methods, scored in some domains; `labels`: with so many alone."""
    domains = state.domains(methods, names)
    if labels is not None:
        domains = [replace(one, trainings=_with(labels, one)) for one in domains]
    domains = [one for one in domains if one.trainings]
    return label_curves(domains, baseline=baseline.name, passes=state.passes) if domains else None


def _with(labels: int, domain: Domain) -> dict[Place, Mapping[str, Mapping[str, CaseScores]]]:
    return {place: trainings for place, trainings in domain.trainings.items() if place.labels == labels}


def _table(curves: LabelCurves) -> Iterator[str]:
    table = labels_table(curves, title="")
    yield ""
    lines = [list(row) for row in table.texts()]
    yield markdown(table.header, [[row[0], f"`{row[1]}`", *row[2:]] for row in lines]).rstrip()
