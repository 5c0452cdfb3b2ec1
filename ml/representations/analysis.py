"""From an audio file to everything computed from it, in one decode and in bounded memory.

The file is read block by block. Each block passes through one resampler per sample rate that is
wanted and one STFT per (rate, window, hop), and every representation takes what it needs from
these. However the file is cut into blocks, the bits that come out are the same.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch

from melgraph.ml.audio import Levels, Resampler, check_levels, open_audio, to_mono
from melgraph.ml.features.track_features import HOP, N_FFT, FeatureStream
from melgraph.ml.representations.registry import FEATURE_RATE, FEATURES, KINDS, MEL
from melgraph.ml.spectral import MelTransform, StftStream

BLOCK_S = 5.0  # seconds of audio held at once: 2 MB at 44.1 kHz stereo, which stays in the cache


class Sink(Protocol):
    """Receives an array piece by piece, along its first axis."""

    def append(self, piece: np.ndarray) -> None:
        """Take the next rows."""

    def finish(self) -> Any:
        """What stands for the whole array."""


class InMemory:
    """A sink that gives the whole array."""

    def __init__(self, name: str) -> None:
        self._pieces: list[np.ndarray] = []

    def append(self, piece: np.ndarray) -> None:
        """Take the next rows."""
        self._pieces.append(piece)

    def finish(self) -> np.ndarray:
        """All rows."""
        return np.concatenate(self._pieces)


@dataclass(frozen=True)
class Analysis:
    """What one decode of a file gives.

    Attributes:
        info: duration_s, sample_rate_hz, channels, codec, container, peak_dbfs, rms_dbfs, warning.
        arrays: of each representation that was asked for its arrays by name, `[frame, bin]` or
            `[sample]`, each as its sink gives it.
        features: tabular features by name; None where they were not asked for.
    """

    info: dict[str, Any]
    arrays: dict[str, dict[str, Any]]
    features: dict[str, float] | None


def analyse(
    path: Path,
    wanted: Mapping[str, Any],
    *,
    sink: Callable[[str], Sink] = InMemory,
    block_s: float = BLOCK_S,
) -> Analysis:
    """Decode a file once and compute what is wanted from it.

    Args:
        path: of the file.
        wanted: representation -> its transform or options, as in `ml.representations.registry`.
        sink: makes the receiver of each array, given `representation.array`.
        block_s: seconds of audio in memory at once.

    Raises:
        BadAudio: with a code and a reason, see `ml.audio.decoding`; possibly after most of the
            work, so that what the sinks received is worth nothing.
    """
    levels = Levels()
    with open_audio(path, block_s=block_s) as audio:
        chain = _Chain(wanted, audio.sample_rate, sink)
        for block in audio.blocks():
            levels.add(block)
            chain.push(to_mono(block))
    check_levels(levels, audio.sample_rate)
    info = {
        "duration_s": levels.samples / audio.sample_rate,
        "sample_rate_hz": audio.sample_rate,
        "channels": audio.channels,
        "codec": audio.codec,
        "container": audio.container,
        "peak_dbfs": levels.peak_dbfs,
        "rms_dbfs": levels.rms_dbfs,
        "warning": audio.warning,
    }
    return Analysis(info, *chain.finish())


def log_mel_of(path: Path, transform: MelTransform) -> np.ndarray:
    """The log-mel spectrogram of a file, as the store would hold it: float16 `[frame, mel]`.

    Raises:
        BadAudio: as `analyse`.
    """
    return analyse(path, {MEL: transform}).arrays[MEL]["values"]


class _Stft(NamedTuple):
    """What a representation is made from; no window where it is made from the waveform."""

    rate: int  # Hz
    n_fft: int = 0
    hop: int = 0


class _Chain:
    """From mono blocks to every wanted representation; what two of them share is computed once."""

    def __init__(
        self, wanted: Mapping[str, Any], source_rate: int, sink: Callable[[str], Sink]
    ) -> None:
        self._wanted = {name: how for name, how in wanted.items() if name != FEATURES}
        self._features = None
        self._made_from = {
            name: _Stft(how.sample_rate, getattr(how, "n_fft", 0), getattr(how, "hop", 0))
            for name, how in self._wanted.items()
        }
        if FEATURES in wanted:
            self._features = FeatureStream(FEATURE_RATE, wanted[FEATURES])
            self._made_from[FEATURES] = _Stft(FEATURE_RATE, N_FFT, HOP)
        self._sinks = {
            name: {array: sink(f"{name}.{array}") for array in KINDS[name].arrays}
            for name in self._wanted
        }
        needed = sorted(set(self._made_from.values()))
        self._resamplers = {key.rate: Resampler(source_rate, key.rate) for key in needed}
        self._streams = {key: StftStream(key.n_fft, key.hop) for key in needed if key.n_fft}

    def push(self, mono: np.ndarray) -> None:
        """Take the next block."""
        signals = {rate: r.push(mono) for rate, r in self._resamplers.items()}
        spectra = {key: s.push(signals[key.rate]) for key, s in self._streams.items()}
        self._hand_out(signals, spectra)

    def finish(self) -> tuple[dict[str, dict[str, Any]], dict[str, float] | None]:
        """The signal has ended: the arrays of each representation, and the features."""
        nothing = np.zeros(0, np.float32)
        signals = {rate: r.push(nothing, last=True) for rate, r in self._resamplers.items()}
        spectra = {key: s.push(signals[key.rate]) for key, s in self._streams.items()}
        self._hand_out(signals, spectra)
        signals = dict.fromkeys(signals, nothing)
        self._hand_out(signals, {key: s.finish() for key, s in self._streams.items()})
        arrays = {
            name: {array: sink.finish() for array, sink in sinks.items()}
            for name, sinks in self._sinks.items()
        }
        return arrays, self._features.finish() if self._features else None

    def _hand_out(
        self, signals: Mapping[int, np.ndarray], spectra: Mapping[_Stft, torch.Tensor]
    ) -> None:
        for name, how in self._wanted.items():
            key = self._made_from[name]
            rows = KINDS[name].rows(how, signals[key.rate], spectra.get(key))
            for array, piece in rows.items():
                self._sinks[name][array].append(piece)
        if self._features is not None:
            key = self._made_from[FEATURES]
            self._features.push(signals[key.rate], spectra[key])
