"""Compute all representations of an audio file from one decode, in bounded memory.

The file is read block by block. Each block passes through one resampler per sample rate and one
STFT per combination of rate, window and hop, which all representations share. The results are
bit-identical for every block size.
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

BLOCK_S = 5.0  # seconds of audio in memory at once: 2 MB at 44.1 kHz stereo fit into the cache


class Sink(Protocol):
    """Receives an array piece by piece, along its first axis."""

    def append(self, piece: np.ndarray) -> None:
        """Add the next rows."""

    def finish(self) -> Any:
        """End the array and return what represents it, such as the array or its place."""


class InMemory:
    """A sink that collects the array in memory."""

    def __init__(self, name: str) -> None:
        self._pieces: list[np.ndarray] = []

    def append(self, piece: np.ndarray) -> None:
        """Add the next rows."""
        self._pieces.append(piece)

    def finish(self) -> np.ndarray:
        """The whole array."""
        return np.concatenate(self._pieces)


@dataclass(frozen=True)
class Analysis:
    """The results of one decode of a file.

    Attributes:
        info: duration_s, sample_rate_hz, channels, codec, container, peak_dbfs, rms_dbfs, warning.
        arrays: representation -> name of the array -> what the array's sink returned. Arrays are
            `[frame, bin]` or `[sample]`.
        features: tabular features by name; None if they were not requested.
    """

    info: dict[str, Any]
    arrays: dict[str, dict[str, Any]]
    features: dict[str, float] | None


def analyse(
    path: Path,
    transforms: Mapping[str, Any],
    *,
    sink: Callable[[str], Sink] = InMemory,
    block_s: float = BLOCK_S,
) -> Analysis:
    """Decode a file once and compute the requested representations.

    >>> import soundfile
    >>> soundfile.write("second.wav", np.sin(np.arange(22_050) / 10), 22_050)
    >>> analyse(Path("second.wav"), {MEL: MelTransform()}).arrays[MEL]["values"].shape
    (44, 128)

    Args:
        path: the audio file.
        transforms: representation -> its transform or options, as in
            `ml.representations.registry`.
        sink: creates the receiver of an array from its name, `representation.array`.
        block_s: seconds of audio in memory at once.

    Raises:
        BadAudio: with a code and a reason, see `ml.audio`. It may be raised only at the end of the
            file; the caller must then discard what the sinks received.
    """
    levels = Levels()
    with open_audio(path, block_s=block_s) as audio:
        chain = _Chain(transforms, audio.sample_rate, sink)
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
    """The log-mel spectrogram of a file, as it is stored: float16 `[frame, mel]`, dB.

    Raises:
        BadAudio: as `analyse`.
    """
    return analyse(path, {MEL: transform}).arrays[MEL]["values"]


class _Input(NamedTuple):
    """The STFT that a representation is computed from; n_fft is 0 if it takes the waveform."""

    rate: int  # Hz
    n_fft: int = 0
    hop: int = 0


class _Chain:
    """Computes representations from mono blocks; shared resampling and STFTs are computed once."""

    def __init__(
        self, transforms: Mapping[str, Any], source_rate: int, sink: Callable[[str], Sink]
    ) -> None:
        self._transforms = {name: how for name, how in transforms.items() if name != FEATURES}
        self._features = None
        self._inputs = {
            name: _Input(how.sample_rate, getattr(how, "n_fft", 0), getattr(how, "hop", 0))
            for name, how in self._transforms.items()
        }
        if FEATURES in transforms:
            self._features = FeatureStream(FEATURE_RATE, transforms[FEATURES])
            self._inputs[FEATURES] = _Input(FEATURE_RATE, N_FFT, HOP)
        self._sinks = {
            name: {array: sink(f"{name}.{array}") for array in KINDS[name].arrays}
            for name in self._transforms
        }
        inputs = sorted(set(self._inputs.values()))
        self._resamplers = {key.rate: Resampler(source_rate, key.rate) for key in inputs}
        self._streams = {key: StftStream(key.n_fft, key.hop) for key in inputs if key.n_fft}

    def push(self, mono: np.ndarray) -> None:
        """Add the next block: float32 `[sample]`."""
        signals = {rate: r.push(mono) for rate, r in self._resamplers.items()}
        spectra = {key: s.push(signals[key.rate]) for key, s in self._streams.items()}
        self._distribute(signals, spectra)

    def finish(self) -> tuple[dict[str, dict[str, Any]], dict[str, float] | None]:
        """End the signal and return the arrays of each representation, and the features."""
        nothing = np.zeros(0, np.float32)
        signals = {rate: r.push(nothing, last=True) for rate, r in self._resamplers.items()}
        spectra = {key: s.push(signals[key.rate]) for key, s in self._streams.items()}
        self._distribute(signals, spectra)
        signals = dict.fromkeys(signals, nothing)
        self._distribute(signals, {key: s.finish() for key, s in self._streams.items()})
        arrays = {
            name: {array: sink.finish() for array, sink in sinks.items()}
            for name, sinks in self._sinks.items()
        }
        return arrays, self._features.finish() if self._features else None

    def _distribute(
        self, signals: Mapping[int, np.ndarray], spectra: Mapping[_Input, torch.Tensor]
    ) -> None:
        """Pass new samples and frames to every representation, and the resulting rows to sinks."""
        for name, how in self._transforms.items():
            key = self._inputs[name]
            rows = KINDS[name].rows(how, signals[key.rate], spectra.get(key))
            for array, piece in rows.items():
                self._sinks[name][array].append(piece)
        if self._features is not None:
            key = self._inputs[FEATURES]
            self._features.push(signals[key.rate], spectra[key])
