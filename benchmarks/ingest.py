"""Rate from audio files to stored mel spectrograms, beside decoding alone and beside librosa.

    python benchmarks/ingest.py FOLDER [--tracks 512] [--rounds 3] [--workers 2]

The files of the folder are copied until there is a full track batch; two bytes appended to each
copy make it unique. All contenders read the same copies, warm in the page cache, with the same
number of processes. Each of them runs once per round, in turn; ratios are computed within a round.

- decode: our reader to float32 samples, which are discarded.
- librosa: load at 22.05 kHz mono, melspectrogram, power_to_db, one .npy per track.
- mel: files to committed `tracks` and `mel_spectrograms`: hashed, checked (bad files quarantined),
  written as Zarr, flushed to disk, recorded, and registered in the catalogue.
- mel + features: the same with the 76 tabular features.
"""

import argparse
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from melgraph.assets.stages import TRACKS

os.environ.update(
    dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
)

Contender = Callable[[Sequence[Path], Path], None]


def decode_one(path: Path) -> float:
    from melgraph.ml.audio import decode

    return decode(path).seconds


def librosa_one(job: tuple[Path, Path]) -> None:
    import librosa

    path, out = job
    samples, rate = librosa.load(path, sr=22050, mono=True)
    mel = librosa.feature.melspectrogram(y=samples, sr=rate, n_fft=2048, hop_length=512, n_mels=128)
    np.save(out, librosa.power_to_db(mel).astype(np.float16))


def warm_librosa(_: int) -> None:
    import librosa

    librosa.feature.melspectrogram(y=np.zeros(22050, np.float32), sr=22050)


def ours(representations: Sequence[str]) -> Contender:
    def ingest_all(files: Sequence[Path], folder: Path) -> None:
        from melgraph.assets.context import Context
        from melgraph.assets.library.ingest import representation_spec, write_batch
        from melgraph.assets.stages import REPRESENTATIONS
        from melgraph.storage.artifacts import Production
        from melgraph.storage.home import Home

        library = Path(os.path.commonpath([file.parent for file in files]))
        home = Home(folder / "home", str(library)).create()
        context = Context.open(home)
        wanted = {file.relative_to(library).as_posix() for file in files}
        listed = [
            f for f in home.open_library().list({f.suffix for f in files}) if f.path in wanted
        ]
        batch = context.catalogue.register_batch(listed)
        tracks = TRACKS.plan(context, batch)
        specs = [
            representation_spec(REPRESENTATIONS[name], context, tracks.reference)
            for name in representations
        ]
        with Production(context.store, [tracks, *specs]) as production:
            write_batch(context.store, production.missing)
        record = production.artifacts[TRACKS.name].record
        assert record.facts["ok"] == len(files), record.facts
        context.catalogue.identify(batch, record.recordings)

    return ingest_all


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--suffix", default=".mp3")
    parser.add_argument("--tracks", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    sources = sorted(options.folder.rglob(f"*{options.suffix}"))
    if not sources:
        raise SystemExit(f"no {options.suffix} files in {options.folder}")
    with tempfile.TemporaryDirectory() as library:
        measure(copies(sources, options.tracks, Path(library)), len(sources), options)


def copies(sources: Sequence[Path], count: int, folder: Path) -> list[Path]:
    """Write `count` files of different bytes, copies of the sources in turn."""
    paths = []
    for number in range(count):
        source = sources[number % len(sources)]
        paths.append(folder / f"{number:05d}{source.suffix}")
        paths[-1].write_bytes(source.read_bytes() + bytes([number % 256, number // 256]))
    return paths


def measure(files: list[Path], distinct: int, options: argparse.Namespace) -> None:
    os.environ["MELGRAPH_WORKERS"] = str(options.workers)
    context = multiprocessing.get_context("spawn")
    with context.Pool(options.workers) as decoders, context.Pool(options.workers) as librosas:
        librosas.map(warm_librosa, range(1))  # numba's cache: one process at a time
        librosas.map(warm_librosa, range(8 * options.workers), chunksize=1)
        seconds = sum(decoders.map(decode_one, files))  # also warms the page cache
        contenders: dict[str, Contender] = {
            "decode": lambda files, folder: decoders.map(decode_one, files, chunksize=4) and None,
            "librosa": lambda files, folder: (
                librosas.map(
                    librosa_one,
                    [(f, folder / f"{n}.npy") for n, f in enumerate(files)],
                    chunksize=4,
                )
                and None
            ),
            "mel": ours(["mel_spectrograms"]),
            "mel + features": ours(["mel_spectrograms", "audio_features"]),
        }
        rates: dict[str, list[float]] = {name: [] for name in contenders}
        with tempfile.TemporaryDirectory() as scratch:
            contenders["mel"](files[:2], Path(tempfile.mkdtemp(dir=scratch)))  # start the workers
            for number in range(options.rounds):
                turn = list(contenders)[number % 4 :] + list(contenders)[: number % 4]
                for name in turn:
                    folder = Path(tempfile.mkdtemp(dir=scratch))
                    started = time.perf_counter()
                    contenders[name](files, folder)
                    rates[name].append(len(files) / (time.perf_counter() - started))
    print(
        f"{len(files)} files ({distinct} recordings), {seconds / len(files):.1f} s each, "
        f"{options.workers} processes, {options.rounds} rounds\n"
    )
    print("| | tracks/s | ms a track | relative to decode | relative to librosa |")
    print("|---|---|---|---|---|")
    for name, of_rounds in rates.items():
        median = statistics.median(of_rounds)
        ratios = [
            statistics.median(a / b for a, b in zip(of_rounds, rates[other], strict=True))
            for other in ("decode", "librosa")
        ]
        print(
            f"| {name} | {median:.1f} ({min(of_rounds):.1f} to {max(of_rounds):.1f}) "
            f"| {1000 / median:.1f} | {ratios[0]:.2f} | {ratios[1]:.2f} |"
        )


if __name__ == "__main__":
    main()
