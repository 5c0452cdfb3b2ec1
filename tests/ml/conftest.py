import os
from collections.abc import Iterator

import pytest
from filelock import FileLock


@pytest.fixture(scope="module")
def librosa(request: pytest.FixtureRequest) -> Iterator[object]:
    """librosa with a numba cache of its own: two processes that fill one cache can crash.

    Compiling takes about 15 s, so the cache persists. Each pytest-xdist worker has one.
    """
    worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
    cache = request.config.cache.mkdir(f"numba-{worker}")
    with FileLock(cache / "lock"), pytest.MonkeyPatch.context() as patch:
        patch.setenv("NUMBA_CACHE_DIR", str(cache))
        yield pytest.importorskip("librosa", reason="librosa, the oracle, is not installed")
