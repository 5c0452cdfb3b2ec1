"""Progress of anything that takes more than a few seconds: a bar on a terminal, nothing elsewhere.

In the Dagster UI the step itself shows that it runs; in a log file a bar would be noise.
"""

from typing import Any

from tqdm import tqdm


def progress_bar(total: int, unit: str, description: str = "") -> Any:
    """A tqdm bar on stderr, erased when it is done. Use it as a context manager."""
    return tqdm(
        total=total, unit=f" {unit}", desc=description, leave=False, disable=None, mininterval=0.5
    )
