"""A virtual environment with nnU-Net 2.8.1 and a processor-only torch, for comparisons; it is never ours."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

NNUNET, TORCH = "2.8.1", "2.13.0"
# Installed with their dependencies, nnunetv2 and dynamic-network-architectures fetch timm, torchvision and with it the
# newest torch for CUDA. Preprocessing imports none of these, so both come alone and the rest by name.
ALONE = (f"nnunetv2=={NNUNET}", "dynamic-network-architectures==0.4.4")
OTHERS = (
    "acvl-utils==0.2.6", "batchgenerators==0.25.5", "batchgeneratorsv2==0.3.6", "blosc2", "einops", "imagecodecs",
    "matplotlib", "nibabel", "numpy", "pandas", "requests", "scikit-image", "scikit-learn", "scipy", "seaborn",
    "SimpleITK", "tifffile", "tqdm", "threadpoolctl",
)  # fmt: skip


def nnunet_python(folder: Path) -> Path:
    """The interpreter of the environment in `folder`; it is made if it is not there."""
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    if not (folder / "complete").is_file():
        print(f"making an environment with nnunetv2 {NNUNET} in {folder}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        for arguments in ((f"torch=={TORCH}",), ("--no-deps", *ALONE), OTHERS):
            # pip says on stderr that timm is missing: so it shall be.
            command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *arguments]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
        (folder / "complete").touch()
    return python


def versions(python: Path) -> dict[str, str]:
    """What the environment has of the packages that matter here."""
    names = ("nnunetv2", "torch", "numpy", "scipy", "scikit-image", "SimpleITK", "blosc2", "batchgenerators")
    code = f"from importlib.metadata import version; print(*[version(name) for name in {names}])"
    told = subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=True).stdout
    return dict(zip(names, told.split(), strict=True))
