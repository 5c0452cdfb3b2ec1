"""Functions that crash or hang, which a child process can import by name."""

import os
import resource
import signal
import time
from pathlib import Path

import numpy as np


def answer(item: int) -> int:
    """The square of `item`, except for a crash (3), a hang (5), an exception (7), an exit (9)."""
    if item == 3:
        os.kill(os.getpid(), signal.SIGSEGV)
    if item == 5:
        time.sleep(600)
    if item == 7:
        raise TimeoutError("of the function's own", 1)
    if item == 9:
        os._exit(3)
    return item * item


def crash_once(marker: str) -> str:
    """Crash the first time, like a process that the kernel kills to free memory."""
    path = Path(marker)
    if not path.exists():
        path.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return "done"


def process_id(_: int) -> int:
    """The id of the process that runs this function."""
    return os.getpid()


def page_faults(n_bytes: int) -> int:
    """Page faults of a block that is allocated and freed for the fourth time."""
    faults = []
    for _ in range(4):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        np.ones(n_bytes, np.uint8)
        faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
    return faults[-1]
