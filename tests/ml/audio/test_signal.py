import numpy as np
import pytest
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from melgraph.ml.audio import (
    Levels,
    Resampler,
    check_sound,
    levels,
    resample,
    to_mono,
    within_full_scale,
)
from melgraph.ml.audio.signal import Recutter
from melgraph.ml.errors import UserError
from tests.ml.audio_files import RATE

CUTS = st.lists(st.integers(0, 100_000), max_size=6)
RATES = st.sampled_from([8000, 11025, 16000, 22050, 44100, 44101, 48000, 96000, 192000])


def cut_up(signal: np.ndarray, cuts: list[int]) -> list[np.ndarray]:
    """The signal in blocks, some of them empty."""
    return np.split(signal, sorted(cut % (len(signal) + 1) for cut in cuts))


def noise(count: int, seed: int = 0, channels: int = 0) -> np.ndarray:
    shape = (count, channels) if channels else (count,)
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


@settings(max_examples=40, deadline=None)
@given(length=st.integers(0, 300), size=st.integers(1, 50), cuts=CUTS)
def test_pieces_of_one_size_however_they_come(length: int, size: int, cuts: list[int]) -> None:
    signal = noise(length, channels=2)
    recutter = Recutter(size)
    pieces = []
    for block in cut_up(signal.copy(), cuts):
        pieces += [piece.copy() for piece in recutter.push(block)]
        block[:] = np.nan  # what waits does not look at the caller's block again
    assert {len(piece) for piece in pieces} <= {size}
    rest = list(recutter.rest())
    assert all(0 < len(piece) < size for piece in rest)
    assert len(rest) <= 1
    np.testing.assert_array_equal(np.concatenate([signal[:0], *pieces, *rest]), signal)


@settings(max_examples=40, deadline=None)
@given(source=RATES, target=RATES, length=st.integers(0, 150_000), cuts=CUTS)
def test_a_stream_is_resampled_to_the_bits_of_the_whole(
    source: int, target: int, length: int, cuts: list[int]
) -> None:
    signal = noise(length)
    resampler = Resampler(source, target)
    blocks = cut_up(signal, cuts)
    parts = [resampler.push(block) for block in blocks[:-1]]
    streamed = np.concatenate([*parts, resampler.push(blocks[-1], last=True)])
    whole = resample(signal, source, target)
    assert streamed.dtype == whole.dtype == np.float32
    np.testing.assert_array_equal(streamed, whole)
    assert abs(len(whole) - length * target / source) <= 1
    if length:  # and it is what soxr makes of a whole signal
        expected = soxr.resample(signal, source, target, quality="HQ")
        assert abs(len(expected) - len(whole)) <= 1
        n = min(len(expected), len(whole))
        np.testing.assert_allclose(whole[:n], expected[:n], atol=1e-6)


def test_the_last_push_may_be_empty() -> None:
    signal = noise(70_000)
    resampler = Resampler(44100, 22050)
    streamed = [resampler.push(signal), resampler.push(signal[:0], last=True)]
    np.testing.assert_array_equal(np.concatenate(streamed), resample(signal, 44100, 22050))


def test_resampling_keeps_the_music_and_drops_what_does_not_fit() -> None:
    t = np.arange(RATE) / RATE
    low = np.sin(2 * np.pi * 1000 * t).astype(np.float32)
    lost = np.sin(2 * np.pi * 15000 * t).astype(np.float32)
    half = resample(low, RATE, RATE // 2)
    assert (len(half), half.dtype) == (RATE // 2, np.float32)
    np.testing.assert_allclose(half[500:-500], low[::2][500:-500], atol=1e-4)
    assert np.abs(resample(lost, RATE, RATE // 2)[500:-500]).max() < 1e-5  # -100 dB
    assert resample(low, RATE, RATE) is low


@settings(max_examples=25, deadline=None)
@given(channels=st.integers(1, 6), samples=st.integers(1, 300), seed=st.integers(0, 999))
def test_mono_is_the_mean_of_the_channels(channels: int, samples: int, seed: int) -> None:
    x = noise(samples, seed, channels)
    before = x.copy()
    mono = to_mono(x)
    assert mono.dtype == np.float32
    assert mono.flags.c_contiguous
    np.testing.assert_allclose(mono, x.mean(axis=1, dtype=np.float64), atol=3e-7)
    np.testing.assert_array_equal(x, before)


def test_levels_are_in_decibels_of_full_scale() -> None:
    sine = np.sin(2 * np.pi * 441 * np.arange(RATE) / RATE).astype(np.float32)[:, None]
    assert levels(0.5 * sine) == pytest.approx((-6.0206, -9.0309), abs=1e-3)
    assert levels(np.float32([[0.1, -1.0]])) == pytest.approx((0.0, -2.967), abs=1e-3)
    assert levels(np.zeros((9, 2), np.float32)) == (-200.0, -200.0)
    assert levels(np.zeros((0, 2), np.float32)) == (-200.0, -200.0)


@settings(max_examples=25, deadline=None)
@given(length=st.integers(0, 150_000), channels=st.integers(1, 3), cuts=CUTS)
def test_levels_of_a_stream_are_those_of_the_whole_to_the_bit(
    length: int, channels: int, cuts: list[int]
) -> None:
    signal = noise(length, channels=channels)
    measured = Levels()
    for block in cut_up(signal, cuts):
        measured.add(block)
        assert measured.rms_dbfs <= 0.0  # asking on the way changes nothing
    assert (measured.samples, measured.not_finite) == (length, 0)
    assert (measured.peak_dbfs, measured.rms_dbfs) == levels(signal)
    if length:
        assert measured.peak == np.abs(signal).max()
        expected = 10 * np.log10(np.mean(signal.astype(np.float64) ** 2))
        assert measured.rms_dbfs == pytest.approx(expected, abs=1e-4)


def test_levels_count_what_is_no_number_and_never_forget_it() -> None:
    measured = Levels()
    bad = noise(10, channels=2)
    bad[3, 1], bad[4, 0] = np.nan, np.inf
    for block in (noise(10, channels=2), bad, noise(10, channels=2)):
        measured.add(block)
    assert measured.not_finite == 2
    assert not np.isfinite(measured.peak)


def test_only_a_sound_beyond_full_scale_is_attenuated():
    quiet = noise(1000, channels=2) * np.float32(0.01)
    same, gain = within_full_scale(quiet)
    assert gain == 1.0
    assert np.array_equal(same, quiet)
    loud, gain = within_full_scale(quiet * np.float32(1000))
    assert np.abs(loud).max() == 1.0
    np.testing.assert_allclose(loud / gain, quiet * 1000, rtol=1e-5)
    assert within_full_scale(quiet[:0])[1] == 1.0


@pytest.mark.parametrize(
    ("samples", "rate", "message"),
    [
        (np.zeros(5), 8000, r"the sound has the shape \(5,\)"),
        (np.zeros((5, 0)), 8000, "shape"),
        (np.zeros((5, 1)), 0, "at 0 Hz"),
        (np.full((5, 1), np.nan), 8000, "5 values that are not finite"),
    ],
)
def test_what_is_no_sound_is_refused(samples, rate, message):
    with pytest.raises(UserError, match=message) as refusal:
        check_sound(samples, rate, "the sound", where="a test")
    assert refusal.value.where == "a test"
