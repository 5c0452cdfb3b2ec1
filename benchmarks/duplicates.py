"""How reliably duplicates are found: in existing libraries, and among copies made for this test.

    python benchmarks/duplicates.py LIBRARY... [--copies-of 2]

Prints three tables in Markdown for every library. The first compares the pairs that fingerprints
find with a reference that does not use fingerprints: two files count as one recording if the
normalised cross-correlation of their waveforms (300 to 1900 Hz) over at least 5 s and .3 of the
shorter file exceeds 0.5. The second is about copies of every N-th track, each changed in one way:
how many are found, the bit error rate, and to how many other tracks they are matched. The third is
about two excerpts of one track that overlap. Reads the libraries and writes nothing.
"""

import argparse
import io
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import soxr
import torch
from scipy.signal import butter, sosfiltfilt

sys.path.insert(0, str(Path(__file__).parents[1]))

from melgraph.ml.audio import AUDIO_SUFFIXES, BadAudio, check, decode, resample, to_mono
from melgraph.ml.recordings.fingerprints import (
    FRAMES_PER_SECOND,
    N_BITS,
    SILENT,
    Fingerprints,
    fingerprint,
)
from melgraph.ml.recordings.matching import Index
from melgraph.ml.spectral import MelTransform, log_mel, stft

RATE = MelTransform().sample_rate
SLOW_RATE = 4000  # Hz, of the waveforms that are correlated
BAND_HZ = (300, 1900)  # without the bass, because two songs may share that of a drum machine
SAME_WAVEFORM = 0.5
LONG_ENOUGH_S = 7.0  # shortest track that is copied
MIN_OVERLAP_S, MIN_OVERLAP_SHARE = 5.0, 0.3
EXCERPTS_OF_S = 25.0  # shortest track that two excerpts are taken from
Change = Callable[[np.ndarray, int], np.ndarray]  # sound, number of the track -> sound


@dataclass(frozen=True)
class Song:
    """A file: its sound, mono at 22.05 kHz, and its fingerprint."""

    path: str
    sound: np.ndarray
    codes: np.ndarray


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("libraries", type=Path, nargs="+", metavar="LIBRARY")
    parser.add_argument("--copies-of", type=int, default=2, metavar="N", help="every N-th track")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for library in options.libraries:
        songs = read(library)
        print(f"## {library.name}: {len(songs)} tracks\n")
        as_they_are(songs)
        print()
        long = [song for song in songs if len(song.sound) >= LONG_ENOUGH_S * RATE]
        print(f"{len(songs) - len(long)} tracks are shorter than {LONG_ENOUGH_S:g} s\n")
        copies(songs, long[:: options.copies_of])
        print()
        excerpts([song for song in songs if len(song.sound) >= EXCERPTS_OF_S * RATE])
        print(flush=True)


def read(library: Path) -> list[Song]:
    songs = []
    files = (p for p in sorted(library.rglob("*")) if p.suffix.lower() in AUDIO_SUFFIXES)
    for path in files:
        try:
            decoded = decode(path)
            check(decoded)
        except BadAudio:
            continue
        sound = resample(to_mono(decoded.samples), decoded.sample_rate, RATE)
        songs.append(Song(path.relative_to(library).as_posix(), sound, fingerprint(mel(sound))))
    return songs


def mel(sound: np.ndarray) -> np.ndarray:
    transform = MelTransform()
    spectrum = stft(sound.astype(np.float32), n_fft=transform.n_fft, hop=transform.hop)
    return log_mel(spectrum, transform).astype(np.float16)


# -- duplicates in the library itself ------------------------------------------------------------


def as_they_are(songs: list[Song]) -> None:
    prints = Fingerprints.of([song.codes for song in songs])
    started = time.perf_counter()
    matches = list(Index(prints).matches(prints, within=True))
    matching = time.perf_counter() - started
    spectrograms = [mel(song.sound) for song in songs[:50]]
    started = time.perf_counter()
    for spectrogram in spectrograms:
        fingerprint(spectrogram)
    fingerprinting = time.perf_counter() - started
    truth = same_waveforms(songs)
    pairs = {(m.query, m.reference) for m in matches}
    lowest = sorted(
        (closest(songs[a].codes, songs[b].codes), a, b)
        for a in range(len(songs))
        for b in range(a + 1, len(songs))
        if (a, b) not in pairs and truth[a, b] < SAME_WAVEFORM
    )
    confirmed = [pair for pair in pairs if truth[pair] >= SAME_WAVEFORM]
    missed = [tuple(p) for p in np.argwhere(truth >= SAME_WAVEFORM) if tuple(p) not in pairs]
    print("| | |\n|---|---|")
    print(f"| pairs found that are one recording by their waveforms | {len(confirmed)} |")
    print(f"| pairs missed | {len(missed)} |")
    unconfirmed = len(pairs) - len(confirmed)
    print(f"| pairs found that are not one recording by their waveforms | {unconfirmed} |")
    largest = max((m.bit_error_rate for m in matches), default=0.0)
    print(f"| largest bit error rate of the pairs found | {largest:.3f} |")
    if lowest:
        error, a, b = lowest[0]
        print(f"| smallest bit error rate of all other pairs, at any offset | {error:.3f} |")
    print(
        f"| ms a track: fingerprint; matching | {1e3 * fingerprinting / len(spectrograms):.2f}; "
        f"{1e3 * matching / len(songs):.2f} |"
    )
    print("\n| track | duplicate of | offset, s | overlap, s | bit error rate | waveforms |")
    print("|---|---|---|---|---|---|")
    for m in matches:
        print(
            f"| {songs[m.query].path} | {songs[m.reference].path} "
            f"| {m.offset_frames / FRAMES_PER_SECOND:+.2f} "
            f"| {m.overlap_frames / FRAMES_PER_SECOND:.1f} | {m.bit_error_rate:.3f} "
            f"| {truth[m.query, m.reference]:.2f} |"
        )
    for a, b in missed:
        error = closest(songs[a].codes, songs[b].codes)
        print(f"| MISSED {songs[a].path} | {songs[b].path} | | | {error:.3f} | {truth[a, b]:.2f} |")


def closest(first: np.ndarray, second: np.ndarray) -> float:
    """The smallest bit error rate of two tracks at any offset with enough overlap; else 0.5."""
    if not len(first) or not len(second):
        return 0.5
    size = 1 << (len(first) + len(second)).bit_length()
    (signs, informative), (other_signs, other_informative) = (
        _signs(c, size) for c in (first, second)
    )
    agreement = np.fft.irfft((signs.conj() * other_signs).sum(axis=0), size)
    frames = np.fft.irfft(informative.conj() * other_informative, size).round()
    least = max(MIN_OVERLAP_S * FRAMES_PER_SECOND, MIN_OVERLAP_SHARE * min(len(first), len(second)))
    enough = frames >= least
    if not enough.any():
        return 0.5
    return float((0.5 - agreement[enough] / (2 * N_BITS * frames[enough])).min())


def _signs(codes: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Spectra over time of the bits as -1 and 1 [bit, frequency], and of the informative frames."""
    informative = (codes != SILENT).astype(np.float32)
    bits = (codes[None, :] >> np.arange(N_BITS, dtype=np.uint32)[:, None]) & 1
    return np.fft.rfft((2.0 * bits - 1) * informative, size), np.fft.rfft(informative, size)


def same_waveforms(songs: list[Song]) -> np.ndarray:
    """float32 [song, song], above the diagonal: the largest normalised cross-correlation."""
    band = butter(4, BAND_HZ, "bandpass", fs=SLOW_RATE, output="sos")
    slow = [soxr.resample(song.sound[: 60 * RATE], RATE, SLOW_RATE) for song in songs]
    slow = [sosfiltfilt(band, sound).astype(np.float32) for sound in slow]
    size = 1 << (2 * max(len(sound) for sound in slow) - 1).bit_length()
    spectra = [torch.fft.rfft(torch.from_numpy(sound), size) for sound in slow]
    energies = [np.concatenate([[0.0], np.cumsum(np.square(s, dtype=np.float64))]) for s in slow]
    answer = np.zeros((len(songs), len(songs)), np.float32)
    for a in range(len(songs)):
        for b in range(a + 1, len(songs)):
            products = torch.fft.irfft(spectra[a].conj() * spectra[b], size).numpy()
            answer[a, b] = _peak(products, energies[a], energies[b], size)
    return answer


def _peak(products: np.ndarray, first: np.ndarray, second: np.ndarray, size: int) -> float:
    """The largest of the correlations whose overlap is long enough; polarity does not matter."""
    n_first, n_second = len(first) - 1, len(second) - 1
    least = max(MIN_OVERLAP_S * SLOW_RATE, MIN_OVERLAP_SHARE * min(n_first, n_second))
    lags = np.arange(-n_first + 1, n_second)
    starts = np.maximum(0, -lags)
    ends = np.minimum(n_first, n_second - lags)
    enough = ends - starts >= least
    lags, starts, ends = lags[enough], starts[enough], ends[enough]
    if not len(lags):
        return 0.0
    energy = (first[ends] - first[starts]) * (second[ends + lags] - second[starts + lags])
    return float((np.abs(products[lags % size]) / np.sqrt(np.maximum(energy, 1e-12))).max())


# -- copies made for this test -------------------------------------------------------------------


def copies(songs: list[Song], originals: list[Song]) -> None:
    index = Index(Fingerprints.of([song.codes for song in songs]))
    rows = {song.path: row for row, song in enumerate(songs)}
    pairs = {(m.query, m.reference) for m in index.matches(index.references, within=True)}
    same = pairs | {(b, a) for a, b in pairs}
    print("| copy | found | bit error rate: median | largest | matched to other tracks |")
    print("|---|---|---|---|---|")
    for name, change in (CHANGES | other_songs(originals)).items():
        changed = [fingerprint(mel(change(song.sound, row))) for row, song in enumerate(originals)]
        matches = list(index.matches(Fingerprints.of(changed)))
        own = [m for m in matches if originals[m.query].path == songs[m.reference].path]
        errors = [
            closest(song.codes, codes) for song, codes in zip(originals, changed, strict=True)
        ]
        others = [
            m
            for m in matches
            if m not in own and (rows[originals[m.query].path], m.reference) not in same
        ]
        print(
            f"| {name} | {len(own)} of {len(originals)} | {np.median(errors):.3f} "
            f"| {max(errors):.3f} | {len(others)} |",
            flush=True,
        )


def excerpts(songs: list[Song]) -> None:
    """Two excerpts of each track: from its start, and (as mp3) to its end."""
    print("| overlap, share of an excerpt | seconds | found | matched to other tracks |")
    print("|---|---|---|---|")
    for share in (1 / 2, 0.4, 1 / 3, 0.3, 1 / 4):
        lengths = [int(len(song.sound) / (2 - share)) for song in songs]
        pairs = list(zip(songs, lengths, strict=True))
        first = Fingerprints.of([fingerprint(mel(song.sound[:n])) for song, n in pairs])
        last = [fingerprint(mel(mp3(song.sound[-n:], 128))) for song, n in pairs]
        matches = list(Index(first).matches(Fingerprints.of(last)))
        own = {m.query for m in matches if m.query == m.reference}
        seconds = np.median(lengths) * share / RATE
        print(
            f"| {share:.2f} | {seconds:.1f} | {len(own)} of {len(songs)} "
            f"| {len(matches) - len(own)} |",
            flush=True,
        )


def mp3(sound: np.ndarray, kbits: int) -> np.ndarray:
    """Encode with libmp3lame and decode again; the encoder's delay stays in."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp3") as container:
        stream = container.add_stream("libmp3lame", rate=RATE, layout="mono")
        stream.bit_rate = kbits * 1000
        for start in range(0, len(sound), 576):
            piece = np.ascontiguousarray(sound[None, start : start + 576])
            frame = av.AudioFrame.from_ndarray(piece, format="fltp", layout="mono")
            frame.sample_rate, frame.pts = RATE, start
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    file.seek(0)
    with av.open(file) as container:
        return np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])


def resampled(rate: int) -> Change:
    return lambda sound, _: soxr.resample(soxr.resample(sound, RATE, rate), rate, RATE)


def part(start: float, seconds: float) -> Change:
    def cut(sound: np.ndarray, _: int) -> np.ndarray:
        first = int(start * len(sound))
        return sound[first : first + int(seconds * RATE)]

    return cut


def filtered(gain_db: Change) -> Change:
    """`gain_db(octaves above 1 kHz, number)` -> dB."""

    def change(sound: np.ndarray, number: int) -> np.ndarray:
        octaves = np.log2(np.maximum(np.fft.rfftfreq(len(sound), 1 / RATE), 50) / 1000)
        return np.fft.irfft(np.fft.rfft(sound) * 10 ** (gain_db(octaves, number) / 20), len(sound))

    return change


def other_songs(originals: list[Song]) -> dict[str, Change]:
    """Not copies: another song over the first, as loud between 0.25 and 3.4 kHz, or softer."""
    band = butter(4, (250, 3400), "bandpass", fs=RATE, output="sos")

    def over(level_db: float) -> Change:
        def mix(sound: np.ndarray, number: int) -> np.ndarray:
            other = originals[(number + 1) % len(originals)].sound
            ours, theirs = sosfiltfilt(band, sound), sosfiltfilt(band, np.resize(other, len(sound)))
            gain = 10 ** (level_db / 20) * np.sqrt(np.mean(ours**2) / np.mean(theirs**2))
            return sound + gain * theirs

        return mix

    return {f"(no copy) another song over it, {db} dB": over(db) for db in (-12, -6, 0)}


def equaliser(octaves: np.ndarray, number: int) -> np.ndarray:
    gains = np.random.default_rng(number).uniform(-6, 6, 9)
    return np.interp(octaves, np.linspace(-4.5, 3.5, 9), gains)


def noise(snr_db: float) -> Change:
    def add(sound: np.ndarray, number: int) -> np.ndarray:
        level = np.sqrt(np.mean(np.square(sound))) * 10 ** (-snr_db / 20)
        return sound + level * np.random.default_rng(number).standard_normal(len(sound))

    return add


CHANGES: dict[str, Change] = {
    "mp3, 128 kbit/s": lambda sound, _: mp3(sound, 128),
    "mp3, 64 kbit/s": lambda sound, _: mp3(sound, 64),
    "resampled to 16 kHz and back": resampled(16000),
    "resampled to 11.025 kHz and back": resampled(11025),
    "10 s from the middle": part(0.35, 10),
    "6 s from the middle": part(0.4, 6),
    "starts half a hop later": lambda sound, _: sound[256:],
    "starts 1.7 s and a quarter of a hop later": lambda sound, _: sound[int(1.7 * RATE) + 128 :],
    "12 dB quieter": lambda sound, _: sound / 4,
    "12 dB louder, clipped": lambda sound, _: np.clip(sound * 4, -1, 1),
    "polarity inverted": lambda sound, _: -sound,
    "tilt, +3 dB an octave": filtered(lambda octaves, _: 3 * octaves),
    "tilt, -3 dB an octave": filtered(lambda octaves, _: -3 * octaves),
    "equaliser, 9 bands, up to 6 dB": filtered(equaliser),
    "white noise, 20 dB": noise(20),
    "white noise, 10 dB": noise(10),
    "0.5 % faster": lambda sound, _: soxr.resample(sound, RATE, RATE / 1.005),
    "2 % faster": lambda sound, _: soxr.resample(sound, RATE, RATE / 1.02),
}


if __name__ == "__main__":
    main()
