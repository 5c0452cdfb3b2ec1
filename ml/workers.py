"""A function over many items in processes of their own, where a crash costs one item.

Decoders are C libraries fed with whatever people have: one can crash or hang its process. Here that
is an outcome of the item like any other; its neighbours and the caller never notice.
"""

import ctypes
import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from functools import cache
from itertools import islice
from typing import Generic, TypeVar

from pebble import ProcessExpired, ProcessPool

Item = TypeVar("Item")
Value = TypeVar("Value")


@dataclass(frozen=True)
class Outcome(Generic[Item, Value]):
    """What came of one item.

    Attributes:
        item: as it was given.
        value: what the function returned; None where its process was lost.
        lost: why its process was lost; None where it was not.
        hung: it was stopped, having taken longer than its time limit.
    """

    item: Item
    value: Value | None
    lost: str | None = None
    hung: bool = False


def default_workers() -> int:
    """As many processes as this process may use cores."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def keep_freed_memory() -> None:
    """Let this process keep the memory it frees, up to 128 MB, instead of giving it back at once.

    A worker asks for blocks of the same sizes again and again: having the kernel clear fresh pages
    for each costs it a twentieth of its time. Does nothing where the C library is not glibc.
    """
    trim_threshold, mmap_threshold = -1, -3  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of mallopt(3)
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return
    mallopt(mmap_threshold, 32 << 20)
    mallopt(trim_threshold, 128 << 20)


def isolated_map(
    function: Callable[[Item], Value],
    items: Iterable[Item],
    *,
    workers: int,
    time_limit: Callable[[Item], float],
    preload: tuple[str, ...] = (),
    ahead: int = 8,
) -> Iterator[Outcome[Item, Value]]:
    """`function` of each item, in order, by `workers` processes.

    An item whose process ends without an answer is tried once more, in case the process was the
    victim of a neighbour (the kernel out of memory), then given up.

    Args:
        function: importable by name; what it returns must be picklable.
        items: picklable; read as they are needed.
        workers: number of processes.
        time_limit: seconds after which an item counts as hung and its process is stopped.
        preload: modules the processes find imported, so that one costs milliseconds to start.
        ahead: at most `ahead * workers` items are taken from `items` before their turn to be given
            out: what bounds the results that wait.

    Raises:
        Exception: whatever the function raises, when the item's turn has come.
    """
    context = multiprocessing.get_context("forkserver")  # never a fork of a process with threads
    context.set_forkserver_preload(list(preload))
    remaining = iter(items)
    pool = ProcessPool(workers, context=context)

    def schedule(item: Item) -> Future:
        return pool.schedule(_guarded, args=[function, item], timeout=time_limit(item))

    def next_ones(count: int) -> list[tuple[Item, Future]]:
        return [(item, schedule(item)) for item in islice(remaining, count)]

    try:
        window = deque(next_ones(ahead * workers))
        while window:
            item, future = window.popleft()
            outcome = _outcome(item, future, time_limit(item))
            if outcome.lost is not None and not outcome.hung:
                outcome = _outcome(item, schedule(item), time_limit(item))
            window.extend(next_ones(1))
            yield outcome
    finally:
        pool.stop()
        pool.join()


@dataclass(frozen=True)
class _Raised:
    """An exception of the function itself, so that one of the pool's is never mistaken for it."""

    error: Exception


def _guarded(function: Callable[[Item], Value], item: Item) -> Value | _Raised:
    try:
        return function(item)
    except Exception as error:
        return _Raised(error)


def _outcome(item: Item, future: Future, limit_s: float) -> Outcome:
    try:
        value = future.result()
    except ProcessExpired as error:
        return Outcome(item, None, lost=_ending(error.exitcode))
    except TimeoutError:
        return Outcome(item, None, lost=f"it took longer than {limit_s:.0f} s", hung=True)
    if isinstance(value, _Raised):
        raise value.error
    return Outcome(item, value)


def _ending(exit_code: int) -> str:
    if exit_code < 0:
        try:
            return f"its process ended by {signal.Signals(-exit_code).name}"
        except ValueError:
            return f"its process ended by signal {-exit_code}"
    return f"its process ended with exit status {exit_code}"
