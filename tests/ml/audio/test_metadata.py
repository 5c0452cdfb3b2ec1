from pathlib import Path

import av
import mutagen
import numpy as np
import pytest
import soundfile as sf
from mutagen.asf import ASF
from mutagen.easyid3 import EasyID3
from mutagen.id3 import TIT2, TPE1
from mutagen.wave import WAVE

from melgraph.ml.audio import read_file_metadata
from tests.ml.audio_files import RATE, encode, tone

FIELDS = {"artist": None, "title": None, "album": None, "genre": None}
NOTHING = FIELDS | {"artists": [], "genres": []}
FIRST = {"artist": "Ørsted", "title": "Blå", "album": "Første", "genre": "Jazz"}
GIVEN = FIRST | {"artists": ["Ørsted"], "genres": ["Jazz"]}
SHORT = tone(0.2)


def test_tags_are_read_where_there_are_any(tmp_path: Path) -> None:
    mp3 = encode(tmp_path / "a.mp3", "libmp3lame", "mp3", id3v2_version="0")
    assert read_file_metadata(mp3) == NOTHING
    tags = EasyID3()
    tags["artist"], tags["genre"], tags["album"] = ["Ørsted", "Second"], "Jazz", "  "
    tags.save(mp3)
    assert read_file_metadata(mp3) == {
        **FIELDS, "artist": "Ørsted", "artists": ["Ørsted", "Second"], "genre": "Jazz",
        "genres": ["Jazz"],
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
        "artists": ["Ørsted", "another"], "genres": ["Jazz", "another"]
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
