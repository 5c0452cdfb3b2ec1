"""What queries answer, on the home of the tests, and what they say of bad input."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import soundfile

from melgraph.assets.embeddings.batch_embeddings import BatchEmbeddings
from melgraph.assets.embeddings.batch_tags import BatchTags
from melgraph.assets.recommendations.lists import RecommendationLists
from melgraph.assets.recommendations.queries import Answer, Filters, Query, Recommender
from melgraph.assets.recommendations.queries import recommender as module
from melgraph.assets.stages import RECOMMENDATION_INDEXES, RECOMMENDATIONS
from melgraph.ml.errors import UserError
from melgraph.storage.records import parse_record
from tests.conftest import MadeHome, write_song

ENCODER = "tiny-tagger"
PIANO = "instrument---piano"


@pytest.fixture(scope="module")
def recommender(made_home: MadeHome) -> Recommender:
    return Recommender.open(made_home.context, ENCODER)


@pytest.fixture(scope="module")
def paths(recommender: Recommender) -> list[str]:
    return sorted(recommender.tracks["path"])


def ids(answer: Answer) -> list[str]:
    return [track.track_id for track in answer.tracks]


def column(recommender: Recommender, name: str, track_ids: list[str]) -> list:
    values = dict(recommender.tracks.select("track_id", name).iter_rows())
    return [values[track_id] for track_id in track_ids]


# ---- by track, by several, by a file


def test_the_answer_by_a_track_is_its_list_of_recommendations(made_home, recommender, paths):
    table = RecommendationLists.current(made_home.store, ENCODER).table()
    for path in paths[:6]:
        listed = table.filter(pl.col("track") == path).sort("rank")
        answer = recommender.similar(Query((path,), k=listed.height))
        assert ids(answer) == listed["recommended_id"].to_list()
        np.testing.assert_allclose(
            [track.similarity for track in answer.tracks], listed["similarity"], atol=1e-5
        )


def test_a_track_can_be_named_by_id_by_library_path_and_by_its_path_on_this_machine(
    made_home, recommender, paths
):
    answers = [
        recommender.similar(Query((name,), k=5))
        for name in (
            paths[0],
            recommender.similar(Query((paths[0],))).like[0].track_id,
            str(made_home.library / paths[0]),
        )
    ]
    assert len({tuple(ids(answer)) for answer in answers}) == 1
    assert {answer.like[0].path for answer in answers} == {paths[0]}


def test_a_copy_of_a_track_in_another_file_gets_the_same_answer(
    made_home, recommender, paths, tmp_path
):
    copy = tmp_path / "A copy? 100 %.wav"
    samples, rate = soundfile.read(made_home.library / paths[0])
    soundfile.write(copy, samples, rate)
    of_file = recommender.similar(Query((str(copy),), k=8))
    of_track = recommender.similar(Query((paths[0],), k=8))
    assert of_file.like[0].track_id is None
    assert of_file.like[0].path == str(copy)
    assert len({*ids(of_file)} & {*ids(of_track)}) >= 7
    assert of_track.like[0].track_id not in ids(of_file)  # the recording itself


def test_a_file_outside_of_the_library_is_embedded_on_the_spot(recommender, tmp_path):
    song = tmp_path / "song.wav"
    write_song(song, seconds=20.0)
    answer = recommender.similar(Query((str(song),), k=3))
    assert len(answer.tracks) == 3
    for track in answer.tracks:
        (moment,) = track.moments
        assert 0 <= moment.seed_start_s < 20
        assert moment.similarity <= 1
    assert all(tag.seed > 0 for track in answer.tracks for tag in track.tags)


def test_seeds_are_not_in_the_answer(recommender, paths):
    seeds = tuple(paths[:3])
    answer = recommender.similar(Query(seeds, k=10))
    assert len(answer.tracks) == 10
    assert not {seed.track_id for seed in answer.like} & {*ids(answer)}
    assert {track.like for track in answer.tracks} <= {0, 1, 2}


def test_unlike_moves_the_answer_away(recommender, paths):
    like, unlike = paths[0], paths[-1]
    vectors = recommender._vectors
    row = recommender._row(unlike)

    def similarity_to_unlike(answer: Answer) -> float:
        rows = np.array([recommender._row(track_id) for track_id in ids(answer)])
        return float((vectors.vectors(rows) @ vectors.vectors(np.array([row]))[0]).mean())

    plain = recommender.similar(Query((like,), k=5))
    away = recommender.similar(Query((like,), unlike=(unlike,), k=5))
    assert similarity_to_unlike(away) <= similarity_to_unlike(plain)
    everything = recommender.similar(Query((like,), unlike=(unlike,), k=1000))
    assert unlike not in [track.path for track in everything.tracks]


# ---- filters and limits hold for every kind of query

KINDS = {
    "track": lambda p: {"like": (p[0],)},
    "several": lambda p: {"like": (p[0], p[5])},
    "unlike": lambda p: {"like": (p[0],), "unlike": (p[7],)},
    "diverse": lambda p: {"like": (p[0],), "diversity": 0.6},
    "file": lambda p: {"like": ("OUTSIDE",)},
}


@pytest.fixture(params=KINDS)
def kind(request, made_home, paths) -> dict:
    query = KINDS[request.param](paths)
    outside = str(made_home.outside)
    return {**query, "like": tuple(outside if n == "OUTSIDE" else n for n in query["like"])}


def test_filters_hold(recommender, kind):
    tracks = recommender.tracks
    artist = tracks["artist"].drop_nulls().sort()[0]
    genre = tracks["genre"].drop_nulls().sort()[0]
    longest = float(tracks["duration_s"].median())
    scores = {i: dict(recommender.tags_of(i)) for i in tracks["track_id"]}
    least = float(np.median([score[PIANO] for score in scores.values()]))
    for filters, holds in (
        (
            Filters(artists=(artist.upper(),)),
            lambda i: column(recommender, "artist", [i]) == [artist],
        ),
        (Filters(genres=(genre,)), lambda i: column(recommender, "genre", [i]) == [genre]),
        (
            Filters(duration_to_s=longest),
            lambda i: column(recommender, "duration_s", [i])[0] <= longest,
        ),
        (Filters(tags={"piano": least}), lambda i: scores[i][PIANO] >= least),
        (Filters(tags={PIANO: least}), lambda i: scores[i][PIANO] >= least),
    ):
        answer = recommender.similar(Query(**kind, k=30, filters=filters))
        assert answer.tracks, filters
        assert all(map(holds, ids(answer))), filters
        if len(list(filter(holds, tracks["track_id"]))) < tracks.height:
            assert "the filters allow" in answer.shortfall


def test_a_year_filter_leaves_out_tracks_without_a_year(recommender, paths):
    years = recommender.tracks["year"].drop_nulls()
    first = int(years.min()) if len(years) else 1990
    answer = recommender.similar(Query((paths[0],), k=30, filters=Filters(year_to=first)))
    assert all(
        year is not None and year <= first for year in column(recommender, "year", ids(answer))
    )


def test_at_most_n_tracks_by_an_artist(recommender, kind):
    answer = recommender.similar(Query(**kind, k=30, per_artist=1))
    artists = column(recommender, "artist", ids(answer))
    named = [artist for artist in artists if artist]
    assert len(named) == len(set(named)) > 1


def test_diversity_chooses_tracks_that_differ_more(recommender, paths):
    def closeness(diversity: float) -> float:
        answer = recommender.similar(Query((paths[0],), k=6, diversity=diversity))
        vectors = recommender._vectors.vectors(np.array([recommender._row(i) for i in ids(answer)]))
        return float((vectors @ vectors.T).mean())

    assert closeness(0.8) < closeness(0.0)


def test_one_version_of_a_song(home_copy):
    home = home_copy()
    recommender = Recommender.open(home.context, ENCODER)
    table = recommender._tracks.table
    live = np.flatnonzero(recommender._tracks.live)
    titles = [None] * len(table)
    for number, row in enumerate(live[:6]):
        titles[row] = f"Song {'(live)' if number % 2 else ''}"
    recommender._tracks.table = table.with_columns(
        title=pl.Series(titles, dtype=pl.String), artist=pl.lit("One")
    )
    seed = table["path"][int(live[0])]
    everything = recommender.similar(Query((seed,), k=30))
    songs = {table["track_id"][int(row)] for row in live[:6]}
    assert {*ids(everything)} & songs
    once = recommender.similar(Query((seed,), k=30, one_version=True))
    assert not {*ids(once)} & songs
    assert "versions of a song" in once.shortfall


# ---- answers say why


def test_an_answer_says_why(made_home, recommender, paths):
    answer = recommender.similar(Query((paths[0],), k=4))
    seed_tags = dict(recommender.tags_of(paths[0]))
    for track in answer.tracks:
        tags = dict(recommender.tags_of(track.track_id))
        for tag in track.tags:
            assert tag.seed == pytest.approx(seed_tags[tag.tag], abs=1e-4)
            assert tag.track == pytest.approx(tags[tag.tag], abs=1e-4)
    store = made_home.store
    for name in (answer.encoder, answer.index):
        asset, partition, _ = name.split("/")
        artifact = store.need(asset, partition)
        assert str(artifact.reference) == name
        assert parse_record((artifact.folder / "record.json").read_bytes(), where="x")


def test_only_the_tracks_of_an_answer_are_read_for_its_reasons(made_home, paths, monkeypatch):
    """A batch of a large library does not fit into the memory of a service."""

    def refuse(*_):
        raise AssertionError("a whole batch was read")

    reads = []

    def segments_of(self, track_ids, original=BatchEmbeddings.segments_of):
        reads.extend(track_ids)
        return original(self, track_ids)

    for kind, method in (
        (BatchEmbeddings, "segment_vectors"),
        (BatchEmbeddings, "arrays"),
        (BatchTags, "table"),
    ):
        monkeypatch.setattr(kind, method, refuse)
    monkeypatch.setattr(BatchEmbeddings, "segments_of", segments_of)
    recommender = Recommender.open(made_home.context, ENCODER)
    answer = recommender.similar(Query((paths[0],), k=3))
    assert any(track.tags for track in answer.tracks)
    assert sorted(reads) == sorted([*ids(answer), answer.like[0].track_id])
    assert recommender.similar(Query((paths[0],), k=3)) == answer
    assert len(reads) == 4  # nothing is read twice


def test_fewer_tracks_than_asked_for_are_explained(recommender, paths):
    n = recommender.tracks.height
    answer = recommender.similar(Query((paths[0],), k=1000))
    assert len(answer.tracks) < n
    assert answer.shortfall.startswith(
        f"{len(answer.tracks)} of 1,000 tracks: the library has {n} tracks"
    )
    assert recommender.similar(Query((paths[0],), k=1)).shortfall is None


# ---- paths


def test_a_path_leads_from_track_to_track(recommender, paths):
    answer = recommender.path(paths[0], paths[-1], length=3)
    named = [track.path for track in answer.tracks]
    assert (named[0], named[-1]) == (paths[0], paths[-1])
    assert len(named) == len(set(named)) == 5 or answer.shortfall
    rows = np.array([recommender._row(path) for path in named])
    vectors = recommender._vectors.vectors(rows)
    steps = (vectors[1:] * vectors[:-1]).sum(axis=1)
    np.testing.assert_allclose([t.similarity for t in answer.tracks[1:]], steps, atol=1e-5)
    assert not answer.tracks[0].moments


def test_a_path_takes_only_tracks_that_filters_allow(recommender, paths):
    genre = recommender.tracks["genre"].drop_nulls().sort()[0]
    answer = recommender.path(paths[0], paths[-1], 2, Filters(genres=(genre,)))
    between = [track.track_id for track in answer.tracks[1:-1]]
    assert all(value == genre for value in column(recommender, "genre", between))


# ---- bad input: one clear answer each


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"like": ()}, "no track"),
        ({"k": 0}, "0 tracks"),
        ({"k": 10_001}, "10001 tracks"),
        ({"per_artist": 0}, "0 tracks per artist"),
        ({"diversity": 1.5}, "diversity of 1.5"),
        ({"diversity": float("nan")}, "diversity of nan"),
    ],
)
def test_values_out_of_range_are_refused(values, problem):
    with pytest.raises(UserError, match=problem):
        Query(**{"like": ("x",), **values})


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"year_from": 2000, "year_to": 1990}, "years from 2000 to 1990"),
        ({"duration_from_s": float("nan")}, "durations from nan"),
        ({"duration_to_s": float("inf")}, "to inf"),
        ({"tags": {"piano": float("nan")}}, "probability of nan"),
        ({"tags": {"piano": 1.5}}, "probability of 1.5"),
    ],
)
def test_filters_out_of_range_are_refused(values, problem):
    with pytest.raises(UserError, match=problem):
        Filters(**values)


@pytest.mark.parametrize(
    ("filters", "problem", "remedy"),
    [
        (Filters(genres=("blus",)), "no track of the library has the genre", "blues"),
        (Filters(artists=("nobody",)), "has the artist 'nobody'", "choose another"),
        (Filters(tags={"paino": 0.5}), "no tag is called 'paino'", "genre---rock"),
    ],
)
def test_values_that_do_not_occur_are_named_with_those_that_do(
    recommender, paths, filters, problem, remedy
):
    with pytest.raises(UserError, match=problem) as caught:
        recommender.similar(Query((paths[0],), filters=filters))
    assert remedy in caught.value.remedy


def test_an_unknown_track_is_named_with_similar_names(recommender, paths):
    wrong = paths[0].replace("/", "/x", 1)
    with pytest.raises(
        UserError, match="neither a track of the library nor an audio file"
    ) as caught:
        recommender.similar(Query((wrong,)))
    assert paths[0] in caught.value.remedy


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _no_audio(path: Path) -> None:
    path.write_text("no audio " * 1000)


def _cut(path: Path) -> None:
    soundfile.write(path, np.random.default_rng(0).normal(0, 0.1, 22050), 22050, format="FLAC")
    path.write_bytes(path.read_bytes()[:60])


def _silent(path: Path) -> None:
    soundfile.write(path, np.zeros(22050 * 4), 22050, format="WAV")


def _short(path: Path) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, 4410)
    soundfile.write(path, noise, 22050, format="WAV")


@pytest.mark.parametrize("write", [_empty, _no_audio, _cut, _silent, _short])
def test_a_file_that_cannot_be_used_is_refused_with_its_code(recommender, tmp_path, write):
    path = tmp_path / "song?.wav"
    write(path)
    with pytest.raises(UserError, match=r"this file cannot be used \([a-z-]+: ") as caught:
        recommender.similar(Query((str(path),)))
    assert caught.value.where == str(path)


def test_an_encoder_that_is_not_in_service_is_refused(made_home):
    with pytest.raises(UserError, match="mel-statistic"):
        Recommender.open(made_home.context, "mel-statistic")


def test_without_an_index_the_remedy_is_a_run(home_copy):
    home = home_copy()
    shutil.rmtree(home.root / "artifacts" / "recommendation_indexes")
    with pytest.raises(UserError, match="there is no index") as caught:
        Recommender.open(home.context)
    assert "melgraph run" in caught.value.remedy


def test_an_index_of_an_older_version_is_made_again_before_it_is_asked(made_home, monkeypatch):
    newer = replace(RECOMMENDATION_INDEXES, number=RECOMMENDATION_INDEXES.number + 1)
    monkeypatch.setattr(module, "RECOMMENDATION_INDEXES", newer)
    with pytest.raises(UserError, match="that this version of melgraph can read"):
        Recommender.open(made_home.context, ENCODER)


def test_an_index_without_tracks_of_the_library_says_so(home_copy):
    recommender = Recommender.open(home_copy().context, ENCODER)
    recommender._tracks.live[:] = False
    with pytest.raises(UserError, match="the index has no track that is in the library now"):
        recommender.similar(Query(("x.wav",)))


def test_lists_of_an_older_version_are_not_read(made_home, monkeypatch, paths):
    newer = replace(RECOMMENDATIONS, number=RECOMMENDATIONS.number + 1)
    monkeypatch.setattr(module, "RECOMMENDATIONS", newer)
    recommender = Recommender.open(made_home.context, ENCODER)
    assert len(recommender.similar(Query((paths[0],), k=3)).tracks) == 3


def test_the_encoder_by_default_agrees_best_with_the_labels(made_home):
    opened = Recommender.open(made_home.context).encoder.partition
    facts = {
        name: RecommendationLists.current(made_home.store, name).facts
        for name in made_home.context.specs.in_service
    }
    measured = {n: f["same_label"] for n, f in facts.items() if "same_label" in f}
    assert measured[opened] == max(measured.values()) if measured else opened in facts


def test_an_index_by_another_version_of_the_encoder_holds_none_of_its_vectors(home_copy):
    """Vectors of two versions are never compared."""
    from melgraph.assets.recommendations.indexes import segment_specs
    from melgraph.assets.stages import ENCODERS
    from tests.assets.models.trainings import make

    home = home_copy()
    assert segment_specs(home.context, "mel-statistics")
    toml = home.root / "specs" / "encoders" / "mel-statistics.toml"
    toml.write_text('title = "x"\nkind = "mel_statistics"\npooling = "max"\n')
    make(home, ENCODERS, "mel-statistics")
    assert segment_specs(home.context, "mel-statistics") == []
