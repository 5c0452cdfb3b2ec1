"""Tabular features of a track, as librosa 0.11 computes them, from one shared STFT.

Chroma, centroid, bandwidth, roll-off and MFCC are computed from the same spectrum, RMS and zero
crossings from the waveform. The columns are those of the feature table published with GTZAN, plus
each chroma bin separately. Harmonic and percussive parts and the tempo are optional.

Both ends are padded by reflection, as in `ml.spectral.stft` and in librosa up to 0.9. The published
table was computed that way, and ours agrees with it to 0.006 %. librosa 0.10 and later pad with
zeros by default (`pad_mode="reflect"` changes that), which changes a mean near zero over 30 s by up
to 6 %.
"""

from dataclasses import dataclass

import numpy as np
import torch

from melgraph.ml.features.chroma import PITCHES, SpectralPeaks, chroma_of, estimate_tuning
from melgraph.ml.features.frame_features import (
    HOP,
    N_FFT,
    N_MELS,
    N_MFCC,
    mel_decibels,
    mfcc_of,
    spectral_shape,
    waveform_features,
)
from melgraph.ml.features.harmonic_percussive import HarmonicPercussive
from melgraph.ml.features.tempo import TempoEstimate
from melgraph.ml.moments import Moments
from melgraph.ml.spectral import power_of, spectrum_tiles
from melgraph.ml.spectral.framing import TILE, PaddedStream

__all__ = [
    "HOP",
    "N_FFT",
    "N_MELS",
    "N_MFCC",
    "PITCHES",
    "FeatureOptions",
    "FeatureStream",
    "estimate_tuning",
    "feature_names",
    "track_features",
]

TOP_DB = 80.0  # MFCC: mel bands are limited to this distance below the loudest one


@dataclass(frozen=True)
class FeatureOptions:
    """Which optional features are computed, and over how long a window of a track."""

    harmonic_percussive: bool = False  # mean and variance of the harmonic and percussive waveforms
    tempo: bool = False  # beats per minute
    window_s: float = 600.0  # seconds over which tuning, loudest mel band and tempo are estimated

    def window_frames(self, sample_rate: int) -> int:
        """The window in frames, rounded up to whole tiles; at least one tile."""
        frames = 1 + int(self.window_s * sample_rate) // HOP
        return TILE * max(1, -(-frames // TILE))


def _series() -> list[tuple[str, str, str]]:
    """Every per-frame series as (name, unit suffix of its mean, unit suffix of its variance)."""
    return [
        *((f"chroma_{pitch}", "", "") for pitch in PITCHES),
        ("rms", "", ""),
        ("spectral_centroid", "_hz", "_hz2"),
        ("spectral_bandwidth", "_hz", "_hz2"),
        ("spectral_rolloff", "_hz", "_hz2"),
        ("zero_crossing_rate", "", ""),
        *((f"mfcc_{number:02d}", "", "") for number in range(1, N_MFCC + 1)),
    ]


def feature_names(options: FeatureOptions | None = None) -> list[str]:
    """The columns of `track_features`, in order: mean then variance of each series over frames.

    The suffixes `_hz` and `_hz2` are units. RMS is a share of full scale, the zero-crossing rate is
    in crossings per sample, chroma is relative to the strongest bin of its frame, and MFCC are in
    dB (orthonormal DCT-II). `chroma_stft_*` is the mean and variance over all bins and frames
    together. `harmony_*` and `perceptr_*` (the published spelling) are those over all samples.
    `tempo_bpm` is in beats per minute.
    """
    options = options or FeatureOptions()
    names = ["chroma_stft_mean", "chroma_stft_var"]
    for name, mean_unit, variance_unit in _series():
        names += [f"{name}_mean{mean_unit}", f"{name}_var{variance_unit}"]
    if options.harmonic_percussive:
        names += ["harmony_mean", "harmony_var", "perceptr_mean", "perceptr_var"]
    if options.tempo:
        names.append("tempo_bpm")
    return names


def published_name(name: str) -> str:
    """The name of one of our columns in the feature table published with GTZAN."""
    plain = name.removesuffix("_hz").removesuffix("_hz2").removesuffix("_bpm")
    return plain.replace("mfcc_0", "mfcc").replace("mfcc_", "mfcc").replace("spectral_r", "r")


class FeatureStream:
    """`track_features` of a track that arrives in blocks.

    Tuning, loudest mel band and tempo are properties of a whole track, and are estimated over
    windows of `options.window_s`. A track that fits into one window has librosa's values. In a
    longer track each window has its own estimates. The frames of all windows are pooled by the law
    of total variance (`ml.moments`), so each window is weighted by its number of frames.
    The tempo is that of the mean tempogram of all windows.

    Memory per frame: 4.1 kB of power (chroma needs the tuning of the whole window first), 0.5 kB of
    mel bands and about 0.1 to 0.4 kB of peaks. That is 0.2 MB per second of audio, and at most
    130 MB for a window of 600 s at 22050 Hz.
    """

    def __init__(self, sample_rate: int, options: FeatureOptions | None = None) -> None:
        """`sample_rate`: that of the samples, Hz."""
        self._sample_rate = sample_rate
        self._options = options or FeatureOptions()
        self._window_frames = self._options.window_frames(sample_rate)
        self._padded = PaddedStream(N_FFT, HOP)
        self._waveform, self._shape, self._timbre = Moments(), Moments(), Moments()
        self._harmonic = HarmonicPercussive() if self._options.harmonic_percussive else None
        self._tempo = TempoEstimate(sample_rate, HOP) if self._options.tempo else None
        self._n_samples = 0
        self._open_window()

    def push(self, mono: np.ndarray, spectrum: torch.Tensor) -> None:
        """Add the next samples and the next frames, which need not cover the same time.

        Args:
            mono: float32 `[sample]`, finite, full scale 1.0; any number.
            spectrum: complex64 `[bin, frame]`, the next block of `StftStream(N_FFT, HOP)`.

        Raises:
            ValueError: the spectrum has another n_fft, or frames follow an incomplete tile.
        """
        if spectrum.ndim != 2 or spectrum.shape[0] != N_FFT // 2 + 1:
            raise ValueError(
                f"spectrum must be [bin, frame] with {N_FFT // 2 + 1} bins, "
                f"got {tuple(spectrum.shape)}"
            )
        if spectrum.shape[1] and self._shape.count % TILE:
            raise ValueError(
                f"{self._shape.count} frames were added before, which is no multiple of {TILE}: "
                "only the last block may end with an incomplete tile, as StftStream's blocks do"
            )
        for start in range(0, len(mono), TILE * HOP):
            block = mono[start : start + TILE * HOP]
            self._add_waveform(self._padded.push(block), last=False)
        self._n_samples += len(mono)
        for tile in spectrum_tiles(spectrum):
            self._add_tile(tile)

    def finish(self) -> dict[str, float]:
        """End the track and return its features.

        Returns:
            A finite value for each name of `feature_names`, in that order. Variances are population
            variances.

        Raises:
            ValueError: the samples and the spectrum have different numbers of frames.
        """
        self._add_waveform(self._padded.finish(), last=True)
        if self._waveform.count != self._shape.count:
            raise ValueError(
                f"the samples have {self._waveform.count} frames, the spectrum {self._shape.count}"
            )
        self._close_window()
        waveform, shape, timbre = (
            np.stack([moments.mean, moments.variance], axis=1)
            for moments in (self._waveform, self._shape, self._timbre)
        )
        chroma, mfcc = timbre[: len(PITCHES)], timbre[len(PITCHES) :]
        # Law of total variance over all pitches, which have equal numbers of frames.
        values = [chroma[:, 0].mean(), chroma[:, 1].mean() + chroma[:, 0].var()]
        for pairs in (chroma, waveform[:1], shape, waveform[1:], mfcc):  # in the order of `_series`
            values.extend(pairs.ravel())
        if self._harmonic:
            values.extend(self._harmonic.finish(self._n_samples))
        if self._tempo:
            values.append(self._tempo.finish())
        return dict(zip(feature_names(self._options), map(float, values), strict=True))

    def _add_waveform(self, padded: np.ndarray, *, last: bool) -> None:
        rows = waveform_features(padded, first=self._waveform.count == 0, last=last)
        for start in range(0, len(rows), TILE):
            self._waveform.add(rows[start : start + TILE])

    def _add_tile(self, tile: torch.Tensor) -> None:
        """Compute what needs single frames only, and store what needs the whole window."""
        power = power_of(tile)
        magnitude = power.sqrt()
        self._shape.add(spectral_shape(magnitude, sample_rate=self._sample_rate))
        if self._harmonic:
            self._harmonic.add(tile.numpy(), magnitude.numpy())
        self._peaks.add(power.numpy())
        self._powers.append(power)
        self._decibels.append(mel_decibels(power, sample_rate=self._sample_rate))
        if len(self._powers) * TILE == self._window_frames:
            self._close_window()
            self._open_window()

    def _open_window(self) -> None:
        self._peaks = SpectralPeaks(self._sample_rate, N_FFT)
        self._powers: list[torch.Tensor] = []  # [frame, bin] of each tile
        self._decibels: list[torch.Tensor] = []  # [frame, mel] of each tile

    def _close_window(self) -> None:
        """Compute what needs the whole window: chroma, MFCC and tempo."""
        if not self._powers:
            return
        tuning = self._peaks.tuning()
        floor = max(float(decibels.max()) for decibels in self._decibels) - TOP_DB
        for power, decibels in zip(self._powers, self._decibels, strict=True):
            chroma = chroma_of(power, sample_rate=self._sample_rate, tuning=tuning)
            mfcc = mfcc_of(decibels.clamp_min_(floor))
            self._timbre.add(np.concatenate([chroma, mfcc], axis=1))
        if self._tempo:
            self._tempo.add(torch.cat(self._decibels).numpy())


def track_features(
    mono: np.ndarray,
    spectrum: torch.Tensor,
    *,
    sample_rate: int,
    options: FeatureOptions | None = None,
) -> dict[str, float]:
    """Mean and variance over frames of the standard features of one track.

    Args:
        mono: float32 `[sample]`, finite, full scale 1.0; any length, even none.
        spectrum: complex64 `[bin, frame]`, the `ml.spectral.stft` of these samples with n_fft 2048
            and hop 512.
        sample_rate: that of `mono`, Hz.
        options: which optional features to compute; none by default.

    Returns:
        A finite value for each name of `feature_names`, in that order. Variances are population
        variances.

    Raises:
        ValueError: the spectrum has another n_fft or another number of frames than the samples.
    """
    stream = FeatureStream(sample_rate, options)
    stream.push(mono, spectrum)
    return stream.finish()
