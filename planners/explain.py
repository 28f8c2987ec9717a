"""NAME_explained.md: rule by rule, what the planner saw and what it decided."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from autodiffseg.fingerprint import ComponentStatistics, Fingerprint
from autodiffseg.labels import LabelSpec
from autodiffseg.plans import ConfigurationPlan

from .diffusion_settings import plan_diffusion
from .explain_alternatives import AXES, preset_alternatives, spacing_alternatives
from .left_right import kept_axes, paired_names
from .lowres import WANTED_SHARE, WORTHWHILE
from .planner import Planned, Reasons
from .presets import Preset


def explain_plan(
    planned: Planned, fingerprint: Fingerprint, *, channels: Sequence[str], spec: LabelSpec, preset: Preset
) -> str:
    """The explanation as Markdown."""
    plan = planned.plan
    lines = [
        f"# Plan `{plan.name}` of {plan.dataset}",
        "",
        f"Preset `{plan.preset}`, {plan.iterations:,} updates for a full training. Sizes in voxels, spacings in mm.",
        f"The plan is `{plan.name}.json`; edit it there, this page is only its explanation at the time of planning.",
        "",
        *_dataset(fingerprint, spec),
        *_axes(planned, fingerprint),
        *_intensities(planned, fingerprint, channels),
        *_mirroring(planned, fingerprint, spec),
        *_diffusion(fingerprint, spec),
    ]
    for name, reasons in planned.reasons.items():
        lines += _configuration(name, plan.configuration(name), reasons, preset)
    lines += _resolutions(planned)
    lines += preset_alternatives(planned, fingerprint, channels=channels, spec=spec)
    return "\n".join(lines)


def _dataset(fingerprint: Fingerprint, spec: LabelSpec) -> Iterator[str]:
    shapes = np.array(fingerprint.shapes_after_crop)
    yield "## What was seen"
    yield ""
    yield f"- {len(fingerprint.cases)} training cases, {len(fingerprint.intensities)} channel(s)."
    yield (
        f"- Shape after cropping to nonzero ({', '.join(AXES)}): median {_by(np.median(shapes, axis=0))}, "
        f"smallest {_by(shapes.min(axis=0))}, largest {_by(shapes.max(axis=0))}."
    )
    yield f"- Spacing: median {_by(np.median(np.array(fingerprint.spacings), axis=0))}."
    for name in spec.foreground:
        share, present = fingerprint.class_frequencies[name], sum(fingerprint.class_presence[name])
        seen = (
            f"- `{name}`: {100 * share:.3g} % of the voxels on average, in {present} of {len(fingerprint.cases)} cases"
        )
        yield f"{seen}{_components(fingerprint.components.get(name))}."
    yield ""


def _components(found: ComponentStatistics | None) -> str:
    if found is None:
        return ""
    count, size = found.per_case, found.voxels
    number = f"{count.min:g}" if count.min == count.max else f"{count.min:g} to {count.max:g} (median {count.median:g})"
    return f"; connected components a case: {number}, of {size.min:,.0f} to {size.max:,.0f} voxels"


def _axes(planned: Planned, fingerprint: Fingerprint) -> Iterator[str]:
    order = planned.plan.transpose
    median = np.median(np.array(fingerprint.shapes_after_crop), axis=0)
    yield "## Axes and target spacing"
    yield ""
    yield from spacing_alternatives(planned, fingerprint)
    thin = median[order[0]] == 1
    reason = "the cases are one voxel thick along it" if thin else "no other has a larger target spacing"
    yield f"- First axis: {AXES[order[0]]}, since {reason}. Order after reading: {_by(AXES[axis] for axis in order)}."
    yield ""


def _intensities(planned: Planned, fingerprint: Fingerprint, channels: Sequence[str]) -> Iterator[str]:
    relative = fingerprint.median_relative_size_after_cropping
    first = next(iter(planned.plan.configurations.values()))
    yield "## Normalisation"
    yield ""
    yield f"- Cropping to nonzero leaves {relative:.0%} of a case; below 75 % the z-score is taken over nonzero voxels."
    for name, scheme in zip(channels, first.normalisation, strict=True):
        masked = " over the nonzero mask" if scheme.use_mask else ""
        yield f"- Channel `{name}`: `{scheme.scheme}`{masked}, by its name in dataset.json."
    yield ""


def _mirroring(planned: Planned, fingerprint: Fingerprint, spec: LabelSpec) -> Iterator[str]:
    pairs = paired_names(spec.foreground)
    yield "## Mirroring"
    yield ""
    if pairs:
        names = "; ".join(f"`{left}` and `{right}`" for left, right in pairs)
        kept = ", ".join(AXES[axis] for axis in kept_axes(fingerprint.left_right_axes))
        yield f"- Classes come in left and right ({names}). By the direction cosines of the training cases (in 2D: x)"
        yield f"  the patient's left-right lies along the raw axis {kept}, which is not mirrored."
    else:
        yield "- No class names that differ only in left and right: every axis is mirrored."
    axes = "; ".join(f"`{name}` {list(item.mirror_axes)}" for name, item in planned.plan.configurations.items())
    yield f"- Mirrored patch axes: {axes}."
    yield ""


def _diffusion(fingerprint: Fingerprint, spec: LabelSpec) -> Iterator[str]:
    yield "## Diffusion"
    yield ""
    yield from (f"- {reason}" for reason in plan_diffusion(fingerprint, spec).reasons)
    yield ""


def _configuration(name: str, plan: ConfigurationPlan, reasons: Reasons, preset: Preset) -> Iterator[str]:
    limits = preset.limits(plan.dimensions)
    patch, batch, network = reasons.patch, reasons.batch, plan.network
    yield f"## `{name}`"
    yield ""
    if plan.target_size is None:
        yield f"- Spacing {_by(plan.spacing)}; the median case there has {_by(plan.median_shape)}."
    else:
        size = _by(plan.target_size)
        yield f"- Every image, cropped to nonzero, is resampled to {size} pixels (y, x), as `--target-size` asks."
    yield (
        f"- Patch **{_by(plan.patch_size)}**: the first guess {_by(patch.first)} (isotropic in mm, no longer than the "
        f"median case) was shortened {patch.shrunk} times and padded to what the depth divides."
    )
    bound = "" if limits.max_patch_voxels == float("inf") else f" and {limits.max_patch_voxels:,} voxels a patch"
    yield (
        f"- Memory: {patch.elements:,} elements of convolution outputs a sample; the budget is that of "
        f"{limits.budget_batch} samples of {limits.budget:,.0f}{bound}."
    )
    yield (
        f"- Batch **{plan.batch_size}**: memory would hold {batch.by_memory}, 5 % of the dataset are "
        f"{batch.by_dataset}, the preset allows {limits.min_batch} to {limits.max_batch}"
        f" and does not let a small dataset make it smaller than {limits.small_dataset_batch}."
    )
    yield (
        f"- **{len(network.features)} stages**, halving every axis that has 8 voxels left and is not twice as "
        "coarse as the finest:"
    )
    yield ""
    yield "| stage | features | kernel | stride |"
    yield "|---|---|---|---|"
    for stage, (features, kernel, stride) in enumerate(
        zip(network.features, network.kernels, network.strides, strict=True)
    ):
        yield f"| {stage} | {features} | {_by(kernel)} | {_by(stride)} |"
    yield ""
    if network.skips == "add":
        yield (
            "The result of every block is added to the decoder, which has a block for each; layers of attention at the "
            f"coarsest stage: {network.transformer_layers}."
        )
        yield ""
    if preset.deep_supervision and not network.deep_supervision:
        yield "Deep supervision is off: two stages have no coarser output with a weight."
        yield ""


def _resolutions(planned: Planned) -> Iterator[str]:
    """Why there is a low resolution and a cascade, or why not."""
    search = planned.lowres
    if search is None:
        yield "## No `3d_fullres`"
        yield ""
        yield "The median case is one voxel thick: there is no depth to learn from."
        yield ""
        return
    seen = f"a patch of `3d_fullres` covers {search.share:.1%} of the median case"
    yield "## Low resolution and cascade"
    yield ""
    if search.share >= WANTED_SHARE:
        yield f"None: {seen}; below {WANTED_SHARE:.0%} it would lack context."
    elif search.patch is None:
        yield f"None: {seen}, less than {WANTED_SHARE:.0%}, but at {_by(search.spacing)} mm it would see enough,"
        yield f"and there a case has only {search.fewer:.2g} times fewer voxels; {WORTHWHILE:g} times are needed."
    else:
        yield f"Both: {seen}, less than {WANTED_SHARE:.0%}."
        yield ""
        yield f"- `3d_lowres` at {_by(search.spacing)} mm, the finest at which a patch covers a quarter of a case."
        yield "- `3d_cascade_fullres` is `3d_fullres` that is shown the segmentation of `3d_lowres` beside the image."
    yield ""


def _by(values: Iterable[str | float]) -> str:
    return " × ".join(value if isinstance(value, str) else f"{value:.5g}" for value in values)
