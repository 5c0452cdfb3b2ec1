"""`melgraph similar`: what a person reads, what a program reads, and mistakes in one message."""

import json
import os
import re

import pytest

from melgraph.assets.recommendations.queries import (
    DEFAULT_PROBABILITY,
    Answer,
    Query,
    Recommendation,
    Recommender,
)
from melgraph.ml.errors import UserError
from melgraph.pipelines.commands import similar as similar_command
from melgraph.pipelines.commands.similar import (
    _playlist,
    _playlist_file,
    _range,
    _whole_range,
)
from tests.conftest import MadeHome


@pytest.fixture(scope="module")
def paths(made_home: MadeHome) -> list[str]:
    return sorted(Recommender.open(made_home.context).tracks["path"])


def similar(home: MadeHome, *arguments: str):
    return home.melgraph("similar", *arguments)


def test_a_person_reads_names_similarities_and_reasons(made_home, paths):
    ran = similar(made_home, paths[0], "--tracks", "3", "--encoder", "tiny-tagger")
    assert ran.returncode == 0, ran.stderr
    lines = ran.stdout.splitlines()
    assert lines[0].startswith(f"Similar to {paths[0]}")
    assert [line.split()[0] for line in lines if line[:4].strip().isdigit()] == ["1", "2", "3"]
    assert "both: " in ran.stdout
    assert "melgraph audit recommendation_indexes/tiny-tagger/" in lines[-1]
    assert ran.stderr == ""


def test_the_command_of_the_last_line_works(made_home, paths):
    ran = similar(made_home, paths[0], "--tracks", "1")
    reference = ran.stdout.splitlines()[-1].split()[-1]
    assert made_home.melgraph("audit", reference).returncode == 0


def test_a_program_reads_json(made_home, paths):
    ran = similar(made_home, paths[0], paths[3], "--tracks", "2", "--json", "--per-artist", "1")
    answer = json.loads(ran.stdout)
    assert [seed["path"] for seed in answer["like"]] == [paths[0], paths[3]]
    assert len(answer["tracks"]) == 2
    assert {"track_id", "path", "similarity", "tags", "moments"} <= set(answer["tracks"][0])


def test_a_playlist_of_a_length(made_home, paths, tmp_path):
    file = tmp_path / "Evening? 100 %.m3u8"
    ran = similar(made_home, paths[0], "--minutes", "0.3", "--m3u", str(file))
    assert ran.returncode == 0, ran.stderr
    lines = file.read_text("utf-8").splitlines()
    assert lines[0] == "#EXTM3U"
    songs = [line for line in lines if not line.startswith("#")]
    assert 0 < len(songs) < 10
    assert all((made_home.library / song).is_file() for song in songs)
    assert [path.name for path in tmp_path.iterdir()] == [file.name]  # nothing is left aside


def test_a_playlist_that_is_longer_than_the_library_says_so(made_home, paths):
    ran = similar(made_home, paths[0], "--minutes", "600")
    sentence = r"of 600 minutes: \d+ of [\d,]+ tracks: the library has \d+ tracks"
    assert re.search(sentence, ran.stdout)


def test_a_playlist_is_not_replaced_by_an_empty_one(made_home, paths, tmp_path):
    file = tmp_path / "list.m3u8"
    file.write_text("#EXTM3U\nsong.mp3\n")
    ran = similar(made_home, paths[0], "--duration", "100000-", "--m3u", str(file))
    assert ran.returncode == 1
    assert "no playlist was written" in ran.stdout
    assert "song.mp3" in file.read_text()


def test_a_path_between_two_tracks(made_home, paths):
    ran = similar(made_home, paths[0], "--to", paths[-1], "--tracks", "1", "--json")
    tracks = [track["path"] for track in json.loads(ran.stdout)["tracks"]]
    assert (tracks[0], tracks[-1]) == (paths[0], paths[-1])


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["TRACK", "--to", "TRACK", "--unlike", "TRACK"], "name one track and no --unlike"),
        (["TRACK", "--to", "TRACK", "--diversity", "0.5"], "--to and --diversity exclude"),
        (["TRACK", "--tracks", "3", "--minutes", "5"], "--tracks and --minutes exclude"),
        (["TRACK", "--minutes", "-1"], "a playlist of -1.0 minutes"),
        (["TRACK", "--tracks", "0"], "0 tracks"),
        (["TRACK", "--encoder", "nobody"], "nobody"),
        (["TRACK", "--genre", "polka"], "no track of the library has the genre 'polka'"),
        (["no/such.flac"], "neither a track of the library nor an audio file"),
        (["~nobody-of-this-name/x"], "neither a track of the library nor an audio file"),
        (["x" * 300], "neither a track of the library nor an audio file"),
        (["TRACK", "--to", "TRACK", "--per-artist", "0"], "--to and --per-artist exclude"),
        (["TRACK", "--m3u", "/no/such/folder/x.m3u8"], "No such file or directory"),
    ],
)
def test_a_mistake_is_one_message(made_home, paths, arguments, problem):
    named = [paths[0] if argument == "TRACK" else argument for argument in arguments]
    ran = similar(made_home, *named)
    assert ran.returncode == 2
    assert problem in ran.stderr
    assert "Traceback" not in ran.stderr
    assert "remedy:" in ran.stderr


def test_ranges_are_read_as_people_write_them():
    assert _range("120-300") == (120, 300)
    assert _range("120-") == (120, None)
    assert _range("-300") == (None, 300)
    assert _whole_range("1990") == (1990, 1990)
    for wrong in ("-", "", "a-b", "nan", "inf-", "1e400", "5--3"):
        with pytest.raises(Exception, match="FROM-TO"):
            _range(wrong)
    with pytest.raises(Exception, match="ends before it begins"):
        _whole_range("1999-1990")
    with pytest.raises(Exception, match="not whole"):
        _whole_range("1990.7")


def test_the_help_names_the_default_of_the_filters():
    assert similar_command.DEFAULT_PROBABILITY == DEFAULT_PROBABILITY


def test_a_playlist_overwrites_nothing_but_a_playlist(tmp_path):
    song, device, link = tmp_path / "song.mp3", tmp_path / "pipe", tmp_path / "link.m3u8"
    song.write_bytes(b"ID3")
    os.mkfifo(device)
    link.symlink_to(song)
    for name in (song, device, link, tmp_path, "", "/", "~nobody-of-this-name/x.m3u8", "a\0b"):
        with pytest.raises(UserError):
            _playlist_file(str(name))
    older = tmp_path / "older.m3u8"
    older.write_text("#EXTM3U\n")
    link.unlink()
    link.symlink_to(older)
    assert _playlist_file(str(link)) == older
    assert _playlist_file(str(tmp_path / "new.m3u8")) == tmp_path / "new.m3u8"


class _ShortTracks:
    """Answers with tracks of one second, as many as are asked for, of a library of 500."""

    def similar(self, query: Query) -> Answer:
        n = min(query.k, 500)
        tracks = [Recommendation(str(i), "x", *[None] * 5, 1.0, 0.5) for i in range(n)]
        return Answer("", "", [], tracks, None if n == query.k else "the library has 500 tracks")


def test_a_playlist_of_short_tracks_is_as_long_as_was_asked_for():
    answer = _playlist(_ShortTracks(), Query(("x",)), 5)
    assert (len(answer.tracks), answer.shortfall) == (300, None)
    short = _playlist(_ShortTracks(), Query(("x",)), 60)
    assert len(short.tracks) == 500
    assert short.shortfall == "8 of 60 minutes: the library has 500 tracks"
