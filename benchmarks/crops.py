"""Rate of random crops from the training loader, beside a bare `np.memmap` of the same files.

    python benchmarks/crops.py HOME [--crops 20000] [--rounds 7]

Both copy the same crops (track, first frame) into the same batches, float32 `[batch, 1, mel,
frame]`, in turns within each round. The loader is the one that training uses: the store is opened
by `assets.library.inputs.TrackInputs`, crops are cut by `ml.inference.tracks.crop_batch`.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from melgraph.assets.stages import MEL_SPECTROGRAMS

sys.path.insert(0, str(Path(__file__).parents[1]))

from melgraph.assets.library import ingest
from melgraph.assets.library.inputs import TrackInputs
from melgraph.ml.inference.tracks import crop_batch
from melgraph.storage.artifacts import ArtifactStore
from melgraph.storage.home import open_home
from melgraph.storage.spectrogram_store import SpectrogramStore

BATCH, CROP = 32, 129  # crops, frames (3 s)
Gather = Callable[[np.ndarray, np.ndarray], torch.Tensor]


def by_the_loader(artifacts: list) -> tuple[Gather, np.ndarray]:
    """Gather crops as training does; also the length of every track in frames."""
    batches, ids = [], []
    for artifact in artifacts:
        track_ids = SpectrogramStore(artifact.folder / ingest.STORE).track_ids
        batches += [artifact.reference.partition] * len(track_ids)
        ids += track_ids
    views = TrackInputs(artifacts).tracks(batches, ids)

    def gather(tracks: np.ndarray, starts: np.ndarray) -> torch.Tensor:
        return crop_batch(views, tracks, starts, crop_frames=CROP).float()

    return gather, np.array([len(view) for view in views])


def by_bare_maps(artifacts: list) -> Gather:
    """Gather crops by `np.memmap` over the shard files; tracks in two shards are not usable."""
    places: list[tuple[np.ndarray, int]] = []
    for artifact in artifacts:
        store = SpectrogramStore(artifact.folder / ingest.STORE)
        bins, rows = len(store.frequency), store.group["values"].shards[0]
        files = sorted(
            (store.folder / "values" / "c").glob("*/0"), key=lambda p: int(p.parent.name)
        )
        maps = []
        for number, file in enumerate(files):
            count = min(rows, int(store.offsets[-1]) - number * rows)
            maps.append(np.memmap(file, np.float16, mode="r", shape=(count, bins)))
        for start, stop in zip(store.offsets[:-1], store.offsets[1:], strict=True):
            shard = int(start) // rows
            straddles = (int(stop) - 1) // rows != shard
            places.append((None if straddles else maps[shard], int(start) - shard * rows))

    def gather(tracks: np.ndarray, starts: np.ndarray) -> torch.Tensor:
        batch = np.empty((len(tracks), CROP, bins), np.float16)
        for row, track, start in zip(batch, tracks, starts, strict=True):
            values, first = places[track]
            row[:] = values[first + start : first + start + CROP]
        return torch.from_numpy(batch).float().transpose(1, 2).unsqueeze(1)

    gather.usable = np.array([values is not None for values, _ in places])  # type: ignore[attr-defined]
    return gather


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("home", type=Path)
    parser.add_argument("--crops", type=int, default=20000)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    torch.set_num_threads(1)
    store = ArtifactStore(open_home(options.home))
    mel = MEL_SPECTROGRAMS.name
    artifacts = [store.need(mel, name) for name in store.partitions(mel)]
    loader, lengths = by_the_loader(artifacts)
    bare = by_bare_maps(artifacts)
    usable = np.flatnonzero(bare.usable & (lengths >= CROP))  # type: ignore[attr-defined]
    rng = np.random.default_rng(0)
    rates: dict[str, list[float]] = {"loader": [], "bare np.memmap": []}
    for number in range(options.rounds + 1):  # the first round warms the page cache
        tracks = rng.choice(usable, (options.crops // BATCH, BATCH))
        starts = rng.integers(0, lengths[tracks] - CROP + 1)
        turn = [("loader", loader), ("bare np.memmap", bare)]
        results = {}
        for name, gather in turn if number % 2 else turn[::-1]:
            began = time.perf_counter()
            for some, at in zip(tracks, starts, strict=True):
                results[name] = gather(some, at)
            if number:
                rates[name].append(tracks.size / (time.perf_counter() - began))
        assert torch.equal(*results.values())
    print(f"{len(usable)} tracks, crops of {CROP} frames, batches of {BATCH}, "
          f"{options.rounds} rounds of {options.crops} crops\n")  # fmt: skip
    for name, of_rounds in rates.items():
        median = statistics.median(of_rounds)
        print(f"{name:16} {median:9.0f} crops/s ({min(of_rounds):.0f} to {max(of_rounds):.0f})")
    ratio = statistics.median(a / b for a, b in zip(*rates.values(), strict=True))
    print(f"loader / bare np.memmap: {ratio:.3f} (median of the rounds)")


if __name__ == "__main__":
    main()
