import numpy as np
import pytest

from melgraph.ml.audio import levels
from melgraph.ml.sample_library import STYLES, render_track
from melgraph.ml.sample_library.artists import draw_artist, track_rng
from melgraph.ml.sample_library.composition import compose
from melgraph.ml.spectral import stft
from tests.ml.sample_library.conftest import RATE, SECONDS

Tracks = dict[tuple[str, int, int], np.ndarray]


def test_a_track_is_a_pure_function_of_its_arguments(tracks: Tracks) -> None:
    again = render_track("reggae", 1, 1, seed=7, duration_s=SECONDS, sample_rate=RATE)
    assert np.array_equal(again, tracks["reggae", 1, 1])
    other = render_track("reggae", 1, 1, seed=8, duration_s=SECONDS, sample_rate=RATE)
    assert not np.array_equal(other[:, :1], again[:, :1])


def test_tracks_differ(tracks: Tracks) -> None:
    assert len({track.tobytes() for track in tracks.values()}) == len(tracks)


@pytest.mark.parametrize("style", STYLES)
def test_the_sound_is_clean(tracks: Tracks, style: str) -> None:
    for (_, artist, _), track in ((k, v) for k, v in tracks.items() if k[0] == style):
        assert track.dtype == np.float32
        assert track.shape == (round(SECONDS * RATE), track.shape[1])
        assert track.shape[1] == 2 or (artist > 0 and track.shape[1] == 1)
        assert np.isfinite(track).all()
        assert np.abs(track).max() <= np.float32(0.9)
        assert np.abs(track.mean(axis=0)).max() < 1e-3
        assert -26.0 < levels(track)[1] < -12.0  # dBFS RMS


@pytest.mark.parametrize("sample_rate", [22050, 44100])
def test_the_rate_changes_the_number_of_samples_and_not_the_level(sample_rate: int) -> None:
    track = render_track("pop", 0, 0, seed=7, duration_s=1.5, sample_rate=sample_rate)
    assert len(track) == round(1.5 * sample_rate)
    usual = render_track("pop", 0, 0, seed=7, duration_s=1.5)
    assert levels(track)[1] == pytest.approx(levels(usual)[1], abs=1.0)


def test_the_beat_of_the_score_is_in_the_sound() -> None:
    """Onsets return after one beat: among the strongest tenth of all periods in nearly all styles.

    Measured over two tracks of each style: all 20. A period that is no beat passes by chance.
    """
    on_beat, off_beat = [], []
    for style in STYLES:
        score = compose(
            draw_artist(style, 0, seed=7), duration_s=6.0, rng=track_rng(style, 0, 0, seed=7)
        )
        mono = render_track(style, 0, 0, seed=7, duration_s=6.0).mean(axis=1)
        beat = 60.0 / score.tempo  # s
        on_beat.append(_rank_of_period(mono, beat))
        off_beat += [_rank_of_period(mono, beat * wrong) for wrong in (0.6, 0.7, 0.85, 1.15, 1.4)]
    assert sum(rank >= 0.9 for rank in on_beat) >= 9, on_beat
    assert np.mean(off_beat) < 0.8, off_beat


def _rank_of_period(mono: np.ndarray, seconds: float) -> float:
    """Share of the periods from 0.15 to 1.6 s that the onsets repeat less strongly at."""
    hop = 256
    magnitude = stft(mono, n_fft=1024, hop=hop).abs().numpy()
    rise = np.diff(np.log1p(100.0 * magnitude), axis=1)
    onsets = np.maximum(rise, 0.0).sum(axis=0)
    onsets -= onsets.mean()
    n = len(onsets)
    correlation = np.fft.irfft(np.abs(np.fft.rfft(onsets, 2 * n)) ** 2)[:n]
    correlation /= correlation[0] * (1.0 - np.arange(n) / n)  # fewer pairs at longer periods
    frames = RATE / hop
    window = slice(
        int(np.floor(0.97 * seconds * frames)), int(np.ceil(1.03 * seconds * frames)) + 1
    )
    others = correlation[int(0.15 * frames) : int(1.6 * frames)]
    return float((others < correlation[window].max()).mean())
