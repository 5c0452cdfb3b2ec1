"""A new phase for a sound: the amplitudes stay, and so does the stereo image."""

import numpy as np
import pytest

from melgraph.ml.generation.style.phase import renew_phase
from melgraph.ml.spectral import stft

RATE = 22050


def chord() -> np.ndarray:
    seconds = np.arange(RATE) / RATE
    tones = sum(np.sin(2 * np.pi * f * seconds) for f in (220.0, 277.2, 329.6, 880.0))
    envelope = 0.1 * (1.2 + np.sin(2 * np.pi * 3 * seconds))
    return np.stack([tones * envelope, 0.25 * tones * envelope], axis=1).astype(np.float32)


def test_amplitudes_and_levels_of_the_channels_stay():
    samples = chord()
    renewed = renew_phase(samples, RATE)
    assert renewed.shape == samples.shape
    assert renewed.dtype == np.float32
    for channel in (0, 1):
        before, after = (
            stft(x[:, channel], n_fft=1024, hop=128).abs().numpy() for x in (samples, renewed)
        )
        assert np.linalg.norm(after - before) < 0.3 * np.linalg.norm(before)
    assert renewed[:, 1].std() / renewed[:, 0].std() == pytest.approx(0.25, rel=1e-3)


def test_the_same_bytes_again():
    assert renew_phase(chord(), RATE).tobytes() == renew_phase(chord(), RATE).tobytes()


def test_silence_stays_silent():
    assert not renew_phase(np.zeros((RATE, 1), np.float32), RATE).any()
