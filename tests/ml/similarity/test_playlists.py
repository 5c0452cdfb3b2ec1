import math
import os
from pathlib import Path
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from melgraph.ml.errors import UserError
from melgraph.ml.similarity.playlists import PlaylistEntry, fill_duration, m3u8

texts = st.text(st.characters(codec="utf-8") | st.sampled_from("#\n\r\t %?&,-é"), max_size=12)
paths = texts.filter(bool)


def read_playlist(text):
    """The entries as players read them: (seconds, artist, title, path)."""
    header, *lines = text.split("\n")
    assert header == "#EXTM3U"
    assert lines.pop() == ""
    entries, information = [], ""
    for line in lines:
        stripped = line.lstrip(" \t\r\n")  # as VLC does
        if stripped.startswith("#EXTINF:"):
            information = stripped.removeprefix("#EXTINF:")
        elif stripped and not stripped.startswith("#"):
            seconds, _, name = information.partition(",")
            artist, dash, title = name.partition(" - ")
            entries.append(
                (int(seconds), artist if dash else "", title if dash else name, stripped)
            )
    return entries


class TestM3u8:
    def test_the_whole_file(self):
        text = m3u8(
            [
                PlaylistEntry("Queen/Innuendo.flac", 391.4, "Queen", "Innuendo"),
                PlaylistEntry('/music/Björk/01 – 100% "?".mp3', 12.5, "Björk", "100%"),
            ]
        )
        assert text == (
            "#EXTM3U\n"
            "#EXTINF:391,Queen - Innuendo\n"
            "Queen/Innuendo.flac\n"
            "#EXTINF:12,Björk - 100%\n"
            '/music/Björk/01 – 100% "?".mp3\n'
        )

    def test_no_entries(self):
        assert m3u8([]) == "#EXTM3U\n"

    @pytest.mark.parametrize(
        "path",
        [
            "a b.mp3",
            "100%.mp3",
            "a%20b.mp3",
            "what?.mp3",
            "Song #1.mp3",
            "日本/歌.flac",
            "../up.ogg",
            "https://host/a%20b.mp3?x=1#t",
            r"C:\Music\a.mp3",
        ],
    )
    def test_plain_paths_stay_as_they_are(self, path):
        assert m3u8([PlaylistEntry(path)]).split("\n")[2] == path

    @pytest.mark.parametrize(
        ("path", "line"),
        [
            ("#1 hits/a.mp3", "./#1 hits/a.mp3"),
            (" a.mp3", "./ a.mp3"),
            ("a\nb.mp3", "a%0Ab.mp3"),
            ("/music/a\r\n100%.mp3", "file:///music/a%0D%0A100%25.mp3"),
            ("/music/a\u2028b.mp3", "file:///music/a%E2%80%A8b.mp3"),
            ("/music/a ", "file:///music/a%20"),
        ],
    )
    def test_paths_that_are_no_line(self, path, line):
        assert m3u8([PlaylistEntry(path)]).split("\n")[2] == line

    def test_a_name_that_is_no_text(self):
        path = os.fsdecode(b"/music/caf\xe9.mp3")
        text = m3u8([PlaylistEntry(path, 3.0, "A", "caf\udce9")])
        assert text.split("\n")[1:3] == ["#EXTINF:3,A - caf?", "file:///music/caf%E9.mp3"]
        text.encode("utf-8")

    @pytest.mark.parametrize(
        ("artist", "title", "name"),
        [
            ("A", "one\ntwo\r\n three", "A - one two three"),
            ("A\x00B", "x", "A B - x"),
            ("A - B", "x - y", "A – B - x - y"),  # players separate at the first " - "
            (None, "x", "x"),
            ("A", None, "A - song"),
            (None, None, "song"),
            ("  ", "\n", "song"),
        ],
    )
    def test_names(self, artist, title, name):
        text = m3u8([PlaylistEntry("music/song.mp3", 1.0, artist, title)])
        assert text.split("\n")[1] == f"#EXTINF:1,{name}"

    @pytest.mark.parametrize("duration", [None, math.nan, math.inf, -3.0])
    def test_unknown_duration(self, duration):
        assert "#EXTINF:-1,a\n" in m3u8([PlaylistEntry("a.mp3", duration)])

    def test_a_track_without_a_path(self):
        with pytest.raises(UserError, match="without a path"):
            m3u8([PlaylistEntry("")])

    @given(st.lists(st.tuples(paths, st.none() | st.floats(0, 1e5), texts, texts), max_size=5))
    def test_players_read_each_entry(self, rows):
        text = m3u8([PlaylistEntry(*row) for row in rows])
        assert len(text.splitlines()) == 1 + 2 * len(rows)
        entries = read_playlist(text)
        assert len(entries) == len(rows)
        for (path, duration, _, _), (seconds, _, title, line) in zip(rows, entries, strict=True):
            assert seconds == (-1 if duration is None else round(duration))
            assert title
            decoded = unquote(line.removeprefix("file://")) if line != path else line
            assert path in (line, line.removeprefix("./"), decoded)

    def test_the_path_of_a_relative_line_is_the_same_file(self, tmp_path):
        (tmp_path / "#x.mp3").write_bytes(b"sound")
        line = m3u8([PlaylistEntry("#x.mp3")]).split("\n")[2]
        assert (tmp_path / Path(line)).read_bytes() == b"sound"


class TestFillDuration:
    @pytest.mark.parametrize(
        ("durations", "target", "count"),
        [
            ([], 600, 0),
            ([200, 180, 240], 400, 2),
            ([200, 180, 240], 10, 1),  # at least one track
            ([200, 180, 240], 5000, 3),
            ([100, 100, 100], 250, 3),  # of two equally near, the longer one
            ([100, None, 100], 200, 2),
            ([100, math.nan, 300], 300, 2),  # unknown: as long as the mean of the others
            ([100, 0, 0], 100, 3),
        ],
    )
    def test_by_hand(self, durations, target, count):
        assert fill_duration(durations, target) == count

    @given(
        st.lists(st.integers(1, 900), min_size=1, max_size=30),
        st.integers(1, 10_000),
    )
    def test_no_other_number_of_tracks_is_nearer(self, durations, target):
        count = fill_duration(durations, target)
        errors = [abs(sum(durations[:n]) - target) for n in range(1, len(durations) + 1)]
        assert errors[count - 1] == min(errors)
        assert 1 <= count <= len(durations)

    @pytest.mark.parametrize("target", [0, -5, math.nan, math.inf])
    def test_no_length(self, target):
        with pytest.raises(UserError, match="a playlist of"):
            fill_duration([100], target)

    def test_no_known_lengths(self):
        with pytest.raises(UserError, match="the lengths of all 2 tracks are unknown"):
            fill_duration([None, math.nan], 100)
