"""autodiffseg: self-configuring diffusion segmentation of medical images."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from autodiffseg.dataset import RawDataset
    from autodiffseg.errors import UserError
    from autodiffseg.fingerprint import Fingerprint
    from autodiffseg.inference.predictor import CasePredictor
    from autodiffseg.labels import LabelSpec
    from autodiffseg.networks.unet import UNet
    from autodiffseg.plans import Plan
    from autodiffseg.sampling import Sampling
    from autodiffseg.trained_predictor import Predictor
    from autodiffseg.workspace import Workspace

__version__ = "0.1.0"

__all__ = [
    "CasePredictor",
    "Fingerprint",
    "LabelSpec",
    "Plan",
    "Predictor",
    "RawDataset",
    "Sampling",
    "UNet",
    "UserError",
    "Workspace",
    "__version__",
]

# Imported when they are first asked for (PEP 562), so that importing the package costs nothing.
_HOMES = {
    "CasePredictor": "autodiffseg.inference.predictor",
    "Fingerprint": "autodiffseg.fingerprint",
    "LabelSpec": "autodiffseg.labels",
    "Plan": "autodiffseg.plans",
    "Predictor": "autodiffseg.trained_predictor",
    "RawDataset": "autodiffseg.dataset",
    "Sampling": "autodiffseg.sampling",
    "UNet": "autodiffseg.networks.unet",
    "UserError": "autodiffseg.errors",
    "Workspace": "autodiffseg.workspace",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value  # asked for once
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
