"""The machine and packages an artifact was made with: in its record, not in its version."""

import platform
import subprocess
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = (
    "faiss-cpu", "melgraph", "mlflow", "numba", "numpy", "opentsne", "pillow", "polars", "pyarrow",
    "scikit-learn", "scipy", "soundfile", "soxr", "timm", "torch", "torchaudio", "torchvision",
    "umap-learn", "zarr",
)  # fmt: skip


@lru_cache(maxsize=1)
def environment() -> dict[str, Any]:
    """Python, platform, package versions, and the git commit of the code if it is a checkout."""
    return {
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "packages": {name: _package_version(name) for name in PACKAGES},
        "git_commit": _git_commit(),
    }


def _package_version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _git_commit() -> str | None:
    source = Path(__file__).resolve().parent
    if not (source.parent / ".git").exists():
        return None
    try:
        commit = subprocess.run(
            ["git", "-C", source, "describe", "--always", "--dirty", "--abbrev=40"],
            capture_output=True, text=True, timeout=10, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return commit.stdout.strip()
