"""Audio to stored mel spectrograms and catalogue, beside decoding alone and beside librosa.

    python benchmarks/ingest.py FOLDER [--tracks 512] [--rounds 3] [--workers 2]

The files of the folder are copied, each as often as needed and with two bytes of its own behind it,
until they are a full batch. All contenders read the same copies, warm in the page cache, with as
many processes. In each round each of them runs once, in turn; ratios are taken within a round.

- decode: our reader to float32 samples, nothing kept.
- librosa: load at 22.05 kHz mono, melspectrogram, power_to_db, one .npy per track.
- mel: files to committed `tracks` and `mel_spectrograms`: hashed, checked, quarantined where bad,
  written as Zarr, flushed, recorded, and known to the catalogue.
- mel + features: the same and the 76 tabular features.
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
        from melgraph.assets.library import ingest
        from melgraph.storage.artifacts import ArtifactStore, Production
        from melgraph.storage.catalogue import Catalogue
        from melgraph.storage.home import Home

        library = Path(os.path.commonpath([file.parent for file in files]))
        home = Home(folder / "home", str(library)).create()
        store, catalogue = ArtifactStore(home), Catalogue(home.catalogue)
        wanted = {file.relative_to(library).as_posix() for file in files}
        listed = [
            f for f in home.open_library().list({f.suffix for f in files}) if f.path in wanted
        ]
        batch = catalogue.register_batch(listed)
        tracks = ingest.tracks_spec(batch, catalogue.batch_files(batch))
        specs = [tracks, *ingest.representation_specs(store, tracks.reference, representations)]
        with Production(store, specs) as production:
            ingest.write_batch(store, production.missing)
        record = production.artifacts[ingest.TRACKS].record
        assert record.facts["ok"] == len(files), record.facts
        catalogue.identify(batch, {r.path: r.track_id for r in record.recordings if r.track_id})

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
    """`count` files of different bytes, made of the sources in turn."""
    made = []
    for number in range(count):
        source = sources[number % len(sources)]
        made.append(folder / f"{number:05d}{source.suffix}")
        made[-1].write_bytes(source.read_bytes() + bytes([number % 256, number // 256]))
    return made


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
    print("| | tracks/s | ms a track | of decode alone | of librosa |\n|---|---|---|---|---|")
    for name, found in rates.items():
        middle = statistics.median(found)
        ratios = [
            statistics.median(a / b for a, b in zip(found, rates[other], strict=True))
            for other in ("decode", "librosa")
        ]
        print(
            f"| {name} | {middle:.1f} ({min(found):.1f} to {max(found):.1f}) "
            f"| {1000 / middle:.1f} | {ratios[0]:.2f} | {ratios[1]:.2f} |"
        )


if __name__ == "__main__":
    main()
