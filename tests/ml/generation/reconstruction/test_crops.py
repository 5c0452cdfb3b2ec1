"""Crops of a store as sound: nothing edited gives back the crop, and lengths and rates fit."""

import numpy as np
import pytest

from melgraph.ml.generation.reconstruction.crops import (
    as_recorded,
    sound_of_image,
    sound_of_values,
)
from melgraph.ml.representations.images import ImageMapping, amplitude_image
from melgraph.ml.spectral import (
    MelTransform,
    MfccTransform,
    StftTransform,
    amplitude_and_phase,
    log_mel,
    mfcc_from_log_mel,
    stft,
)

STFT = StftTransform(sample_rate=16000, n_fft=512, hop=128)


def tone(rate: int, seconds: float = 1.0) -> np.ndarray:
    time = np.arange(round(rate * seconds)) / rate
    return (0.3 * np.sin(2 * np.pi * 440 * time) * (1 + 0.5 * np.sin(9 * time))).astype(np.float32)


def stored_stft(mono: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return amplitude_and_phase(stft(mono, n_fft=STFT.n_fft, hop=STFT.hop), STFT)


def test_an_unedited_image_gives_back_the_crop():
    mono = tone(STFT.sample_rate)
    amplitude, phase = stored_stft(mono)
    mapping = ImageMapping(64)
    image = amplitude_image(amplitude, mapping, columns=40).T
    sound = sound_of_image(amplitude, phase, image, mapping, STFT)
    original = mono[: len(sound)]
    error = np.sum(np.square(sound - original)) / np.sum(np.square(original))
    assert error < 1e-4  # float16: 40 dB


def test_a_brighter_image_is_a_louder_sound_within_full_scale():
    mono = tone(STFT.sample_rate)
    amplitude, phase = stored_stft(mono)
    mapping = ImageMapping(64)
    image = amplitude_image(amplitude, mapping, columns=40).T
    step = np.float32(6.0 / (mapping.high_db - mapping.low_db))
    louder = sound_of_image(amplitude, phase, image + step, mapping, STFT)
    plain = sound_of_image(amplitude, phase, image, mapping, STFT)
    assert np.std(louder) / np.std(plain) == pytest.approx(10 ** (6 / 20), rel=0.02)
    assert np.abs(sound_of_image(amplitude, phase, image + 9 * step, mapping, STFT)).max() <= 1.0


def test_values_of_log_mel_and_mfcc_become_sound():
    transform = MelTransform()
    mono = tone(transform.sample_rate)
    mel = log_mel(stft(mono, n_fft=transform.n_fft, hop=transform.hop), transform)
    sound = sound_of_values(mel, transform)
    again = log_mel(stft(sound, n_fft=transform.n_fft, hop=transform.hop), transform)
    assert len(sound) == (len(mel) - 1) * transform.hop
    assert np.abs(again.max(axis=1)[2:-2] - mel[: len(again)].max(axis=1)[2:-2]).max() < 3.0
    cepstrum = MfccTransform()
    from_mfcc = sound_of_values(mfcc_from_log_mel(mel, cepstrum), cepstrum, iterations=2)
    assert np.isfinite(from_mfcc).all()
    assert 0.0 < np.abs(from_mfcc).max() <= 1.0


@pytest.mark.parametrize(("rate", "length", "channels"), [(44100, 30000, 2), (8000, 9000, 1)])
def test_a_sound_fits_the_recording_beside_it(rate, length, channels):
    mono = tone(22050)
    fitted = as_recorded(mono, 22050, like_rate=rate, length=length, channels=channels)
    assert fitted.shape == (length, channels)
    assert fitted.dtype == np.float32
    assert all(np.array_equal(fitted[:, 0], fitted[:, i]) for i in range(channels))
    if length > rate:  # silence after the end
        assert not fitted[rate + 100 :].any()
