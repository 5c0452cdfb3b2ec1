"""Loops that numba compiles to machine code, on first use and by one process at a time."""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, wraps
from pathlib import Path
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


@contextmanager
def numba_lock() -> Iterator[None]:
    """Lets one process at a time fill the cache of numba.

    numba caches compiled code on disk, on import and on first use. If two processes fill the cache
    at the same time, every later run may end in a segmentation fault.
    """
    from filelock import FileLock

    user = os.getuid() if hasattr(os, "getuid") else 0
    with FileLock(Path(tempfile.gettempdir()) / f"melgraph-numba-{user}.lock"):
        yield


def compiled(
    signature: str, *, fastmath: bool = False
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorate a function of arrays that numba compiles when it is first called.

    numba is imported then, too, because the import takes a second. The types are fixed, so that no
    later call compiles anything outside of the lock. `__wrapped__` is the function in Python.

    Args:
        signature: types of the result and of the arguments, such as `"void(float32[::1], int64)"`.
        fastmath: whether results may differ from those in Python by rounding, NaN and infinity.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @cache
        def machine_code() -> Callable[P, R]:
            with numba_lock():
                from numba import njit

                def compile_it(cache: bool) -> Callable[P, R]:
                    decorator = njit(signature, cache=cache, error_model="numpy", fastmath=fastmath)
                    code: Callable[P, R] = decorator(function)
                    return code

                try:
                    return compile_it(cache=True)
                except RuntimeError:  # no folder for the cache can be written
                    return compile_it(cache=False)

        @wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            return machine_code()(*args, **kwargs)

        return call

    return decorate
