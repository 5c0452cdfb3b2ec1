"""How much memory a stretch of work took at most; freed memory kept for the next step."""

import ctypes
import platform
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch

KEPT_BYTES = 1 << 30  # of one block, and of what is kept at the end of the heap
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # <malloc.h>
_CLEAR, _STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")


@dataclass
class Peak:
    """The most memory that was held, known when the block has ended: bytes."""

    bytes: int = 0


@contextmanager
def peak_memory(device: str) -> Iterator[Peak]:
    """Measures the block: on CUDA what torch allocated, else the memory of the whole process.

    On Linux the process's high-water mark is reset first; elsewhere it is that since its start.
    """
    cuda = torch.device(device).type == "cuda"
    if cuda:
        torch.cuda.reset_peak_memory_stats(device)
    else:
        with suppress(OSError):
            _CLEAR.write_text("5")
    peak = Peak()
    try:
        yield peak
    finally:
        peak.bytes = torch.cuda.max_memory_allocated(device) if cuda else _resident_peak()


def _resident_peak() -> int:
    with suppress(OSError):
        for line in _STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


@cache
def keep_freed_memory() -> bool:
    """Let this process keep what it frees, from now on; False where that cannot be asked for.

    Blocks above 32 MB, such as the activations of a batch of spectrograms, glibc gives back to the
    system when they are freed, and fetches again page by page in the next step
    (`benchmarks/heap.py`: what that costs, in time and memory). Results are the same. On CUDA torch
    keeps the device's memory by itself.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL(None)
    return all(libc.mallopt(what, KEPT_BYTES) for what in (_MMAP_THRESHOLD, _TRIM_THRESHOLD))
