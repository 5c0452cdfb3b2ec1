"""Threads of the vector index: each takes a part of the work, and native code in it has one thread.

NumPy's BLAS and faiss have threads of their own, which keep a processor busy for a while after
their work, in case more comes. Where both work in turn, each takes the processors from the other,
and two threads are slower than one. The vector index therefore has the only threads.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from typing import Any, TypeVar

Part = TypeVar("Part")
Result = TypeVar("Result")


def parts_of(n: int, smallest: int, largest: int) -> list[slice]:
    """Equal parts of `n` things, at least one per thread if they do not become too small.

    Args:
        n: how many things.
        smallest: things that a part should have at least.
        largest: things that a part may have at most; at least one.
    """
    size = min(max(math.ceil(n / _n_threads()), smallest), largest)
    return [slice(start, min(start + size, n)) for start in range(0, n, size)]


def in_threads(work: Callable[[Part], Result], parts: Sequence[Part]) -> Iterator[Result]:
    """The results of all parts, in their order. A single part is done in the thread of the caller.

    Args:
        work: called once per part, in several threads at once. faiss uses one thread in each.
        parts: of the work.
    """
    if len(parts) < 2 or _n_threads() < 2:
        yield from map(work, parts)
        return
    import faiss

    with (
        one_blas_thread(),
        ThreadPoolExecutor(
            _n_threads(), initializer=faiss.omp_set_num_threads, initargs=(1,)
        ) as pool,
    ):
        yield from pool.map(work, parts)


def one_blas_thread() -> AbstractContextManager[Any]:
    """Let the BLAS of this process use one thread.

    The number belongs to the process: of several users at once, the first one sets it, and
    restores it when it leaves. The others may then be slower, and their results are the same.
    """
    limit: AbstractContextManager[Any] = _blas().limit(limits=1)
    return limit


@contextmanager
def one_faiss_thread() -> Iterator[None]:
    """Let faiss use one thread: several could add up the same numbers in another order."""
    import faiss

    n_threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(n_threads)


def _n_threads() -> int:
    import faiss

    return int(faiss.omp_get_max_threads())


@cache
def _blas() -> Any:
    """The BLAS libraries of this process with threads of their own.

    Others use those of OpenMP, as faiss does. To find the libraries takes milliseconds.
    """
    from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

    return ThreadpoolController().select(threading_layer="pthreads")
