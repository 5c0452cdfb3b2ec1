"""Every listed suffix is read, and what is not read is named by kind."""

from pathlib import Path

import av
import numpy as np
import pytest

from melgraph.ml.audio import AUDIO_SUFFIXES, check, decode, describe_ignored
from melgraph.ml.audio.containers.suffixes import UNREAD_SUFFIXES
from tests.ml.audio.odd_files import layer_one, speex
from tests.ml.audio_files import RATE, encode, tone

ENCODED = {  # suffix: encoder, container; codec and container as they are reported
    "mp4": ("aac", "mp4", "AAC", "MOV"),
    "m4r": ("aac", "ipod", "AAC", "MOV"),
    "mov": ("pcm_s16le", "mov", "PCM_S16LE", "MOV"),
    "3gp": ("aac", "3gp", "AAC", "MOV"),
    "3g2": ("aac", "3g2", "AAC", "MOV"),
    "mkv": ("pcm_s16le", "matroska", "PCM_S16LE", "MATROSKA"),
    "weba": ("libopus", "webm", "OPUS", "MATROSKA"),
    "mp2": ("mp2", "mp2", "MP2", "MP3"),
    "wmv": ("wmav2", "asf", "WMAV2", "ASF"),
}


@pytest.mark.parametrize("suffix", ENCODED)
def test_sound_of_containers_of_films_and_of_older_layers(suffix: str, tmp_path: Path) -> None:
    encoder, container, *expected = ENCODED[suffix]
    rate = 48000 if encoder == "libopus" else RATE
    bit_rate = 128_000 if encoder in ("mp2", "wmav2") else 0
    path = tmp_path / f"tone.{suffix}"
    encode(path, encoder, container, rate=rate, samples=tone(1.0, rate), bit_rate=bit_rate)
    decoded = decode(path)
    check(decoded)
    assert [decoded.codec, decoded.container] == expected
    assert (decoded.sample_rate, decoded.warning) == (rate, None)
    assert decoded.seconds == pytest.approx(1.0, abs=0.06)
    assert f".{suffix}" in AUDIO_SUFFIXES


@pytest.mark.parametrize("suffix", ["spx", "mp1"])
def test_formats_without_an_encoder(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"noise.{suffix}"
    path.write_bytes(speex(1.0) if suffix == "spx" else layer_one(1.0))
    decoded = decode(path)
    check(decoded)
    assert (decoded.codec, decoded.warning) == ({"spx": "SPEEX", "mp1": "MP1"}[suffix], None)
    assert decoded.seconds == pytest.approx(1.0, abs=0.02)
    assert f".{suffix}" in AUDIO_SUFFIXES


def test_the_mix_of_a_stem_file_beside_a_picture(tmp_path: Path) -> None:
    """As in MUSDB18: the first of several streams is the mix."""
    path = tmp_path / "Artist - Song.stem.mp4"
    levels = (0.5, 0.1, 0.1)
    with av.open(str(path), "w", format="mp4") as out:
        video = out.add_stream("mpeg4", rate=1, options={"strict": "-2"})
        video.width = video.height = 32
        streams = [out.add_stream("aac", rate=RATE, layout="mono") for _ in levels]
        image = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")
        out.mux(video.encode(image))
        out.mux(video.encode(None))
        for stream, level in zip(streams, levels, strict=True):
            split = av.AudioResampler(format="fltp", layout="mono", rate=RATE, frame_size=1024)
            samples = (level * tone(1.0, RATE, 1)).reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(samples, format="flt", layout="mono")
            frame.sample_rate = RATE
            for piece in [*split.resample(frame), *split.resample(None)]:
                out.mux(stream.encode(piece))
            out.mux(stream.encode(None))
    decoded = decode(path)
    assert decoded.warning == "the first of 3 audio streams"
    assert float(np.std(decoded.samples)) == pytest.approx(0.5 * 0.218, rel=0.05)


def test_what_is_not_read_is_named_by_kind() -> None:
    counts = {".ape": 9, ".mid": 8, ".jpg": 2, "": 1}
    assert describe_ignored(counts) == [
        "17 are audio that melgraph does not read (9 .ape: Monkey's Audio, 8 .mid: notes without "
        "sound)",
        "3 other files ignored (2 .jpg, 1 without a suffix)",
    ]
    assert describe_ignored({}) == []
    assert describe_ignored({".dsf": 1}) == ["1 is audio that melgraph does not read (1 .dsf: DSD)"]
    many = {f".{letter}": 1 for letter in "abcdef"}
    assert describe_ignored(many) == ["6 other files ignored (1 .a, 1 .b, 1 .c, 1 .d, 1 .e, ...)"]
    assert not AUDIO_SUFFIXES & set(UNREAD_SUFFIXES)
    assert all(s == s.lower() and s[0] == "." for s in {*AUDIO_SUFFIXES, *UNREAD_SUFFIXES})
