"""The service on a home that the command line made: each question, each error, each limit."""

import html
import io
import re
from pathlib import Path
from urllib.parse import urljoin

import numpy as np
import pytest
import soundfile
from starlette.testclient import TestClient

from melgraph.assets.recommendations.indexes import (
    plan_index,
    segment_specs,
    write_index,
    write_index_segment,
)
from melgraph.assets.recommendations.queries import Filters, Query, Recommender
from melgraph.assets.service.app import build_app
from melgraph.assets.service.problems import CODES, OF_AUDIO, Problem
from melgraph.assets.service.state import Service, ServiceSettings
from melgraph.assets.service.uploads import Uploads
from melgraph.storage.home import Home
from tests.assets.service.test_uploads import crash_or_hang
from tests.conftest import PATIENCE_S, MadeHome

LOOPBACK = "http://127.0.0.1:3003"
TOKEN = "correct-horse-battery"
SETTINGS = ServiceSettings(computed_at_once=2, time_limit_s=PATIENCE_S)


def client_of(home: Home, settings: ServiceSettings = SETTINGS, **options) -> TestClient:
    app = build_app(home, settings, **options)
    return TestClient(app, base_url=LOOPBACK, raise_server_exceptions=False)


@pytest.fixture(scope="module")
def client(made_home):
    with client_of(made_home.home) as client:
        yield client


@pytest.fixture(scope="module")
def recommender(made_home):
    return Recommender.open(made_home.context)


@pytest.fixture(scope="module")
def tracks(recommender):
    return recommender.tracks.sort("path").to_dicts()


def refused(answer, status: int, code: str) -> Problem:
    """The problem of an answer, which must be complete."""
    assert answer.status_code == status, answer.text[:300]
    problem = Problem.model_validate(answer.json())
    assert problem.code == code, answer.text[:300]
    assert code in CODES[status] or OF_AUDIO in CODES[status]
    assert problem.what
    assert problem.where
    assert problem.remedy
    return problem


def sound(seconds: float = 4.0, rate: int = 22_050, level: float = 0.2) -> bytes:
    file = io.BytesIO()
    noise = level * np.random.default_rng(1).uniform(-1, 1, round(seconds * rate))
    soundfile.write(file, noise, rate, format="FLAC")
    return file.getvalue()


def send(client: TestClient, content: bytes, name: str = "a song.flac", **parameters):
    return client.post("/similar", files={"file": (name, content)}, params=parameters)


def track_of_one_file(home: MadeHome) -> dict:
    """A track of which the library has no copy."""
    tracks = Recommender.open(home.context).tracks.sort("path").to_dicts()
    return next(t for t in tracks if len(home.catalogue.locations(t["track_id"])) == 1)


class TestSimilar:
    @pytest.mark.parametrize("named_by", ["track_id", "path"])
    def test_by_a_track(self, client, recommender, tracks, named_by):
        answer = client.get("/similar", params={"track": tracks[0][named_by], "k": 5}).json()
        expected = recommender.similar(Query(like=(tracks[0]["track_id"],), k=5))
        assert [t["id"] for t in answer["tracks"]] == [t.track_id for t in expected.tracks]
        assert [t["similarity"] for t in answer["tracks"]] == [
            t.similarity for t in expected.tracks
        ]
        assert (answer["encoder"], answer["index"]) == (expected.encoder, expected.index)
        assert answer["like"][0]["id"] == tracks[0]["track_id"]
        assert answer["like"][0]["name"] == tracks[0]["path"]

    def test_by_several_and_not_like_another(self, client, recommender, tracks):
        a, b, c = (track["track_id"] for track in tracks[:3])
        parameters = {"track": [a, b], "unlike": c, "k": 4, "diversity": 0.3, "per_artist": 1}
        answer = client.get("/similar", params=parameters).json()
        query = Query(like=(a, b), unlike=(c,), k=4, diversity=0.3, per_artist=1)
        expected = recommender.similar(query)
        assert [t["id"] for t in answer["tracks"]] == [t.track_id for t in expected.tracks]
        assert [t["like"] for t in answer["tracks"]] == [t.like for t in expected.tracks]

    def test_with_filters(self, client, recommender, tracks):
        genre = tracks[0]["genre"]
        parameters = {"track": tracks[-1]["track_id"], "genre": genre, "duration_to_s": 60}
        answer = client.get("/similar", params=parameters).json()
        filters = Filters(genres=(genre,), duration_to_s=60.0)
        expected = recommender.similar(Query(like=(tracks[-1]["track_id"],), filters=filters))
        assert [t["id"] for t in answer["tracks"]] == [t.track_id for t in expected.tracks]
        assert answer["tracks"]
        assert {t["genre"] for t in answer["tracks"]} == {genre}

    def test_a_tag_with_a_probability(self, client, recommender, tracks):
        tag = recommender.tag_names[0]
        query = {"track": tracks[0]["track_id"], "tag": f"{tag}:0.01"}
        expected = Query(like=(tracks[0]["track_id"],), filters=Filters(tags={tag: 0.01}))
        ids = [t["id"] for t in client.get("/similar", params=query).json()["tracks"]]
        assert ids == [t.track_id for t in recommender.similar(expected).tracks]

    def test_more_than_the_library_has(self, client, tracks):
        answer = client.get("/similar", params={"track": tracks[0]["track_id"], "k": 1000}).json()
        assert 0 < len(answer["tracks"]) < len(tracks)
        assert "1,000" in answer["shortfall"]

    def test_a_named_encoder(self, client, made_home, tracks):
        parameters = {"track": tracks[0]["track_id"], "encoder": "mel-statistics"}
        answer = client.get("/similar", params=parameters).json()
        assert answer["encoder"].startswith("encoders/mel-statistics/")

    @pytest.mark.parametrize(
        ("parameters", "where"),
        [
            ({}, "track"),
            ({"track": "x", "k": 0}, "k"),
            ({"track": "x", "k": 100_000}, "k"),
            ({"track": "x", "k": "many"}, "k"),
            ({"track": "x", "colour": "blue"}, "colour"),
            ({"track": "x", "diversity": 1.5}, "diversity"),
            ({"track": "x", "diversity": "nan"}, "diversity"),
            ({"track": "x", "one_version": "perhaps"}, "one_version"),
            ({"track": ""}, "track.0"),
            ({"track": ["x"] * 101}, "track"),
        ],
    )
    def test_parameters_that_cannot_be_used(self, client, parameters, where):
        problem = refused(client.get("/similar", params=parameters), 422, "invalid-request")
        assert where in problem.where

    @pytest.mark.parametrize(
        "name",
        ["rock/none.flac", "0" * 32, "../home/melgraph.json", "..%2f..", "a\0b", "/etc/passwd",
         "%2e%2e%2f", "x" * 4000, "~", ".", "日本語"],
    )  # fmt: skip
    def test_tracks_that_do_not_exist(self, client, name):
        """A name of a file of this machine is none of a track: it is not opened."""
        refused(client.get("/similar", params={"track": name}), 404, "unknown-track")
        assert client.get("/path", params={"start": name, "goal": name}).status_code == 404

    def test_files_of_this_machine_are_not_read(self, client, made_home, tracks):
        assert made_home.outside.is_file()
        path = str(made_home.outside)
        for parameters in ({"track": path}, {"track": tracks[0]["track_id"], "unlike": path}):
            refused(client.get("/similar", params=parameters), 404, "unknown-track")

    @pytest.mark.parametrize(
        ("name", "value", "code"),
        [("genre", "polka", "unknown-value"), ("artist", "nobody", "unknown-value"),
         ("tag", "no such tag:0.5", "unknown-tag"), ("encoder", "none", "unknown-encoder")],
    )  # fmt: skip
    def test_values_that_nothing_has(self, client, tracks, name, value, code):
        parameters = {"track": tracks[0]["track_id"], name: value}
        problem = refused(client.get("/similar", params=parameters), 404, code)
        assert "LIBRARY" not in problem.what

    def test_a_quarantined_file(self, client, made_home):
        from melgraph.assets.library.tracks import Tracks

        table = Tracks.all_current(made_home.store)[0].table()
        paths = table.filter(table["status"] == "quarantined")["path"].to_list()
        assert paths
        for path in paths:
            answer = client.get("/similar", params={"track": path})
            assert answer.status_code == 404


class TestFiles:
    def test_a_file_of_a_stranger(self, client, made_home, recommender):
        content = made_home.outside.read_bytes()
        answer = send(client, content, "my song.wav", k=5)
        assert answer.status_code == 200, answer.text
        expected = recommender.similar(Query(like=(str(made_home.outside),), k=5))
        assert [t["id"] for t in answer.json()["tracks"]] == [t.track_id for t in expected.tracks]
        assert [t["similarity"] for t in answer.json()["tracks"]] == pytest.approx(
            [t.similarity for t in expected.tracks], abs=1e-5
        )
        assert answer.json()["like"] == [
            {"id": None, "name": "my song.wav", "artist": None, "title": None}
        ]
        assert "melgraph-serve" not in answer.text

    def test_a_copy_of_a_track_is_that_track(self, client, made_home, tracks):
        path = made_home.library / tracks[0]["path"]
        answer = send(client, path.read_bytes(), "another name.flac", k=1000).json()
        asked = client.get("/similar", params={"track": tracks[0]["track_id"], "k": 1000}).json()
        assert tracks[0]["track_id"] not in [track["id"] for track in answer["tracks"]]
        assert answer == asked

    def test_a_file_and_a_track(self, client, tracks):
        answer = send(client, sound(), track=tracks[0]["track_id"], k=3).json()
        assert [seed["id"] for seed in answer["like"]] == [tracks[0]["track_id"], None]

    @pytest.mark.parametrize(
        ("content", "status", "code"),
        [
            (b"", 422, "empty"),
            (b"<html>no sound</html>" * 100, 415, "undecodable"),
            (sound(level=0.0), 422, "silent"),
            (sound(0.2), 422, "too-short"),
            (sound()[: len(sound()) // 2], 422, "truncated"),
        ],
    )
    def test_files_that_cannot_be_used(self, client, content, status, code):
        problem = refused(send(client, content), status, code)
        assert problem.where == "file"

    def test_a_name_that_is_a_path(self, client):
        answer = send(client, sound(), "../../etc/passwd", k=1)
        assert answer.status_code == 200
        answer = send(client, b"no sound", "../../etc/passwd")
        assert answer.status_code == 415

    def test_three_hours(self, made_home):
        settings = ServiceSettings(most_query_s=5.0, time_limit_s=PATIENCE_S, computed_at_once=1)
        file = io.BytesIO()
        with soundfile.SoundFile(file, "w", 8000, 1, format="FLAC") as target:
            minute = 0.3 * np.sin(np.arange(8000 * 60) * 0.3)
            target.write(minute)
            for _ in range(179):
                target.write(0 * minute)  # which is small as FLAC
        with client_of(made_home.home, settings) as client:
            answer = send(client, file.getvalue(), k=1)
        assert answer.status_code == 200, answer.text
        assert answer.json()["cautions"][0] == "only the first 5 s of 10800 s were used"

    def test_a_decoder_that_crashes(self, made_home):
        """The service answers the next request."""
        uploads = Uploads(workers=1, most_s=60.0, time_limit_s=PATIENCE_S, decode=crash_or_hang)
        service = Service(made_home.home, SETTINGS, uploads=uploads)
        with client_of(made_home.home, service=service) as client:
            refused(send(client, b"crash"), 422, "crashed")
            assert send(client, sound(), k=2).status_code == 200

    def test_a_file_that_is_too_large(self, made_home):
        settings = ServiceSettings(most_upload_bytes=200_000, computed_at_once=1)
        with client_of(made_home.home, settings) as client:
            problem = refused(send(client, b"x" * 300_000), 413, "too-large")
            assert "0.2 MB" in problem.what

    @pytest.mark.parametrize("headers", [{"origin": "https://evil.example"}, {"origin": "null"}])
    def test_a_page_of_another_origin(self, client, headers):
        answer = client.post("/similar", files={"file": ("a", sound())}, headers=headers)
        refused(answer, 403, "foreign-origin")


class TestOtherQuestions:
    def test_a_path(self, client, recommender, tracks):
        start, goal = tracks[0]["track_id"], tracks[-1]["track_id"]
        parameters = {"start": start, "goal": tracks[-1]["path"], "length": 2}
        answer = client.get("/path", params=parameters).json()
        expected = recommender.path(start, goal, 2)
        assert [t["id"] for t in answer["tracks"]] == [t.track_id for t in expected.tracks]
        assert answer["tracks"][0]["id"] == start
        assert answer["tracks"][-1]["id"] == goal

    def test_the_filters_hold_between_the_ends_of_a_path(self, client, recommender, tracks):
        start, goal = tracks[0], next(t for t in tracks if t["genre"] != tracks[0]["genre"])
        parameters = {"start": start["path"], "goal": goal["path"], "genre": goal["genre"]}
        answer = client.get("/path", params=parameters | {"length": 3}).json()
        filters = Filters(genres=(goal["genre"],))
        expected = recommender.path(start["track_id"], goal["track_id"], 3, filters).tracks
        assert [t["id"] for t in answer["tracks"]] == [t.track_id for t in expected]
        assert {t["genre"] for t in answer["tracks"][1:]} == {goal["genre"]}
        without = recommender.path(start["track_id"], goal["track_id"], 3).tracks
        assert {track.genre for track in without[1:]} != {goal["genre"]}

    @pytest.mark.parametrize(
        ("name", "value", "code"),
        [("genre", "polka", "unknown-value"), ("artist", "nobody", "unknown-value"),
         ("tag", "no such tag", "unknown-tag")],
    )  # fmt: skip
    def test_filters_of_a_path_that_nothing_passes(self, client, tracks, name, value, code):
        ends = {"start": tracks[0]["path"], "goal": tracks[1]["path"]}
        refused(client.get("/path", params=ends | {name: value}), 404, code)

    def test_a_path_that_cannot_be(self, client, tracks):
        one = tracks[0]["track_id"]
        refused(client.get("/path", params={"start": one, "goal": one}), 422, "invalid-request")
        parameters = {"start": one, "goal": tracks[1]["path"], "length": 1000}
        refused(client.get("/path", params=parameters), 422, "invalid-request")

    def test_the_list_of_tracks(self, client, tracks):
        whole = client.get("/tracks", params={"limit": 1000}).json()
        assert whole["total"] == len(tracks)
        assert [t["path"] for t in whole["tracks"]] == [t["path"] for t in tracks]
        page = client.get("/tracks", params={"offset": 3, "limit": 2}).json()
        assert page["tracks"] == whole["tracks"][3:5]
        assert page["total"] == len(tracks)
        matches = client.get("/tracks", params={"path": tracks[4]["path"]}).json()["tracks"]
        assert [t["id"] for t in matches] == [tracks[4]["track_id"]]
        artist = tracks[0]["artist"]
        by_artist = client.get("/tracks", params={"search": artist.upper()}).json()["tracks"]
        assert {t["artist"] for t in by_artist} == {artist}

    def test_tags(self, client, recommender, tracks):
        assert client.get("/tags").json()["tags"] == recommender.tag_names
        answer = client.get(f"/tags/{tracks[0]['track_id']}").json()
        assert answer["track"]["path"] == tracks[0]["path"]
        expected = recommender.tags_of(tracks[0]["track_id"])
        assert [(t["tag"], t["probability"]) for t in answer["tags"]] == expected

    @pytest.mark.parametrize("address", ["/tags", "/audio"])
    @pytest.mark.parametrize(
        "track", ["%2e%2e%2f", "%00", "x", "0" * 31, "0" * 33, "0" * 32, "A" * 32,
                  "..%2f..%2fmelgraph.json", "rock/song.flac"],
    )  # fmt: skip
    def test_ids_that_are_none(self, client, address, track):
        answer = client.get(f"{address}/{track}")
        assert answer.status_code in (404, 422)
        Problem.model_validate(answer.json())


class TestAudio:
    def test_the_file_of_a_track(self, client, made_home, tracks):
        data = (made_home.library / tracks[0]["path"]).read_bytes()
        address = f"/audio/{tracks[0]['track_id']}"
        whole = client.get(address)
        assert whole.content == data
        assert whole.headers["content-type"] == "audio/flac"
        part = client.get(address, headers={"range": "bytes=100-299"})
        assert (part.status_code, part.content) == (206, data[100:300])
        assert client.get(address, headers={"range": f"bytes={len(data)}-"}).status_code == 416
        head = client.head(address)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-length"] == str(len(data))

    def test_a_file_that_holds_another_sound_now(self, home_copy):
        copied = home_copy(library=True)
        track = track_of_one_file(copied)
        (copied.library / track["path"]).write_text("private " * 1000)
        with client_of(copied.home) as client:
            answer = client.get(f"/audio/{track['track_id']}")
        refused(answer, 404, "no-sound")


class TestChanges:
    """What happens to the home while the service runs."""

    def test_a_track_that_was_deleted(self, home_copy):
        copied = home_copy()
        track = track_of_one_file(copied)
        with client_of(copied.home) as client:
            asked = {"track": track["track_id"]}
            assert client.get("/similar", params=asked).status_code == 200
            other = client.get("/similar", params=asked | {"k": 1}).json()["tracks"][0]["id"]
            copied.catalogue.note_missing([track["path"]])  # as a scan does
            for name in (track["track_id"], track["path"]):
                answer = client.get("/similar", params={"track": name})
                refused(answer, 404, "deleted-track")
            refused(client.get(f"/audio/{track['track_id']}"), 404, "deleted-track")
            refused(client.get(f"/tags/{track['track_id']}"), 404, "deleted-track")
            answer = client.get("/similar", params={"track": other, "k": 1000}).json()
            assert track["track_id"] not in [t["id"] for t in answer["tracks"]]

    def test_a_new_index(self, home_copy):
        copied = home_copy()
        with client_of(copied.home) as client:
            name = {"encoder": "mel-statistics"}
            track, gone, *_ = client.get("/tracks", params=name).json()["tracks"]
            asked = {"track": track["id"]} | name
            old = client.get("/similar", params=asked).json()
            copied.catalogue.note_missing([gone["path"]])
            store, context = copied.store, copied.context
            for segment in segment_specs(context, "mel-statistics"):
                store.produce(segment, lambda work: write_index_segment(store, work))
            spec = plan_index(context, "mel-statistics")
            store.produce(spec, lambda work: write_index(store, work))
            new = client.get("/similar", params=asked).json()
            assert new["index"] == str(spec.reference)
            assert new["index"] != old["index"]
            text = client.get("/metrics").text
        assert re.search(r'melgraph_index_tracks\{encoder="mel-statistics"\} \d+', text)

    def test_an_encoder_that_is_retired(self, home_copy):
        copied = home_copy()
        with client_of(copied.home) as client:
            name = {"encoder": "mel-statistics"}
            track = client.get("/tracks", params=name).json()["tracks"][0]["id"]
            asked = {"track": track} | name
            assert client.get("/similar", params=asked).status_code == 200
            toml = copied.root / "specs" / "encoders.toml"
            toml.write_text('in_service = ["small-cnn"]\n')
            refused(client.get("/similar", params=asked), 410, "retired-encoder")
            answer = client.get("/similar", params={"track": track})
            assert answer.json()["encoder"].startswith("encoders/small-cnn/")

    def test_an_index_of_another_encoder(self, home_copy):
        """A folder that somebody copied: its record belongs to another encoder."""
        copied = home_copy()
        store = copied.store
        index = store.need("recommendation_indexes", "mel-statistics")
        other = store.need("recommendation_indexes", "small-cnn")
        record = (other.folder / "record.json").read_bytes()
        (index.folder / "record.json").write_bytes(record)
        with client_of(copied.home) as client:
            answer = client.get("/tracks", params={"encoder": "mel-statistics"})
        problem = refused(answer, 409, "unusable-index")
        assert str(copied.root) not in answer.text
        assert "small-cnn" in problem.what

    def test_an_index_without_tracks(self, home_copy):
        """Every file of the library was removed."""
        copied = home_copy()
        with client_of(copied.home) as client:
            track = client.get("/tracks").json()["tracks"][0]["id"]
            copied.catalogue.note_missing(list(copied.catalogue.live_files()))
            assert client.get("/tracks").json() == {"total": 0, "offset": 0, "tracks": []}
            refused(client.get("/similar", params={"track": track}), 404, "deleted-track")
            answer = send(client, sound(), "mine.flac", k=3)
        assert answer.status_code == 200, answer.text
        assert answer.json()["tracks"] == []
        assert answer.json()["shortfall"].startswith("0 of 3 tracks")
        assert answer.json()["like"][0]["name"] == "mine.flac"

    def test_no_index_yet(self, tmp_path):
        (tmp_path / "songs").mkdir()
        home = Home(tmp_path / "home", str(tmp_path / "songs")).create()
        before = sorted(path for path in tmp_path.rglob("*"))
        with client_of(home) as client:
            for address in ("/tracks", "/tags", "/tags/" + "0" * 32):
                answer = client.get(address)
                assert answer.status_code in (503, 404)
            answer = client.get("/tracks")
            refused(answer, 503, "no-index")
            assert int(answer.headers["retry-after"]) > 0
            assert client.get("/healthz").json()["has_index"] is False
        assert sorted(path for path in tmp_path.rglob("*")) == before


class TestOperation:
    def test_health(self, client):
        answer = client.get("/healthz").json()
        assert (answer["status"], answer["has_index"]) == ("ok", True)

    def test_what_is_counted(self, made_home):
        """Two apps of one process count for themselves."""
        with client_of(made_home.home) as first, client_of(made_home.home) as second:
            for _ in range(3):
                first.get("/similar", params={"track": "0" * 32})
            first.get("/nothing-here")
            first.get("/pages/index.html", follow_redirects=False)
            text, other = first.get("/metrics").text, second.get("/metrics").text
        line = 'melgraph_requests_total{method="GET",route="/similar",status="404"} 3.0'
        assert line in text
        assert 'route="none",status="404"} 1.0' in text
        assert 'route="/pages/{name}.html",status="307"} 1.0' in text
        assert 'melgraph_request_seconds_count{route="/similar"} 3.0' in text
        assert "melgraph_requests_in_progress 1.0" in text
        assert '"/similar"' not in other

    def test_the_token(self, made_home):
        settings = ServiceSettings(token=TOKEN, computed_at_once=1)
        assert TOKEN not in repr(settings)
        with client_of(made_home.home, settings) as client:
            for address in ("/tracks", "/", "/metrics", "/openapi.json", "/library/x"):
                answer = client.get(address, follow_redirects=False)
                assert answer.status_code == 401, address
                assert answer.headers["www-authenticate"].startswith("Bearer")
            assert client.get("/healthz").status_code == 200
            client.headers["authorization"] = f"Bearer {TOKEN}"
            assert client.get("/tracks").status_code == 200
            described = client.get("/openapi.json").json()
        assert described["security"] == [{"token": []}]
        assert described["components"]["securitySchemes"]["token"]["scheme"] == "bearer"

    def test_nothing_is_written(self, client, made_home, tracks):
        def state() -> dict[Path, int]:
            return {path: path.stat().st_mtime_ns for path in made_home.root.rglob("*")}

        before = state()
        client.get("/similar", params={"track": tracks[0]["track_id"]})
        send(client, sound(), k=1)
        client.get(f"/audio/{tracks[0]['track_id']}")
        client.get("/", follow_redirects=True)
        client.get("/metrics")
        assert state() == before

    @pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
    def test_other_methods(self, client, method):
        answer = client.request(method, "/similar")
        refused(answer, 405, "method-not-allowed")
        assert answer.headers["allow"] == "GET, POST"

    def test_a_fault_of_the_service(self, made_home, monkeypatch):
        from melgraph.assets.service import answers

        def fail(*_: object) -> None:
            raise ZeroDivisionError("secret detail")

        monkeypatch.setattr(answers, "tracks", fail)
        with client_of(made_home.home) as client:
            answer = client.get("/tracks")
            assert client.get("/healthz").status_code == 200
        refused(answer, 500, "internal-error")
        assert "secret" not in answer.text


def test_a_home_of_the_made_kind_is_used(made_home: MadeHome, tracks):
    assert len(tracks) >= 20


def test_every_link_of_every_page_is_served(client):
    """Pictures, sounds, scripts and other pages, in the text and in the data for the scripts."""
    seen: set[str] = set()
    pages = re.findall(r'href="(\w+\.html)', client.get("/").text)
    for name in {"index.html", *pages}:
        page = client.get(f"/pages/{name}")
        assert page.status_code == 200, name
        links = re.findall(r'(?:href|src|poster)="([^"#]+)', page.text)
        links += re.findall(r'"((?:\.\./)+[^"]+)"', page.text)
        for link in links:
            address = urljoin(str(page.url), html.unescape(link)).partition("#")[0]
            if not address.startswith(LOOPBACK) or address.endswith("/library/"):
                continue  # addresses of Dagster and MLflow; a prefix for the scripts
            if address not in seen:
                seen.add(address)
                assert client.get(address).status_code == 200, f"{name}: {link}"
    kinds = {address.rpartition(".")[2].partition("?")[0] for address in seen}
    assert {"html", "css", "js", "flac", "png"} <= kinds
