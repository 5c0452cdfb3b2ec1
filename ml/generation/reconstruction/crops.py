"""Crops of a store as sound: an edited image with the phase of the crop, or inverted values."""

from dataclasses import dataclass

import numpy as np

from melgraph.ml.audio import resample, within_full_scale
from melgraph.ml.audio.loudness import loudness_lufs
from melgraph.ml.generation.inversion import ITERATIONS, invert_stored
from melgraph.ml.representations.images import (
    ImageMapping,
    amplitude_image,
    apply_amplitude_edit,
)
from melgraph.ml.spectral import (
    MelTransform,
    MfccTransform,
    StftTransform,
    waveform_from_stft,
)


def sound_of_image(
    amplitude_db: np.ndarray,
    phase: np.ndarray,
    image: np.ndarray,
    mapping: ImageMapping,
    transform: StftTransform,
) -> np.ndarray:
    """A crop whose amplitude image was edited, with its own phase, as sound.

    Args:
        amplitude_db: `[frame, bin]`, dB re 1.0, of the crop as stored.
        phase: `[frame, bin]`, radians, of the crop as stored.
        image: float32 `[column, row]` in [0, 1], the edited image of the amplitude.
        mapping: of amplitudes to pixels.
        transform: of the STFT.

    Returns:
        float32 `[sample]` at the sample rate of the transform, peak at most 1.
    """
    before = amplitude_image(amplitude_db, mapping, columns=len(image))
    edited = apply_amplitude_edit(amplitude_db, before, image.T, mapping)
    length = max(1, (len(edited) - 1) * transform.hop)
    sound = waveform_from_stft(edited, phase, transform, length=length)
    return within_full_scale(sound[:, None])[0][:, 0]


def sound_of_values(
    values: np.ndarray,
    transform: MelTransform | MfccTransform,
    *,
    iterations: int = ITERATIONS,
    seed: int = 0,
) -> np.ndarray:
    """Log-mel or MFCC frames as sound, with an estimated phase.

    Args:
        values: `[frame, bin]`, as stored.
        transform: of the store.
        iterations: of fast Griffin-Lim.
        seed: of random phases.

    Returns:
        float32 `[sample]` at the sample rate of the transform, peak at most 1.
    """
    sound = invert_stored(values, transform, iterations=iterations, seed=seed)
    return within_full_scale(sound[:, None])[0][:, 0]


@dataclass(frozen=True)
class MatchedSound:
    """A sound at the loudness of another one.

    Attributes:
        samples: float32 `[sample, channel]`, peak at most 1.
        gain: the factor by which the samples were multiplied.
        drift_lu: how much louder the sound was before, LU; None if one of both is too quiet or too
            short to have a loudness, and nothing was changed.
        missing_lu: how much quieter than the other sound it had to stay because of full scale.
    """

    samples: np.ndarray
    gain: float
    drift_lu: float | None
    missing_lu: float


def match_loudness(samples: np.ndarray, like: np.ndarray, rate: int) -> MatchedSound:
    """Make a sound as loud as another one, as far as full scale allows.

    Args:
        samples: float32 `[sample, channel]`.
        like: float32 `[sample, channel]`, the sound whose loudness is wanted.
        rate: of both, Hz.
    """
    levels = [loudness_lufs(one, rate) for one in (like, samples)]
    if levels[0] is None or levels[1] is None:
        scaled, factor = within_full_scale(samples)
        return MatchedSound(scaled, float(factor), None, 0.0)
    drift = levels[1] - levels[0]
    wanted = np.float32(10 ** (-drift / 20))
    scaled, factor = within_full_scale(samples * wanted)
    missing = -20 * float(np.log10(factor))
    return MatchedSound(scaled, float(wanted * factor), drift, missing)


def as_recorded(
    mono: np.ndarray, sample_rate: int, *, like_rate: int, length: int, channels: int
) -> np.ndarray:
    """A mono sound at the sample rate, length and number of channels of a recording.

    Args:
        mono: float32 `[sample]`.
        sample_rate: of it, Hz.
        like_rate: of the recording, Hz.
        length: samples of the recording; the sound is cut, or followed by silence.
        channels: of the recording; all of them are equal.

    Returns:
        float32 `[sample, channel]`.
    """
    sound = resample(mono, sample_rate, like_rate)[:length]
    whole = np.pad(sound, (0, length - len(sound)))
    return np.repeat(whole[:, None], channels, axis=1)
