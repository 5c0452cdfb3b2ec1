"""What the identity of a track costs: the digest of its sound, beside SHA-256 of its file.

    python benchmarks/identity.py ~/Music --suffix .mp3

Prints the CPU time for each file, in milliseconds: the median of several rounds, in turn. The files
are read once before, so that the disk is not measured.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

from melgraph.ml.audio.payload import payload_digest
from melgraph.storage.files import file_sha256


def cpu_ms(function: Callable[[Path], object], files: list[Path]) -> float:
    """CPU time of the function for each file, in milliseconds."""
    started = time.process_time()
    for file in files:
        function(file)
    return 1000 * (time.process_time() - started) / len(files)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--suffix", default=".mp3")
    parser.add_argument("--tracks", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    files = sorted(options.folder.rglob(f"*{options.suffix}"))[: options.tracks]
    if not files:
        raise SystemExit(f"no file below {options.folder} ends with {options.suffix}")
    sizes = [len(file.read_bytes()) for file in files]
    functions = {"digest of the sound": payload_digest, "SHA-256 of the file": file_sha256}
    times: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(options.rounds):
        for name, function in functions.items():
            times[name].append(cpu_ms(function, files))
    print(f"{len(files)} files of {statistics.mean(sizes) / 1e6:.2f} MB on average")
    for name, rounds in times.items():
        print(f"{name:24} {statistics.median(rounds):7.2f} ms of CPU for each file")


if __name__ == "__main__":
    main()
