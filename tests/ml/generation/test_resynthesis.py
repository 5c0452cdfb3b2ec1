from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from melgraph.ml.errors import UserError
from melgraph.ml.generation.resynthesis import apply_mel_delta, native_window, snr_db
from melgraph.ml.spectral import MelTransform, log_mel, mel_frequencies, stft

TRANSFORM = MelTransform()
RATES = [8000, 11025, 16000, 22050, 32000, 44100, 48000]


def noise(samples: int, channels: int, *, seed: int = 0, level: float = 0.05) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (level * rng.standard_normal((samples, channels))).astype(np.float32)


def frames_for(samples: int, rate: int) -> int:
    """The frames of the log-mel spectrogram of so much audio."""
    at_its_rate = max(round(samples / rate * TRANSFORM.sample_rate), TRANSFORM.n_fft // 2 + 1)
    return 1 + at_its_rate // TRANSFORM.hop


def zeros_for(samples: np.ndarray, rate: int) -> np.ndarray:
    return np.zeros((frames_for(len(samples), rate), TRANSFORM.n_mels), np.float32)


def apply(samples: np.ndarray, rate: int, delta: np.ndarray, *, max_gain_db: float = 24.0):
    return apply_mel_delta(
        samples, sample_rate=rate, delta_db=delta, transform=TRANSFORM, max_gain_db=max_gain_db
    )


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("channels", [1, 2])
def test_an_empty_edit_gives_the_original_back(rate, channels):
    original = noise(rate, channels)
    result = apply(original, rate, zeros_for(original, rate))
    assert result.samples.shape == original.shape
    assert result.samples.dtype == np.float32
    assert result.gain == 1.0
    assert snr_db(original, result.samples) > 90.0
    assert result.identity_snr_db > 90.0


@settings(max_examples=40, deadline=None)
@given(
    samples=st.integers(1, 9000),
    channels=st.integers(1, 3),
    rate=st.sampled_from(RATES),
)
def test_any_length_comes_back_also_shorter_than_a_window(samples, channels, rate):
    original = noise(samples, channels, seed=samples)
    result = apply(original, rate, zeros_for(original, rate))
    assert snr_db(original, result.samples) > 90.0


def band_levels(mono: np.ndarray, rate: int, edges: list[float]) -> np.ndarray:
    """Level of each band between the edges, dB, from one periodogram of the whole sound."""
    power = np.abs(np.fft.rfft(mono.astype(np.float64))) ** 2
    frequency = np.fft.rfftfreq(len(mono), 1 / rate)
    return np.array(
        [10 * np.log10(power[(frequency >= a) & (frequency < b)].sum()) for a, b in pairwise(edges)]
    )


@pytest.mark.parametrize("rate", RATES)
def test_six_decibels_in_a_band_raise_that_band_only(rate):
    original = noise(3 * rate, 2)
    delta = zeros_for(original, rate)
    centres = mel_frequencies(TRANSFORM)
    delta[:, (centres > 1000) & (centres < 2000)] = 6.0
    result = apply(original, rate, delta)
    edges = [50.0, 800.0, 1200.0, 1800.0, 2300.0, 0.499 * rate]  # the 2nd and 4th are flanks
    for channel in range(2):
        rise = band_levels(result.samples[:, channel], rate, edges) - band_levels(
            original[:, channel], rate, edges
        )
        assert rise[2] == pytest.approx(6.0, abs=0.1)
        assert rise[0] == pytest.approx(0.0, abs=0.02)
        assert rise[4] == pytest.approx(0.0, abs=0.02)


def test_the_edit_is_at_its_place_in_the_mel_spectrogram():
    """At the transform's own rate the new log-mel minus the old one is the delta."""
    original = noise(4 * TRANSFORM.sample_rate, 1)
    rng = np.random.default_rng(1)
    coarse = rng.uniform(-8, 8, (4, 8)).astype(np.float32)  # slow in time, broad in frequency
    at_frame = np.linspace(0, 3, frames_for(len(original), TRANSFORM.sample_rate))
    at_mel = np.linspace(0, 7, TRANSFORM.n_mels)
    in_time = np.stack([np.interp(at_frame, range(4), column) for column in coarse.T], axis=1)
    delta = np.stack([np.interp(at_mel, range(8), row) for row in in_time]).astype(np.float32)
    result = apply(original, TRANSFORM.sample_rate, delta)

    def mel(sound: np.ndarray) -> np.ndarray:
        return log_mel(stft(sound[:, 0], n_fft=TRANSFORM.n_fft, hop=TRANSFORM.hop), TRANSFORM)

    change = mel(result.samples) - mel(original)
    assert np.median(np.abs(change - delta)) < 0.5
    assert np.corrcoef(change.ravel(), delta.ravel())[0, 1] > 0.97


def test_beyond_the_mel_scale_nothing_changes():
    original = noise(44100, 1)
    delta = zeros_for(original, 44100) + 12.0
    result = apply(original, 44100, delta)
    edges = [100.0, 10000.0, 14000.0, 22000.0]
    rise = band_levels(result.samples[:, 0], 44100, edges) - band_levels(
        original[:, 0], 44100, edges
    )
    assert rise[0] == pytest.approx(12.0, abs=0.05)
    assert rise[2] == pytest.approx(0.0, abs=0.02)


def test_the_edit_follows_the_seconds_at_another_rate():
    original = noise(4 * 16000, 1)
    delta = zeros_for(original, 16000)
    delta[len(delta) // 2 :] = 6.0
    result = apply(original, 16000, delta)

    def level(sound: np.ndarray, start: float, stop: float) -> float:
        cut = sound[int(start * 16000) : int(stop * 16000)].astype(np.float64)
        return float(10 * np.log10(np.mean(cut**2)))

    early = level(result.samples, 0.2, 1.8) - level(original, 0.2, 1.8)
    late = level(result.samples, 2.2, 3.8) - level(original, 2.2, 3.8)
    assert early == pytest.approx(0.0, abs=0.05)
    assert late == pytest.approx(6.0, abs=0.1)


def test_a_peak_above_one_is_scaled_down_by_one_reported_factor():
    original = noise(22050, 2, level=0.2)
    delta = zeros_for(original, 22050) + 20.0
    result = apply(original, 22050, delta)
    assert result.gain < 0.5
    assert np.abs(result.samples).max() == pytest.approx(1.0, abs=1e-6)
    assert np.abs(result.samples).max() <= 1.0
    assert snr_db(original * np.float32(10 * result.gain), result.samples) > 60.0


def test_deltas_are_clipped_to_the_largest_gain():
    original = noise(22050, 1, level=0.01)
    delta = zeros_for(original, 22050) + 60.0
    result = apply(original, 22050, delta, max_gain_db=6.0)
    assert snr_db(original * np.float32(10 ** (6 / 20)), result.samples) > 60.0


def test_silence_stays_silence():
    original = np.zeros((22050, 2), np.float32)
    result = apply(original, 22050, zeros_for(original, 22050) + 20.0)
    assert not result.samples.any()
    assert result.gain == 1.0


def test_the_window_lasts_as_long_at_every_rate():
    assert native_window(TRANSFORM, 22050) == (2048, 512)
    assert native_window(TRANSFORM, 44100) == (4096, 1024)
    for rate in RATES:
        n_fft, hop = native_window(TRANSFORM, rate)
        assert n_fft % 2 == 0
        assert n_fft / rate == pytest.approx(2048 / 22050, rel=0.03)
        assert hop / rate == pytest.approx(512 / 22050, rel=0.01)


@pytest.mark.parametrize(
    ("samples", "delta", "message"),
    [
        (noise(22050, 1)[:, 0], np.zeros((44, 128), np.float32), "shape (22050,)"),
        (noise(0, 1), np.zeros((44, 128), np.float32), "shape (0, 1)"),
        (noise(22050, 1), np.zeros((44, 96), np.float32), "128 rows"),
        (noise(22050, 1), np.zeros((88, 128), np.float32), "about 44 frames"),
        (noise(22050, 1), np.full((44, 128), np.nan, np.float32), "5632 values"),
    ],
)
def test_inputs_that_do_not_fit_together_are_refused(samples, delta, message):
    with pytest.raises(UserError) as refused:
        apply(samples, 22050, delta)
    assert message in str(refused.value)


def test_snr_of_equal_scaled_and_silent_sounds():
    one = noise(1000, 1)
    assert snr_db(one, one) == float("inf")
    assert snr_db(one, one * np.float32(0.9)) == pytest.approx(20.0, abs=1e-3)
    assert snr_db(np.zeros_like(one), one) == float("-inf")
    with pytest.raises(ValueError, match="shapes differ"):
        snr_db(one, one[:10])
