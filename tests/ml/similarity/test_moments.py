import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from melgraph.ml.errors import UserError
from melgraph.ml.similarity import moments
from melgraph.ml.similarity.moments import Moment, closest_moments
from melgraph.ml.similarity.neighbours import normalise

SEGMENT_S = 3.0


def segments(max_rows=12):
    values = st.sampled_from([-1.0, 0.0, 0.5, 1.0, 2.0])
    return st.integers(0, max_rows).flatmap(lambda n: arrays(np.float32, (n, 4), elements=values))


def starts(n, hop):
    return [round(at * hop, 3) for at in range(n)]


class TestClosestMoments:
    def test_the_segment_that_is_played_again(self):
        rng = np.random.default_rng(0)
        query, track = rng.normal(size=(6, 16)), rng.normal(size=(9, 16))
        track[7] = 3 * query[2]  # louder, the same direction
        (moment,) = closest_moments(query, starts(6, 3), track, starts(9, 3))
        assert (moment.query_start_s, moment.track_start_s) == (6.0, 21.0)
        assert moment.similarity == pytest.approx(1.0)

    @settings(deadline=None)
    @given(segments(), segments(), st.integers(1, 5), st.sampled_from([1.5, 3.0]))
    def test_against_all_pairs(self, query, track, n, hop):
        query_starts, track_starts = starts(len(query), hop), starts(len(track), hop)
        result = closest_moments(query, query_starts, track, track_starts, n, segment_s=SEGMENT_S)
        expected = by_all_pairs(query, query_starts, track, track_starts, n)
        assert [(m.query_start_s, m.track_start_s) for m in result] == [
            (m.query_start_s, m.track_start_s) for m in expected
        ]
        np.testing.assert_allclose(
            [m.similarity for m in result], [m.similarity for m in expected], atol=1e-6
        )

    @settings(deadline=None)
    @given(segments(), segments(), st.integers(1, 5))
    def test_no_overlap_and_the_most_similar_first(self, query, track, n):
        result = closest_moments(
            query, starts(len(query), 1.5), track, starts(len(track), 1.5), n, segment_s=SEGMENT_S
        )
        similarities = [moment.similarity for moment in result]
        assert similarities == sorted(similarities, reverse=True)
        for at, one in enumerate(result):
            for other in result[:at]:
                assert abs(one.query_start_s - other.query_start_s) >= SEGMENT_S
                assert abs(one.track_start_s - other.track_start_s) >= SEGMENT_S

    def test_segments_that_touch_do_not_overlap(self):
        """Starts are frames: 2.99 s are three seconds."""
        eye = np.eye(2, dtype=np.float32)
        result = closest_moments(eye, [0.0, 2.99], eye, [0.0, 2.99], 2, segment_s=SEGMENT_S)
        assert [moment.track_start_s for moment in result] == [0.0, 2.99]

    @pytest.mark.parametrize(("n_query", "n_track"), [(0, 3), (3, 0), (0, 0)])
    def test_no_segments(self, n_query, n_track):
        query, track = np.ones((n_query, 4)), np.ones((n_track, 4))
        assert closest_moments(query, starts(n_query, 3), track, starts(n_track, 3), 2) == []

    def test_none_wanted(self):
        assert closest_moments(np.eye(2), [0, 3], np.eye(2), [0, 3], 0) == []

    def test_starts_in_any_order(self):
        eye = np.eye(3)
        result = closest_moments(eye, [6, 3, 0], eye, [0, 3, 6], 1)
        assert result == [Moment(0.0, 6.0, 1.0)]

    def test_long_tracks_block_by_block(self, monkeypatch):
        rng = np.random.default_rng(1)
        query, track = rng.normal(size=(50, 8)), rng.normal(size=(40, 8))
        whole = closest_moments(query, starts(50, 3), track, starts(40, 3), 4)
        monkeypatch.setattr(moments, "_BLOCK", 7)
        assert [m.query_start_s for m in whole] == [
            m.query_start_s for m in closest_moments(query, starts(50, 3), track, starts(40, 3), 4)
        ]

    def test_mistakes(self):
        with pytest.raises(ValueError, match="start"):
            closest_moments(np.eye(2), [0], np.eye(2), [0, 3])
        with pytest.raises(UserError, match="NaN"):
            closest_moments(np.full((1, 2), np.nan), [0], np.eye(2), [0, 3])


def by_all_pairs(query, query_starts, track, track_starts, n):
    """The best pair that overlaps with none of those before, again and again."""
    similarities = normalise(query) @ normalise(track).T
    result = []
    while len(result) < n:
        best = None
        for row, query_start in enumerate(query_starts):
            for column, track_start in enumerate(track_starts):
                is_free = all(
                    abs(query_start - one.query_start_s) >= SEGMENT_S
                    and abs(track_start - one.track_start_s) >= SEGMENT_S
                    for one in result
                )
                # The order of the additions in a product may change the last bit of equal values.
                value = float(similarities[row, column])
                if is_free and (best is None or value > best.similarity + 1e-6):
                    best = Moment(query_start, track_start, value)
        if best is None:
            break
        result.append(best)
    return result
