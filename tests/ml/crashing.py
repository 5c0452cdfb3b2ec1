"""Functions that misbehave in a process of their own: importable by name from there."""

import os
import signal
import time
from pathlib import Path


def answer(item: int) -> int:
    """The square, or a crash (3), a hang (5), an exception (7), an exit (9)."""
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
    """Crash the first time, as a process that the kernel chose for its memory."""
    path = Path(marker)
    if not path.exists():
        path.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return "done"


def process_id(_: int) -> int:
    """Of the process that works."""
    return os.getpid()
