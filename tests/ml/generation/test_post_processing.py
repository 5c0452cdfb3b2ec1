import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from melgraph.ml.audio.loudness import loudness_lufs, true_peak_db
from melgraph.ml.errors import UserError
from melgraph.ml.generation import post_processing
from melgraph.ml.specs.methods.post_processing import (
    Fades,
    HighPass,
    Loudness,
    PostStep,
    SpectralGate,
    TruePeakLimiter,
)

RATE = 22_050


def sine(hertz: float, amplitude: float = 0.5, seconds: float = 2.0) -> np.ndarray:
    at = np.arange(int(seconds * RATE)) / RATE
    return (amplitude * np.sin(2 * np.pi * hertz * at)).astype(np.float32)[:, None]


def noise(
    count: int = 2 * RATE, channels: int = 2, seed: int = 0, scale: float = 0.1
) -> np.ndarray:
    random = np.random.default_rng(seed)
    return (scale * random.standard_normal((count, channels))).astype(np.float32)


def rms(samples: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))


ALL = [HighPass(), SpectralGate(), Loudness(), TruePeakLimiter(), Fades()]


@settings(max_examples=25, deadline=None)
@given(
    steps=st.lists(st.sampled_from(ALL), max_size=4),
    count=st.integers(1, 3 * RATE),
    channels=st.integers(1, 3),
    scale=st.sampled_from([0.0, 0.01, 0.5]),
)
def test_any_steps_on_any_sound(
    steps: list[PostStep], count: int, channels: int, scale: float
) -> None:
    sound = noise(count, channels, scale=scale)
    copy = sound.copy()
    result, facts = post_processing.apply(sound, RATE, steps)
    again, _ = post_processing.apply(sound, RATE, steps)
    assert result.shape == sound.shape
    assert result.dtype == np.float32
    assert np.isfinite(result).all()
    assert np.abs(result).max() <= 1.0
    assert [fact["step"] for fact in facts][: len(steps)] == [step.step for step in steps]
    assert result.tobytes() == again.tobytes()
    np.testing.assert_array_equal(sound, copy)


def test_no_step_changes_nothing() -> None:
    sound = noise()
    result, facts = post_processing.apply(sound, RATE, [])
    np.testing.assert_array_equal(result, sound)
    assert facts == []


def test_what_exceeds_full_scale_is_attenuated_and_not_clipped() -> None:
    result, facts = post_processing.apply(2 * sine(440, 1.0), RATE, [])
    assert facts == [{"step": "full_scale", "gain_db": -6.02}]
    np.testing.assert_allclose(result, sine(440, 1.0), atol=1e-4)


def test_high_pass() -> None:
    step = HighPass(cutoff_hz=200, order=4)
    for hertz, gain_db in ((50, -80), (200, -6.02), (2000, 0.0)):
        (result, _) = post_processing.apply(sine(hertz), RATE, [step])
        middle = slice(RATE // 2, -RATE // 2)
        got = 20 * np.log10(rms(result[middle]) / rms(sine(hertz)[middle]))
        assert got == pytest.approx(gain_db, abs=0.1) or got < gain_db < -70
    (above, facts) = post_processing.apply(sine(2000), RATE, [step])
    middle = slice(RATE // 2, -RATE // 2)
    np.testing.assert_allclose(above[middle], sine(2000)[middle], atol=1e-4)  # zero phase
    assert facts == [{"step": "high_pass", "removed_share_of_power": pytest.approx(0, abs=1e-3)}]
    with pytest.raises(UserError, match="no frequencies above 500 Hz"):
        post_processing.apply(sine(100), 1000, [HighPass(cutoff_hz=500)])


def test_the_gate_lowers_noise_and_leaves_the_tone() -> None:
    sound = noise(4 * RATE, 1, scale=0.001)
    tone = sine(1000, 0.5, 1.0)
    sound[RATE : 2 * RATE] += tone
    result, (facts,) = post_processing.apply(sound, RATE, [SpectralGate(reduction_db=12)])
    quiet, loud = slice(3 * RATE, 4 * RATE), slice(RATE + 4000, 2 * RATE - 4000)
    assert 20 * np.log10(rms(result[quiet]) / rms(sound[quiet])) < -5
    assert rms(result[loud]) == pytest.approx(rms(sound[loud]), rel=0.01)
    assert 5 < facts["mean_reduction_db"] < 12


def test_loudness_hits_the_target() -> None:
    sound = noise(5 * RATE, scale=0.05)
    result, (facts,) = post_processing.apply(sound, RATE, [Loudness(target_lufs=-20)])
    assert loudness_lufs(result, RATE) == pytest.approx(-20, abs=0.01)
    assert facts["after_lufs"] == -20
    assert facts["gain_db"] == pytest.approx(-20 - facts["before_lufs"], abs=0.011)


def test_loudness_is_limited_and_skips_silence() -> None:
    quiet = noise(5 * RATE, scale=0.0005)
    _, (facts,) = post_processing.apply(quiet, RATE, [Loudness(target_lufs=-16, max_gain_db=6)])
    assert facts["gain_db"] == 6
    silent = np.zeros((RATE, 1), np.float32)
    result, (facts,) = post_processing.apply(silent, RATE, [Loudness()])
    assert facts == {"step": "loudness", "before_lufs": None, "after_lufs": None, "gain_db": 0.0}
    assert not result.any()


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 1000),
    gain=st.floats(0.2, 8.0),
    ceiling=st.sampled_from([0.0, -1.0, -6.0]),
    lookahead=st.sampled_from([0.1, 1.0, 5.0]),
    count=st.integers(1, 20_000),
)
def test_the_true_peak_stays_below_the_ceiling(
    seed: int, gain: float, ceiling: float, lookahead: float, count: int
) -> None:
    random = np.random.default_rng(seed)
    sound = (gain * random.laplace(scale=0.2, size=(count, 2))).astype(np.float32)
    step = TruePeakLimiter(ceiling_db=ceiling, lookahead_ms=lookahead)
    result, facts = post_processing.apply(sound, RATE, [step])
    assert true_peak_db(result, RATE) <= ceiling
    assert facts[0]["after_db"] <= ceiling
    with np.errstate(divide="ignore", invalid="ignore"):
        gains = np.where(sound != 0, result / sound, 1.0)
    assert gains.max() <= 1.0 + 1e-5  # never louder
    np.testing.assert_allclose(gains[:, 0], gains[:, 1], rtol=1e-3)  # both channels alike


def test_a_limiter_leaves_quiet_sound_and_reaches_its_ceiling() -> None:
    quiet = sine(440, 0.5)
    result, (facts,) = post_processing.apply(quiet, RATE, [TruePeakLimiter(ceiling_db=-1)])
    np.testing.assert_array_equal(result, quiet)
    assert facts["largest_reduction_db"] == 0
    loud, (facts,) = post_processing.apply(sine(440, 2.0), RATE, [TruePeakLimiter(ceiling_db=-1)])
    assert true_peak_db(loud, RATE) == pytest.approx(-1, abs=0.05)
    assert facts["largest_reduction_db"] == pytest.approx(7.02, abs=0.1)


def test_the_gain_of_the_limiter_falls_before_a_peak_and_rises_slowly() -> None:
    sound = np.full((RATE, 1), 0.1, np.float32)
    sound[RATE // 2] = 1.9  # one click
    step = TruePeakLimiter(ceiling_db=0, lookahead_ms=10, release_db_s=100)
    result, _ = post_processing.apply(sound, RATE, [step])
    gain_db = 20 * np.log10(result[:, 0] / sound[:, 0])
    ahead = round(0.01 * RATE)
    assert not gain_db[: RATE // 2 - ahead - 2].any()
    assert np.diff(gain_db).max() <= 100 / RATE * 1.01 + 1e-4  # the release
    assert gain_db.min() == pytest.approx(gain_db[RATE // 2], abs=0.05)
    assert not gain_db[RATE // 2 + int(0.1 * RATE) :].any()  # 6 dB in 60 ms, after the look-ahead


def test_fades() -> None:
    sound = np.ones((RATE, 2), np.float32)
    result, (facts,) = post_processing.apply(sound, RATE, [Fades(in_ms=100, out_ms=200)])
    assert facts == {"step": "fades", "in_ms": 100.0, "out_ms": 200.0}
    into, out = RATE // 10, RATE // 5
    assert result[0, 0] == 0
    assert result[-1, 0] == pytest.approx(0)
    assert result[into // 2, 0] == pytest.approx(0.5, abs=1e-3)
    assert result[RATE - out // 2 - 1, 1] == pytest.approx(0.5, abs=1e-3)
    assert (result[into:-out] == 1).all()
    _, (short,) = post_processing.apply(sound[:100], RATE, [Fades(in_ms=9000, out_ms=9000)])
    assert short["in_ms"] == pytest.approx(50_000 / RATE, abs=0.01)


@pytest.mark.parametrize(
    ("samples", "rate", "message"),
    [
        (np.zeros(10, np.float32), RATE, "shape"),
        (np.zeros((0, 2), np.float32), RATE, "shape"),
        (np.full((10, 1), np.nan, np.float32), RATE, "10 values that are not finite"),
        (np.zeros((10, 1), np.float32), 0, "at 0 Hz"),
    ],
)
def test_errors(samples: np.ndarray, rate: int, message: str) -> None:
    with pytest.raises(UserError, match=message):
        post_processing.apply(samples, rate, ALL)
