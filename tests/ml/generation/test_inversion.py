import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from melgraph.ml.errors import UserError
from melgraph.ml.generation.inversion import invert, invert_stored, stored_amplitude
from melgraph.ml.metrics.reconstruction import spectral_convergence_db
from melgraph.ml.representations.registry import from_attributes
from melgraph.ml.spectral import (
    MelTransform,
    MfccTransform,
    StftTransform,
    amplitude_and_phase,
    log_mel,
    mfcc_from_log_mel,
    stft,
)

ROOT = Path(__file__).parents[3]
RATE, N_FFT, HOP = 22050, 1024, 128


def noise(length: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.5, 0.5, length).astype(np.float32)


def tone(length: int = RATE) -> np.ndarray:
    """Ten harmonics that glide, and start with a click."""
    seconds = np.arange(length) / RATE
    cycles = 220.0 * seconds + 40.0 * seconds**2
    harmonics = [np.sin(2 * np.pi * k * cycles) / k for k in range(1, 11)]
    return (0.2 * np.sum(harmonics, axis=0)).astype(np.float32)


def spectrum(sound: np.ndarray, n_fft: int = N_FFT, hop: int = HOP) -> np.ndarray:
    return stft(sound, n_fft=n_fft, hop=hop).numpy().T


def convergence(amplitude: np.ndarray, sound: np.ndarray, n_fft: int = N_FFT, hop: int = HOP):
    return spectral_convergence_db(amplitude, np.abs(spectrum(sound, n_fft, hop)))


@given(
    length=st.integers(0, 5000),
    half=st.integers(1, 300),
    overlap=st.sampled_from([4, 5, 8]),
    iterations=st.sampled_from([0, 3]),
)
@settings(max_examples=60)
def test_the_original_phase_gives_the_original(length, half, overlap, iterations):
    """Of every length, also of less than a frame."""
    n_fft, sound = 2 * half, noise(length)
    hop = max(1, n_fft // overlap)
    if hop > n_fft // 4:
        return  # the last samples may be in the end of a window only
    original = spectrum(sound, n_fft, hop)
    restored = invert(
        np.abs(original), n_fft=n_fft, hop=hop, length=length, phase=np.angle(original),
        iterations=iterations,
    )  # fmt: skip
    assert restored.dtype == np.float32
    np.testing.assert_allclose(restored, sound, atol=1e-4)


@pytest.mark.parametrize("hop", [N_FFT // 4, N_FFT // 8])
def test_estimated_phases_are_better_than_random_ones(hop):
    amplitude = np.abs(spectrum(tone(), hop=hop))
    figures = {
        (method, iterations): convergence(
            amplitude,
            invert(
                amplitude, n_fft=N_FFT, hop=hop, length=RATE, method=method, iterations=iterations
            ),
            hop=hop,
        )
        for method in ("phase-gradient", "random-phase")
        for iterations in (0, 8)
    }
    assert figures["phase-gradient", 0] < -20
    assert figures["phase-gradient", 8] < -24
    assert figures["phase-gradient", 0] < figures["random-phase", 8] < figures["random-phase", 0]


def test_more_iterations_come_nearer():
    amplitude = np.abs(spectrum(tone() + 0.1 * noise(RATE)))
    figures = [
        convergence(amplitude, invert(amplitude, n_fft=N_FFT, hop=HOP, length=RATE, iterations=n))
        for n in (0, 4, 16, 64)
    ]
    assert figures == sorted(figures, reverse=True)


def test_an_edited_phase_is_used():
    """A phase that is turned by half a circle inverts the sound."""
    original = spectrum(tone())
    turned = invert(np.abs(original), n_fft=N_FFT, hop=HOP, phase=np.angle(original) + np.pi)
    assert 0 <= RATE - len(turned) < HOP
    np.testing.assert_allclose(turned, -tone()[: len(turned)], atol=1e-4)


@pytest.mark.parametrize("method", ["phase-gradient", "random-phase"])
def test_the_same_seed_gives_the_same_bytes(method):
    amplitude = np.abs(spectrum(tone(8000)))
    before = amplitude.tobytes()
    settings = {"n_fft": N_FFT, "hop": HOP, "method": method, "length": 8000}
    first, again = (invert(amplitude, seed=3, **settings).tobytes() for _ in range(2))
    assert first == again
    assert first != invert(amplitude, seed=4, **settings).tobytes()
    assert amplitude.tobytes() == before


def test_the_same_bytes_in_another_process():
    program = (
        "import sys; from tests.ml.generation.test_inversion import *; "
        "amplitude = np.abs(spectrum(tone(8000))); "
        "sys.stdout.write(invert(amplitude, n_fft=N_FFT, hop=HOP).tobytes().hex())"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT)
    expected = invert(np.abs(spectrum(tone(8000))), n_fft=N_FFT, hop=HOP).tobytes().hex()
    assert ran.stdout == expected, ran.stderr


@pytest.mark.parametrize("length", [0, 1, 100, 513, 5000])
@pytest.mark.parametrize("method", ["phase-gradient", "random-phase"])
def test_silence_remains_silence_and_short_sounds_have_their_length(length, method):
    settings = {"n_fft": N_FFT, "hop": HOP, "length": length, "method": method}
    silence = invert(np.abs(spectrum(np.zeros(length, np.float32))), **settings)
    assert silence.tobytes() == np.zeros(length, np.float32).tobytes()
    sound = invert(np.abs(spectrum(noise(length))), **settings)
    assert len(sound) == length
    assert np.isfinite(sound).all()


@pytest.mark.parametrize("factor", [1e-30, 1e-6, 1e6, 1e30])
def test_the_scale_of_the_amplitude_is_that_of_the_sound(factor):
    amplitude = np.abs(spectrum(tone(4000)))
    sound = invert(amplitude, n_fft=N_FFT, hop=HOP)
    scaled = invert(amplitude * np.float32(factor), n_fft=N_FFT, hop=HOP)
    np.testing.assert_allclose(scaled / np.float32(factor), sound, atol=1e-4)


GOOD = np.ones((9, N_FFT // 2 + 1), np.float32)


@pytest.mark.parametrize(
    ("amplitude", "settings", "message"),
    [
        (GOOD[0], {}, "has the shape"),
        (GOOD[:0], {}, "has the shape"),
        (GOOD[:, 1:], {}, "has the shape"),
        (GOOD * np.nan, {}, "4617 of 4617 values are not finite"),
        (GOOD.astype(np.float64) * 1e300, {}, "not finite"),
        (-GOOD, {}, "lowest amplitude is -1"),
        (GOOD, {"phase": GOOD[1:]}, r"a phase of shape \(8, 513\)"),
        (GOOD, {"phase": GOOD * np.inf}, "not finite"),
        (GOOD, {"length": 5000}, "9 frames for 5000 samples, which have 40"),
        (GOOD, {"length": -1}, "9 frames for -1 samples"),
        (GOOD[:2], {}, "even the shortest sound has 5 frames"),
        (GOOD, {"hop": 0}, "hop 0"),
        (GOOD, {"hop": 513}, "hop 513"),
        (GOOD, {"n_fft": 1023}, "n_fft 1023"),
        (GOOD, {"iterations": -1}, "iterations -1"),
        (GOOD, {"momentum": 1.5}, "momentum 1.5"),
        (GOOD, {"method": "guess"}, "use one of phase-gradient, random-phase"),
    ],
)
def test_input_that_does_not_fit_is_one_clear_error(amplitude, settings, message):
    with pytest.raises(UserError, match=message):
        invert(amplitude, **{"n_fft": N_FFT, "hop": HOP, **settings})


# --- from a store ------------------------------------------------------------------------------

MEL = MelTransform(hop=256)
MFCC = MfccTransform(hop=256, n_mfcc=40)
STFT = StftTransform(sample_rate=RATE, hop=256)


def stored(transform: object, sound: np.ndarray) -> np.ndarray:
    """As a store holds it: float16."""
    whole = stft(sound, n_fft=2048, hop=256)
    if isinstance(transform, StftTransform):
        return amplitude_and_phase(whole, transform)[0]
    if isinstance(transform, MelTransform):
        return log_mel(whole, transform).astype(np.float16)
    return mfcc_from_log_mel(log_mel(whole, transform.mel), transform)


def test_a_stranger_inverts_a_store_with_its_attributes():
    sound = tone()
    amplitude, phase = amplitude_and_phase(stft(sound, n_fft=2048, hop=256), STFT)
    transform = from_attributes("stft_spectrograms", STFT.attributes())
    restored = invert_stored(amplitude, transform, phase=phase, length=len(sound))
    np.testing.assert_allclose(restored, sound, atol=2e-3)


@pytest.mark.parametrize(
    ("transform", "limit_db"),
    [(STFT, -25.0), (MEL, -4.0), (MFCC, -1.0)],
    ids=["stft", "mel", "mfcc"],
)
def test_each_representation_becomes_a_sound_like_the_original(transform, limit_db):
    """MFCC have neither pitch nor harmonics: only their envelope returns."""
    sound = tone()
    restored = invert_stored(stored(transform, sound), transform, length=len(sound))
    amplitude = np.abs(spectrum(sound, 2048, 256))
    assert convergence(amplitude, restored, 2048, 256) < limit_db
    assert np.std(restored) == pytest.approx(np.std(sound), rel=0.5)


@pytest.mark.parametrize("transform", [STFT, MEL, MFCC], ids=["stft", "mel", "mfcc"])
def test_stored_silence_is_silence(transform):
    values = stored(transform, np.zeros(4000, np.float32))
    assert not stored_amplitude(values, transform).any()
    assert not invert_stored(values, transform, length=4000).any()


@pytest.mark.parametrize(
    ("values", "transform", "message"),
    [
        (np.zeros((20, 128)), STFT, "1025 bins per frame"),
        (np.zeros((20, 1025)), MEL, "128 mel bands per frame"),
        (np.zeros((20, 128)), MFCC, "40 coefficients per frame"),
        (np.zeros((0, 128)), MEL, "at least one frame"),
        (np.full((20, 128), np.inf), MEL, "not finite"),
        (np.full((20, 40), np.nan), MFCC, "not finite"),
        (np.full((20, 1025), 1e4), STFT, "not linear amplitudes"),
    ],
)
def test_values_of_another_representation_are_refused(values, transform, message):
    with pytest.raises(UserError, match=message):
        invert_stored(values, transform)


def test_an_unknown_inverse_of_the_filters_is_refused():
    with pytest.raises(UserError, match="use one of multiplicative, pseudo-inverse"):
        stored_amplitude(np.zeros((20, 128)), MEL, mel_inverse="guess")
