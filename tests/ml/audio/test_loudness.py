import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from melgraph.ml.audio.loudness import loudness_lufs, true_peak_db, true_peak_envelope

RATE = 48_000


def sine(hertz: float, amplitude: float, seconds: float, rate: int = RATE) -> np.ndarray:
    return (amplitude * np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)).astype(
        np.float32
    )


def test_a_full_scale_sine_of_997_hz_in_one_channel_has_minus_3_lufs() -> None:
    # BS.1770-4: "a 0 dB FS, 997 Hz sine wave applied to the left channel reads -3.01 LKFS"
    assert loudness_lufs(sine(997, 1.0, 5), RATE) == pytest.approx(-3.01, abs=0.01)


@pytest.mark.parametrize("rate", [16_000, 22_050, 32_000, 44_100, 48_000, 96_000])
def test_the_calibration_tone_of_ebu_tech_3341(rate: int) -> None:
    # Tech 3341, case 1: a stereo sine of 1000 Hz at -23 dBFS per channel reads -23.0 +- 0.1 LUFS
    tone = sine(1000, 10 ** (-23 / 20), 20, rate)
    assert loudness_lufs(np.stack([tone, tone], axis=1), rate) == pytest.approx(-23.0, abs=0.1)


def test_quiet_parts_are_gated() -> None:
    # Tech 3341, case 3: 10 s at -36, 60 s at -23, 10 s at -36 dBFS reads -23.0
    levels = [(-36, 10), (-23, 60), (-36, 10)]
    tone = np.concatenate([sine(1000, 10 ** (level / 20), length) for level, length in levels])
    assert loudness_lufs(np.stack([tone, tone], axis=1), RATE) == pytest.approx(-23.0, abs=0.1)


def test_no_loudness() -> None:
    assert loudness_lufs(np.zeros((RATE, 2), np.float32), RATE) is None
    assert loudness_lufs(sine(1000, 1e-5, 2), RATE) is None  # below the absolute gate
    assert loudness_lufs(sine(1000, 0.5, 0.399), RATE) is None
    assert loudness_lufs(sine(1000, 0.5, 0.4), RATE) is not None
    assert loudness_lufs(np.zeros((0, 2), np.float32), RATE) is None


def test_mono_and_many_channels() -> None:
    tone = sine(1000, 0.1, 2)
    one = loudness_lufs(tone, RATE)
    assert one is not None
    assert loudness_lufs(tone[:, None], RATE) == one
    assert loudness_lufs(np.stack([tone, tone], axis=1), RATE) == pytest.approx(
        one + 3.01, abs=0.01
    )
    assert loudness_lufs(np.stack([tone] * 8, axis=1), RATE) == pytest.approx(one, abs=1e-4)


def test_the_input_is_not_changed() -> None:
    tone = sine(1000, 0.1, 1)[:, None]
    copy = tone.copy()
    loudness_lufs(tone, RATE)
    np.testing.assert_array_equal(tone, copy)


@settings(max_examples=20, deadline=None)
@given(gain_db=st.floats(-20, 12), seed=st.integers(0, 100), rate=st.sampled_from([22_050, 44_100]))
def test_a_gain_moves_the_loudness_by_itself(gain_db: float, seed: int, rate: int) -> None:
    noise = 0.05 * np.random.default_rng(seed).standard_normal((rate, 2))
    before, after = (loudness_lufs(noise * g, rate) for g in (1.0, 10 ** (gain_db / 20)))
    assert before is not None
    assert after is not None
    assert after - before == pytest.approx(gain_db, abs=1e-6)


def test_the_true_peak_lies_between_the_samples() -> None:
    # a quarter of the rate, sampled 45 degrees off its peaks: every sample is 0.707
    tone = np.sin(2 * np.pi * np.arange(4000) / 4 + np.pi / 4)
    assert np.abs(tone).max() == pytest.approx(np.sqrt(0.5))
    middle = tone * np.hanning(4000)
    assert true_peak_db(middle, RATE) == pytest.approx(0.0, abs=0.05)
    assert true_peak_db(np.zeros(100), RATE) == -200.0
    assert true_peak_db(np.zeros((0, 2)), RATE) == -200.0


@settings(max_examples=20, deadline=None)
@given(count=st.integers(1, 5000), channels=st.integers(1, 3), seed=st.integers(0, 9))
def test_the_envelope_never_falls_below_the_samples(count: int, channels: int, seed: int) -> None:
    noise = np.random.default_rng(seed).uniform(-1, 1, (count, channels))
    for rate in (22_050, 96_000, 192_000):
        envelope = true_peak_envelope(noise, rate)
        assert envelope.shape == (count,)
        assert (envelope >= np.abs(noise).max(axis=1)).all()
    assert true_peak_db(noise, 192_000) == pytest.approx(20 * np.log10(np.abs(noise).max()))


def test_runs_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    noise = np.random.default_rng(0).uniform(-1, 1, (5000, 2))
    whole = true_peak_envelope(noise, RATE)
    monkeypatch.setattr("melgraph.ml.audio.loudness._RUN", 700)
    np.testing.assert_allclose(true_peak_envelope(noise, RATE), whole, rtol=1e-12)
