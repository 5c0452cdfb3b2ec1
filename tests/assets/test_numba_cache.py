"""Compiled code of numba lies in the home: a container may have no HOME and read-only packages."""

import os
import subprocess
import sys
from pathlib import Path

from melgraph.assets.settings import use_numba_cache
from melgraph.storage.home import Home

PROGRAM = """
import sys
from pathlib import Path
from melgraph.assets.settings import use_numba_cache
from melgraph.storage.home import Home
use_numba_cache(Home(Path(sys.argv[1]), "library"))
import numba.core.caching as caching
caching.CacheImpl._locator_classes = [
    c for c in caching.CacheImpl._locator_classes if "User" in c.__name__
]  # as where the packages are read-only
from package import twice
print(twice(21))
"""
PACKAGE = """
import numba

@numba.njit(cache=True)
def twice(n):
    return 2 * n
"""


def test_compiled_code_lies_in_the_home(tmp_path: Path) -> None:
    (tmp_path / "package.py").write_text(PACKAGE)
    environment = {k: v for k, v in os.environ.items() if k not in ("NUMBA_CACHE_DIR", "HOME")}
    environment |= {"HOME": "/proc/none", "PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "home")]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ran.stdout == "42\n", ran.stderr
    assert list((tmp_path / "home" / "cache" / "numba").rglob("*.nbi"))


def test_a_folder_that_the_user_names_is_kept(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", "/elsewhere")
    use_numba_cache(Home(tmp_path, "library"))
    assert os.environ["NUMBA_CACHE_DIR"] == "/elsewhere"
