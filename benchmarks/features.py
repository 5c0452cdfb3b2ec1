"""Cost of tabular features beside librosa and an older checkout; errors against a published table.

    python benchmarks/features.py FOLDER... [--tracks 5] [--rounds 7] [--before CHECKOUT]
    python benchmarks/features.py --oracle DATA

FOLDER holds recordings; the first 30 s of each are used. Each side (ours, the checkout of an
earlier commit, librosa) is a process of its own with one thread. They take turns track by track, so
other work on the machine affects all alike. For each step, the output is the median over the
recordings of the fastest round, in milliseconds of processor time.

DATA holds `library/gtzan/*/*.00000.wav` and `metadata/gtzan/features_30_sec.csv`, the feature table
published with GTZAN. The output is the error of each of our columns against it.
"""

import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
RATE = 22050
SECONDS = 30.0
ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1"
)
Timed = dict[str, float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="*", type=Path, help="folders of recordings")
    parser.add_argument("--tracks", type=int, default=5, help="of each folder")
    parser.add_argument(
        "--rounds", type=int, default=7, help="how often each side processes each track"
    )
    parser.add_argument("--before", type=Path, help="a checkout to compare with")
    parser.add_argument("--oracle", type=Path, metavar="DATA", help="compare with the table")
    parser.add_argument("--side", choices=["ours", "librosa"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        serve(options.side)
    elif options.oracle:
        print_oracle(options.oracle)
    elif options.folders:
        print_costs(options.folders, options.tracks, options.rounds, options.before)
    else:
        parser.error("give folders of recordings, or --oracle DATA")


# --- costs -------------------------------------------------------------------------------------


def timed(times: Timed, step: str, work: Callable):
    start = time.process_time()
    result = work()
    times[step] = 1000 * (time.process_time() - start)
    return result


def our_steps(path: Path) -> Timed:
    """Time the steps from a file to its features, as far as the checkout has them."""
    from melgraph.ml.audio import decode, resample, to_mono
    from melgraph.ml.features import track_features as features
    from melgraph.ml.spectral import MelTransform, log_mel, stft

    times: Timed = {}
    decoded = timed(times, "decode", lambda: decode(path, max_seconds=SECONDS))
    mono = timed(
        times,
        "mono and resampling",
        lambda: resample(to_mono(decoded.samples), decoded.sample_rate, RATE),
    )
    spectrum = timed(times, "STFT", lambda: stft(mono, n_fft=2048, hop=512))
    timed(times, "log-mel", lambda: log_mel(spectrum, MelTransform()))

    def of(**options: bool) -> dict[str, float]:
        extra = {"options": features.FeatureOptions(**options)} if options else {}
        return features.track_features(mono, spectrum, sample_rate=RATE, **extra)

    timed(times, "features", of)
    if hasattr(features, "FeatureOptions"):
        plain = times["features"]
        for step, option in (
            ("harmonic and percussive", "harmonic_percussive"),
            ("tempo", "tempo"),
        ):
            timed(times, step, lambda option=option: of(**{option: True}))
            times[step] -= plain
    return times


def librosa_steps(path: Path) -> Timed:
    """Time the same steps with librosa; its features share one spectrum where possible."""
    import librosa

    times: Timed = {}
    samples, rate = timed(
        times, "decode", lambda: librosa.load(path, sr=None, mono=False, duration=SECONDS)
    )
    mono = timed(
        times,
        "mono and resampling",
        lambda: librosa.resample(librosa.to_mono(samples), orig_sr=rate, target_sr=RATE),
    )
    spectrum = timed(times, "STFT", lambda: librosa.stft(mono, pad_mode="reflect"))

    def log_mel():
        power = np.abs(spectrum) ** 2
        mel = librosa.feature.melspectrogram(S=power, sr=RATE, htk=True, norm=None)
        return librosa.power_to_db(mel, top_db=None)

    def features():
        magnitude = np.abs(spectrum)
        mel = librosa.power_to_db(librosa.feature.melspectrogram(S=magnitude**2, sr=RATE))
        return [
            librosa.feature.chroma_stft(S=magnitude**2, sr=RATE),
            librosa.feature.spectral_centroid(S=magnitude, sr=RATE),
            librosa.feature.spectral_bandwidth(S=magnitude, sr=RATE),
            librosa.feature.spectral_rolloff(S=magnitude, sr=RATE),
            librosa.feature.rms(y=mono, pad_mode="reflect"),
            librosa.feature.zero_crossing_rate(mono),
            librosa.feature.mfcc(S=mel, sr=RATE),
        ]

    timed(times, "log-mel", log_mel)
    timed(times, "features", features)
    timed(times, "harmonic and percussive", lambda: librosa.effects.hpss(mono))
    timed(times, "tempo", lambda: librosa.beat.beat_track(y=mono, sr=RATE))
    return times


def serve(side: str) -> None:
    """For each path on stdin, print the times of its steps as one line of JSON."""
    steps = our_steps if side == "ours" else librosa_steps
    if side == "ours":
        import torch

        torch.set_num_threads(1)
    for line in sys.stdin:
        print(json.dumps(steps(Path(line.rstrip("\n")))), flush=True)


def print_costs(folders: list[Path], n_tracks: int, rounds: int, before: Path | None) -> None:
    sys.path.insert(0, str(ROOT))
    from melgraph.ml.audio import AUDIO_SUFFIXES

    paths = []
    for folder in folders:
        files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in AUDIO_SUFFIXES)
        paths += files[:: max(1, len(files) // n_tracks)][:n_tracks]
    roots = {"ours": ROOT, **({"before": before.resolve()} if before else {}), "librosa": ROOT}
    sides = {
        side: subprocess.Popen(
            [sys.executable, __file__, "--side", "librosa" if side == "librosa" else "ours"],
            env={**os.environ, **ONE_THREAD, "PYTHONPATH": str(root)},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for side, root in roots.items()
    }  # fmt: skip
    fastest: dict[tuple[str, str], dict[Path, float]] = {}
    for turn in range(rounds + 1):
        for path in paths:
            for side, process in sides.items():
                process.stdin.write(f"{path.resolve()}\n")
                process.stdin.flush()
                for step, ms in json.loads(process.stdout.readline()).items():
                    if turn:  # the first round warms up
                        of_paths = fastest.setdefault((step, side), {})
                        of_paths[path] = min(ms, of_paths.get(path, ms))
    for process in sides.values():
        process.stdin.close()
        process.wait()
    print(f"{len(paths)} recordings, at most {SECONDS:g} s each, {rounds} rounds, one thread\n")
    print("| processor ms a recording | " + " | ".join(roots) + " |")
    print("|---|" + "---|" * len(roots))
    for step in dict.fromkeys(step for step, _ in fastest):
        cells = [fastest.get((step, side)) for side in roots]
        texts = [f"{statistics.median(cell.values()):.1f}" if cell else "–" for cell in cells]
        print(f"| {step} | " + " | ".join(texts) + " |")


# --- the published table -----------------------------------------------------------------------

HPSS = ("harmony_mean", "harmony_var", "perceptr_mean", "perceptr_var")


def without_the_end(spectrum, n_samples: int) -> list[float]:
    """The columns of `HPSS` if the samples after the last whole hop are zero.

    The librosa version that made the table inverted whole hops only and appended zeros.
    """
    from melgraph.ml.features.harmonic_percussive import HarmonicPercussive
    from melgraph.ml.spectral import power_of, spectrum_tiles

    parts = HarmonicPercussive()
    for tile in spectrum_tiles(spectrum):
        parts.add(tile.numpy(), power_of(tile).sqrt().numpy())
    whole = n_samples // 512 * 512
    share, values = whole / n_samples, []
    moments = parts.finish(whole)
    for mean, variance in zip(moments[0::2], moments[1::2], strict=True):
        values += [share * mean, share * (variance + mean**2) - (share * mean) ** 2]
    return values


def print_oracle(data: Path) -> None:
    sys.path.insert(0, str(ROOT))
    import soundfile as sf
    import torch

    from melgraph.ml.features.track_features import (
        FeatureOptions,
        feature_names,
        published_name,
        track_features,
    )
    from melgraph.ml.spectral import stft

    torch.set_num_threads(1)
    options = FeatureOptions(harmonic_percussive=True, tempo=True)
    with (data / "metadata/gtzan/features_30_sec.csv").open() as file:
        table = {row["filename"]: row for row in csv.DictReader(file)}
    clips = sorted(data.glob("library/gtzan/*/*.00000.wav"))
    ours, theirs, cut = [], [], []
    columns = {name: published_name(name) for name in feature_names(options)}
    columns = {name: column for name, column in columns.items() if column in table[clips[0].name]}
    for clip in clips:
        mono, rate = sf.read(clip, dtype="float32")
        spectrum = stft(mono, n_fft=2048, hop=512)
        features = track_features(mono, spectrum, sample_rate=rate, options=options)
        cut.append(without_the_end(spectrum, len(mono)))
        ours.append([features[name] for name in columns])
        theirs.append([float(table[clip.name][column]) for column in columns.values()])
    # the same four columns again, computed as the librosa of the table did
    for name, values in zip(HPSS, np.array(cut).T, strict=True):
        i = list(columns).index(name)
        columns[f"{name}, end left out"] = columns[name]
        ours = [[*row, value] for row, value in zip(ours, values, strict=True)]
        theirs = [[*row, row[i]] for row in theirs]
    computed, published = np.array(ours), np.array(theirs)
    everyone = np.array([[float(row[c]) for c in columns.values()] for row in table.values()])
    error = np.abs(computed - published)
    relative = error / np.maximum(np.abs(published), 1e-300)
    of_spread = error.max(axis=0) / everyone.std(axis=0)
    print(f"{len(clips)} clips; {len(columns)} columns; ", end="")
    print(f"spread: standard deviation over {len(table)} rows\n")
    print("| column | relative error, median | max | max absolute error / spread |")
    print("|---|---|---|---|")
    for i, name in enumerate(columns):
        middle, most = np.median(relative[:, i]), relative[:, i].max()
        print(f"| `{name}` | {middle:.2e} | {most:.2e} | {of_spread[i]:.2e} |")


if __name__ == "__main__":
    main()
