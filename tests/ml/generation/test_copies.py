"""Copies of a sound in three formats: the samples, the file metadata and the bytes."""

from io import BytesIO

import numpy as np
import pytest
import soundfile
from mutagen.id3 import ID3

from melgraph.ml.errors import UserError
from melgraph.ml.generation.copies import (
    FORMATS,
    LOSSLESS,
    encode_copy,
    format_of,
    has_same_samples,
    read_tags,
)

TAGS = {
    "title": "Été (deep dream)",
    "artist": "海",
    "comment": "made by melgraph",
    "melgraph_record": "dreams/a/00",
    "digital_source_type": "http://example.org/term",
}


def flac(channels: int = 2, rate: int = 22_050, subtype: str = "PCM_16") -> bytes:
    noise, file = np.random.default_rng(0).normal(0, 0.1, (rate // 4, channels)), BytesIO()
    soundfile.write(file, noise, rate, format="FLAC", subtype=subtype)
    return file.getvalue()


@pytest.mark.parametrize("file_format", FORMATS)
def test_a_copy_has_the_file_metadata_and_the_same_bytes_each_time(file_format):
    copy = encode_copy(flac(), file_format, TAGS, where="x")
    assert read_tags(copy) == TAGS
    assert format_of(copy) == file_format
    assert encode_copy(flac(), file_format, TAGS, where="x") == copy


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24"])
@pytest.mark.parametrize("file_format", LOSSLESS)
def test_a_lossless_copy_has_the_same_samples(file_format, subtype):
    sound = flac(subtype=subtype)
    copy = encode_copy(sound, file_format, TAGS, where="x")
    assert has_same_samples(copy, sound)
    assert soundfile.info(BytesIO(copy)).subtype == subtype
    assert not has_same_samples(copy, flac(rate=44_100))
    assert not has_same_samples(b"no sound", sound)


def test_a_flac_copy_with_the_same_file_metadata_is_the_sound_itself():
    sound = encode_copy(flac(), "flac", TAGS, where="x")
    assert encode_copy(sound, "flac", TAGS, where="x") == sound


def test_other_programs_find_the_title_and_the_artist_of_an_mp3():
    tags = ID3(BytesIO(encode_copy(flac(), "mp3", TAGS, where="x")))
    assert (str(tags["TIT2"]), str(tags["TPE1"])) == (TAGS["title"], TAGS["artist"])


def test_a_rate_that_mp3_does_not_have_is_resampled():
    info = soundfile.info(BytesIO(encode_copy(flac(rate=96_000), "mp3", TAGS, where="x")))
    assert info.samplerate == 48_000
    assert info.duration == pytest.approx(0.25, abs=0.001)


def test_mp3_does_not_hold_three_channels():
    with pytest.raises(UserError, match="3 channels") as caught:
        encode_copy(flac(channels=3), "mp3", TAGS, where="a.flac")
    assert caught.value.where == "a.flac"


def test_a_flac_file_may_start_with_an_id3_tag():
    """As a signed one does: the tag holds the manifest."""
    copy, tag = encode_copy(flac(), "flac", TAGS, where="x"), BytesIO()
    ID3().save(tag, padding=lambda _: 300)
    assert tag.getvalue().startswith(b"ID3")
    assert format_of(tag.getvalue() + copy) == "flac"
    assert read_tags(tag.getvalue() + copy) == TAGS
    assert has_same_samples(tag.getvalue() + copy, copy)


def test_what_is_no_sound_has_no_metadata_and_no_format():
    for data in (b"", b"text", b"fLaC" + bytes(100), b"RIFF" + bytes(100), b"ID3" + bytes(100)):
        assert read_tags(data) == {}
        assert format_of(data) not in ("wav", "mp3")
