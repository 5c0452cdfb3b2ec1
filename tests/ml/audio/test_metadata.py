import struct
from pathlib import Path

import av
import mutagen
import numpy as np
import pytest
import soundfile as sf
from hypothesis import given
from hypothesis import strategies as st
from mutagen.apev2 import APEv2
from mutagen.asf import ASF
from mutagen.easyid3 import EasyID3
from mutagen.flac import FLAC
from mutagen.id3 import ID3, TDOR, TDRC, TIT2, TPE1, Frame
from mutagen.wave import WAVE

from melgraph.ml.audio import read_file_metadata
from melgraph.ml.audio.metadata import FIRST_YEAR, LAST_YEAR, year_of
from tests.ml.audio.odd_files import info_list
from tests.ml.audio_files import RATE, encode, tone
from tests.ml.retagging import WRITERS, retag

NO_FIELD = {"artist": None, "title": None, "album": None, "genre": None}
NOTHING = NO_FIELD | {"artists": [], "genres": [], "year": None}
FIRST = {"artist": "Ørsted", "title": "Blå", "album": "Første", "genre": "Jazz"}
GIVEN = FIRST | {"artists": ["Ørsted"], "genres": ["Jazz"], "year": None}
SHORT = tone(0.2)


def test_tags_are_read_where_there_are_any(tmp_path: Path) -> None:
    mp3 = encode(tmp_path / "a.mp3", "libmp3lame", "mp3", id3v2_version="0")
    assert read_file_metadata(mp3) == NOTHING
    tags = EasyID3()
    tags["artist"], tags["genre"], tags["album"] = ["Ørsted", "Second"], "Jazz", "  "
    tags.save(mp3)
    assert read_file_metadata(mp3) == {
        **NO_FIELD, "artist": "Ørsted", "artists": ["Ørsted", "Second"], "genre": "Jazz",
        "genres": ["Jazz"], "year": None,
    }  # fmt: skip

    sf.write(tmp_path / "a.wav", tone(), RATE)
    wave = WAVE(tmp_path / "a.wav")
    wave.add_tags()
    wave.tags.add(TPE1(encoding=3, text=["A", "C"]))
    wave.tags.add(TIT2(text=["B"]))
    wave.save()
    assert read_file_metadata(tmp_path / "a.wav") == NOTHING | {
        "artist": "A", "artists": ["A", "C"], "title": "B"
    }  # fmt: skip

    broken = tmp_path / "broken.mp3"
    broken.write_bytes(b"ID3\x04\x00\x80\xff\xff\xff\xff" + mp3.read_bytes()[5:200])
    assert read_file_metadata(broken) == NOTHING
    assert read_file_metadata(tmp_path / "gone.mp3") == NOTHING
    assert read_file_metadata(tmp_path) == NOTHING


@pytest.mark.parametrize("suffix", ["flac", "ogg", "opus", "m4a", "wv"])
def test_what_mutagen_writes_by_easy_names(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"tone.{suffix}"
    if suffix in ("flac", "ogg"):
        sf.write(path, SHORT, RATE)
    else:
        codec, container = {
            "opus": ("libopus", "opus"), "m4a": ("alac", "ipod"), "wv": ("wavpack", "wv")
        }[suffix]  # fmt: skip
        rate = 48000 if suffix == "opus" else RATE
        encode(path, codec, container, rate=rate, samples=SHORT)
    assert read_file_metadata(path) == NOTHING
    file = mutagen.File(path, easy=True)
    if file.tags is None:
        file.add_tags()
    file.update({name: [value, "another"] for name, value in FIRST.items()})
    file.save()
    assert read_file_metadata(path) == FIRST | {
        "artists": ["Ørsted", "another"], "genres": ["Jazz", "another"], "year": None
    }  # fmt: skip


def test_the_names_of_wma(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.wma", "wmav2", "asf", samples=SHORT, bit_rate=64_000)
    names = {"artist": "Author", "title": "Title", "album": "WM/AlbumTitle", "genre": "WM/Genre"}
    file = ASF(path)
    file.update({names[name]: value for name, value in FIRST.items()})
    file.save()
    assert read_file_metadata(path) == GIVEN


@pytest.mark.parametrize("suffix", ["webm", "mka"])
def test_matroska_by_ffmpeg(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"tone.{suffix}"
    container = {"webm": "webm", "mka": "matroska"}[suffix]
    with av.open(str(path), "w", format=container) as out:
        stream = out.add_stream("libopus", rate=48000, layout="mono")
        out.metadata.update({name.upper(): value for name, value in FIRST.items()})
        silence = np.zeros((1, 960), np.float32)
        frame = av.AudioFrame.from_ndarray(silence, format="flt", layout="mono")
        frame.sample_rate = 48000
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    assert read_file_metadata(path) == GIVEN
    path.write_bytes(path.read_bytes()[:60])
    assert read_file_metadata(path) == NOTHING


def test_the_artist_of_the_album_stands_in(tmp_path: Path) -> None:
    path = tmp_path / "tone.flac"
    sf.write(path, SHORT, RATE)
    file = mutagen.File(path, easy=True)
    file["albumartist"] = "Several"
    file.save()
    assert read_file_metadata(path) == NOTHING | {"artist": "Several", "artists": ["Several"]}
    file["artist"] = "One"
    file.save()
    assert read_file_metadata(path) == NOTHING | {"artist": "One", "artists": ["One"]}


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252"])
def test_the_info_list_of_wav(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    sf.write(path, SHORT, RATE)
    names = {"IART": "artist", "INAM": "title", "IPRD": "album", "IGNR": "genre"}
    values = {name: FIRST[field].encode(encoding) + b"\0" for name, field in names.items()}
    chunk = info_list(**values, ICRD=b"1987-04-12\0")
    content = path.read_bytes() + chunk
    path.write_bytes(content[:4] + struct.pack("<I", len(content) - 8) + content[8:])
    expected = GIVEN | {"year": 1987}
    assert read_file_metadata(path) == expected
    wave = WAVE(path)  # an ID3 chunk has several values, and no limits
    wave.add_tags()
    wave.tags.add(TPE1(encoding=3, text=["Better", "Second"]))
    wave.save()
    better = {"artist": "Better", "artists": ["Better", "Second"]}
    assert read_file_metadata(path) == expected | better


def test_the_chunks_of_aiff(tmp_path: Path) -> None:
    path = tmp_path / "a.aiff"
    sf.write(path, SHORT, RATE)
    content = path.read_bytes()
    for name, field in ((b"NAME", "title"), (b"AUTH", "artist")):
        text = FIRST[field].encode()
        content += name + struct.pack(">I", len(text)) + text + bytes(len(text) % 2)
    path.write_bytes(content[:4] + struct.pack(">I", len(content) - 8) + content[8:])
    only = {"artist": "Ørsted", "artists": ["Ørsted"], "title": "Blå"}
    assert read_file_metadata(path) == NOTHING | only


@pytest.mark.parametrize("container", ["w64", "caf"])
def test_containers_that_only_ffmpeg_reads(container: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{container}"
    with av.open(str(path), "w", format=container) as out:
        out.metadata.update(title="T", artist="A")
        stream = out.add_stream("pcm_s16le", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), "s16", "mono")
        frame.sample_rate = 8000
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    expected = NOTHING | {"artist": "A", "artists": ["A"], "title": "T"}
    assert read_file_metadata(path) == (expected if container == "caf" else NOTHING)


def test_ape_on_mp3_is_preferred_to_what_id3v1_has_cut(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mp3", "libmp3lame", "mp3", id3v2_version="0", samples=SHORT)
    long = "The Extraordinarily LongName of an Orchestra"

    def v1(text: str) -> bytes:
        return text.encode("latin-1")[:30].ljust(30, b"\0")

    id3v1 = b"TAG" + v1("A title") + v1(long) + v1("An album") + b"1987" + bytes(30) + b"\x08"
    sound = path.read_bytes()
    path.write_bytes(sound + id3v1)
    cut = {"title": "A title", "artist": long[:30], "artists": [long[:30]], "album": "An album",
           "genre": "Jazz", "genres": ["Jazz"], "year": 1987}  # fmt: skip
    assert read_file_metadata(path) == cut
    path.write_bytes(sound)
    tags = APEv2()
    tags["Artist"], tags["Genre"] = [long, "Second"], ["Bop", "Swing"]
    tags.save(path)
    path.write_bytes(path.read_bytes() + id3v1)
    ape = {"artist": long, "artists": [long, "Second"], "genre": "Bop", "genres": ["Bop", "Swing"]}
    assert read_file_metadata(path) == cut | ape
    id3 = ID3()
    id3.add(TPE1(encoding=3, text=["Third"]))
    id3.save(path, v1=0)
    path.write_bytes(path.read_bytes() + id3v1)
    assert read_file_metadata(path) == cut | ape | {"artist": "Third", "artists": ["Third"]}


@pytest.mark.parametrize("suffix", WRITERS)
def test_the_year_in_every_format(suffix: str, tmp_path: Path) -> None:
    path = WRITERS[suffix](tmp_path / f"a.{suffix}", 440.0, 0.2)
    assert read_file_metadata(path)["year"] is None
    retag(path, "Ørsted", year=1987)
    assert read_file_metadata(path)["year"] == 1987


@pytest.mark.parametrize("version", [3, 4])
def test_the_original_date_is_used_if_there_is_no_other(version: int, tmp_path: Path) -> None:
    """ID3v2.3 has TYER and TORY instead of TDRC and TDOR."""
    path = encode(tmp_path / "a.mp3", "libmp3lame", "mp3", id3v2_version="0", samples=SHORT)

    def write(*frames: Frame) -> bytes:
        tags = ID3()
        for frame in frames:
            tags.add(frame)
        if version == 3:
            tags.update_to_v23()
        tags.save(path, v1=0, v2_version=version)
        return path.read_bytes()

    original = TDOR(encoding=3, text=["1969"])
    assert (b"TORY" in write(original)) == (version == 3)
    assert read_file_metadata(path)["year"] == 1969
    assert (b"TYER" in write(original, TDRC(encoding=3, text=["1999-12-31"]))) == (version == 3)
    assert read_file_metadata(path)["year"] == 1999
    ape = APEv2()
    ape["Year"] = "2001"
    ape.save(path)
    assert read_file_metadata(path)["year"] == 1999
    write(original)
    assert read_file_metadata(path)["year"] == 2001  # the original date is the last resort


def test_the_first_value_with_a_year_is_used(tmp_path: Path) -> None:
    path = tmp_path / "a.flac"
    sf.write(path, SHORT, RATE)
    file = FLAC(path)
    file["originaldate"] = "1959"
    for values, year in (
        ({"date": ["", "unknown", "0000"]}, 1959),
        ({"date": ["unknown", "circa 1987", "1990"]}, 1987),
        ({"date": "unknown", "year": "1990"}, 1990),
        ({"date": "1987", "year": "1990"}, 1987),
    ):
        file.update(values)
        file.save()
        assert read_file_metadata(path)["year"] == year


@pytest.mark.parametrize(
    ("text", "year"),
    [
        ("1987", 1987), ("1987-04-12", 1987), ("1987-04-12T07:00:00Z", 1987), ("12.04.1987", 1987),
        ("19870412", 1987), ("c1987", 1987), ("1987?", 1987), ("1987年", 1987), ("１９８７", 1987),
        ("1987/1990", 1987), ("0000-1987", 1987), ("1000", 1000), ("2999", 2999),
        ("", None), ("unknown", None), ("0000", None), ("87", None), ("999", None), ("3000", None),
        ("12345", None), ("19874599", None), ("-", None),
    ],
)  # fmt: skip
def test_a_year_is_four_digits(text: str, year: int | None) -> None:
    assert year_of(text) == year


@given(
    st.integers(FIRST_YEAR, LAST_YEAR),
    st.text(st.characters(exclude_categories=["Nd"])),
    st.text(st.characters(exclude_categories=["Nd"])),
)
def test_a_year_in_any_text_without_other_digits(year: int, before: str, after: str) -> None:
    assert year_of(f"{before}{year}{after}") == year


@given(st.text(st.sampled_from("0123456789-./ x")))
def test_whatever_a_field_holds_a_year_is_within_the_limits(text: str) -> None:
    year = year_of(text)
    assert year is None or (FIRST_YEAR <= year <= LAST_YEAR and str(year) in text)
