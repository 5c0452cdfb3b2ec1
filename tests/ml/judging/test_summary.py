import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from melgraph.ml.judging.summary import Mean, composition_verdict, mean_of, verdict


def mean(value: float, spread: float = 0.01, songs: int = 25, groups: int = 6) -> Mean:
    return Mean(value, value - spread, value + spread, value - 2 * spread, value + 2 * spread,
                songs, groups)  # fmt: skip


def test_each_song_counts_once() -> None:
    result = mean_of([1.0, 3.0, 10.0, None], ["a", "a", "b", "c"], [1, 1, 2, 3])
    assert result is not None
    assert result.mean == pytest.approx(6.0)  # (2 + 10) / 2
    assert (result.songs, result.groups) == (2, 2)
    assert result.low == 2.0
    assert result.high == 10.0


def test_the_interval_over_artists_is_wider_where_their_songs_are_alike() -> None:
    values = [0.0] * 10 + [1.0] * 10
    groups = [0] * 10 + [1] * 10
    result = mean_of(values, list(range(20)), groups)
    assert result is not None
    assert result.group_low == 0.0
    assert result.group_high == 1.0
    assert 0.2 < result.low < result.mean < result.high < 0.8


def test_one_artist_has_no_interval_over_artists() -> None:
    result = mean_of([0.5, 0.7], ["a", "b"], ["x", "x"])
    assert result is not None
    assert result.group_low is None
    assert not result.above_zero
    assert mean_of([None], ["a"], ["x"]) is None
    assert mean_of([], [], []) is None


@settings(max_examples=30, deadline=None)
@given(values=st.lists(st.floats(-1, 1), min_size=1, max_size=30), seed=st.integers(0, 5))
def test_the_interval_encloses_the_mean(values: list[float], seed: int) -> None:
    songs, groups = list(range(len(values))), [i % 4 for i in range(len(values))]
    result = mean_of(values, songs, groups, seed=seed)
    assert result is not None
    assert result.low - 1e-9 <= result.mean <= result.high + 1e-9
    assert result == mean_of(values, songs, groups, seed=seed)
    assert result.mean == pytest.approx(np.mean(values), abs=1e-9)


def test_verdicts() -> None:
    assert verdict({"a": mean(0.1)}, None).startswith("The method has no target")
    assert verdict({"a": None}, "rock").startswith("Not judged")
    assert verdict({"a": mean(0.1), "b": mean(0.2)}, "rock").startswith("The method raises the")
    assert verdict({"a": mean(0.1), "b": mean(0.0)}, "rock").startswith("The judges disagree")
    assert verdict({"a": mean(0.01)}, "rock").startswith("It is not shown")
    assert verdict({"a": mean(-0.1)}, "rock").startswith("The method lowers")
    few = verdict({"a": mean(0.1, songs=3)}, "rock")
    assert few.startswith("No verdict: a verdict on 'rock' needs 20 songs, and there are only 3.")
    assert (
        "a: +10.0 percentage points beyond matched noise "
        "(95 % confidence interval +9.0 to +11.0 over songs" in few
    )


def test_noise_that_is_nearer_than_the_sound_is_named_and_is_no_floor() -> None:
    some = verdict({"a": mean(0.1)}, "rock", sounds=20, nearer=2)
    assert some.startswith("The method raises the")
    assert some.endswith("For 2 of 20 sounds, the noise stays nearer to the source.")
    most = verdict({"a": mean(0.1)}, "rock", sounds=20, nearer=11)
    assert most.startswith("No verdict: noise as far from the source as the sound was found for")
    assert "only 9 of 20 sounds" in most


def test_compositions_are_described_beside_real_recordings() -> None:
    text = composition_verdict({"a": (mean(0.4), mean(0.9)), "b": (None, None)}, "rock")
    assert text.startswith("Judges give the compositions a probability of 'rock' of: a: 40 %")
    assert "real recordings 90 %" in text
    assert "b:" not in text
    assert composition_verdict({"a": (None, None)}, "rock").startswith("Not judged")
