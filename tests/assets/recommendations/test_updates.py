"""A library that grows and shrinks: what is computed again, and what the records name."""

import io
from unittest.mock import patch

import numpy as np
import polars as pl
import pytest

from melgraph.assets.recommendations.lists import RecommendationLists
from melgraph.assets.recommendations.queries import Query, Recommender
from melgraph.assets.recommendations.recommendation_index import RecommendationIndex
from melgraph.assets.recommendations.recommendations import plan_recommendations
from melgraph.assets.stages import RECOMMENDATIONS
from melgraph.ml.errors import UserError
from melgraph.pipelines.plan import Part, Planner
from melgraph.pipelines.runner import run_stages
from tests.conftest import MadeHome, copy_home, write_song

ENCODER = "mel-statistics"
NOT_NEEDED = (
    "exploration reports", "cluster reports", "leaderboard", "recommendation report",
    "generated sounds", "generation report", "pages",
)  # fmt: skip


def lists_of(home: MadeHome) -> RecommendationLists:
    return RecommendationLists.current(home.store, ENCODER)


def run(home: MadeHome, *, refresh: bool = False) -> None:
    """The parts of a run that recommendations are made of. Reports and sounds take long."""
    out = io.StringIO()
    parts = Planner.parts

    def needed(planner: Planner) -> list[Part]:
        return [part for part in parts(planner) if part[0] not in NOT_NEEDED]

    with patch.object(Planner, "parts", needed):
        report = run_stages(home.home, experiments=[], refresh=refresh, out=out)
    assert report.failed == 0, out.getvalue()


@pytest.fixture(scope="module")
def grown(made_home: MadeHome, tmp_path_factory: pytest.TempPathFactory) -> MadeHome:
    """A copy of the home with one encoder in service, in whose library three songs arrived."""
    home = copy_home(made_home, tmp_path_factory.mktemp("grown"), library=True)
    (home.root / "specs" / "encoders.toml").write_text(f'in_service = ["{ENCODER}"]\n')
    for number in range(3):
        path = home.library / "new" / f"song {number}.wav"
        path.parent.mkdir(exist_ok=True)
        write_song(path, seconds=4.0 + number)
    run(home)
    return home


def test_only_what_is_new_is_indexed_and_recommended(made_home, grown):
    before, after = lists_of(made_home), lists_of(grown)
    assert before.reference in after.spec.inputs
    assert after.facts["tracks"] == before.facts["tracks"] + 3
    assert after.tracks_of_scales == before.facts["tracks"]
    joined = before.scales().join(after.scales(), on="track_id")
    assert joined.height == before.facts["tracks"]
    assert (joined["scale"] == joined["scale_right"]).all()
    older, newer = (RecommendationIndex.input_of(x.store, x.spec) for x in (before, after))
    assert [s.reference for s in newer.segments()][:1] == [s.reference for s in older.segments()]
    assert len(newer.segments()) == 2
    first = grown.store.get(newer.segments()[0].reference).record
    assert first.finished_at == made_home.store.get(first.spec.reference).record.finished_at


def test_the_updated_lists_are_those_of_the_index(grown):
    """Counted again from the vectors and the scales."""
    lists = lists_of(grown)
    index = lists.index.open()
    scale = dict(lists.scales().select("track_id", "scale").iter_rows())
    ids = [i for i in index.track_ids if i in scale]
    vectors = index.vectors(np.array([index.track_ids.index(i) for i in ids])).astype(np.float64)
    similarity = vectors @ vectors.T
    for row, track_id in enumerate(ids):
        near = lists.table().filter(pl.col("track_id") == track_id).sort("rank")
        numbers = [ids.index(i) for i in near["recommended_id"]]
        expected = -(1 - similarity[row, numbers]) / np.sqrt(
            [scale[track_id] * scale[ids[n]] for n in numbers]
        )
        np.testing.assert_allclose(near["score"], expected, rtol=1e-3)
        assert (np.diff(near["score"]) <= 0).all()
        np.testing.assert_allclose(near["similarity"], similarity[row, numbers], atol=1e-6)


def test_a_plan_without_changes_names_the_current_recommendations(grown):
    lists = lists_of(grown)
    assert plan_recommendations(grown.context, ENCODER) == lists.spec
    anew = plan_recommendations(grown.context, ENCODER, refresh=True)
    assert not any(map(RECOMMENDATIONS.owns, anew.inputs))
    assert anew.version != lists.spec.version


def test_a_deleted_track_is_a_tombstone_and_in_no_list(grown, tmp_path_factory):
    """In a segment with many tombstones, the vectors themselves are removed."""
    home = copy_home(grown, tmp_path_factory.mktemp("shrunk"), library=True)
    recommender = Recommender.open(home.context, ENCODER)
    ids = dict(recommender.tracks.select("path", "track_id").iter_rows())
    old = next(path for path in sorted(ids) if path.startswith("classical/"))
    song = "new/song 1.wav"  # one of three in its segment
    for path in (old, song):
        (home.library / path).unlink()
    run(home)
    assert not recommender.is_current()
    lists = lists_of(home)
    assert lists_of(grown).reference in lists.spec.inputs
    assert lists.index.facts["tombstones"] == 1
    before, after = lists_of(grown).index.segments(), lists.index.segments()
    assert before[0].reference == after[0].reference
    assert (before[1].facts["tracks"], after[1].facts["tracks"]) == (3, 2)
    table = lists.table()
    assert not {ids[old], ids[song]} & {*table["track_id"], *table["recommended_id"]}
    with pytest.raises(UserError, match="neither a track of the library"):
        Recommender.open(home.context, ENCODER).similar(Query((song,)))
    run(home, refresh=True)
    refreshed = lists_of(home)
    assert not any(map(RECOMMENDATIONS.owns, refreshed.spec.inputs))
    assert refreshed.tracks_of_scales == lists.facts["tracks"]
    assert not {ids[old], ids[song]} & {*refreshed.table()["recommended_id"]}
