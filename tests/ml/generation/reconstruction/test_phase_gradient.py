import numpy as np
import pytest

from melgraph.ml.generation.reconstruction.phase_gradient import (
    _integrate,
    phase_from_amplitude,
    random_phase,
)
from melgraph.ml.spectral import stft

N_FFT, HOP = 256, 32


def test_machine_code_and_python_agree(monkeypatch):
    amplitude = np.random.default_rng(0).random((30, N_FFT // 2 + 1), dtype=np.float32) ** 3
    amplitude[10:12] = 0.0  # two regions
    settings = {"n_fft": N_FFT, "hop": HOP}
    fast = phase_from_amplitude(amplitude, generator=np.random.default_rng(1), **settings)
    monkeypatch.setitem(phase_from_amplitude.__globals__, "_integrate", _integrate.__wrapped__)
    slow = phase_from_amplitude(amplitude, generator=np.random.default_rng(1), **settings)
    np.testing.assert_allclose(np.exp(1j * fast), np.exp(1j * slow), atol=1e-5)


def test_a_steady_tone_turns_as_it_should():
    """Between the frames, the phase of its bins turns by 2 pi hop / n_fft times the frequency."""
    frequency = 20.3  # bins
    sound = np.sin(2 * np.pi * frequency * np.arange(4000) / N_FFT).astype(np.float32)
    amplitude = np.abs(stft(sound, n_fft=N_FFT, hop=HOP).numpy().T)
    phase = phase_from_amplitude(
        amplitude, n_fft=N_FFT, hop=HOP, generator=np.random.default_rng(0)
    )
    turns = np.diff(phase[20:100, 19:22].astype(np.float64), axis=0)
    error = np.angle(np.exp(1j * (turns - 2 * np.pi * HOP / N_FFT * frequency)))
    assert np.abs(error).max() < 0.02


def test_a_click_has_the_same_phase_as_its_spectrum():
    """All bins of a frame turn alike, by the distance of the click from the start of the frame."""
    sound = np.zeros(4000, np.float32)
    sound[2000] = 1.0
    spectrum = stft(sound, n_fft=N_FFT, hop=HOP).numpy().T
    phase = phase_from_amplitude(
        np.abs(spectrum), n_fft=N_FFT, hop=HOP, generator=np.random.default_rng(0)
    )
    frames = slice(2000 // HOP - 2, 2000 // HOP + 3)  # in which the click is loud
    steps = np.diff((phase - np.angle(spectrum))[frames], axis=1)
    assert np.abs(np.angle(np.exp(1j * steps))).max() < 0.1


def test_quiet_bins_and_the_first_bin_keep_random_phases():
    amplitude = np.full((8, 9), 1e-7, np.float32)
    amplitude[3, 4] = 1.0
    phase = phase_from_amplitude(amplitude, n_fft=16, hop=2, generator=np.random.default_rng(5))
    expected = random_phase(amplitude.shape, np.random.default_rng(5))
    np.testing.assert_array_equal(phase, expected)


@pytest.mark.parametrize("shape", [(1, 2), (5, 2), (1, 9), (7, 9)])
def test_the_smallest_spectrograms(shape):
    amplitude = np.random.default_rng(0).random(shape, dtype=np.float32) + np.float32(0.1)
    phase = phase_from_amplitude(amplitude, n_fft=2 * (shape[1] - 1), hop=1,
                                 generator=np.random.default_rng(0))  # fmt: skip
    assert phase.shape == shape
    assert np.abs(phase).max() <= np.float32(np.pi)
