import numpy as np
import pytest

from melgraph.ml.features.tempo import TempoEstimate, onset_strength

RATE, HOP = 22050, 512


def decibels(bpm: float, *, seconds: float = 20.0, seed: int = 0) -> np.ndarray:
    """Mel decibels with a stroke on every beat, over a little noise: `[frame, mel]`."""
    frames = np.arange(int(seconds * RATE / HOP))
    beats = np.diff(np.floor(frames * (HOP / RATE) * (bpm / 60)), prepend=0) > 0
    quiet = np.random.default_rng(seed).uniform(-60, -58, (len(frames), 128))
    return (quiet + 40.0 * beats[:, None]).astype(np.float32)


def tempo(*windows: np.ndarray) -> float:
    estimate = TempoEstimate(RATE, HOP)
    for window in windows:
        estimate.add(window)
    return estimate.finish()


@pytest.mark.parametrize("bpm", [75.0, 100.0, 120.0, 150.0])
def test_the_tempo_of_clicks_is_estimated(bpm):
    assert tempo(decibels(bpm)) == pytest.approx(bpm, rel=0.04)  # lags are whole frames


@pytest.mark.parametrize("bpm", [61.0, 98.0, 143.0, 200.0])
def test_is_librosas(bpm, librosa):
    window = decibels(bpm, seed=3)
    onsets = librosa.onset.onset_strength(S=window.T, sr=RATE, aggregate=np.median)
    np.testing.assert_allclose(onset_strength(window), onsets, rtol=1e-5)
    expected = librosa.feature.tempo(onset_envelope=onsets, sr=RATE, hop_length=HOP)
    assert tempo(window) == pytest.approx(float(expected[0]))


def test_windows_are_weighed_by_their_frames():
    short, long = decibels(90.0, seconds=6), decibels(130.0, seconds=40)
    assert tempo(short, long) == tempo(long)


@pytest.mark.parametrize("frames", [0, 1, 2, 3, 4, 50])
def test_where_nothing_becomes_louder_there_is_no_tempo(frames):
    assert tempo(np.full((frames, 128), -100.0, np.float32)) == 0.0
    assert len(onset_strength(np.full((frames, 128), -100.0, np.float32))) == frames
