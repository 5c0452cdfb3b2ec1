from pathlib import Path

import mutagen
import pytest
import soundfile as sf
from mutagen.flac import FLAC, CueSheet, CueSheetTrack
from mutagen.id3 import ID3, TXXX

from melgraph.ml.recordings import cue_sheets
from melgraph.ml.recordings.cue_sheets import cue_tracks, tracks_by_file
from tests.ml.audio_files import RATE, encode, tone

SHEET = """REM GENRE Rock
PERFORMER "Ada"
FILE "{}" WAVE
  TRACK 01 AUDIO
    INDEX 01 00:00:00
  TRACK 02 AUDIO
    INDEX 01 03:20:00
  TRACK 03 AUDIO
"""


@pytest.fixture(autouse=True)
def _no_cache():
    cue_sheets._sheets_in.cache_clear()
    cue_sheets._counts.cache_clear()


@pytest.fixture
def album(tmp_path: Path) -> Path:
    path = tmp_path / "CDImage.flac"
    sf.write(path, tone(0.2), RATE)
    return path


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("CDImage.cue", "CDImage.flac"),
        ("album.CUE", "CDImage.wav"),  # the sheet was written before the file was compressed
        ("CDImage.flac.cue", "another.wav"),
        ("album.cue", "C:\\rips\\cdimage.wav"),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252"])
def test_a_sheet_beside_the_file(album, name, file, encoding):
    text = SHEET.format(file).replace("Ada", "Zoë")
    album.with_name(name).write_bytes(text.encode(encoding))
    assert cue_tracks(album) == 3


def test_a_sheet_of_single_tracks_or_of_another_file(album):
    names = ("CDImage", "second")
    one_each = "".join(f'FILE "{name}.flac" WAVE\n  TRACK 01 AUDIO\n' for name in names)
    album.with_name("album.cue").write_text(one_each)
    album.with_name("other.cue").write_text(SHEET.format("other.flac"))
    album.with_name("broken.cue").write_bytes(bytes(range(256)))
    album.with_name("folder.cue").mkdir()
    assert cue_tracks(album) is None
    assert cue_tracks(album.with_name("gone.flac")) is None


def test_a_sheet_in_a_flac_block(album):
    file = FLAC(album)
    file.cuesheet = CueSheet(None)
    file.cuesheet.tracks = [CueSheetTrack(n, 0) for n in (1, 2, 3, 4, 170)]  # 170: the lead-out
    file.save()
    assert cue_tracks(album) == 4


@pytest.mark.parametrize("suffix", ["flac", "ogg", "wv"])
def test_a_sheet_in_a_tag(tmp_path, suffix):
    path = tmp_path / f"album.{suffix}"
    if suffix == "wv":
        encode(path, "wavpack", "wv", samples=tone(0.2))
    else:
        sf.write(path, tone(0.2), RATE)
    assert cue_tracks(path) is None
    file = mutagen.File(path)
    if file.tags is None:
        file.add_tags()
    file["cuesheet"] = SHEET.format("album.wav")
    file.save()
    assert cue_tracks(path) == 3


def test_a_sheet_in_an_id3_field(tmp_path):
    path = encode(tmp_path / "album.mp3", "libmp3lame", "mp3", samples=tone(0.2))
    tags = ID3()
    tags.add(TXXX(encoding=3, desc="CUESHEET", text=[SHEET.format("album.wav")]))
    tags.save(path)
    assert cue_tracks(path) == 3


def test_damaged_files_have_none(tmp_path):
    path = tmp_path / "x.flac"
    path.write_bytes(b"fLaC" + bytes(range(200)))
    assert cue_tracks(path) is None


def test_files_of_a_sheet():
    assert tracks_by_file("TRACK 01 AUDIO\nFILE a.wav WAVE\nTRACK 02 AUDIO") == {"": 1, "a.wav": 1}
