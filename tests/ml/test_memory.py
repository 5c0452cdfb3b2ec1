"""The peak of memory, and the memory that a process keeps."""

import mmap
import platform
import subprocess
import sys

import numpy as np
import pytest

from melgraph.ml.memory import keep_freed_memory, peak_memory

SIZE = 200_000_000
FAULTS = """
import resource, sys
import numpy as np
from melgraph.ml.memory import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
faults = []
for _ in range(4):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.ones(50_000_000, np.uint8)
    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
print(faults[-1])
"""


def test_the_peak_holds_what_is_gone_by_its_end():
    with peak_memory("cpu") as nothing:
        pass
    with peak_memory("cpu") as peak:
        block = mmap.mmap(-1, SIZE)  # not of the heap, which may have kept as much
        np.frombuffer(block, np.uint8)[:] = 1
        block.close()
    assert peak.bytes > nothing.bytes + 0.9 * SIZE


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a matter of glibc")
def test_what_is_kept_is_not_fetched_again():
    """A block of 50 MB, made and freed again and again: pages that were fetched the last time."""

    def faults(how: str) -> int:
        command = [sys.executable, "-c", FAULTS, how]
        return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    assert faults("plain") > 10 * max(1, faults("keep"))


def test_elsewhere_nothing_is_asked_for(monkeypatch):
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    assert keep_freed_memory() is False
