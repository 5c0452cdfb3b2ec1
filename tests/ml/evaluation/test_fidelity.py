import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from melgraph.ml.errors import UserError
from melgraph.ml.evaluation.fidelity import (
    OCTAVE_BANDS_HZ,
    clipping_share,
    compare,
    octave_levels_db,
    silence_share,
)

RATE = 44_100


def sine(hertz: float, seconds: float = 2.0, rate: int = RATE) -> np.ndarray:
    at = np.arange(int(seconds * rate)) / rate
    return (0.5 * np.sin(2 * np.pi * hertz * at)).astype(np.float32)[:, None]


def noise(seconds: float = 3.0, channels: int = 1, seed: int = 0, rate: int = RATE) -> np.ndarray:
    random = np.random.default_rng(seed)
    return (0.1 * random.standard_normal((int(seconds * rate), channels))).astype(np.float32)


def melody(notes: list[int], seed: int = 0) -> np.ndarray:
    """Decaying tones with three harmonics, two a second."""
    at = np.arange(RATE // 2) / RATE
    parts = []
    for note in notes:
        hertz = 220 * 2 ** (note / 12)
        tones = sum(np.sin(2 * np.pi * k * hertz * at) / k for k in (1, 2, 3))
        parts.append(0.2 * tones * np.exp(-6 * at))
    return np.concatenate(parts).astype(np.float32)[:, None]


NOTES = [0, 4, 7, 12, 5, 9, 0, 2]


def test_the_source_itself() -> None:
    source = melody(NOTES)
    same = compare(source, RATE, source.copy(), RATE)
    assert same.chroma_correlation == pytest.approx(1)
    assert same.onset_correlation == pytest.approx(1)
    assert same.log_spectral_distance_db == 0
    assert same.loudness_difference_lu == 0
    assert same.clipping_share == 0
    assert {band for band in same.octave_difference_db if band is not None} == {0.0}


def test_a_gain_changes_level_and_bands_only() -> None:
    source = melody(NOTES)
    half = compare(source, RATE, source * np.float32(0.5), RATE)
    assert half.chroma_correlation == pytest.approx(1, abs=1e-4)
    assert half.onset_correlation == pytest.approx(1, abs=2e-2)
    assert half.log_spectral_distance_db == pytest.approx(0, abs=1e-4)
    assert half.loudness_difference_lu == pytest.approx(-6.02, abs=0.01)
    assert half.octave_difference_db[3] == pytest.approx(-6.02, abs=0.01)  # 250 Hz


def test_another_melody_in_the_same_rhythm() -> None:
    other = compare(melody(NOTES), RATE, melody([n + 6 for n in NOTES]), RATE)
    assert other.chroma_correlation is not None
    assert other.onset_correlation is not None
    assert other.chroma_correlation < 0.2
    assert other.onset_correlation > 0.8


def test_the_same_chord_in_another_rhythm() -> None:
    chord = melody([0] * 8)
    steady = np.concatenate([melody([0]), np.zeros((RATE, 1), np.float32), melody([0] * 5)])
    other = compare(chord, RATE, steady, RATE)
    assert other.onset_correlation is not None
    assert other.onset_correlation < 0.9


def test_the_distance_of_a_known_tilt() -> None:
    # A filter that is 0 dB below 5512 Hz and -20 dB above: half of the bins change by 20 dB. White
    # noise then has about half its power, hence both halves move by 3 dB to the same power.
    source = noise(3.0, rate=22_050)
    spectrum = np.fft.rfft(source[:, 0])
    spectrum[len(spectrum) // 2 :] *= 0.1
    filtered = np.fft.irfft(spectrum, len(source)).astype(np.float32)[:, None]
    power = 0.5 * (1 + 0.01)
    up, down = -10 * np.log10(power), -20 - 10 * np.log10(power)
    distance = compare(source, 22_050, filtered, 22_050).log_spectral_distance_db
    assert distance == pytest.approx(np.sqrt((up**2 + down**2) / 2), abs=0.3)


def test_octave_bands() -> None:
    levels = octave_levels_db(sine(1000), RATE)
    assert levels[OCTAVE_BANDS_HZ.index(1000)] == pytest.approx(10 * np.log10(0.125), abs=0.01)
    others = np.delete(levels, OCTAVE_BANDS_HZ.index(1000))
    assert others.max() < -60
    # white noise: 3 dB more in each octave, and its power in all of them
    white = octave_levels_db(noise(10.0), RATE)
    np.testing.assert_allclose(np.diff(white)[2:-1], 3.01, atol=0.5)
    low = octave_levels_db(noise(2.0, rate=16_000), 16_000)
    assert np.isnan(low[-2:]).all()
    assert not np.isnan(low[:-2]).any()


def test_lost_treble_shows_in_its_band_and_rates_may_differ() -> None:
    source = noise(3.0)
    from melgraph.ml.audio import resample

    generated = resample(source[:, 0], RATE, 22_050)[:, None]
    result = compare(source, RATE, generated, 22_050)
    assert result.octave_difference_db[-1] is None  # 22,050 Hz has no such band
    assert result.octave_difference_db[5] == pytest.approx(0, abs=0.2)
    back = resample(generated[:, 0], 22_050, RATE)[:, None]
    lost = compare(source, RATE, back, RATE).octave_difference_db[-1]
    assert lost is not None
    assert lost < -40


def test_clipping_and_silence() -> None:
    sound = np.zeros((1000, 2), np.float32)
    sound[10:13, 0] = 1.0  # clipped
    sound[20:22, 0] = 1.0  # a peak of two samples is not
    sound[30:40, 1] = [-1.0, 1.0] * 5
    assert clipping_share(sound) == pytest.approx(13 / 2000)
    assert clipping_share(sound[:2]) == 0
    half = np.concatenate([noise(1.0), np.zeros((RATE, 1), np.float32)])
    assert silence_share(half, RATE) == pytest.approx(0.5, abs=0.03)
    assert silence_share(np.full((1, 1), 1e-4), RATE) == 1


@settings(max_examples=20, deadline=None)
@given(
    count=st.integers(1, 30_000),
    other=st.integers(1, 30_000),
    rates=st.tuples(*[st.sampled_from([8000, 16_000, 22_050, 44_100, 96_000])] * 2),
    scale=st.sampled_from([0.0, 1e-6, 1.0]),
)
def test_any_two_sounds(count: int, other: int, rates: tuple[int, int], scale: float) -> None:
    random = np.random.default_rng(count)
    source = random.uniform(-1, 1, (count, 2)).astype(np.float32)
    generated = (scale * random.uniform(-1, 1, (other, 1))).astype(np.float32)
    for first, second in ((source, generated), (generated, source)):
        result = compare(first, rates[0], second, rates[1])
        figures = [result.chroma_correlation, result.onset_correlation, result.true_peak_db]
        figures += [result.log_spectral_distance_db, *result.octave_difference_db]
        assert all(np.isfinite(figure) for figure in figures if figure is not None)
        assert 0 <= result.clipping_share <= 1
        assert 0 <= result.silence_share <= 1


def test_silence_has_no_figures() -> None:
    silent = np.zeros((RATE, 1), np.float32)
    result = compare(silent, RATE, silent, RATE)
    assert result.chroma_correlation is None
    assert result.onset_correlation is None
    assert result.log_spectral_distance_db is None
    assert result.loudness_difference_lu is None
    assert set(result.octave_difference_db) == {None}
    assert result.silence_share == 1


@pytest.mark.parametrize(
    ("sound", "message"),
    [
        (np.zeros(5, np.float32), r"shape \(5,\)"),
        (np.zeros((0, 1), np.float32), "shape"),
        (np.full((5, 1), np.inf, np.float32), "5 values that are not finite"),
    ],
)
def test_errors(sound: np.ndarray, message: str) -> None:
    with pytest.raises(UserError, match=f"the source has .*{message}"):
        compare(sound, RATE, sine(440), RATE)
    with pytest.raises(UserError, match=f"the generated sound has .*{message}"):
        compare(sine(440), RATE, sound, RATE)
