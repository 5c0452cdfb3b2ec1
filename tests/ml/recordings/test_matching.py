"""Matching: copies match at the right offset; recordings that only share a part do not match."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from melgraph.ml.recordings import matching as matching
from melgraph.ml.recordings.fingerprints import FRAMES_PER_SECOND, N_BITS, SILENT, Fingerprints
from melgraph.ml.recordings.matching import Index, compare


def frames(seconds: float) -> int:
    return round(seconds * FRAMES_PER_SECOND)


def sound(seconds: float, seed: int = 0) -> np.ndarray:
    """Codes of some music: uint32 [frame], none of them silent."""
    rng = np.random.default_rng(seed)
    return rng.integers(1, 2**32, frames(seconds), dtype=np.uint32)


def damaged(codes: np.ndarray, share: float, seed: int = 99) -> np.ndarray:
    """The same codes with a share of wrong bits."""
    wrong = np.random.default_rng(seed).random((len(codes), N_BITS)) < share
    return codes ^ (wrong << np.arange(N_BITS, dtype=np.uint32)).sum(axis=1, dtype=np.uint32)


def matched(*tracks: np.ndarray) -> dict[tuple[int, int], matching.Match]:
    """All matches among the tracks, by pair."""
    prints = Fingerprints.of(list(tracks))
    matches = list(Index(prints).matches(prints, within=True))
    assert all(match.query < match.reference for match in matches)
    pairs = {(match.query, match.reference): match for match in matches}
    assert len(pairs) == len(matches)
    return pairs


@settings(deadline=None, max_examples=40)
@given(
    start=st.integers(0, frames(15)),
    seconds=st.floats(5.5, 15),
    wrong=st.floats(0, 0.07),
    seed=st.integers(0, 2**31),
    turned=st.booleans(),
)
def test_a_damaged_part_matches_at_its_offset(start, seconds, wrong, seed, turned):
    whole = sound(30, seed)
    part = damaged(whole[start : start + frames(seconds)], wrong, seed + 1)
    tracks = [sound(20, seed + 2), whole, part]
    (match,) = matched(*(tracks[::-1] if turned else tracks)).values()
    assert match.offset_frames == (start if turned else -start)
    assert match.overlap_frames == len(part)
    assert match.bit_error_rate == pytest.approx(wrong, abs=0.01)


@pytest.mark.parametrize(
    ("wrong", "n_matches"), [(0.0, 1), (0.1, 1), (0.14, 1), (0.16, 0), (0.3, 0)]
)
def test_the_threshold(wrong, n_matches):
    whole = sound(30)
    copy = damaged(whole, wrong)
    copy[:: frames(1)] = whole[:: frames(1)]  # some codes survive: it is a candidate
    assert len(matched(whole, copy)) == n_matches


def test_other_music_is_never_merged():
    assert matched(*(sound(30, seed) for seed in range(60))) == {}


def test_too_short_an_overlap_proves_nothing():
    whole = sound(30)
    assert matched(whole, whole[: frames(4.8)]) == {}
    assert len(matched(whole, whole[: frames(5.2)])) == 1


def test_a_jingle_joins_no_two_broadcasts():
    jingle = sound(12, 7)
    first = np.concatenate([sound(30, 1), jingle])
    second = np.concatenate([jingle, sound(30, 2)])
    assert matched(first, second) == {}
    both_at_the_start = np.concatenate([jingle, sound(30, 3)])
    assert matched(second, both_at_the_start) == {}


@pytest.mark.parametrize(("seconds", "n_matches"), [(9, 1), (6, 1), (5.1, 0), (4.5, 0)])
def test_two_excerpts_that_overlap_by_a_third_match(seconds, n_matches):
    whole = sound(36 - seconds, 3)
    first, last = whole[: frames(18)], whole[-frames(18) :]
    assert len(matched(first, damaged(last, 0.05))) == n_matches


def test_a_common_first_half_is_another_version():
    beginning = sound(15, 7)
    versions = [np.concatenate([beginning, sound(15, seed)]) for seed in (1, 2)]
    assert matched(*versions) == {}


def test_a_song_with_an_inserted_verse_is_another_version():
    """Three of twelve blocks differ: the whole is below the threshold, the worse parts are not."""
    song = sound(36)
    other = song.copy()
    other[frames(12) : frames(20)] = sound(9, 5)[: frames(20) - frames(12)]
    assert float(np.bitwise_count(song ^ other).mean()) / N_BITS < matching.MAX_ERROR
    assert matched(song, other) == {}


def test_one_bar_for_ever_proves_nothing():
    bar = sound(1.9)
    loops = [np.tile(bar, n) for n in (10, 12)]
    assert matched(*loops) == {}
    assert compare(loops[0], loops[1], [0]) is None
    longer = sound(2.2)
    assert compare(np.tile(longer, 10), np.tile(longer, 12), [0]) is not None


def test_a_loop_under_other_music_is_another_song():
    """Songs over the same loop have a part of their bits in common everywhere."""
    loop = np.tile(sound(4), 8)
    songs = [
        np.where(np.arange(len(loop)) % 3 == 0, sound(33, s)[: len(loop)], loop) for s in (1, 2)
    ]
    assert matched(*songs) == {}


def test_silence_is_never_compared():
    silent = np.full(frames(30), SILENT)
    assert matched(silent, silent) == {}
    song = sound(6)
    padded = np.concatenate([silent, song, silent])
    assert matched(padded, np.concatenate([silent, sound(6, 1), silent])) == {}
    assert matched(padded, padded.copy()) == {}  # most of the overlap says nothing
    assert len(matched(song, np.concatenate([silent[: frames(2)], song]))) == 1


def test_codes_that_are_everywhere_are_not_looked_up(monkeypatch):
    monkeypatch.setattr(matching, "MAX_IN_INDEX", 10)
    common = sound(1, 50)
    tracks = [np.concatenate([common, sound(20, seed)]) for seed in range(12)]
    index = Index(Fingerprints.of(tracks))
    assert not np.isin(common[common != SILENT], index.codes).any()
    assert len(index.codes) > 12 * frames(19) // matching.STEP
    (match,) = index.matches(Fingerprints.of([damaged(tracks[3], 0.05)]))
    assert match.reference == 3


def test_a_code_repeated_in_one_track_is_a_stop_word_there_only():
    drone = np.full(frames(20), 7, np.uint32)
    index = Index(Fingerprints.of([drone, np.concatenate([[np.uint32(7)], sound(20)])]))
    assert set(index.track[index.codes == 7]) == {1}


@settings(deadline=None, max_examples=25)
@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, frames(8)), st.floats(5.2, 12)),
        min_size=2,
        max_size=7,
    ),
    st.integers(1, 6),
)
def test_how_tracks_are_divided_does_not_matter(excerpts, cut):
    """An index of the later tracks and queries with the earlier ones give the same pairs."""
    tracks = [sound(20, seed)[start : start + frames(s)] for seed, start, s in excerpts]
    together = matched(*tracks)
    first, second = tracks[:cut], tracks[cut:]
    apart = {(m, n): match for (m, n), match in matched(*first).items()}
    apart |= {(m + cut, n + cut): match for (m, n), match in matched(*second).items()}
    for match in Index(Fingerprints.of(second)).matches(Fingerprints.of(first)):
        apart[match.query, match.reference + cut] = match
    assert apart.keys() == together.keys()
    for pair, match in together.items():
        assert apart[pair].offset_frames == match.offset_frames
        assert apart[pair].bit_error_rate == match.bit_error_rate


@pytest.mark.parametrize("tracks", [[], [0], [0, 3, 0], [23, 400]])
def test_nothing_to_find(tracks):
    assert matched(*(np.arange(1, n + 1, dtype=np.uint32) * 77777 + n for n in tracks)) == {}
    empty = Fingerprints.of([])
    assert list(Index(empty).matches(Fingerprints.of([sound(10)]))) == []
    assert list(Index(Fingerprints.of([sound(10)])).matches(empty)) == []
