"""The digest of a recording does not depend on its tags, and on no demuxer of a new version."""

from pathlib import Path

import mutagen.apev2
import mutagen.id3
import mutagen.oggvorbis
import numpy as np
import pytest

from melgraph.ml.audio import decode
from melgraph.ml.audio.payload import PAYLOAD_METHOD, payload_digest
from tests.ml.audio_files import encode
from tests.ml.retagging import RATE, WRITERS, retag, sound

SAMPLES = Path(__file__).with_name("payload_samples")
# If one of these changes, all track ids of that format change with it: rename the method, and
# raise the format of homes.
GOLDEN = {
    "aac": "b693cc7d2770b57e1ab279bcf925368e",
    "aiff": "a8689eabf36c047b2acf32e416e6e834",
    "alac.m4a": "39792b3fa3785534c50edc09c04df4b6",
    "flac": "790d51d5d170e52560e6f1822e51de7a",
    "m4a": "5b88ab979030b529122a12e834441e84",
    "mka": "fa4866afdaeba13335338578e1c7d223",  # these three hold the same packets
    "mp3": "191a8753669b20016f432af88d9f0c97",
    "ogg": "3b4e37963300918ad0f7a0a59151a16f",
    "opus": "fa4866afdaeba13335338578e1c7d223",
    "wav": "d74916db3523282f7a8e77302789a2fd",
    "webm": "fa4866afdaeba13335338578e1c7d223",
    "wma": "28280434f3716b40d67fef30241d0cd7",
    "wv": "06016e6cf622993b681c9077f18d4830",
}


@pytest.mark.parametrize("suffix", WRITERS)
def test_the_digest_of_a_sample_is_that_of_every_version(suffix: str) -> None:
    assert PAYLOAD_METHOD == "packets-sha256-1"
    digest = payload_digest(SAMPLES / f"sample.{suffix}")
    assert digest is not None
    assert digest[:32] == GOLDEN[suffix]


@pytest.mark.parametrize("suffix", WRITERS)
def test_tags_pictures_and_padding_do_not_change_the_digest(suffix: str, tmp_path: Path) -> None:
    path = WRITERS[suffix](tmp_path / f"a.{suffix}", 440.0)
    digest, samples = payload_digest(path), decode(path).samples
    assert digest is not None
    large = 2_000_000
    for artist, picture in (("Bob", 0), ("Eve", 3000), ("Large", large), ("A" * 5000, 0)):
        before = path.read_bytes()
        retag(path, artist, picture=picture)
        assert path.read_bytes() != before
        assert payload_digest(path) == digest
        np.testing.assert_array_equal(decode(path).samples, samples)


def test_other_sounds_have_other_digests(tmp_path: Path) -> None:
    pitches = {
        suffix: [payload_digest(write(tmp_path / f"{hz:.0f}.{suffix}", hz)) for hz in (440, 441)]
        for suffix, write in WRITERS.items()
    }
    del pitches["mka"], pitches["webm"]  # the packets of opus
    digests = [digest for pair in pitches.values() for digest in pair]
    assert None not in digests
    assert len(set(digests)) == len(digests)


def _id3v1(artist: str) -> bytes:
    return b"TAG" + artist.encode().ljust(125, b"\0")


def _ape(value: bytes) -> bytes:
    """An APEv2 tag with its header."""
    tag = mutagen.apev2.APEv2()
    tag["Cover Art (Front)"] = mutagen.apev2.APEValue(b"a.png\0" + value, mutagen.apev2.BINARY)
    path = Path("tag")
    path.write_bytes(b"")
    tag.save(path)
    return path.read_bytes()


def _behind(suffix: str, sound_bytes: bytes) -> dict[str, bytes]:
    """What editors append to a file; an APEv2 tag may contain bytes like those of a frame."""
    inside = sound_bytes[:5000] if suffix == "mp3" else bytes(5000)
    return {
        "ID3v1": _id3v1("Bob"),
        "APEv2": _ape(bytes(range(256)) * 40),
        "APEv2 with frames in it": _ape(inside),
        "both": _ape(b"picture") + _id3v1("Eve"),
    }


@pytest.mark.parametrize("suffix", ["mp3", "aac", "flac"])
@pytest.mark.parametrize("cut", [0, 100])
def test_tags_behind_the_last_frame_do_not_change_the_digest(
    suffix: str, cut: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = WRITERS[suffix](tmp_path / f"a.{suffix}", 440.0)
    mutagen.id3.delete(path)
    whole = path.read_bytes()
    content = whole[: len(whole) - cut]  # a file that was cut off within its last frame
    path.write_bytes(content)
    digest = payload_digest(path)
    for name, tag in _behind(suffix, content).items():
        path.write_bytes(content + tag)
        assert payload_digest(path) == digest, name


def test_bytes_between_the_frames_of_an_mp3_do_not_change_the_digest(tmp_path: Path) -> None:
    path = WRITERS["mp3"](tmp_path / "a.mp3", 440.0)
    content, digest = path.read_bytes(), payload_digest(path)
    for behind in (b"LYRICSBEGININD0000210000035LYRICS200" + _id3v1("Bob"), bytes(3000)):
        path.write_bytes(content + behind)
        assert payload_digest(path) == digest


def test_an_mp3_without_a_header_of_its_length(tmp_path: Path) -> None:
    path = tmp_path / "a.mp3"
    encode(path, "libmp3lame", "mp3", rate=RATE, samples=sound(), bit_rate=64000, write_xing="0")
    digest = payload_digest(path)
    retag(path, "Bob", picture=3000)
    assert payload_digest(path) == digest


def test_the_encoder_in_the_comments_of_vorbis_does_not_change_the_digest(tmp_path: Path) -> None:
    path = WRITERS["ogg"](tmp_path / "a.ogg", 440.0)
    digest = payload_digest(path)
    file = mutagen.oggvorbis.OggVorbis(path)
    file.tags.vendor = "Another editor"
    file.save()
    assert payload_digest(path) == digest


def test_a_file_that_cannot_be_demuxed_has_no_digest(tmp_path: Path) -> None:
    for name, content in (("noise.mp3", bytes(range(256)) * 9), ("empty.wav", b"")):
        (tmp_path / name).write_bytes(content)
        assert payload_digest(tmp_path / name) is None
    with pytest.raises(FileNotFoundError):
        payload_digest(tmp_path / "gone.wav")
