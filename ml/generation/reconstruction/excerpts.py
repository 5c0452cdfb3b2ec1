"""An excerpt reduced to a representation and turned back into sound: what the representation holds.

The STFT is that of the file's own sample rate. Its amplitude says nothing about phases between
channels, so all channels get the phase that is estimated from their mean power. Log-mel
spectrograms and MFCC are those of the mono sound at 22,050 Hz, as they are stored: the new sound is
mono, with equal channels.
"""

from dataclasses import dataclass

import numpy as np

from melgraph.ml.audio import check_sound, resample, to_mono, within_full_scale
from melgraph.ml.generation.inversion import OVERLAP, invert, invert_stored
from melgraph.ml.generation.resynthesis import native_window
from melgraph.ml.metrics.reconstruction import (
    log_spectral_distance_db,
    si_sdr_db,
    spectral_convergence_db,
)
from melgraph.ml.specs.methods.inversion import InversionConfig
from melgraph.ml.spectral import (
    MelTransform,
    MfccTransform,
    StftTransform,
    log_mel,
    mfcc_from_log_mel,
    stft,
)


@dataclass(frozen=True)
class InvertedExcerpt:
    """A sound that was reduced to a representation and back.

    Attributes:
        samples: float32 `[sample, channel]`, peak at most 1.
        gain: the factor, at most 1, by which all samples were multiplied so that the peak is at
            most 1.
        spectral_convergence_db: of its STFT to that of the excerpt, both in mono.
        log_spectral_distance_db: of the same STFTs.
        si_sdr_db: of the samples, in mono.
    """

    samples: np.ndarray
    gain: float
    spectral_convergence_db: float
    log_spectral_distance_db: float
    si_sdr_db: float


def invert_excerpt(
    samples: np.ndarray, sample_rate: int, config: InversionConfig, *, seed: int
) -> InvertedExcerpt:
    """Reduce an excerpt to a representation, and turn it back into sound.

    Args:
        samples: float32 `[sample, channel]`.
        sample_rate: Hz.
        config: the representation, and how it becomes sound.
        seed: of random phases.

    Raises:
        UserError: the excerpt has another shape, no samples, or values that are not finite.
    """
    check_sound(samples, sample_rate, "the excerpt", where="inversion of an excerpt")
    invert_it = _from_stft if config.representation == "stft_spectrograms" else _from_mel
    sound = invert_it(np.asarray(samples, np.float32), sample_rate, config, seed)
    before, after = to_mono(samples), to_mono(sound)
    n_fft, hop = _window(sample_rate, OVERLAP)
    spectra = [np.abs(stft(mono, n_fft=n_fft, hop=hop).numpy()).T for mono in (before, after)]
    scaled, gain = within_full_scale(sound)
    return InvertedExcerpt(
        samples=scaled,
        gain=gain,
        spectral_convergence_db=spectral_convergence_db(*spectra),
        log_spectral_distance_db=log_spectral_distance_db(*spectra),
        si_sdr_db=si_sdr_db(before, after),
    )


def _window(sample_rate: int, overlap: int) -> tuple[int, int]:
    """Window and hop, samples, as long as 2048 samples at 44,100 Hz."""
    n_fft, _ = native_window(StftTransform(), sample_rate)
    return n_fft, max(1, n_fft // overlap)


def _from_stft(
    samples: np.ndarray, sample_rate: int, config: InversionConfig, seed: int
) -> np.ndarray:
    """Float32 `[sample, channel]` from the amplitude of each channel."""
    n_fft, hop = _window(sample_rate, config.overlap)

    def sound_of(amplitude: np.ndarray, phase: np.ndarray | None) -> np.ndarray:
        return invert(
            amplitude,
            n_fft=n_fft,
            hop=hop,
            length=len(samples),
            phase=phase,
            iterations=config.iterations,
            seed=seed,
        )

    spectra = [stft(channel, n_fft=n_fft, hop=hop).numpy().T for channel in samples.T]
    amplitudes = [np.abs(spectrum) for spectrum in spectra]
    if config.phase == "original":
        phases = [np.angle(spectrum) for spectrum in spectra]
    else:
        mean = np.sqrt(np.mean([np.square(amplitude) for amplitude in amplitudes], axis=0))
        shared = sound_of(mean, None)
        if len(spectra) == 1:
            return shared[:, None]
        phases = [stft(shared, n_fft=n_fft, hop=hop).angle().numpy().T] * len(spectra)
    return np.stack([sound_of(*pair) for pair in zip(amplitudes, phases, strict=True)], axis=1)


def _from_mel(
    samples: np.ndarray, sample_rate: int, config: InversionConfig, seed: int
) -> np.ndarray:
    """Float32 `[sample, channel]` from the log-mel spectrogram or the MFCC, all channels equal."""
    hop = MelTransform.n_fft // config.overlap
    transform: MelTransform | MfccTransform = MelTransform(hop=hop)
    mono = resample(to_mono(samples), sample_rate, transform.sample_rate)
    spectrum = stft(mono, n_fft=transform.n_fft, hop=hop)
    if config.representation == "mfcc":
        transform = MfccTransform(hop=hop, n_mfcc=config.n_mfcc)
        values = mfcc_from_log_mel(log_mel(spectrum, transform.mel), transform)
    else:
        values = log_mel(spectrum, MelTransform(hop=hop)).astype(np.float16)  # as it is stored
    sound = invert_stored(
        values,
        transform,
        length=len(mono),
        phase=spectrum.angle().numpy().T if config.phase == "original" else None,
        iterations=config.iterations,
        seed=seed,
    )
    at_its_rate = resample(sound, transform.sample_rate, sample_rate)[: len(samples)]
    whole = np.pad(at_its_rate, (0, len(samples) - len(at_its_rate)))
    return np.repeat(whole[:, None], samples.shape[1], axis=1)
