import json
import math
import os
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from melgraph.ml.audio import AUDIO_SUFFIXES, BadAudio, check, decode, read_file_metadata
from melgraph.ml.errors import UserError
from melgraph.ml.sample_library import MARKER, STYLES, library, write_sample_library
from melgraph.ml.sample_library.artists import draw_artist
from tests.ml.sample_library.conftest import SMALL, hashes, write_small


def good_tracks(folder: Path) -> list[Path]:
    audio = (p for p in sorted(folder.rglob("*")) if p.suffix in AUDIO_SUFFIXES)
    return [p for p in audio if not p.name.startswith("._") and p.parent.name != "Downloads"]


# the same arguments, the same bytes


def test_two_workers_write_the_same_bytes_as_one(small_library: Path, tmp_path: Path) -> None:
    write_small(tmp_path / "again", workers=2)
    assert hashes(tmp_path / "again") == hashes(small_library)


def test_another_seed_gives_other_music(small_library: Path, tmp_path: Path) -> None:
    one_track = {"styles": ["jazz"], "artists_per_style": 1, "tracks_per_artist": 1}
    write_small(tmp_path / "seven", **one_track)
    write_small(tmp_path / "eight", **one_track, seed=8)
    sevens, eights = (good_tracks(tmp_path / name) for name in ("seven", "eight"))
    assert len(sevens) == len(eights) == 1
    assert not np.array_equal(decode(sevens[0]).samples, decode(eights[0]).samples)
    name = sevens[0].relative_to(tmp_path / "seven")
    assert sevens[0].read_bytes() == (small_library / name).read_bytes(), "a part of the larger one"


def test_the_order_of_the_styles_and_the_kind_of_number_change_nothing(
    small_library: Path,
) -> None:
    before = hashes(small_library)
    write_small(small_library, styles=["metal", "jazz"], duration_s=1)
    assert hashes(small_library) == before


def test_a_whole_duration_is_marked_like_the_same_decimal_number(tmp_path: Path) -> None:
    one_track = {"styles": ["jazz"], "artists_per_style": 1, "tracks_per_artist": 1}
    for name, duration_s in (("whole", 1), ("decimal", 1.0)):
        write_small(tmp_path / name, **one_track, duration_s=duration_s)
    whole, decimal = ((tmp_path / name / MARKER).read_bytes() for name in ("whole", "decimal"))
    assert whole == decimal


# what is there already


def test_a_library_that_is_there_is_not_written_again(
    small_library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(library, "render_track", lambda *a, **k: pytest.fail("rendered again"))
    everything = [small_library, *small_library.rglob("*"), small_library.parent]
    before = {path: path.stat().st_mtime_ns for path in everything}
    result = write_small(small_library)
    assert {path: path.stat().st_mtime_ns for path in everything} == before
    assert (result.folder, result.n_tracks, result.n_faulty, result.seed) == (
        small_library,
        8,
        3,
        7,
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": 8}, "another sample library: seed 7, not 8"),
        ({"duration_s": 2.0}, "another sample library: duration_s 1.0, not 2.0"),
        ({"with_faults": False}, "another sample library: with_faults True, not False"),
    ],
)
def test_another_sample_library_is_left_alone(
    small_library: Path, changes: dict[str, object], message: str
) -> None:
    before = hashes(small_library)
    with pytest.raises(UserError, match=message):
        write_small(small_library, **changes)
    assert hashes(small_library) == before


def test_a_sample_library_of_an_older_format_is_called_so(tmp_path: Path) -> None:
    (tmp_path / MARKER).write_text(json.dumps({"format": library.FORMAT - 1}))
    with pytest.raises(UserError, match=f"format {library.FORMAT - 1}, not {library.FORMAT}"):
        write_small(tmp_path)


@pytest.mark.parametrize("marker", [None, "", "[]", "7", "{broken"])
def test_foreign_content_is_left_alone(tmp_path: Path, marker: str | None) -> None:
    folder = tmp_path / "music"
    folder.mkdir()
    (folder / "my song.txt").write_text("mine")
    if marker is not None:
        (folder / MARKER).write_text(marker)
    before = hashes(tmp_path)
    with pytest.raises(UserError, match="something other than a sample library"):
        write_small(folder)
    assert hashes(tmp_path) == before
    assert list(tmp_path.iterdir()) == [folder]


def test_a_file_in_the_place_of_the_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UserError, match="something other than a sample library"):
        write_small(tmp_path / "file")
    with pytest.raises(UserError, match="the folder cannot be created"):
        write_small(tmp_path / "file" / "library")
    assert hashes(tmp_path).keys() == {"file"}
    assert (tmp_path / "file").read_text() == "mine"


# whole or not at all

TINY = {"styles": ["jazz"], "artists_per_style": 1, "tracks_per_artist": 1}


def test_an_empty_folder_is_used_and_a_link_to_one_is_kept(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    write_small(tmp_path / "link", **TINY)
    assert (tmp_path / "link").is_symlink()
    assert len(good_tracks(tmp_path / "real")) == 1


def test_missing_parents_are_made_and_the_folder_is_open_to_others(tmp_path: Path) -> None:
    write_small(tmp_path / "a" / "b" / "library", **TINY)
    (tmp_path / "usual").mkdir()
    modes = [stat.S_IMODE(p.stat().st_mode) for p in (tmp_path / "a/b/library", tmp_path / "usual")]
    assert modes[0] == modes[1]
    assert [p.name for p in (tmp_path / "a" / "b").iterdir()] == ["library"]


@pytest.mark.parametrize("parents", ["", "new/parents"])
def test_an_exception_half_way_leaves_nothing(tmp_path: Path, parents: str) -> None:
    def interrupt(done: int, total: int) -> None:
        assert list((tmp_path / parents).iterdir()), "nothing was written before the exception"
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_small(tmp_path / parents / "library", progress=interrupt)
    assert list(tmp_path.iterdir()) == []


def test_an_exception_half_way_ends_the_workers_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(done: int, total: int) -> None:
        raise RuntimeError("stopped by the caller")

    monkeypatch.setattr(  # threads start at once, and can be counted
        library, "ProcessPoolExecutor", lambda count, mp_context: ThreadPoolExecutor(count)
    )
    render, rendered = library.render_track, []
    monkeypatch.setattr(
        library, "render_track", lambda *a, **k: (rendered.append(a), render(*a, **k))[1]
    )
    threads = threading.active_count()
    with pytest.raises(RuntimeError, match="stopped by the caller"):
        write_small(tmp_path / "library", workers=2, progress=interrupt)
    assert list(tmp_path.iterdir()) == []
    assert threading.active_count() == threads
    assert len(rendered) < 8


def test_an_empty_folder_survives_an_exception(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "library").mkdir()

    def broken(*arguments: object, **options: object) -> np.ndarray:
        return np.array([[0.0], [math.nan]], np.float32)

    monkeypatch.setattr(library, "render_track", broken)
    with pytest.raises(FloatingPointError, match=r"1 of 2 samples of .*'jazz/.* are not finite"):
        write_small(tmp_path / "library")
    assert [p.name for p in tmp_path.rglob("*")] == ["library"]


def test_a_library_that_another_process_finished_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    def somebody_else(done: int, total: int) -> None:
        write_small(tmp_path / "library", **TINY)
        os.utime(tmp_path / "library" / MARKER, ns=(1, 1))

    write_small(tmp_path / "library", **TINY, progress=somebody_else)
    assert (tmp_path / "library" / MARKER).stat().st_mtime_ns == 1
    assert [p.name for p in tmp_path.iterdir()] == ["library"]


def test_progress_counts_every_track(tmp_path: Path) -> None:
    reports: list[tuple[int, int]] = []
    write_small(tmp_path / "library", **TINY, progress=lambda *at: reports.append(at))
    assert reports == [(1, 1)]


# arguments


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": -1}, "seed is -1"),
        ({"artists_per_style": 0}, "artists_per_style is 0"),
        ({"tracks_per_artist": 0}, "tracks_per_artist is 0"),
        ({"workers": 0}, "workers is 0"),
        ({"duration_s": 0}, "duration_s is 0"),
        ({"duration_s": -3.0}, "duration_s is -3.0"),
        ({"duration_s": 0.5}, "duration_s is 0.5"),
        ({"duration_s": math.nan}, "duration_s is nan"),
        ({"duration_s": math.inf}, "duration_s is inf"),
        ({"styles": []}, "no style is chosen"),
        ({"styles": ["jazz", "polka"]}, "unknown style 'polka'"),
        ({"styles": ["jazz", "blues", "jazz"]}, "the style 'jazz' is named more than once"),
    ],
)
def test_arguments_out_of_range_are_refused(
    tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        write_small(tmp_path / "new" / "library", **changes)
    assert list(tmp_path.iterdir()) == []


# what it holds


def test_every_good_track_decodes_and_carries_its_tags(small_library: Path) -> None:
    result = good_tracks(small_library)
    assert len(result) == 8
    assert {path.suffix for path in result} == {".flac", ".wav"}
    for path in result:
        style, name, file = path.relative_to(small_library).parts
        decoded = decode(path)
        check(decoded)
        assert decoded.seconds == SMALL["duration_s"]
        number = 0 if path.suffix == ".flac" else 1  # the last artist of a style delivers WAV
        artist = draw_artist(style, number, seed=7)
        title = file.removesuffix(path.suffix)[3:]
        assert name == artist.name
        tags = {"artist": artist.name, "title": title, "album": artist.album, "genre": style}
        assert 1960 <= artist.year < 2025
        assert read_file_metadata(path) == tags | {
            "artists": [artist.name], "genres": [style], "year": artist.year
        }  # fmt: skip


def test_one_track_has_another_rate_than_the_rest(small_library: Path) -> None:
    rates = [decode(path).sample_rate for path in good_tracks(small_library)]
    assert sorted(rates) == [22050] * 7 + [44100]


def test_names_are_different_and_some_are_beyond_ascii() -> None:
    names = [draw_artist(style, n, seed=7).name for style in STYLES for n in range(20)]
    assert len(set(names)) == len(names)
    assert 0 < sum(not name.isascii() for name in names) < len(names) / 2


@pytest.mark.parametrize("tiny", [False, True])
def test_the_broken_files_get_the_codes_they_were_made_for(
    small_library: Path, tmp_path: Path, tiny: bool
) -> None:
    folder, style = small_library, "jazz"
    if tiny:  # a single track, of the unusual rate
        folder, style = write_small(tmp_path / "library", **TINY).folder, "jazz"
    codes = {}
    for name in ("broken off.flac", "silence.wav", "not music.mp3"):
        with pytest.raises(BadAudio) as refusal:
            check(decode(folder / style / "Downloads" / name))
        codes[name] = refusal.value.code
    assert codes == {
        "broken off.flac": "truncated",
        "silence.wav": "silent",
        "not music.mp3": "undecodable",
    }
    copy = (folder / style / "Downloads" / "copy of a song.flac").read_bytes()
    assert sum(path.read_bytes() == copy for path in good_tracks(folder)) == 1


def test_it_holds_files_that_are_no_audio(small_library: Path) -> None:
    others = [p for p in small_library.rglob("*") if p.is_file() and p.name.startswith("._")]
    assert len(others) == 1
    assert others[0].suffix == ".flac"
    assert (others[0].parent / others[0].name.removeprefix("._")).is_file()
    assert others[0].read_bytes()[:4] == b"\x00\x05\x16\x07"  # AppleDouble
    names = {p.name for p in small_library.rglob("*") if p.is_file()}
    assert {MARKER, "notes.txt", "cover.jpg"} <= names


def test_without_faults_it_holds_nothing_but_tracks(tmp_path: Path) -> None:
    written = write_small(tmp_path / "library", **TINY, with_faults=False)
    files = [path for path in written.folder.rglob("*") if path.is_file()]
    assert sorted(files) == sorted([*good_tracks(written.folder), written.folder / MARKER])
    assert written.n_faulty == 0


def test_all_ten_styles_by_default(tmp_path: Path) -> None:
    written = write_sample_library(
        tmp_path / "library",
        artists_per_style=1,
        tracks_per_artist=1,
        duration_s=1.0,
        with_faults=False,
        workers=1,
    )
    assert sorted(p.name for p in written.folder.iterdir() if p.is_dir()) == sorted(STYLES)
