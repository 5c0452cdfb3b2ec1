import subprocess
import sys
from pathlib import Path

import numpy as np

from melgraph.ml.compilation import compiled

PROGRAM = """
import numba.core.caching as caching
caching.CacheImpl._locator_classes = []  # as where no folder can be written
from melgraph.ml.compilation import compiled

@compiled("int64(int64)")
def twice(n):
    return 2 * n

print(twice(21))
"""


@compiled("float32(float32[::1])")
def total(values: np.ndarray) -> np.ndarray:
    """The sum."""
    result = np.float32(0.0)
    for value in values:
        result += value
    return result


def test_machine_code_and_python_agree():
    values = np.random.default_rng(0).standard_normal(1000).astype(np.float32)
    assert total(values) == total.__wrapped__(values)
    assert total.__doc__ == "The sum."


def test_numba_is_imported_on_the_first_call_only():
    program = "import sys; import melgraph.ml.generation.inversion; print('numba' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert ran.stdout == "False\n", ran.stderr


def test_it_works_without_a_folder_for_the_cache(tmp_path: Path):
    (tmp_path / "program.py").write_text(PROGRAM)
    ran = subprocess.run(
        [sys.executable, "program.py"], cwd=tmp_path, capture_output=True, text=True
    )
    assert ran.stdout == "42\n", ran.stderr
