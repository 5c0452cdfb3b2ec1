"""A function over many items in worker processes, where a crash affects only one item.

Decoders are C libraries that read arbitrary files: one can crash or hang its process. Here that is
an outcome of its item; the other items and the caller are not affected.
"""

import math
import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from queue import LifoQueue
from typing import Generic, TypeVar

from pebble import ProcessExpired, ProcessPool

from melgraph.ml.memory import keep_freed_memory

Item = TypeVar("Item")
Value = TypeVar("Value")
KEPT_BYTES = 128 << 20  # of a worker: there may be as many as cores


@dataclass(frozen=True)
class Outcome(Generic[Item, Value]):
    """The outcome of one item.

    Attributes:
        item: the item.
        value: the function's return value; None where its process ended without one.
        lost: why its process ended without a value; None where it did not.
        hung: whether it was stopped because it took longer than its time limit.
    """

    item: Item
    value: Value | None
    lost: str | None = None
    hung: bool = False


def default_workers(cgroups: Path = Path("/sys/fs/cgroup")) -> int:
    """The number of cores that this process may use, by its affinity and its CPU quota.

    A container that may use 2 of the 64 cores of its machine sees all 64, and only the quota of its
    control group says 2. A quota of 1.5 cores counts as 2.

    Args:
        cgroups: where the control groups are mounted.
    """
    has_affinity = hasattr(os, "sched_getaffinity")
    cores = len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1
    quota = min(_quotas(cgroups), default=float(cores))
    return max(1, min(cores, math.ceil(quota)))


def _quotas(cgroups: Path) -> Iterator[float]:
    """The CPU quotas of the control group of this process and of those around it, in cores."""
    for name, controllers, path in _memberships():
        if name == "0":  # version 2 of control groups
            roots, read = (cgroups, cgroups / "unified"), _quota_of_v2
        elif "cpu" in controllers.split(","):
            roots, read = (cgroups / "cpu", cgroups / controllers), _quota_of_v1
        else:
            continue
        for root in roots:
            group = root / path.strip("/")
            for folder in (group, *group.parents):
                if folder.is_relative_to(root) and (quota := read(folder)) is not None:
                    yield quota


def _memberships() -> list[tuple[str, str, str]]:
    """Of each hierarchy: its number, its controllers, and the group of this process."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    parts = [line.split(":", 2) for line in lines]
    return [(number, names, path) for number, names, path in parts]


def _quota_of_v2(folder: Path) -> float | None:
    try:
        quota, period = (folder / "cpu.max").read_text().split()
        return None if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return None


def _quota_of_v1(folder: Path) -> float | None:
    try:
        quota = int((folder / "cpu.cfs_quota_us").read_text())
        period = int((folder / "cpu.cfs_period_us").read_text())
    except (OSError, ValueError):
        return None
    return quota / period if quota > 0 and period > 0 else None


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

    An item whose process ends without a value is tried once more, as another process may have been
    the cause (when memory runs out, the kernel picks a process to kill). Then it is given up.

    Args:
        function: importable by name; its return value must be picklable.
        items: picklable; read when they are needed.
        workers: number of processes.
        time_limit: seconds after which an item counts as hung and its process is stopped.
        preload: modules imported before the workers fork, so that one starts in milliseconds.
        ahead: at most `ahead * workers` items are taken from `items` before their results are
            yielded, which bounds the number of results in memory.

    Raises:
        Exception: whatever the function raises, when it is the item's turn.
    """
    remaining = iter(items)
    pool = _start_pool(workers, preload)

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


@contextmanager
def isolated_calls(
    function: Callable[[Item], Value],
    *,
    time_limit: Callable[[Item], float],
    preload: tuple[str, ...] = (),
) -> Iterator[Callable[[Item], Outcome[Item, Value]]]:
    """As `isolated_map` in one process, for items that are not known in advance.

    The process starts with the first call. An item is not tried again.

    Args:
        function: importable by name; its return value must be picklable.
        time_limit: seconds after which an item counts as hung and its process is stopped.
        preload: modules imported before the process forks.
    """
    pools: list[ProcessPool] = []

    def call(item: Item) -> Outcome[Item, Value]:
        if not pools:
            pools.append(_start_pool(1, preload))
        limit_s = time_limit(item)
        return _outcome(
            item, pools[0].schedule(_guarded, args=[function, item], timeout=limit_s), limit_s
        )

    try:
        yield call
    finally:
        for pool in pools:
            pool.stop()
            pool.join()


class NoWorker(Exception):
    """No worker process could be started: a fault of the machine, and not of an item."""


class IsolatedFunction(Generic[Item, Value]):
    """A function that many threads call; each call runs in one of several worker processes.

    A process starts when it is needed, and the one that was used last is used next, so that few of
    them start. After `close`, the function can be called again.

    Args:
        function: importable by name; its return value must be picklable.
        workers: number of processes. Further calls wait.
        time_limit_s: seconds after which an item counts as hung and its process is stopped.
        preload: modules imported before the processes fork.
    """

    def __init__(
        self,
        function: Callable[[Item], Value],
        *,
        workers: int,
        time_limit_s: float,
        preload: tuple[str, ...] = (),
    ) -> None:
        self._function, self._time_limit_s, self._preload = function, time_limit_s, preload
        self._pools: dict[int, ProcessPool] = {}
        self._free: LifoQueue[int] = LifoQueue()
        for number in range(workers):
            self._free.put(number)

    def __call__(self, item: Item) -> Outcome[Item, Value]:
        """Call the function. An item is not tried again.

        Raises:
            Exception: whatever the function raises.
            NoWorker: no process could be started; the next call tries again.
        """
        number = self._free.get()
        try:
            pool = self._pools.get(number)
            if pool is None:
                pool = self._pools[number] = _start_pool(1, self._preload)
            limit_s = self._time_limit_s
            future = pool.schedule(_guarded, args=[self._function, item], timeout=limit_s)
            return _outcome(item, future, limit_s)
        except BrokenProcessPool as error:
            self._stop(number)
            raise NoWorker(str(error)) from error
        finally:
            self._free.put(number)

    def close(self) -> None:
        """End the processes."""
        for number in list(self._pools):
            self._stop(number)

    def _stop(self, number: int) -> None:
        pool = self._pools.pop(number, None)
        if pool is not None:
            pool.stop()
            pool.join()


def _start_pool(workers: int, preload: tuple[str, ...]) -> ProcessPool:
    context = multiprocessing.get_context("forkserver")  # never a fork of a process with threads
    context.set_forkserver_preload(list(preload))
    return ProcessPool(
        workers, initializer=keep_freed_memory, initargs=(KEPT_BYTES,), context=context
    )


@dataclass(frozen=True)
class _Raised:
    """An exception of the function itself, to tell it from an exception of the pool."""

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
