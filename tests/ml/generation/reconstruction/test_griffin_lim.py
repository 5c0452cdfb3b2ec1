import numpy as np
import pytest
import torch

from melgraph.ml.generation.reconstruction import griffin_lim
from melgraph.ml.generation.reconstruction.griffin_lim import (
    FixedAmplitude,
    fast_griffin_lim,
    frames_of,
)
from melgraph.ml.generation.reconstruction.phase_gradient import random_phase
from melgraph.ml.spectral import hann, istft, stft

N_FFT, HOP, LENGTH = 512, 128, 12_345


@pytest.fixture
def amplitude() -> np.ndarray:
    sound = np.random.default_rng(0).standard_normal(LENGTH).astype(np.float32)
    magnitude = np.abs(stft(sound, n_fft=N_FFT, hop=HOP).numpy().T)
    return np.ascontiguousarray(magnitude / magnitude.max())


@pytest.fixture
def target(amplitude) -> FixedAmplitude:
    return FixedAmplitude(amplitude, n_fft=N_FFT, hop=HOP, length=LENGTH)


@pytest.mark.parametrize("length", [0, 1, 255, 256, 257, 511, 512, 513, LENGTH])
@pytest.mark.parametrize("hop", [1, 100, 128, 256])
def test_the_number_of_frames(length, hop):
    spectrum = stft(np.zeros(length, np.float32), n_fft=N_FFT, hop=hop)
    assert frames_of(length, n_fft=N_FFT, hop=hop) == spectrum.shape[1]


def test_a_phase_as_torch_inverts_it(amplitude, target):
    """Apart from the ends, where the reflected samples count here, and not there."""
    phase = random_phase(amplitude.shape, np.random.default_rng(1))
    spectrum = torch.polar(torch.from_numpy(amplitude), torch.from_numpy(phase)).T
    expected = istft(spectrum, n_fft=N_FFT, hop=HOP, length=LENGTH)
    inner = slice(N_FFT, -N_FFT)
    np.testing.assert_allclose(target.with_phase(phase)[inner], expected[inner], atol=1e-5)


def test_an_inverse_is_the_least_squares_sound(amplitude, target):
    """No other sound has an STFT nearer to the spectrum: the gradient of the error is zero."""
    phase = random_phase(amplitude.shape, np.random.default_rng(1))
    half = torch.polar(torch.from_numpy(amplitude), torch.from_numpy(phase))
    half[:, [0, -1]] = half[:, [0, -1]].real.to(half.dtype)  # as for any real sound
    goal = torch.cat([half, half[:, 1:-1].flip(1).conj()], dim=1)  # and its negative frequencies
    sound = torch.from_numpy(target.with_phase(phase)).double().requires_grad_()
    padded = torch.nn.functional.pad(sound[None], (N_FFT // 2, N_FFT // 2), mode="reflect")[0]
    spectrum = torch.fft.fft(padded.unfold(0, N_FFT, HOP) * hann(N_FFT).double())
    error = (spectrum - goal).abs().square().sum()
    (gradient,) = torch.autograd.grad(error, sound)
    assert gradient.abs().max() < 1e-5 * error.detach()


def test_the_momentum_of_samples_is_that_of_spectra(amplitude, target):
    """The algorithm as the source has it, on spectra, gives the same sound."""
    momentum, goal = 0.99, torch.from_numpy(amplitude).T
    start = target.with_phase(random_phase(amplitude.shape, np.random.default_rng(1)))
    previous = ahead = stft(start, n_fft=N_FFT, hop=HOP)
    for _ in range(5):
        edited = goal * ahead / ahead.abs()
        sound = target.with_phase(np.ascontiguousarray(edited.angle().T.numpy()))
        consistent = stft(sound, n_fft=N_FFT, hop=HOP)
        ahead = consistent + momentum * (consistent - previous)
        previous = consistent
    ours = fast_griffin_lim(target, start, iterations=5, momentum=momentum)
    np.testing.assert_allclose(ours, sound, atol=1e-4)


def test_machine_code_and_python_agree():
    generator = np.random.default_rng(0)
    spectrum = generator.standard_normal((4, 9, 2)).astype(np.float32)
    spectrum[1, 2] = 0.0
    amplitude = generator.random((4, 9), dtype=np.float32)
    fast, slow = spectrum.copy(), spectrum.copy()
    griffin_lim._set_amplitude(fast, amplitude)
    griffin_lim._set_amplitude.__wrapped__(slow, amplitude)
    np.testing.assert_allclose(fast, slow, rtol=1e-5)
    frames, window = spectrum.reshape(8, 9), generator.random(9, dtype=np.float32)
    totals = np.zeros((2, 40), np.float32)
    griffin_lim._add_frames(frames, window, 3, 1, totals[0])
    griffin_lim._add_frames.__wrapped__(frames, window, 3, 1, totals[1])
    np.testing.assert_allclose(totals[0], totals[1], rtol=1e-5)
