"""Sound from spectrograms without phase, beside librosa and torchaudio.

    python benchmarks/inversion.py [FOLDER...] [--tracks 3] [--seconds 6] [--rounds 2]
        [--part phases|mel|bands]

FOLDER holds recordings; the default is emotify, gtzan and open of `MELGRAPH_REAL_DATA/library`. Of
each folder, `--tracks` tracks are used, with different labels; of each track, the middle
`--seconds`, in mono. All sides run in one process with one thread and take turns track by track.
Seconds are of processor time, the fastest round. All figures compare the STFT of the new sound, or
its samples, with the original:

- Spectral convergence, dB: norm of the difference of the amplitudes, divided by the norm of the
  original (lower is better).
- Log-spectral distance, dB: RMS over bins of the difference of the levels, mean over frames; 80 dB
  below the loudest bin is the floor (lower is better).
- SI-SDR, dB: of the samples (higher is better).
"""

import argparse
import os
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[variable] = "1"  # before numpy is imported

import numpy as np  # noqa: E402

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
N_FFT, MEL_RATE, MEL_HOP = 2048, 22050, 256
SEARCHED = (0, 2, 4, 8, 12, 16, 24, 32, 48, 64, 100)  # iterations of the goal
NNLS_FRAMES = 12  # librosa takes minutes for the frames of a whole excerpt
GOALS = {4: 1 / 2, 8: 1 / 3}  # n_fft / hop -> share of librosa's time
Figures = tuple[float, ...]
Rows = dict[str, list[Figures]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--tracks", type=int, default=3, help="of each folder")
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--rounds", type=int, default=2, help="how often each side is timed")
    parser.add_argument("--part", choices=["phases", "mel", "bands"], help="print this part only")
    options = parser.parse_args()
    import torch

    torch.set_num_threads(1)
    folders = options.folders
    if not folders:
        library = Path(os.environ["MELGRAPH_REAL_DATA"]) / "library"
        folders = [library / name for name in ("emotify", "gtzan", "open")]
    paths = [path for folder in folders for path in tracks_of(folder, options.tracks)]
    excerpts = [excerpt_of(path, options.seconds) for path in paths]
    print(f"{len(paths)} tracks, {options.seconds:g} s each, n_fft {N_FFT}, one thread")
    if options.part in (None, "phases"):
        for overlap in GOALS:
            print_phases(excerpts, overlap, options.rounds)
    if options.part in (None, "mel"):
        print_mel(excerpts)
    if options.part in (None, "bands"):
        print_bands(excerpts[:: options.tracks])


# --- recordings --------------------------------------------------------------------------------


def tracks_of(folder: Path, n_tracks: int) -> list[Path]:
    """Tracks of different labels (subfolders), the middle one of each."""
    from melgraph.ml.audio import AUDIO_SUFFIXES

    by_label = defaultdict(list)
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in AUDIO_SUFFIXES:
            by_label[path.parent].append(path)
    labels = sorted(by_label)
    chosen = labels[:: max(1, len(labels) // n_tracks)][:n_tracks]
    return [by_label[label][len(by_label[label]) // 2] for label in chosen]


def excerpt_of(path: Path, seconds: float) -> tuple[np.ndarray, int]:
    """The middle of a recording: float32 `[sample]` and its sample rate."""
    from melgraph.ml.audio import decode, to_mono

    decoded = decode(path)
    mono, length = to_mono(decoded.samples), int(seconds * decoded.sample_rate)
    start = max(0, (len(mono) - length) // 2)
    return np.ascontiguousarray(mono[start : start + length]), decoded.sample_rate


# --- sides -------------------------------------------------------------------------------------


def ours(iterations: int, method: str = "phase-gradient") -> Callable:
    from melgraph.ml.generation.inversion import invert

    def side(amplitude: np.ndarray, hop: int, length: int) -> np.ndarray:
        return invert(
            amplitude, n_fft=N_FFT, hop=hop, length=length, iterations=iterations, method=method
        )

    return side


def librosas(iterations: int) -> Callable:
    import librosa

    def side(amplitude: np.ndarray, hop: int, length: int) -> np.ndarray:
        return librosa.griffinlim(
            amplitude.T, n_iter=iterations, hop_length=hop, n_fft=N_FFT, length=length,
            pad_mode="reflect", random_state=0,
        )  # fmt: skip

    return side


def torchaudios(iterations: int) -> Callable:
    import torch
    import torchaudio

    def side(amplitude: np.ndarray, hop: int, length: int) -> np.ndarray:
        torch.manual_seed(0)
        method = torchaudio.transforms.GriffinLim(
            N_FFT, n_iter=iterations, hop_length=hop, power=1.0, length=length
        )
        return method(torch.from_numpy(np.ascontiguousarray(amplitude.T))).numpy()

    return side


def timed(side: Callable, *arguments: object, rounds: int = 1) -> tuple[np.ndarray, float]:
    """The result, and the processor seconds of the fastest round."""
    fastest = float("inf")
    for _ in range(rounds):
        start = time.process_time()
        result = side(*arguments)
        fastest = min(fastest, time.process_time() - start)
    return result, fastest


def amplitude_of(mono: np.ndarray, hop: int) -> np.ndarray:
    from melgraph.ml.spectral import stft

    return np.ascontiguousarray(np.abs(stft(mono, n_fft=N_FFT, hop=hop).numpy().T))


def compared(mono: np.ndarray, new: np.ndarray, hop: int) -> Figures:
    from melgraph.ml.metrics import reconstruction as figures

    truth, estimate = amplitude_of(mono, hop), amplitude_of(new, hop)
    return (
        figures.spectral_convergence_db(truth, estimate),
        figures.log_spectral_distance_db(truth, estimate),
        figures.si_sdr_db(mono, new),
    )


# --- from the amplitude ------------------------------------------------------------------------


def print_phases(excerpts: list[tuple[np.ndarray, int]], overlap: int, rounds: int) -> None:
    hop, rows, shares = N_FFT // overlap, Rows(), []
    for mono, _ in excerpts:
        amplitude = amplitude_of(mono, hop)
        for name, figures in phase_rows(mono, amplitude, hop, rounds, shares).items():
            rows.setdefault(name, []).append(figures)
    print(f"\nAmplitude of the STFT, hop {hop} = n/{overlap}\n", flush=True)
    print_table(
        ("side", "seconds", "spectral convergence, dB", "log-spectral distance, dB", "SI-SDR, dB"),
        rows,
    )
    ratios, limit = [share for share in shares if share is not None], GOALS[overlap]
    print(
        f"\nTime of ours to reach the spectral convergence and the log-spectral distance of "
        f"librosa's 100 iterations, divided by the time of librosa: {spread(ratios, '.3f')} "
        f"({len(ratios)} of {len(shares)} tracks reach it within {SEARCHED[-1]} iterations)."
    )
    holds = len(ratios) == len(shares) and max(ratios) <= limit
    print(f"Goal: at most {limit:.2f}: {'holds on every track' if holds else 'does NOT hold'}.")


def phase_rows(
    mono: np.ndarray, amplitude: np.ndarray, hop: int, rounds: int, shares: list[float | None]
) -> dict[str, Figures]:
    """The figures of each side for one track; appends the time to reach librosa's quality."""
    from melgraph.ml.generation.inversion import invert
    from melgraph.ml.spectral import stft

    def with_phase(amplitude: np.ndarray, hop: int, length: int) -> np.ndarray:
        return invert(amplitude, n_fft=N_FFT, hop=hop, length=length, phase=phase)

    def figures(side: Callable) -> Figures:
        new, seconds = timed(side, amplitude, hop, len(mono), rounds=rounds)
        return (seconds, *compared(mono, new, hop))

    phase = stft(mono, n_fft=N_FFT, hop=hop).angle().numpy().T
    for side in (ours(1), librosas(1), torchaudios(1)):  # compiles, and fills caches
        side(amplitude, hop, len(mono))
    rows = {"original phase (ceiling)": figures(with_phase)}
    rows["random phase, 0 iterations (floor)"] = figures(ours(0, "random-phase"))
    for n in (32, 100):
        rows[f"librosa, {n} iterations"] = figures(librosas(n))
        rows[f"torchaudio, {n} iterations"] = figures(torchaudios(n))
        rows[f"ours from random phase, {n} iterations"] = figures(ours(n, "random-phase"))
    searched = {n: figures(ours(n)) for n in SEARCHED}
    for n in (0, 8, 32, 100):
        rows[f"ours, {n} iterations"] = searched[n]
    start, per_iteration = searched[0][0], (searched[100][0] - searched[0][0]) / 100
    for n in (32, 100):
        peer = rows[f"librosa, {n} iterations"]
        affordable = max(0, int((peer[0] - start) / per_iteration))
        rows[f"ours, in the seconds of librosa's {n} iterations"] = figures(ours(affordable))
    reached = [row[0] for row in searched.values() if row[1] <= peer[1] and row[2] <= peer[2]]
    shares.append(min(reached) / peer[0] if reached else None)
    return rows


# --- from mel bands and MFCC -------------------------------------------------------------------


def print_mel(excerpts: list[tuple[np.ndarray, int]]) -> None:
    rows = Rows()
    for samples, rate in excerpts:
        from melgraph.ml.audio import resample

        mono = resample(samples, rate, MEL_RATE)
        for name, figures in mel_rows(mono).items():
            rows.setdefault(name, []).append(figures)
    print(f"\nLog-mel spectrogram and MFCC, {MEL_RATE} Hz, hop {MEL_HOP} = n/8\n")
    print_table(
        ("from", "seconds", "spectral convergence, dB", "log-spectral distance, dB", "SI-SDR, dB"),
        rows,
    )


def mel_rows(mono: np.ndarray) -> dict[str, Figures]:
    """The figures of each way back from mel bands, for one track."""
    from melgraph.ml.generation.inversion import invert_stored
    from melgraph.ml.spectral import MelTransform, MfccTransform, log_mel, mfcc_from_log_mel, stft

    spectrum = stft(mono, n_fft=N_FFT, hop=MEL_HOP)
    phase, mel = spectrum.angle().numpy().T, MelTransform(hop=MEL_HOP)
    bands = log_mel(spectrum, mel)
    rows: dict[str, Figures] = {}

    def add(name: str, values: np.ndarray, transform: object, **settings: object) -> None:
        def side() -> np.ndarray:
            return invert_stored(values, transform, length=len(mono), **settings)

        new, seconds = timed(side)
        rows[name] = (seconds, *compared(mono, new, MEL_HOP))

    add("log-mel, original phase", bands, mel, phase=phase)
    add("log-mel, random phase, 0 iterations", bands, mel, iterations=0, method="random-phase")
    for n in (0, 8, 32):
        add(f"log-mel, {n} iterations", bands, mel, iterations=n)
    add("log-mel by the pseudo-inverse, 8 iterations", bands, mel, mel_inverse="pseudo-inverse")
    rows["log-mel, torchaudio (InverseMelScale, 32 iterations)"] = torchaudio_mel(mono, bands, mel)
    for n in (13, 20, 40):
        transform = MfccTransform(hop=MEL_HOP, n_mfcc=n)
        values = mfcc_from_log_mel(bands, transform)
        add(f"{n} MFCC, 8 iterations", values, transform)
        if n == 20:
            add(f"{n} MFCC, original phase", values, transform, phase=phase)
    return rows


def torchaudio_mel(mono: np.ndarray, bands: np.ndarray, mel: object) -> Figures:
    def side() -> np.ndarray:
        return torchaudios(32)(np.sqrt(torchaudio_bins(bands, mel)), MEL_HOP, len(mono))

    new, seconds = timed(side)
    return (seconds, *compared(mono, new, MEL_HOP))


def torchaudio_bins(bands: np.ndarray, mel: object) -> np.ndarray:
    import torch
    import torchaudio

    inverse = torchaudio.transforms.InverseMelScale(
        N_FFT // 2 + 1, mel.n_mels, MEL_RATE, mel.f_min, mel.f_max, mel_scale="htk"
    )
    return inverse(torch.from_numpy(10.0 ** (bands.T / 10))).numpy().T


def print_bands(excerpts: list[tuple[np.ndarray, int]]) -> None:
    """From mel bands to bins alone, of one track of each folder: librosa takes minutes."""
    rows = Rows()
    for samples, rate in excerpts:
        from melgraph.ml.audio import resample

        for name, figures in band_rows(resample(samples, rate, MEL_RATE)).items():
            rows.setdefault(name, []).append(figures)
    frames = f"{len(excerpts)} tracks, the middle {NNLS_FRAMES} frames of each"
    print(f"\nFrom mel bands to bins, {frames}\n")
    print_table(
        ("side", "ms per frame", "spectral convergence, dB", "log-spectral distance, dB"), rows
    )


def band_rows(mono: np.ndarray) -> dict[str, Figures]:
    import librosa

    from melgraph.ml.generation.reconstruction.mel_power import bin_power
    from melgraph.ml.metrics.reconstruction import log_spectral_distance_db, spectral_convergence_db
    from melgraph.ml.spectral import MelTransform, log_mel, mel_filterbank, stft

    mel, spectrum = MelTransform(hop=MEL_HOP), stft(mono, n_fft=N_FFT, hop=MEL_HOP)
    first = (spectrum.shape[1] - NNLS_FRAMES) // 2
    truth = np.abs(spectrum.numpy().T[first : first + NNLS_FRAMES])
    decibels = log_mel(spectrum, mel)[first : first + NNLS_FRAMES]
    power, filters = 10.0 ** (decibels / 10), mel_filterbank(mel).numpy()
    sides = {
        "ours": lambda: bin_power(power, mel),
        "ours, pseudo-inverse": lambda: bin_power(power, mel, inverse="pseudo-inverse"),
        "librosa, non-negative least squares": lambda: librosa.util.nnls(filters, power.T).T,
        "torchaudio, InverseMelScale": lambda: torchaudio_bins(decibels, mel),
    }
    rows = {}
    for name, side in sides.items():
        bins, seconds = timed(side)
        amplitude = np.sqrt(np.maximum(bins, 0.0))
        rows[name] = (
            1000 * seconds / NNLS_FRAMES,
            spectral_convergence_db(truth, amplitude),
            log_spectral_distance_db(truth, amplitude),
        )
    return rows


# --- tables ------------------------------------------------------------------------------------


def spread(values: list[float], form: str) -> str:
    """Median and range."""
    if not values:
        return "–"
    low, middle, high = (f(values) for f in (min, statistics.median, max))
    return f"{middle:{form}} ({low:{form}} to {high:{form}})"


def print_table(header: tuple[str, ...], rows: Rows) -> None:
    print(f"| {' | '.join(header)} |")
    print("|---" * len(header) + "|")
    for name, figures in rows.items():
        columns = list(zip(*figures, strict=True))
        cells = [spread(list(columns[0]), ".2f")]
        cells += [spread(list(column), ".1f") for column in columns[1:]]
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
