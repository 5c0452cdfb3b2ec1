"""Controls: what to expect of a sound if its generator did nothing, or something at random.

A figure of a generated sound needs a comparison. Each control is computed from the same source. The
identity edit, the inversion alone and mp3 at 64 kbit/s show what is lost on the way through a
spectrogram or a codec. Random phase and matched noise show the effect of a random change.
"""

from dataclasses import dataclass

import numpy as np
import torch

from melgraph.ml.audio import check_sound, resample, to_mono, within_full_scale
from melgraph.ml.evaluation.fidelity import COMMON_RATE, HOP, N_FFT, RANGE_DB, spectral_distance_db
from melgraph.ml.generation.inversion import OVERLAP, invert
from melgraph.ml.generation.mp3 import decode_mp3, encode_mp3, mp3_rate
from melgraph.ml.generation.resynthesis import native_window
from melgraph.ml.spectral import MelTransform, istft, stft

MP3_KBIT_S = 64
DISTANCE_TOLERANCE_DB = 0.1  # of matched noise

_WHERE = "control of a generated sound"
_MAX_GAIN_DB = 60.0  # of matched noise, up and down
_MAX_SCALE = 16.0  # of matched noise, re the edit
_ROUNDS = 24  # of the bisection


def identity(samples: np.ndarray, rate: int) -> np.ndarray:
    """The identity edit: STFT and back, without a change.

    Args:
        samples: float32 `[sample, channel]`.
        rate: Hz.

    Returns:
        float32, the same shape.
    """
    check_sound(samples, rate, "the sound", where=_WHERE)
    return _through_stft(samples, rate, np.ones(1, np.float32))


def random_phase(samples: np.ndarray, rate: int, seed: int) -> np.ndarray:
    """The amplitude of the source with a random phase, inverted without any iteration.

    A uniform random phase is added to that of the source. It is the same one in all channels, so
    that the differences between channels remain.

    Args:
        samples: float32 `[sample, channel]`.
        rate: Hz.
        seed: of the phase.

    Returns:
        float32, the same shape, peak at most 1.
    """
    check_sound(samples, rate, "the sound", where=_WHERE)
    n_fft, hop = _window(rate)
    shape = tuple(stft(samples[:, 0], n_fft=n_fft, hop=hop).T.shape)
    turns = np.random.default_rng(seed).random(shape, dtype=np.float32)
    return within_full_scale(_through_stft(samples, rate, np.exp(2j * np.pi * turns)))[0]


def inversion(samples: np.ndarray, rate: int, seed: int) -> np.ndarray:
    """The inversion alone: the amplitude of the source, and a phase that is estimated from it.

    With windows that overlap by 7/8, as wherever a sound comes back from an amplitude. Each channel
    is inverted by itself.

    Args:
        samples: float32 `[sample, channel]`.
        rate: Hz.
        seed: of the phase where the amplitude says nothing.

    Returns:
        float32, the same shape, peak at most 1.
    """
    check_sound(samples, rate, "the sound", where=_WHERE)
    n_fft, _ = _window(rate)
    hop = n_fft // OVERLAP
    channels = []
    for channel in np.ascontiguousarray(samples.T, dtype=np.float32):
        amplitude = stft(channel, n_fft=n_fft, hop=hop).T.abs().numpy()
        sound = invert(amplitude, n_fft=n_fft, hop=hop, length=len(channel), seed=seed)
        channels.append(sound)
    return within_full_scale(np.stack(channels, axis=1))[0]


def mp3(samples: np.ndarray, rate: int, kbit_s: int = MP3_KBIT_S) -> np.ndarray:
    """The source through an mp3 file of a constant bit rate (LAME), aligned with the source.

    The delay of encoder and decoder is removed by the gapless information of the file. Rates that
    mp3 does not have are resampled to the next one that it has, and back. More than two channels
    become one file for each pair, of `kbit_s` each.

    Args:
        samples: float32 `[sample, channel]`.
        rate: Hz.
        kbit_s: bit rate.

    Returns:
        float32, the same shape, peak at most 1.
    """
    check_sound(samples, rate, "the sound", where=_WHERE)
    coded_rate = mp3_rate(rate)
    pairs = [samples[:, first : first + 2] for first in range(0, samples.shape[1], 2)]
    coded = []
    for pair in pairs:
        at_rate = _resample(pair, rate, coded_rate)
        decoded = decode_mp3(encode_mp3(at_rate, coded_rate, kbit_s), channels=at_rate.shape[1])
        at_source_rate = _resample(_fit(decoded, len(at_rate)), coded_rate, rate)
        coded.append(_fit(at_source_rate, len(samples)))
    return within_full_scale(np.concatenate(coded, axis=1))[0]


@dataclass(frozen=True)
class MatchedNoise:
    """Noise instead of an edit.

    Attributes:
        samples: float32 `[sample, channel]`, peak at most 1.
        distance_db: its log-spectral distance to the source, dB.
        target_db: that of the edited sound.
        scale: factor of the noise in dB, re the edit.
    """

    samples: np.ndarray
    distance_db: float
    target_db: float
    scale: float

    @property
    def matches(self) -> bool:
        """Whether both distances differ by at most 0.1 dB."""
        return abs(self.distance_db - self.target_db) <= DISTANCE_TOLERANCE_DB


def matched_noise(
    source: np.ndarray, edited: np.ndarray, rate: int, seed: int
) -> MatchedNoise | None:
    """The source with noise instead of an edit, as far from the source as the edited sound.

    The edit is taken from the sounds: the difference of their levels in each bin of the STFT, in
    dB. Its two-dimensional Fourier transform gets random phases. The result is Gaussian noise that
    is as smooth along time and along frequency as the edit, but knows nothing of the music. It
    becomes a gain on the amplitude of the source, as edits do, with the phase of the source. Its
    scale is found by bisection, so that the log-spectral distance
    (`ml.evaluation.fidelity.spectral_distance_db`) is that of the edited sound.

    Args:
        source: float32 `[sample, channel]`.
        edited: float32 `[sample, channel]`, at the same rate; the longer one is cut.
        rate: Hz.
        seed: of the noise.

    Returns:
        The noise; None if source or edited sound is silent. `matches` is false where no scale up to
        16 reaches the distance.
    """
    check_sound(source, rate, "the source", where=_WHERE)
    check_sound(edited, rate, "the edited sound", where=_WHERE)
    length = min(len(source), len(edited))
    source, edited = source[:length], edited[:length]
    source_spectrum = _compared(source, rate)
    target = spectral_distance_db(source_spectrum, _compared(edited, rate))
    if target is None:
        return None
    noise = _surrogate(_edit_db(source, edited, rate), seed)
    spectra = _spectra(source, rate)

    def sound_of(scale: float) -> tuple[np.ndarray, float]:
        gain_db = np.clip(scale * noise, -_MAX_GAIN_DB, _MAX_GAIN_DB)
        sound = _sound_of(spectra, (10.0 ** (gain_db / 20.0)).astype(np.float32), rate, length)
        return sound, spectral_distance_db(source_spectrum, _compared(sound, rate)) or 0.0

    low, high, scale = 0.0, _MAX_SCALE, 1.0
    sound, distance = sound_of(scale)
    for _ in range(_ROUNDS):
        if abs(distance - target) <= DISTANCE_TOLERANCE_DB / 2:
            break
        low, high = (scale, high) if distance < target else (low, scale)
        scale = min(2.0 * scale, _MAX_SCALE) if high == _MAX_SCALE else (low + high) / 2.0
        sound, distance = sound_of(scale)
    return MatchedNoise(within_full_scale(sound)[0], distance, target, scale)


def _edit_db(source: np.ndarray, edited: np.ndarray, rate: int) -> np.ndarray:
    """The levels of the edited sound minus those of the source, in mono: float32 `[frame, bin]`."""
    n_fft, hop = _window(rate)
    amplitudes = [
        stft(to_mono(np.asarray(sound, np.float32)), n_fft=n_fft, hop=hop).T.abs().numpy()
        for sound in (source, edited)
    ]
    floors = [amplitude.max() * 10.0 ** (-RANGE_DB / 20.0) for amplitude in amplitudes]
    levels = [
        20.0 * np.log10(np.maximum(amplitude, max(floor, 1e-12)))
        for amplitude, floor in zip(amplitudes, floors, strict=True)
    ]
    edit: np.ndarray = (levels[1] - levels[0]).astype(np.float32)
    return edit


def _surrogate(edit_db: np.ndarray, seed: int) -> np.ndarray:
    """Noise of mean 0 with the two-dimensional power spectrum of an edit: the same shape."""
    # The phases of the transform of white noise are random, and have the symmetry of a real signal.
    white = np.random.default_rng(seed).standard_normal(edit_db.shape)
    spectrum = np.fft.rfft2(white)
    magnitude = np.abs(np.fft.rfft2(edit_db))
    magnitude[0, 0] = 0.0  # a gain of the whole sound is no edit
    surrogate: np.ndarray = np.fft.irfft2(
        magnitude * spectrum / np.maximum(np.abs(spectrum), 1e-12), s=edit_db.shape
    )
    if not surrogate.any():  # an edit that changes nothing but the level
        return white
    return surrogate


def _through_stft(samples: np.ndarray, rate: int, factor: np.ndarray) -> np.ndarray:
    """The sound whose STFT was multiplied by a factor `[frame, bin]`, real or complex."""
    return _sound_of(_spectra(samples, rate), factor, rate, len(samples))


def _spectra(samples: np.ndarray, rate: int) -> list[torch.Tensor]:
    """The STFT of each channel: complex64 `[bin, frame]`."""
    n_fft, hop = _window(rate)
    channels = np.ascontiguousarray(samples.T, dtype=np.float32)
    return [stft(channel, n_fft=n_fft, hop=hop) for channel in channels]


def _sound_of(
    spectra: list[torch.Tensor], factor: np.ndarray, rate: int, length: int
) -> np.ndarray:
    """The sound of STFTs that are multiplied by a factor `[frame, bin]`."""
    n_fft, hop = _window(rate)
    gain = torch.from_numpy(np.ascontiguousarray(factor.T)).to(torch.complex64)
    sounds = [istft(each * gain, n_fft=n_fft, hop=hop, length=length) for each in spectra]
    return np.stack(sounds, axis=1)


def _window(rate: int) -> tuple[int, int]:
    """Window and hop, samples: those of the log-mel spectrogram, at the rate of the file."""
    return native_window(MelTransform(), rate)


def _compared(sound: np.ndarray, rate: int) -> torch.Tensor:
    """The STFT by which the distance of two sounds is measured: complex64 `[bin, frame]`."""
    mono = to_mono(np.asarray(sound, np.float32))
    return stft(resample(mono, rate, min(rate, COMMON_RATE)), n_fft=N_FFT, hop=HOP)


def _resample(samples: np.ndarray, rate: int, to: int) -> np.ndarray:
    if rate == to:
        return samples
    channels = [resample(channel, rate, to) for channel in np.ascontiguousarray(samples.T)]
    return np.stack(channels, axis=1)


def _fit(samples: np.ndarray, length: int) -> np.ndarray:
    """The sound cut, or padded with silence, to a length."""
    return np.pad(samples[:length], ((0, max(0, length - len(samples))), (0, 0)))
