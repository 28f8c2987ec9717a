"""Our plan as nnU-Net's plans file, as far as its preprocessing reads it: both tools then do the same work."""

from __future__ import annotations

from typing import Any

from autodiffseg.plans import Plan

SCHEMES = {
    "ct": "CTNormalization",
    "zscore": "ZScoreNormalization",
    "rescale": "RescaleTo01Normalization",
    "rgb": "RGBTo01Normalization",
    "none": "NoNormalization",
}


def nnunet_plans(plan: Plan, configuration: str) -> dict[str, Any]:
    """The content of nnUNetPlans.json with one configuration, resampled as nnU-Net's own planner has it."""
    settings = plan.configuration(configuration)
    resampling: dict[str, Any] = {}
    for what, is_label, order in (("data", False, 3), ("seg", True, 1), ("probabilities", False, 1)):
        resampling[f"resampling_fn_{what}"] = "resample_data_or_seg_to_shape"
        resampling[f"resampling_fn_{what}_kwargs"] = {
            "is_seg": is_label,
            "order": order,
            "order_z": 0,
            "force_separate_z": None,
        }
    return {
        "dataset_name": plan.dataset,
        "plans_name": "nnUNetPlans",
        "image_reader_writer": "SimpleITKIO",
        "label_manager": "LabelManager",
        "transpose_forward": plan.transpose,
        "transpose_backward": plan.transpose_back,
        "foreground_intensity_properties_per_channel": {
            str(channel): statistics.model_dump() for channel, statistics in enumerate(plan.intensities)
        },
        "configurations": {
            configuration: {
                "data_identifier": f"nnUNetPlans_{configuration}",
                "preprocessor_name": "DefaultPreprocessor",
                "batch_size": settings.batch_size,
                "patch_size": settings.patch_size,
                "spacing": settings.spacing,
                "normalization_schemes": [SCHEMES[channel.scheme] for channel in settings.normalisation],
                "use_mask_for_norm": [channel.use_mask for channel in settings.normalisation],
                # Preprocessing makes no network, but a plan without this key is taken for one of 2023.
                "architecture": {"network_class_name": "", "arch_kwargs": {}, "_kw_requires_import": []},
                **resampling,
            }
        },
    }
