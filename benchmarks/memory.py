"""Peak memory of ingest: one very long file, and a batch of 512 tracks with the STFT on.

    python benchmarks/memory.py long FILE [--hours 3] [--block-seconds 60 15 ...]
    python benchmarks/memory.py batch FOLDER [--tracks 512]

`long` repeats FILE in one FLAC file of that many hours, in a temporary folder, and ingests it:
tracks, mel spectrograms, features. `batch` ingests that many tracks of a folder (files are copied
as often as needed, each copy with different bytes), with `stft_spectrograms` as well. Memory is
that of the whole process tree, sampled twenty times a second: anonymous memory, which the kernel
cannot drop, and resident memory including mapped files, which the kernel can drop.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

CHILD = """
import sys
from benchmarks.memory import ingest
if __name__ == "__main__":
    ingest(sys.argv[1], sys.argv[2], sys.argv[3:])
"""


def ingest(library: str, root: str, representations: list[str]) -> None:
    """Ingest a folder into a new home."""
    os.environ.update(MELGRAPH_LIBRARY=library, MELGRAPH_HOME=root)
    from melgraph.assets.context import Context
    from melgraph.assets.library.ingest import representation_spec, write_batch
    from melgraph.assets.settings import current_home
    from melgraph.assets.stages import BY_DEFAULT, REPRESENTATIONS, TRACKS
    from melgraph.pipelines.intake import cut_batches, scan_library
    from melgraph.storage.artifacts import Production

    home = current_home().create()
    context = Context.open(home)
    scan = scan_library(home, context.catalogue, settle_s=0.0, look_again_s=0.0)
    for batch in cut_batches(context.catalogue, scan):
        tracks = TRACKS.plan(context, batch)
        stages = [*BY_DEFAULT, *(REPRESENTATIONS[name] for name in representations)]
        specs = [representation_spec(stage, context, tracks.reference) for stage in stages]
        with Production(context.store, [tracks, *specs]) as production:
            write_batch(context.store, production.missing)
        print({name: made.facts for name, made in production.artifacts.items()})


def _memory(process: int) -> tuple[int, int]:
    """(anonymous, resident) bytes of a process."""
    fields = {}
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        name, _, value = line.partition(":")
        fields[name] = value
    return tuple(int(fields[name].split()[0]) * 1024 for name in ("RssAnon", "VmRSS"))  # type: ignore[return-value]


def _tree(process: int) -> list[int]:
    children: list[int] = []
    for task in Path(f"/proc/{process}/task").iterdir():
        for child in (task / "children").read_text().split():
            children += _tree(int(child))
    return [process, *children]


class Watch(threading.Thread):
    """Samples the memory of a process and its descendants; peaks in bytes."""

    def __init__(self, process: int) -> None:
        super().__init__(daemon=True)
        self.process, self.anonymous, self.resident, self.largest = process, 0, 0, 0

    def run(self) -> None:
        """Sample until the process ends."""
        while Path(f"/proc/{self.process}/status").exists():
            try:
                memory = [_memory(p) for p in _tree(self.process)]
                self.anonymous = max(self.anonymous, sum(a for a, _ in memory))
                self.resident = max(self.resident, sum(r for _, r in memory))
                self.largest = max(self.largest, *(a for a, _ in memory))
            except (OSError, KeyError):
                continue
            time.sleep(0.05)


def measure(title: str, library: Path, representations: list[str]) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        script = Path(scratch) / "child.py"
        script.write_text(CHILD)
        started = time.perf_counter()
        process = subprocess.Popen(
            [
                sys.executable,
                str(script),
                str(library),
                str(Path(scratch) / "home"),
                *representations,
            ],
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
            stdout=subprocess.PIPE,
            text=True,
        )
        watch = Watch(process.pid)
        watch.start()
        output, _ = process.communicate()
        if process.returncode:
            raise SystemExit(output)
        seconds = time.perf_counter() - started
        size = sum(p.stat().st_size for p in (Path(scratch) / "home").rglob("*"))
    print(
        f"| {title} | {seconds:.0f} | {watch.anonymous / 1e6:.0f} | {watch.largest / 1e6:.0f} "
        f"| {watch.resident / 1e6:.0f} | {size / 1e6:.0f} |",
        flush=True,
    )


def long_file(source: Path, hours: float, target: Path) -> None:
    import numpy as np
    import soundfile

    from melgraph.ml.audio import decode

    sound = decode(source)
    samples = np.clip(sound.samples, -1, 1)
    with soundfile.SoundFile(
        target, "w", sound.sample_rate, samples.shape[1], "PCM_16", format="FLAC"
    ) as file:
        while file.frames < hours * 3600 * sound.sample_rate:
            file.write(samples)


def many_tracks(folder: Path, count: int, target: Path) -> None:
    files = sorted(p for p in folder.rglob("*") if p.suffix in (".mp3", ".flac", ".wav"))
    for number in range(count):
        source = files[number % len(files)]
        copy = target / f"{number:04d}{source.suffix}"
        copy.write_bytes(source.read_bytes() + bytes([number % 256, number // 256]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("long", "batch"))
    parser.add_argument("source", type=Path)
    parser.add_argument("--hours", type=float, default=3.0)
    parser.add_argument("--tracks", type=int, default=512)
    parser.add_argument("--block-seconds", type=float, nargs="+", default=[60.0])
    options = parser.parse_args()
    print("| | s | peak anonymous MB, all processes | of the largest one | peak resident MB "
          "| written MB |\n|---|---|---|---|---|---|")  # fmt: skip
    with tempfile.TemporaryDirectory() as scratch:
        library = Path(scratch) / "library"
        library.mkdir()
        if options.what == "long":
            long_file(options.source, options.hours, library / "mix.flac")
            for block_s in options.block_seconds:
                os.environ["MELGRAPH_BLOCK_SECONDS"] = str(block_s)
                measure(f"one file of {options.hours:g} h, blocks of {block_s:g} s", library, [])
        else:
            many_tracks(options.source, options.tracks, library)
            measure(f"{options.tracks} tracks, with STFT", library, ["stft_spectrograms"])


if __name__ == "__main__":
    main()
