"""The peak of memory in a block of code, and a process that keeps the memory it frees."""

import ctypes
import platform
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

KEPT_BYTES = 1 << 30
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # <malloc.h>
_CLEAR, _STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")


@dataclass
class Peak:
    """The most memory that was in use, in bytes; set when the block has ended."""

    bytes: int = 0


@contextmanager
def peak_memory(device: str) -> Iterator[Peak]:
    """Measure the block: on CUDA what torch allocated, else the memory of the whole process.

    On Linux the process's high-water mark is reset first; elsewhere it counts from the process's
    start.
    """
    import torch  # here, as processes that only call `keep_freed_memory` need no torch

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


def keep_freed_memory(most_bytes: int = KEPT_BYTES) -> bool:
    """Let this process keep the memory that it frees, instead of returning it to the system.

    Call it once, at the start of a process that computes. glibc returns blocks above 32 MB, such as
    the activations of a batch of spectrograms, to the system when they are freed, and fetches them
    again page by page in the next step (`benchmarks/heap.py` measures the time and the memory).
    Results are the same. On CUDA torch keeps the memory of the device by itself.

    Args:
        most_bytes: of one block, and of the free memory at the end of the heap.

    Returns:
        False where the C library is not glibc, or refuses.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL(None)
    return all(libc.mallopt(option, most_bytes) for option in (_MMAP_THRESHOLD, _TRIM_THRESHOLD))
